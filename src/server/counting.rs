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

/// How the tokens of a text are counted, and how closely that fits it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// How its tokens are counted.
    pub counting: Counting,
    /// The share by which it is off for the half of the text that it fits worse.
    pub off: f64,
}

/// A text with its tokens.
#[derive(Clone, Copy)]
struct Counted<'a> {
    text: &'a str,
    tokens: usize,
}

impl Counted<'_> {
    /// Tokens to a byte, of what is more than a text of a few words.
    fn rate(self, few: Counted<'_>) -> Option<f64> {
        let bytes = self.text.len().checked_sub(few.text.len()).filter(|bytes| *bytes > 0)?;
        let tokens = self.tokens.checked_sub(few.tokens).filter(|tokens| *tokens > 0)?;
        Some(tokens as f64 / bytes as f64)
    }
}

/// A text and its two halves.
struct Sample<'a> {
    whole: Counted<'a>,
    halves: [Counted<'a>; 2],
}

impl Server {
    /// Measures how many tokens the server makes of `sample`, a piece of the texts that will be asked about:
    /// by its `/tokenize` (vLLM, llama-server), or else by the prompt tokens that it reports. These are of
    /// what it reads, so of a sample that it refuses or cuts a half is taken. Of the same text it is asked
    /// once.
    ///
    /// # Errors
    /// When it does not answer, or counts nothing.
    pub fn calibrate(&mut self, sample: &str, stop: &AtomicBool) -> Result<Calibration, Failure> {
        if let Some(calibration) = self.calibrated.get(sample) {
            return Ok(*calibration);
        }
        let reported = self.greet(stop)?.usage.prompt;
        let tokenized = match self.tokenizes {
            Some(false) => None,
            _ => self.tokenized_sample(sample, stop)?,
        };
        let by_itself = tokenized.is_some();
        self.tokenizes = Some(by_itself);
        let (counted, few) = match (tokenized, reported) {
            (Some(counted), _) => counted,
            (None, Some(few)) => {
                (self.counted_whole(sample, few, stop)?, Counted { text: GREETING, tokens: few })
            }
            (None, None) => return Err(uncounted()),
        };
        let (bytes_per_token, off) = fitted(&counted, few).ok_or_else(uncounted)?;
        let own = match by_itself {
            true => few.tokens,
            false => (GREETING.len() as f64 / bytes_per_token).round() as usize,
        };
        let around = reported.map_or(0, |reported| reported.saturating_sub(own));
        let calibration = Calibration { counting: Counting { bytes_per_token, around }, off };
        self.calibrated.insert(sample.to_string(), calibration);
        Ok(calibration)
    }

    /// The longest of `sample`, its half, that one's half and so on that the server reads whole, with its
    /// tokens, where a text of a few words has `short`. It reads a text whole that has as many tokens as its
    /// two halves.
    fn counted_whole<'a>(
        &self,
        mut sample: &'a str,
        short: usize,
        stop: &AtomicBool,
    ) -> Result<Sample<'a>, Failure> {
        let mut refusal = None;
        while sample.len() > LEAST_SAMPLE {
            let (first, second) = halved(sample);
            // What a server has in its cache some leave out of their counts: none of these begins as one
            // before it.
            let texts = [second.to_string(), format!("-{first}"), sample.to_string()];
            let counts = texts.iter().map(|text| self.reported(text, stop)).collect::<Result<Vec<_>, _>>();
            match counts {
                Ok(counts) => {
                    let own = |place: usize| counts[place].saturating_sub(short) as f64;
                    if own(2) >= 0.97 * (own(0) + own(1)) {
                        let counted = |text, place: usize| Counted { text, tokens: counts[place] };
                        let halves = [counted(first, 1), counted(second, 0)];
                        return Ok(Sample { whole: counted(sample, 2), halves });
                    }
                }
                // Less may be let through, or not be too much for it.
                Err(failure) if failure.is_of_prompt() || failure.kind == Kind::Status(500) => {
                    refusal = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
            sample = first;
        }
        Err(refusal.unwrap_or_else(uncounted))
    }

    /// Tokens of `sample`, its halves and a text of a few words by `/tokenize`; `None` where there is no such
    /// thing.
    fn tokenized_sample<'a>(
        &self,
        sample: &'a str,
        stop: &AtomicBool,
    ) -> Result<Option<(Sample<'a>, Counted<'a>)>, Failure> {
        let (first, second) = halved(sample);
        let mut counted = Vec::new();
        for text in [sample, first, second, GREETING] {
            let Some(tokens) = self.tokenized(text, stop)? else { return Ok(None) };
            counted.push(Counted { text, tokens });
        }
        let sample = Sample { whole: counted[0], halves: [counted[1], counted[2]] };
        Ok(Some((sample, counted[3])))
    }

    /// Tokens of a prompt, as the server reports them of its answer.
    fn reported(&self, text: &str, stop: &AtomicBool) -> Result<usize, Failure> {
        let question = Question { asked: self.asks(text), max_tokens: self.room };
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

/// A text's two halves.
fn halved(text: &str) -> (&str, &str) {
    let middle = (0..=text.len() / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.split_at(middle)
}

/// Bytes to a token of a sample, beyond what a text of `few` words has, and the share by which they are off
/// for one of its halves; `None` where nothing was counted.
fn fitted(sample: &Sample<'_>, few: Counted<'_>) -> Option<(f64, f64)> {
    let rate = sample.whole.rate(few)?;
    // Four digits, so that a record says what was counted with.
    let bytes_per_token = ((1e4 / rate).round() / 1e4).max(0.01);
    let off = |half: &Counted<'_>| half.rate(few).map_or(1.0, |of_half| (of_half / rate - 1.0).abs());
    Some((bytes_per_token, sample.halves.iter().map(off).fold(0.0, f64::max)))
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
