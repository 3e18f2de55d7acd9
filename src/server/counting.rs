//! How many tokens a text has, as the server says.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::{Failure, Kind};
use super::response::Response;
use super::{GREETING, Question, Server};

/// Bytes of a sample that says nothing any more of the texts it was taken from.
const LEAST_SAMPLE: usize = 256;

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
    /// by its `/tokenize` (vLLM, llama-server), or else by the prompt tokens that it reports. These are of
    /// what it reads, so of a sample that it refuses or cuts a half is taken.
    ///
    /// # Errors
    /// When it does not answer, or counts nothing.
    pub fn calibrate(&mut self, sample: &str, stop: &AtomicBool) -> Result<Counting, Failure> {
        let greeting = self.greet(stop)?;
        let by_itself = match self.tokenizes {
            Some(false) => (None, None),
            _ => (self.tokenized(sample, stop)?, self.tokenized(GREETING, stop)?),
        };
        self.tokenizes = Some(by_itself.0.is_some() && by_itself.1.is_some());
        let (sample, of_sample, of_short, around) = match (by_itself, greeting.usage.prompt) {
            ((Some(of_sample), Some(short)), whole) => {
                (sample, of_sample, short, whole.map_or(0, |whole| whole.saturating_sub(short)))
            }
            (_, Some(whole)) => {
                let (sample, of_sample) = self.counted_whole(sample, whole, stop)?;
                (sample, of_sample, whole, 0)
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

    /// The longest of `sample`, its half, that one's half and so on that the server reads whole, with its
    /// tokens, where a text of a few words has `short`. It reads a text whole that has as many tokens as its
    /// two halves.
    fn counted_whole<'a>(
        &self,
        mut sample: &'a str,
        short: usize,
        stop: &AtomicBool,
    ) -> Result<(&'a str, usize), Failure> {
        let mut refusal = None;
        while sample.len() > LEAST_SAMPLE {
            let middle = (0..=sample.len() / 2).rev().find(|&at| sample.is_char_boundary(at)).unwrap_or(0);
            let (first, second) = sample.split_at(middle);
            // What a server has in its cache some leave out of their counts: none of these begins as one
            // before it.
            let texts = [second.to_string(), format!("-{first}"), sample.to_string()];
            let counts = texts.iter().map(|text| self.reported(text, stop)).collect::<Result<Vec<_>, _>>();
            match counts {
                Ok(counts) => {
                    let own = |place: usize| counts[place].saturating_sub(short) as f64;
                    if own(2) >= 0.97 * (own(0) + own(1)) {
                        return Ok((sample, counts[2]));
                    }
                }
                Err(failure) if failure.is_of_length() => refusal = Some(failure),
                Err(failure) => return Err(failure),
            }
            sample = first;
        }
        Err(refusal.unwrap_or_else(uncounted))
    }

    /// Tokens of a prompt, as the server reports them of its answer.
    fn reported(&self, text: &str, stop: &AtomicBool) -> Result<usize, Failure> {
        let question = Question { asked: self.asks(text), max_tokens: 1 };
        self.ask(&question, stop)?.answer.usage.prompt.ok_or_else(uncounted)
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

fn uncounted() -> Failure {
    Failure::wrong(
        "counts no tokens, or the same of any text, neither at /tokenize nor as usage.prompt_tokens; name the \
         model's tokenizer (`tokenizer`)",
    )
}

fn counted(answer: &Value) -> Option<usize> {
    let tokens = answer["tokens"].as_array().map(Vec::len);
    answer["count"].as_u64().and_then(|count| usize::try_from(count).ok()).or(tokens)
}
