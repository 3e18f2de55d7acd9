//! How many tokens a text has, as the server says.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Response;
use super::failure::{Failure, Kind};
use super::{GREETING, Question, Server};

/// Tokens of a model whose tokenizer is not at hand: so many bytes each, and some around every prompt.
///
/// ```text
/// tokens(text) = bytes(text) / bytes_per_token + around
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counting {
    /// Bytes of the haystack's text that a token stands for, in the mean.
    pub bytes_per_token: f64,
    /// Tokens of the chat template and of the beginning of a text.
    pub around: usize,
}

impl Server {
    /// Measures how many tokens the server makes of `sample`, a piece of the texts that will be asked about:
    /// by its `/tokenize` (vLLM, llama-server), or else by the prompt tokens that it reports.
    ///
    /// # Errors
    /// When it does not answer, or counts nothing.
    pub fn calibrate(&mut self, sample: &str, stop: &AtomicBool) -> Result<Counting, Failure> {
        let greeting = self.greet(stop)?;
        let uncounted = || {
            Failure::wrong(
                "counts no tokens, neither at /tokenize nor as usage.prompt_tokens; name the model's tokenizer \
                 (`tokenizer`)",
            )
        };
        let by_itself = match self.tokenizes {
            Some(false) => (None, None),
            _ => (self.tokenized(sample, stop)?, self.tokenized(GREETING, stop)?),
        };
        self.tokenizes = Some(by_itself.0.is_some() && by_itself.1.is_some());
        let (of_sample, of_short, around) = match (by_itself, greeting.usage.prompt) {
            ((Some(sample), Some(short)), Some(whole)) => (sample, short, whole.saturating_sub(short)),
            ((Some(sample), Some(short)), None) => (sample, short, 0),
            (_, Some(whole)) => {
                let question = Question { asked: self.asks(sample), max_tokens: 1 };
                let long = self.ask(&question, stop)?.answer.usage.prompt.ok_or_else(uncounted)?;
                (long, whole, 0)
            }
            _ => return Err(uncounted()),
        };
        let bytes = sample.len().saturating_sub(GREETING.len()) as f64;
        let tokens = of_sample.saturating_sub(of_short) as f64;
        if tokens < 1.0 || bytes < 1.0 {
            return Err(uncounted());
        }
        // Four digits, so that a record says what was counted with.
        let bytes_per_token = ((1e4 * bytes / tokens).round() / 1e4).max(0.01);
        let own = (GREETING.len() as f64 / bytes_per_token).round() as usize;
        let around = if by_itself.0.is_some() { around } else { of_short.saturating_sub(own) };
        Ok(Counting { bytes_per_token, around })
    }

    /// Tokens of a text by `/tokenize`; `None` where there is no such thing.
    fn tokenized(&self, text: &str, stop: &AtomicBool) -> Result<Option<usize>, Failure> {
        // vLLM reads a prompt, llama-server a content.
        let special = json!({"add_special_tokens": false, "add_special": false});
        let mut body = json!({"model": self.model, "prompt": text, "content": text});
        for (key, value) in special.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let address = self.client.endpoint().beside("/tokenize");
        let read = |response: Response<'_>| Ok(counted(&response.json()?));
        match self.client.exchange_at(&address, Some(&body.to_string()), read, stop) {
            Ok((count, _)) => Ok(count),
            Err(failure) if matches!(failure.kind, Kind::Status(_) | Kind::Wrong) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn counted(answer: &Value) -> Option<usize> {
    let tokens = answer["tokens"].as_array().map(Vec::len);
    answer["count"].as_u64().and_then(|count| usize::try_from(count).ok()).or(tokens)
}
