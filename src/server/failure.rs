//! How a request fails, and whether another attempt may do better.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::printable;

/// Characters of a server's words that are shown and kept.
const MOST_WORDS: usize = 300;

/// What a refusal for length measures, in the words of the servers.
const MEASURES: &[&str] = &["token", "context", "length", "prompt", "input", "long"];

/// How it says that this is too much.
const EXCESS: &[&str] = &[
    "<=",
    "at most",
    "exceed",
    "greater than",
    "less than",
    "longer",
    "maximum",
    "not enough",
    "overflow",
    "range of",
    "reduce",
    "too big",
    "too large",
    "too long",
    "too many",
];

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: Kind,
    /// What happened, with the server's words shortened and escaped.
    pub problem: String,
    /// How long the server asks to wait before the next attempt.
    pub(super) retry_after: Option<Duration>,
}

/// What kind of failure it is, which decides about further attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another status than success.
    Status(u16),
    /// The connection broke off within an answer, or the server ended it.
    Broken,
    /// No connection.
    Unreachable,
    /// Not all of the answer came in time.
    Late,
    /// An answer that cannot be right.
    Wrong,
    /// The user stopped the run.
    Stopped,
}

impl Failure {
    pub(super) fn new(kind: Kind, problem: impl fmt::Display) -> Self {
        Self { kind, problem: problem.to_string(), retry_after: None }
    }

    pub(super) fn wrong(problem: impl fmt::Display) -> Self {
        Self::new(Kind::Wrong, problem)
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self.kind {
            Kind::Status(status) => matches!(status, 408 | 425 | 429 | 500..),
            Kind::Broken | Kind::Unreachable => true,
            Kind::Late | Kind::Wrong | Kind::Stopped => false,
        }
    }

    /// Whether a prompt was refused for its length, by its status or in the server's words.
    #[must_use]
    pub fn is_of_length(&self) -> bool {
        let words = self.problem.to_lowercase();
        let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
        match self.kind {
            Kind::Status(413) => true,
            Kind::Status(400 | 422) => says(MEASURES) && says(EXCESS),
            _ => false,
        }
    }

    /// Whether it is this prompt that was refused, for its length or for what it says, where another one was
    /// answered.
    #[must_use]
    pub fn is_of_prompt(&self) -> bool {
        matches!(self.kind, Kind::Status(400 | 403 | 413 | 422))
    }

    /// Whether every other request will fail as well, where one was answered before: nobody is there any
    /// more, nobody may ask, or nobody asks.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Stopped | Kind::Status(401 | 404))
    }

    /// Whether nobody answers at all.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self.kind, Kind::Unreachable)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server: {}", self.problem)?;
        match self.kind {
            Kind::Status(401 | 403) => {
                f.write_str("; put its key into NIAH_API_KEY, OPENAI_API_KEY or a file (`api key file`)")
            }
            Kind::Status(404) => f.write_str(
                "; check the address, the model's name, and whether the server has this interface (`api`)",
            ),
            Kind::Unreachable => f.write_str("; is it running, and is this its address?"),
            Kind::Late => {
                f.write_str("; give it more time with `timeout`, or ask less at once with `concurrency`")
            }
            _ => Ok(()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            Kind::Stopped => Self::Interrupted,
            _ => Self::Failed(failure.to_string()),
        }
    }
}

/// A server's words on one line, at most so many of them, with nothing in them that a terminal would obey.
pub(super) fn words(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = text.chars().take(MOST_WORDS).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{}{more}", printable::line(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_server_are_short_and_harmless() {
        assert_eq!(words("no\n\n such \u{1b}[2Jmodel"), "no such \\u{1b}[2Jmodel");
        assert!(words(&"x".repeat(1 << 20)).len() < 400);
    }

    #[test]
    fn regression_a_refusal_is_of_length_by_its_status_or_its_words_alone() {
        let of =
            |status, words: &str| Failure::new(Kind::Status(status), format!("status {status}: {words}"));
        for words in [
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
            "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            "the request exceeds the available context size, try increasing it",
            "prompt is too long: 250000 tokens > 200000 maximum",
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
            "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens",
            "Range of input length should be [1, 30720]",
            "loaded with context length of only 4096 tokens, which is not enough",
            "Please reduce the length of the messages.",
            "too long",
        ] {
            assert!(of(400, words).is_of_length() && of(422, words).is_of_length(), "{words}");
        }
        assert!(of(413, "").is_of_length());
        for (status, words) in [
            (400, "The response was filtered due to the prompt triggering our content management policy."),
            (400, "Could not finish the message because max_tokens or model output limit was reached."),
            (400, "Budget has been exceeded! Current cost: 5.1, Max budget: 5.0"),
            (400, "Invalid special token <|im_start|> in the prompt"),
            (400, ""),
            (403, "Input flagged by moderation"),
            (403, "Key limit exceeded (tokens)"),
            (500, "out of memory: the prompt is too long"),
        ] {
            assert!(!of(status, words).is_of_length(), "{status} {words}");
        }
    }

    #[test]
    fn regression_who_was_answered_once_may_ask_though_one_prompt_is_forbidden() {
        let of = |status| Failure::new(Kind::Status(status), "");
        assert!(of(403).is_of_prompt() && !of(403).is_of_all());
        assert!(of(401).is_of_all() && !of(401).is_of_prompt());
        assert!(!of(500).is_of_prompt() && !of(500).is_of_all());
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        for (status, again) in [
            (400, false),
            (401, false),
            (404, false),
            (422, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
            (529, true),
        ] {
            assert_eq!(Failure::new(Kind::Status(status), "").may_pass(), again, "{status}");
        }
        assert!(!Failure::new(Kind::Late, "").may_pass() && Failure::new(Kind::Broken, "").may_pass());
    }
}
