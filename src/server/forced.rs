//! What a server says of a text that was written here: the log-probabilities of an expected answer behind its
//! prompt (teacher forcing).
//!
//! The text is sent to be continued by one token, and its own tokens are asked for: by `echo` with
//! `logprobs`, as the first interface of OpenAI had it, and by vLLM's `prompt_logprobs`, which tells ranks as
//! well. llama-server and chat interfaces have neither.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::{Failure, Kind};
use super::response::Response;
use super::{Api, Server};
use crate::registry::Entry;

/// Of which tokens log-probabilities are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logprobs {
    /// Of what the model writes.
    #[default]
    Written,
    /// Also of the expected answer, where the model writes another one.
    Expected,
}

impl Logprobs {
    /// Whether it is what is asked for where nothing else is said.
    #[must_use]
    pub fn is_written(&self) -> bool {
        *self == Self::Written
    }
}

/// Every choice, by name.
pub const LOGPROBS: &[Entry<Logprobs>] = &[
    Entry {
        name: "written",
        about: "of what the model writes, where the server gives them: known of right answers alone",
        value: Logprobs::Written,
    },
    Entry {
        name: "expected",
        about: "of the expected answer too, by a second request where another one is written; needs echo or \
                prompt_logprobs of --api completions, which vLLM and SGLang have",
        value: Logprobs::Expected,
    },
];

/// What a server makes of an answer that it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forced {
    /// Natural log-probability, summed over its tokens.
    pub logprob: f64,
    /// The worst rank of a token of it, 1 for the arg-max; `None` where the server does not tell it.
    pub rank: Option<usize>,
}

/// A token of a text that was sent.
struct Token<'a> {
    text: &'a str,
    logprob: Option<f64>,
    rank: Option<usize>,
}

impl Server {
    /// The log-probability of `answer` behind `prompt`; `None` where the server tells none, or makes a token
    /// of the end of the prompt and the beginning of the answer.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn forced(&self, prompt: &str, answer: &str, stop: &AtomicBool) -> Result<Option<Forced>, Failure> {
        if self.api != Api::Completions || answer.trim().is_empty() {
            return Ok(None);
        }
        let body = json!({
            "model": self.model,
            "prompt": format!("{prompt}{answer}"),
            "max_tokens": 1,
            "temperature": 0,
            "stream": false,
            "echo": true,
            "logprobs": 1,
            "prompt_logprobs": 1,
        })
        .to_string();
        let read = |response: Response<'_>| response.json();
        match self.client.exchange(self.api.path(), Some(&body), read, stop) {
            Ok((value, _)) => Ok(forced(&value, answer)),
            Err(failure) if matches!(failure.kind, Kind::Status(400 | 422 | 501)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn forced(value: &Value, answer: &str) -> Option<Forced> {
    let choice = value["choices"].get(0)?;
    let tokens =
        of_prompt(choice).or_else(|| echoed(choice, value["usage"]["completion_tokens"].as_u64()))?;
    let answer = answer.trim_start();
    let (mut rest, mut logprob, mut worst) = (answer, 0.0, Some(1));
    for token in tokens.iter().rev() {
        // White space before the answer may stand in its first token.
        let last = token.text.trim_start() == rest;
        rest = if last { "" } else { rest.strip_suffix(token.text)? };
        logprob += token.logprob?;
        worst = worst.zip(token.rank).map(|(worst, rank): (usize, usize)| worst.max(rank));
        if rest.is_empty() {
            return Some(Forced { logprob, rank: worst });
        }
    }
    None
}

/// The tokens of vLLM's `prompt_logprobs`: of each place the token that stands there comes first.
fn of_prompt(choice: &Value) -> Option<Vec<Token<'_>>> {
    let places = choice["prompt_logprobs"].as_array()?;
    // The first has nothing before it, and no probability.
    let token = |place| {
        let (_, own) = Value::as_object(place)?.iter().next()?;
        let rank = own["rank"].as_u64().and_then(|rank| usize::try_from(rank).ok());
        Some(Token { text: own["decoded_token"].as_str()?, logprob: own["logprob"].as_f64(), rank })
    };
    places.iter().skip(1).map(token).collect()
}

/// The tokens of an echo, without the last `written` ones, which the model has added.
fn echoed(choice: &Value, written: Option<u64>) -> Option<Vec<Token<'_>>> {
    let logprobs = &choice["logprobs"];
    let texts = logprobs["tokens"].as_array()?;
    let sent = texts.len().checked_sub(usize::try_from(written.unwrap_or(1)).ok()?)?;
    let token = |place: usize| {
        let logprob = logprobs["token_logprobs"][place].as_f64();
        let best = logprobs["top_logprobs"][place]
            .as_object()
            .and_then(|top| top.values().filter_map(Value::as_f64).reduce(f64::max));
        // One that is as likely as the best is the arg-max; of others the rank is not told.
        let rank = best.zip(logprob).filter(|(best, own)| *own >= best - 1e-6).map(|_| 1);
        Some(Token { text: texts[place].as_str()?, logprob, rank })
    };
    // An answer that is not echoed holds nothing of the text that was sent.
    let echoed = logprobs["token_logprobs"].get(0).is_some_and(Value::is_null);
    if echoed { (0..sent).map(token).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_an_answer_are_summed_from_the_end_of_an_echo() {
        let answer = |tokens: Value, logprobs: Value| {
            json!({
                "choices": [{"text": "x", "logprobs": {"tokens": tokens, "token_logprobs": logprobs,
                    "top_logprobs": [null, {"is": -0.1}, {" 4": -0.5}, {"3": -0.1, "2": -0.25}, {".": 0.0}]}}],
                "usage": {"completion_tokens": 1},
            })
        };
        let whole = answer(json!(["It", " is", " 4", "2", "."]), json!([null, -0.1, -0.5, -0.25, 0.0]));
        assert_eq!(forced(&whole, " 42"), Some(Forced { logprob: -0.75, rank: None }));
        assert_eq!(forced(&whole, "2"), Some(Forced { logprob: -0.25, rank: None }));
        assert_eq!(forced(&whole, " 4 2"), None);
        // What is not echoed, as by llama-server, is of what was written.
        let alone = answer(json!([" 42", "."]), json!([-0.5, -0.1]));
        assert_eq!(forced(&alone, " 42"), None);
        assert_eq!(forced(&json!({"choices": []}), "x"), None);
    }

    #[test]
    fn vllm_tells_ranks_as_well() {
        let place = |token: &str, logprob: f64, rank: usize| {
            json!({"7": {"logprob": logprob, "rank": rank, "decoded_token": token},
                "9": {"logprob": 0.0, "rank": 1, "decoded_token": "other"}})
        };
        let places = json!([null, place(" is", -0.1, 1), place(" 4", -0.5, 1), place("2", -2.0, 3)]);
        let value = json!({"choices": [{"text": "", "prompt_logprobs": places}]});
        assert_eq!(forced(&value, "42"), Some(Forced { logprob: -2.5, rank: Some(3) }));
    }
}
