//! A server of this test that answers as a model would which reads its prompt, and a run that asks it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use niah::evaluate::Watch;
use niah::evaluate::served::{Asks, Known, go_on, record};
use niah::grid::{ContextLength, Depth, Grid};
use niah::plan::{ModelChoice, Served, ServedPlan, Settings};
use niah::progress::Silent;
use niah::server::{Api, Counting, Endpoint, Limits, Logprobs, Manner};
use niah::store::csv;
use niah::store::directory::{RunDirectory, SERVED_CSV};
use niah::trial::{Outcome, ServedRow, Trial};
use serde_json::{Value, json};

use crate::common::server::{Reply, Request};

/// Bytes that the model makes a token of.
pub(super) const BYTES: usize = 4;

/// What a server is like that answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Nature {
    /// Tokens that it reads of a prompt, the last ones; all without.
    pub(super) window: Option<usize>,
    /// Whether it says how many tokens a prompt has.
    pub(super) counts: bool,
    /// Fields that it refuses by name.
    pub(super) refuses: Vec<&'static str>,
    /// Whether it tells of the tokens of a text that it is given.
    pub(super) echoes: bool,
    /// What it answers in the place of what stands in the prompt.
    pub(super) answers: Option<&'static str>,
}

impl Nature {
    pub(super) fn counting() -> Self {
        Self { counts: true, ..Self::default() }
    }

    /// Its answer to a request of either interface.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let asked: Value = match serde_json::from_slice(&request.body) {
            Ok(asked) => asked,
            Err(_) if request.path.ends_with("/models") => {
                return reply("200 OK", &json!({"data": [{"id": "scripted"}]}));
            }
            Err(_) => return Reply::not_found(),
        };
        if request.path.ends_with("/tokenize") {
            return Reply::not_found();
        }
        if let Some(field) = self.refuses.iter().find(|field| !asked[**field].is_null()) {
            let message = format!("Unsupported parameter: '{field}'");
            return reply("400 Bad Request", &json!({"error": {"message": message}}));
        }
        let text = prompt_of(&asked);
        let tokens = text.len().div_ceil(BYTES);
        let read = self.window.map_or(text.as_str(), |window| {
            let from = text.len().saturating_sub(window * BYTES);
            &text[(from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap()..]
        });
        if self.echoes && asked["echo"] == true {
            // A token to a word, and one that is written.
            let mut tokens: Vec<&str> = text.split_inclusive(' ').collect();
            tokens.push("x");
            let logprobs: Vec<Value> =
                (0..tokens.len()).map(|at| if at == 0 { json!(null) } else { json!(-3.0) }).collect();
            let choice = json!({"text": text, "logprobs": {"tokens": tokens, "token_logprobs": logprobs}});
            return reply("200 OK", &json!({"choices": [choice], "usage": {"completion_tokens": 1}}));
        }
        let said = match self.answers {
            Some(answer) => answer.to_string(),
            None => said(read, asked["prompt"].is_null()),
        };
        let usage = self.counts.then(|| {
            let prompt = self.window.map_or(tokens, |window| window.min(tokens));
            json!({"prompt_tokens": prompt, "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": prompt / 2}})
        });
        match asked["stream"].as_bool() {
            Some(true) => {
                Reply::new("200 OK\r\nContent-Type: text/event-stream", events(&said, &usage, &asked))
            }
            _ => reply("200 OK\r\nServer: scripted/1", &whole(&said, &usage, &asked)),
        }
    }
}

/// The text of a prompt of either interface.
pub(super) fn prompt_of(asked: &Value) -> String {
    let messages = asked["messages"].as_array();
    let turns = messages.map(|turns| turns.iter().filter_map(|turn| turn["content"].as_str()).collect());
    turns.unwrap_or_else(|| asked["prompt"].as_str().unwrap_or_default().to_string())
}

/// What stands in the text behind the words that the question is about.
fn said(text: &str, chat: bool) -> String {
    let Some((_, asked)) = text.rsplit_once("What is the special magic ") else { return "Word".to_string() };
    let key = asked.split(" number?").next().unwrap();
    let words = format!("The special magic {key} number is: ");
    let value: String = text
        .split_once(&words)
        .map_or("nowhere", |(_, behind)| behind)
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric())
        .collect();
    if chat { format!("{words}{value}.") } else { value }
}

