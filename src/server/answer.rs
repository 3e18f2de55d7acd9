//! An answer as a server writes it, whole or in pieces.

use serde_json::Value;
use ureq::http::HeaderMap;

use super::client::{Response, said_in};
use super::failure::{Failure, Kind, words};

/// Headers that say which version answered.
const VERSIONS: &[&str] = &["openai-version", "x-vllm-version", "x-inference-version", "server"];

/// What a server answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The text, without what the server keeps apart as a thought.
    pub text: String,
    /// Whether the server kept a thought apart.
    pub thought: bool,
    /// Why it ended, in the server's word.
    pub finish_reason: Option<String>,
    /// Tokens, as the server counts them.
    pub usage: Usage,
    /// The tokens of the answer with their natural log-probabilities; none where the server gives none.
    pub tokens: Vec<TokenLogprob>,
    /// The model that answered, by the server's name.
    pub model: Option<String>,
    /// What the server calls its state.
    pub fingerprint: Option<String>,
    /// What a header says of the server's version.
    pub version: Option<String>,
}

/// Tokens, as a server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt: Option<usize>,
    /// Of these, those that the server had computed before.
    pub cached: Option<usize>,
    /// Of the answer, a thought among them.
    pub completion: Option<usize>,
    /// Of the thought.
    pub reasoning: Option<usize>,
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Its text.
    pub text: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
}

/// Reads a whole answer.
pub(super) fn read(response: Response<'_>) -> Result<Answer, Failure> {
    let mut answer = Answer { version: version(&response.headers), ..Answer::default() };
    let value = response.json()?;
    match answer.take(&value)? {
        true => Ok(answer),
        false => Err(Failure::wrong("an answer without choices")),
    }
}

/// What headers say of a server's version.
pub(super) fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name: &&str| Some(words(headers.get(*name)?.to_str().ok()?));
    VERSIONS.iter().find_map(text)
}

impl Answer {
    /// Takes a whole answer, or a piece of one; whether it holds a choice.
    ///
    /// # Errors
    /// When it is none, or says that something failed.
    pub(super) fn take(&mut self, value: &Value) -> Result<bool, Failure> {
        if !value.is_object() {
            return Err(Failure::wrong(format!(
                "an answer that is no object: {}",
                words(&value.to_string())
            )));
        }
        // A failure behind a first line of success.
        if !value["error"].is_null() {
            return Err(Failure::new(Kind::Broken, said_in(&value.to_string())));
        }
        let text = |name: &str| Some(value[name].as_str()?.to_string()).filter(|text| !text.is_empty());
        self.model = text("model").or(self.model.take());
        self.fingerprint = text("system_fingerprint").or(self.fingerprint.take());
        self.usage.take(&value["usage"]);
        let Some(choice) = value["choices"].get(0) else { return Ok(false) };
        let message = [&choice["message"], &choice["delta"]].into_iter().find(|message| message.is_object());
        let written = match message {
            Some(message) => {
                let kept_apart = ["reasoning_content", "reasoning"].map(|name| message[name].as_str());
                self.thought |= kept_apart.into_iter().flatten().any(|thought| !thought.is_empty());
                content(&message["content"])
            }
            None => choice["text"].as_str().map(str::to_string),
        };
        if written.is_none() && message.is_none() {
            return Err(Failure::wrong("a choice without a text"));
        }
        self.text.push_str(&written.unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(words(reason));
        }
        self.tokens.extend(logprobs(&choice["logprobs"]));
        Ok(true)
    }
}

/// What a message says: a text, or the texts of its parts; nothing where it says nothing.
fn content(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ => None,
    }
}

/// Tokens and log-probabilities, in either of the two shapes; none where one of them is missing.
fn logprobs(logprobs: &Value) -> Vec<TokenLogprob> {
    let token = |text: &Value, logprob: &Value| {
        Some(TokenLogprob { text: text.as_str()?.to_string(), logprob: logprob.as_f64()? })
    };
    let tokens: Option<Vec<TokenLogprob>> = match (&logprobs["content"], &logprobs["tokens"]) {
        (Value::Array(content), _) => {
            content.iter().map(|one| token(&one["token"], &one["logprob"])).collect()
        }
        (_, Value::Array(texts)) => {
            let of_token = |place: usize| token(&texts[place], &logprobs["token_logprobs"][place]);
            (0..texts.len()).map(of_token).collect()
        }
        _ => None,
    };
    tokens.unwrap_or_default()
}

impl Usage {
    /// What this says goes before what was said earlier.
    fn take(&mut self, usage: &Value) {
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let details = &usage["prompt_tokens_details"];
        let of_answer = &usage["completion_tokens_details"];
        let Self { prompt, cached, completion, reasoning } = *self;
        *self = Self {
            prompt: number(&usage["prompt_tokens"]).or(prompt),
            cached: number(&details["cached_tokens"]).or(cached),
            completion: number(&usage["completion_tokens"]).or(completion),
            reasoning: number(&of_answer["reasoning_tokens"]).or(reasoning),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(value: Value) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        answer.take(&value).map(|_| answer)
    }

    #[test]
    fn both_interfaces_say_text_usage_and_log_probabilities() {
        let of_text = taken(json!({
            "model": "m", "system_fingerprint": "b1",
            "choices": [{"text": " 42", "finish_reason": "stop",
                "logprobs": {"tokens": [" 4", "2"], "token_logprobs": [-0.5, -0.25], "text_offset": [0, 2]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}},
        }));
        let of_chat = taken(json!({
            "model": "m", "system_fingerprint": "b1",
            "choices": [{"message": {"role": "assistant", "content": " 42"}, "finish_reason": "stop",
                "logprobs": {"content": [{"token": " 4", "logprob": -0.5}, {"token": "2", "logprob": -0.25}]}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}},
        }));
        let answer = of_text.unwrap();
        assert_eq!(answer, of_chat.unwrap());
        assert_eq!(answer.text, " 42");
        assert_eq!((answer.usage.prompt, answer.usage.cached), (Some(10), Some(8)));
        assert_eq!(answer.tokens.iter().map(|token| token.logprob).sum::<f64>(), -0.75);
    }

    #[test]
    fn a_thought_that_is_kept_apart_is_no_part_of_the_answer() {
        let message = json!({"reasoning_content": "hm", "content": null});
        let answer = taken(json!({"choices": [{"message": message, "finish_reason": "length"}]})).unwrap();
        assert_eq!((answer.text.as_str(), answer.thought), ("", true));
    }

    #[test]
    fn what_is_no_answer_is_refused_and_log_probabilities_without_numbers_are_none() {
        for wrong in
            [json!([1]), json!("x"), json!({"choices": [{"index": 0}]}), json!({"error": {"message": "oom"}})]
        {
            assert!(taken(wrong.clone()).is_err(), "{wrong}");
        }
        let null =
            json!({"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [null]}}]});
        assert_eq!(taken(null).unwrap().tokens, []);
        assert_eq!(Answer::default().take(&json!({"choices": []})), Ok(false));
    }
}
