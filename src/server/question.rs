//! A question as a server reads it.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;

use super::dialect::Dialect;

/// What is asked.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChatTurn<'a> {
    /// Who speaks.
    pub role: &'a str,
    /// What is said.
    pub content: &'a str,
}

/// The prompt of a question.
#[derive(Debug, Clone)]
pub enum Asked<'a> {
    /// A text to continue.
    Text(&'a str),
    /// A conversation to answer.
    Turns(Vec<ChatTurn<'a>>),
}

/// A prompt, and how much may be answered.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The prompt.
    pub asked: Asked<'a>,
    /// Tokens of the answer, at most.
    pub max_tokens: usize,
}

/// What is the same in all questions of a run.
pub(super) struct Manner<'a> {
    pub(super) model: &'a str,
    pub(super) seed: u64,
    pub(super) stream: bool,
    pub(super) dialect: &'a Dialect,
    /// Whether the model thinks first, where that is asked for.
    pub(super) thinking: Option<bool>,
}

impl Question<'_> {
    /// The body of its request, as JSON. The prompt is copied once, into it.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn body(&self, manner: &Manner<'_>) -> serde_json::Result<String> {
        serde_json::to_string(&Body { question: self, manner })
    }
}

struct Body<'a> {
    question: &'a Question<'a>,
    manner: &'a Manner<'a>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { question, manner } = self;
        let knows = |field: &str| manner.dialect.knows(field);
        let most = if knows("max_tokens") { "max_tokens" } else { "max_completion_tokens" };
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("model", manner.model)?;
        body.serialize_entry(most, &question.max_tokens)?;
        body.serialize_entry("stream", &manner.stream)?;
        match &question.asked {
            Asked::Text(text) => body.serialize_entry("prompt", text)?,
            Asked::Turns(turns) => body.serialize_entry("messages", turns)?,
        }
        let chat = matches!(question.asked, Asked::Turns(_));
        let optional = [
            ("temperature", json!(0)),
            // Servers read a signed number of 64 bits, some one of 32.
            ("seed", json!(manner.seed & 0x7fff_ffff)),
            ("logprobs", if chat { json!(true) } else { json!(1) }),
        ];
        for (field, value) in optional.iter().filter(|(field, _)| knows(field)) {
            body.serialize_entry(field, value)?;
        }
        if manner.stream && knows("stream_options") {
            body.serialize_entry("stream_options", &json!({ "include_usage": true }))?;
        }
        if let Some(thinking) = manner.thinking.filter(|_| chat && knows("chat_template_kwargs")) {
            body.serialize_entry("chat_template_kwargs", &json!({ "enable_thinking": thinking }))?;
        }
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn body(question: &Question<'_>, manner: &Manner<'_>) -> Value {
        serde_json::from_str(&question.body(manner).unwrap()).unwrap()
    }

    #[test]
    fn questions_are_greedy_and_say_what_the_server_knows_alone() {
        let dialect = Dialect::default();
        let manner = Manner { model: "m", seed: 7, stream: false, dialect: &dialect, thinking: None };
        let text = Question { asked: Asked::Text("a b"), max_tokens: 5 };
        let expected = json!({"model": "m", "max_tokens": 5, "stream": false, "prompt": "a b", "temperature": 0, "seed": 7, "logprobs": 1});
        assert_eq!(body(&text, &manner), expected);
        let turns = vec![ChatTurn { role: "user", content: "hi" }];
        let chat = Question { asked: Asked::Turns(turns), max_tokens: 5 };
        let body = body(&chat, &Manner { stream: true, thinking: Some(false), ..manner });
        assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        assert_eq!(body["chat_template_kwargs"], json!({"enable_thinking": false}));
        assert_eq!((&body["logprobs"], &body["prompt"]), (&json!(true), &Value::Null));
    }
}
