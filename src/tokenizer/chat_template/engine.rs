//! Runs a template in minijinja, within limits that no published template comes near.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind};
use serde::{Deserialize, Serialize};

use super::date::Date;
use super::{Message, compat, json};

/// The name that minijinja's messages give the template.
const NAME: &str = "chat_template";
/// Bytes of a template, at most: the longest ones that are published take 30 kB.
const LONGEST_SOURCE: usize = 1 << 20;
/// Instructions of the engine. A conversation of a few turns takes a few thousand.
const FUEL: u64 = 5_000_000;
/// Characters of a message.
const LONGEST_REASON: usize = 500;
/// Bytes that a template may write, beside what it is given.
const LONGEST_OUTPUT: usize = 16 << 20;

/// How a message's content is given to a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::tokenizer) enum Content {
    /// As a text.
    Text,
    /// As a list of parts, each with a type: the one part is the text.
    Parts,
    /// The system's turn as a text, the others as lists of parts.
    PartsAfterSystem,
}

/// A template with all that its result depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::tokenizer) struct Job {
    pub(super) source: String,
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) date: Date,
    /// Variables that the template sees besides.
    pub(super) options: BTreeMap<String, bool>,
    pub(super) content: Content,
    /// The conversation; `None` when the template is to be parsed only.
    pub(super) messages: Option<Vec<Message>>,
}

impl Job {
    /// The conversation in the template's words, up to where the assistant's next turn begins.
    ///
    /// # Errors
    /// The template's own message if it raised one, else the engine's.
    pub(in crate::tokenizer) fn run(&self) -> Result<String, String> {
        if self.source.len() > LONGEST_SOURCE {
            return Err(format!("longer than {} KiB, which no template is", LONGEST_SOURCE >> 10));
        }
        let source = without_generation_tags(&self.source.replace("\r\n", "\n"));
        let environment = self.environment().map_err(reason)?;
        let template = environment.template_from_named_str(NAME, &source).map_err(reason)?;
        let Some(messages) = &self.messages else { return Ok(String::new()) };
        let given: usize = messages.iter().map(|message| message.content.len()).sum();
        let mut output = Output { bytes: Vec::new(), room: LONGEST_OUTPUT + given };
        template.render_captured_to(self.variables(messages), &mut output).map_err(reason)?;
        String::from_utf8(output.bytes).map_err(|error| error.to_string())
    }

    fn environment(&self) -> Result<Environment<'static>, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_fuel(Some(FUEL));
        compat::like_jinja2(&mut environment);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", raise_exception);
        let date = self.date;
        environment.add_function("strftime_now", move |format: &str| date.format(format));
        Ok(environment)
    }

    fn variables(&self, messages: &[Message]) -> Value {
        let turns: Vec<Value> = messages.iter().map(|message| self.turn(message)).collect();
        let mut variables: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", Value::from(turns)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(true)),
        ]);
        variables.extend(
            self.special_tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))),
        );
        variables.extend(self.options.iter().map(|(name, value)| (name.as_str(), Value::from(*value))));
        Value::from(variables)
    }

    fn turn(&self, message: &Message) -> Value {
        let as_text = match self.content {
            Content::Text => true,
            Content::Parts => false,
            Content::PartsAfterSystem => message.role == "system",
        };
        if as_text {
            return Value::from(Serde(message));
        }
        let part = BTreeMap::from([("type", "text"), ("text", message.content.as_str())]);
        Value::from(Serde(serde_json::json!({"role": message.role, "content": [part]})))
    }
}

/// Takes in so many bytes and no more.
struct Output {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            return Err(io::Error::other(format!("writes more than {} MiB", self.room >> 20)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template said when it called `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Raised {}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raised by the template");
    Err(error.with_source(Raised(message)))
}

/// The template's own message if it raised one, else the engine's, and no more of it than anybody reads.
fn reason(error: minijinja::Error) -> String {
    let text = whole_reason(error);
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn whole_reason(error: minijinja::Error) -> String {
    let mut cause: Option<&dyn StdError> = Some(&error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return message.clone();
        }
        if let Some(error) = current.downcast_ref::<io::Error>() {
            return error.to_string();
        }
        cause = current.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        _ => error.to_string(),
    }
}

/// Replaces `{% generation %}` and its end by tags that do nothing and trim white space in the same way.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{%") {
        let Some((tag, behind)) = after.split_once("%}") else { break };
        let word = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let replacement = match word {
            "generation" => tag.replace(word, "if true"),
            "endgeneration" => tag.replace(word, "endif"),
            _ => tag.to_string(),
        };
        text.extend([before, "{%", &replacement, "%}"]);
        rest = behind;
    }
    text + rest
}
