//! A question as a server reads it.

use serde_json::{Value, json};

use super::dialect::Dialect;

/// What is asked.
#[derive(Debug, Clone, Copy)]
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
    /// The body of its request.
    pub(super) fn body(&self, manner: &Manner<'_>) -> Value {
        let knows = |field: &str| manner.dialect.knows(field);
        let most = if knows("max_tokens") { "max_tokens" } else { "max_completion_tokens" };
        let mut body = json!({ "model": manner.model, most: self.max_tokens, "stream": manner.stream });
        match &self.asked {
            Asked::Text(text) => body["prompt"] = json!(text),
            Asked::Turns(turns) => {
                let turn = |turn: &ChatTurn<'_>| json!({ "role": turn.role, "content": turn.content });
                body["messages"] = turns.iter().map(turn).collect();
            }
        }
        let chat = matches!(self.asked, Asked::Turns(_));
        let optional = [
            ("temperature", json!(0)),
            // Servers read a signed number of 64 bits, some one of 32.
            ("seed", json!(manner.seed & 0x7fff_ffff)),
            ("logprobs", if chat { json!(true) } else { json!(1) }),
        ];
        for (field, value) in optional.into_iter().filter(|(field, _)| knows(field)) {
            body[field] = value;
        }
        if manner.stream && knows("stream_options") {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if let Some(thinking) = manner.thinking.filter(|_| chat && knows("chat_template_kwargs")) {
            body["chat_template_kwargs"] = json!({ "enable_thinking": thinking });
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_greedy_and_say_what_the_server_knows_alone() {
        let dialect = Dialect::default();
        let manner = Manner { model: "m", seed: 7, stream: false, dialect: &dialect, thinking: None };
        let text = Question { asked: Asked::Text("a b"), max_tokens: 5 };
        let expected = json!({"model": "m", "max_tokens": 5, "stream": false, "prompt": "a b", "temperature": 0, "seed": 7, "logprobs": 1});
        assert_eq!(text.body(&manner), expected);
        let turns = vec![ChatTurn { role: "user", content: "hi" }];
        let chat = Question { asked: Asked::Turns(turns), max_tokens: 5 };
        let body = chat.body(&Manner { stream: true, thinking: Some(false), ..manner });
        assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        assert_eq!(body["chat_template_kwargs"], json!({"enable_thinking": false}));
        assert_eq!((&body["logprobs"], &body["prompt"]), (&json!(true), &Value::Null));
    }
}
