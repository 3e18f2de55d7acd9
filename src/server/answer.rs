//! An answer as a server writes it, whole or in pieces.

use serde_json::Value;

use super::failure::{Failure, Kind, words};
use super::response::{Response, said_in};

/// Headers that say which version answered.
const VERSIONS: &[&str] = &["openai-version", "x-vllm-version", "x-inference-version", "server"];

/// Names of refusals that stay, in OpenAI's interface and those that follow it.
const REFUSALS: &[&str] = &["invalid_request_error", "context_length_exceeded", "exceed_context_size_error"];

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
    let mut answer = Answer { version: version(&response), ..Answer::default() };
    let value = response.json()?;
    match answer.take(&value)? {
        true => Ok(answer),
        false => Err(Failure::wrong("an answer without choices, or a choice without a text")),
    }
}

/// What headers say of a server's version.
pub(super) fn version(response: &Response<'_>) -> Option<String> {
    let text = |name: &&str| {
        let header = response.headers.get(*name)?.to_str().ok()?;
        Some(words(&response.client.kept(header.to_string())))
    };
    VERSIONS.iter().find_map(text)
}

impl Answer {
    /// Takes a whole answer, or a piece of one; whether it holds a choice that may say something. A piece
    /// need not: Azure's asynchronous content filter sends choices with its findings alone.
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
            return Err(failure(value));
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
        let says = written.is_some() || message.is_some();
        self.text.push_str(&written.unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(words(reason));
        }
        self.tokens.extend(logprobs(&choice["logprobs"]));
        Ok(says)
    }
}

/// A failure that an answer tells of, behind a status of success: a refusal where it has the number or the
/// name of one, or else a break.
fn failure(answer: &Value) -> Failure {
    let error = &answer["error"];
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let status = [&error["code"], &error["status"], &error["status_code"], &answer["code"]];
    let status = status.into_iter().filter_map(number).find_map(|status| u16::try_from(status).ok());
    let refused = [&error["type"], &error["code"]].into_iter().filter_map(Value::as_str);
    let refused = { refused }.any(|name| REFUSALS.contains(&name));
    let kind = match status.filter(|status| (400..600).contains(status)) {
        Some(status) => Kind::Status(status),
        None if refused => Kind::Status(400),
        None => Kind::Broken,
    };
    Failure::new(kind, words(&said_in(&answer.to_string())))
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
            // No prompt has no tokens: a server that says so does not count.
            prompt: number(&usage["prompt_tokens"]).filter(|count| *count > 0).or(prompt),
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
    fn a_refusal_in_an_answer_is_not_tried_again_and_no_tokens_are_no_count() {
        let of = |error: Value| taken(json!({"error": error})).unwrap_err();
        for (error, kind) in [
            (json!({"code": 400, "message": "too long"}), Kind::Status(400)),
            (json!({"code": "429", "message": "busy"}), Kind::Status(429)),
            (json!({"code": null, "type": "invalid_request_error", "message": "no"}), Kind::Status(400)),
            (json!({"code": "context_length_exceeded", "message": "no"}), Kind::Status(400)),
            (json!({"code": 7, "message": "oom"}), Kind::Broken),
            (json!("oom"), Kind::Broken),
        ] {
            assert_eq!(of(error.clone()).kind, kind, "{error}");
        }
        let choices = json!([{"text": "a"}]);
        let counted = |tokens: usize| taken(json!({"choices": choices, "usage": {"prompt_tokens": tokens}}));
        assert_eq!(counted(0).unwrap().usage.prompt, None);
        assert_eq!(counted(7).unwrap().usage.prompt, Some(7));
    }

    #[test]
    fn what_is_no_answer_is_refused_and_log_probabilities_without_numbers_are_none() {
        for wrong in [json!([1]), json!("x"), json!({"error": {"message": "oom"}})] {
            assert!(taken(wrong.clone()).is_err(), "{wrong}");
        }
        let null =
            json!({"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [null]}}]});
        assert_eq!(taken(null).unwrap().tokens, []);
        for silent in [json!({"choices": []}), json!({"choices": [{"index": 0}]})] {
            assert_eq!(Answer::default().take(&silent), Ok(false), "{silent}");
        }
    }
}
