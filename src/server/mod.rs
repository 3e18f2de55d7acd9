//! A server that continues prompts: OpenAI's completions and chat completions, as vLLM, SGLang, llama-server,
//! Ollama, `transformers serve` and hosted interfaces speak them.
//!
//! Decoding is greedy (`temperature` 0) under the run's seed. What a server does not know of a request is
//! found out before the first trial ([`Server::greet`]) and left out from then on ([`Dialect`]).
//!
//! The key goes to the endpoint's own scheme, host and port alone: an answer that sends a request on to
//! another place is an error. An answer is read up to a limit, whatever the server sends. Attempts are
//! repeated where the failure may pass (429, 5xx, a connection that breaks), never where it will not.

mod answer;
mod authorities;
mod client;
mod counting;
mod dialect;
mod endpoint;
mod failure;
mod forced;
mod key;
mod pace;
mod question;
mod response;
mod stream;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

pub use answer::{Answer, TokenLogprob, Usage};
pub use authorities::Authorities;
use client::Client;
pub use client::Limits;
pub use counting::{Calibration, Counting};
pub use dialect::Dialect;
pub use endpoint::{APIS, Api, Endpoint};
pub use failure::{Failure, Kind};
pub use forced::{Forced, LOGPROBS, Logprobs};
pub use key::ApiKey;
pub use question::{Asked, ChatTurn, Question};

/// Words of a question that costs next to nothing.
const GREETING: &str = "Say one word.";

/// Tokens of its answer that are asked for at most, the thoughts before it among them.
const MOST_ROOM: usize = 4096;

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Its address.
    pub endpoint: Endpoint,
    /// Who asks.
    pub key: Option<ApiKey>,
    /// Who vouches for it; the public authorities where nobody is named.
    pub authorities: Option<Authorities>,
    /// Completions or chat completions.
    pub api: Api,
    /// Whether answers come token by token.
    pub stream: bool,
    /// Time, size and patience.
    pub limits: Limits,
}

/// A server, and which of its models is asked.
#[derive(Debug)]
pub struct Server {
    client: Client,
    api: Api,
    stream: bool,
    model: String,
    seed: u64,
    dialect: Dialect,
    thinking: Option<bool>,
    /// Tokens that an answer must have room for so that the server does not refuse.
    room: usize,
    /// What it said to the first question of all.
    greeted: Option<Answer>,
    /// Whether it counts tokens at an address of its own, once that is known.
    tokenizes: Option<bool>,
    /// How the tokens of each text are counted that was measured.
    calibrated: BTreeMap<String, Calibration>,
}

/// An answer, and how many attempts it took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// What was answered.
    pub answer: Answer,
    /// Attempts, the last one included.
    pub attempts: u32,
}

impl Server {
    /// A server that nothing is known of yet; its `model` answers, `seed` is sent with every question.
    #[must_use]
    pub fn new(manner: &Manner, model: &str, seed: u64) -> Self {
        Self {
            client: Client::new(manner),
            api: manner.api,
            stream: manner.stream,
            model: model.to_string(),
            seed,
            dialect: Dialect::default(),
            thinking: None,
            room: 1,
            greeted: None,
            tokenizes: None,
            calibrated: BTreeMap::new(),
        }
    }

    /// The same, whose chat template is told whether the model thinks first.
    #[must_use]
    pub fn thinking(self, thinking: Option<bool>) -> Self {
        Self { thinking, ..self }
    }

    /// Completions or chat completions.
    #[must_use]
    pub fn api(&self) -> Api {
        self.api
    }

    /// The model that is asked.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What the server does not know of a question.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Asks for one token behind a few words, to see that the server answers as it is asked, and leaves out
    /// from then on what it refuses by name. Where the model thinks first and one token is too few, it may
    /// have more. It is asked once.
    ///
    /// # Errors
    /// When it does not answer, or not in this way.
    pub fn greet(&mut self, stop: &AtomicBool) -> Result<Answer, Failure> {
        if let Some(answer) = &self.greeted {
            return Ok(answer.clone());
        }
        loop {
            let question = Question { asked: self.asks(GREETING), max_tokens: self.room };
            let failure = match self.ask(&question, stop) {
                Ok(said) => return Ok(self.greeted.insert(said.answer).clone()),
                Err(failure) => failure,
            };
            if dialect::is_of_room(&failure) && self.room < MOST_ROOM {
                self.room *= 16;
            } else if !self.dialect.learn(&failure, |text| self.client.without_key(text)) {
                return Err(failure);
            }
        }
    }

    /// A text, in the way of its interface.
    fn asks<'a>(&self, words: &'a str) -> Asked<'a> {
        match self.api {
            Api::Completions => Asked::Text(words),
            Api::Chat => Asked::Turns(vec![ChatTurn { role: "user", content: words }]),
        }
    }

    /// Asks one question, again where a failure may pass.
    ///
    /// # Errors
    /// The last failure.
    pub fn ask(&self, question: &Question<'_>, stop: &AtomicBool) -> Result<Said, Failure> {
        let body = question.body(&self.form()).map_err(Failure::wrong)?;
        let read = |response: response::Response<'_>| match self.stream {
            true => stream::read(response),
            false => answer::read(response),
        };
        let (mut answer, attempts) = self.client.exchange(self.api.path(), Some(&body), read, stop)?;
        // Pieces of a stream that hold no key may make one up.
        answer.text = self.client.kept(answer.text);
        Ok(Said { answer, attempts })
    }

    fn form(&self) -> question::Manner<'_> {
        question::Manner {
            model: &self.model,
            seed: self.seed,
            stream: self.stream,
            dialect: &self.dialect,
            thinking: self.thinking,
        }
    }
}

/// The models that an endpoint has, by name; none where it does not say.
///
/// # Errors
/// When it does not answer at all.
pub fn models(manner: &Manner, stop: &AtomicBool) -> Result<Vec<String>, Failure> {
    let read = |response: response::Response<'_>| response.json();
    let answer = match Client::new(manner).exchange("/models", None, read, stop) {
        Ok((answer, _)) => answer,
        Err(failure) if matches!(failure.kind, Kind::Status(404 | 405)) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let name = |model: &Value| Some(model["id"].as_str()?.to_string());
    Ok(answer["data"].as_array().into_iter().flatten().filter_map(name).collect())
}