fn whole(said: &str, usage: &Option<Value>, asked: &Value) -> Value {
    let mut choice = json!({"index": 0, "finish_reason": "stop"});
    match asked["prompt"].is_null() {
        true => choice["message"] = json!({"role": "assistant", "content": said}),
        false => {
            choice["text"] = json!(said);
            choice["logprobs"] = json!({"tokens": [said], "token_logprobs": [-0.25]});
        }
    }
    json!({"model": "scripted-1", "system_fingerprint": "fp", "choices": [choice], "usage": usage})
}

fn events(said: &str, usage: &Option<Value>, asked: &Value) -> String {
    let chat = asked["prompt"].is_null();
    let piece = |text: &str, finish: Option<&str>| {
        let choice = match chat {
            true => json!({"delta": {"content": text}, "finish_reason": finish}),
            false => json!({"text": text, "finish_reason": finish}),
        };
        format!("data: {}\n\n", json!({"model": "scripted-1", "choices": [choice]}))
    };
    let (first, rest) = said.split_at(said.len() / 2);
    let usage = json!({"choices": [], "usage": usage});
    format!(
        ": alive\n\n{}{}{}data: {usage}\n\ndata: [DONE]\n\n",
        piece(first, None),
        piece(rest, None),
        piece("", Some("stop"))
    )
}

pub(super) fn reply(head: &str, body: &Value) -> Reply {
    Reply::new(format!("{head}\r\nContent-Type: application/json"), body.to_string())
}

/// A run of a few cells that asks a server.
pub(super) struct Run {
    pub(super) manner: Manner,
    pub(super) settings: Settings,
    pub(super) asks: Asks,
}

fn no_sleep(_: Duration) {}

impl Run {
    /// Two lengths, three depths, two trials: twelve prompts, one at a time.
    pub(super) fn new(url: &str, api: Api) -> Self {
        let limits = Limits { sleep: no_sleep, retries: 3, ..Limits::default() };
        let endpoint = Endpoint::new(url).unwrap();
        let counting = Some(Counting { bytes_per_token: BYTES as f64, around: 0 });
        let served = Served {
            endpoint: endpoint.address(),
            api,
            tokenizer: None,
            counting,
            logprobs: Logprobs::Written,
        };
        let lengths = vec![ContextLength(300), ContextLength(600)];
        let depths = [0.0, 50.0, 100.0].map(|depth| Depth::from_percent(depth).unwrap()).to_vec();
        Self {
            manner: Manner { endpoint, key: None, authorities: None, api, stream: false, limits },
            settings: Settings {
                model: ModelChoice::of("scripted"),
                grid: Grid::new(lengths, depths).unwrap(),
                trials: 2,
                served: Some(served),
                ..Settings::default()
            },
            asks: Asks { concurrency: 1, check_lengths: false, limit: None, shard: None },
        }
    }

    pub(super) fn plan(&self) -> ServedPlan {
        ServedPlan::resolve(self.settings.clone(), &mut |_| unreachable!("the counting is given")).unwrap()
    }

    /// Asks what the directory lacks.
    pub(super) fn go(&self, directory: &Path) -> niah::Result<Vec<Trial>> {
        self.go_until(directory, &AtomicBool::new(false))
    }

    pub(super) fn go_until(&self, directory: &Path, stop: &AtomicBool) -> niah::Result<Vec<Trial>> {
        let plan = self.plan();
        let mut server =
            niah::server::Server::new(&self.manner, &self.settings.model.name, self.settings.seed);
        let mut store = RunDirectory::open(directory, &record(&plan, self.asks.shard, json!(null))?, false)?;
        let watch = Watch { progress: &mut Silent, stop };
        go_on(&plan, &mut server, &mut Known::default(), &mut store, self.asks, watch)
    }
}

/// The last row of each trial, by its key.
pub(super) fn rows(directory: &Path) -> BTreeMap<String, Outcome> {
    let rows: Vec<Outcome> = csv::read(directory.join("results.csv")).unwrap();
    rows.into_iter().map(|row| (row.row_id.clone(), row)).collect()
}

pub(super) fn served(directory: &Path) -> Vec<ServedRow> {
    csv::read(directory.join(SERVED_CSV)).unwrap()
}

pub(super) fn run_json(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join("run.json")).unwrap()).unwrap()
}
