//! Spans: the parts of a prompt that matter, each with its kind.
//!
//! They are known as a prompt is put together, never searched for.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a part of a prompt is to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SpanKind {
    /// Asked for: it holds the answer, or one of its items.
    Target,
    /// Of the target's form, and not asked for.
    Other,
    /// Of the target's form, added to be taken for it.
    Distractor,
    /// An earlier value of what is asked for.
    Stale,
    /// A step of a chain, in its order, from 1.
    Hop(usize),
    /// Where the answer stands, when that is elsewhere than the needle.
    AnswerSource,
}

impl SpanKind {
    /// Whether the question cannot be answered without it.
    #[must_use]
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Target | Self::Hop(_) | Self::AnswerSource)
    }

    /// Whether a text without the needle has to be without it: it tells of what is asked for.
    #[must_use]
    pub fn tells(self) -> bool {
        self.is_needed() || self == Self::Stale
    }
}

impl fmt::Display for SpanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.pad("target"),
            Self::Other => f.pad("other"),
            Self::Distractor => f.pad("distractor"),
            Self::Stale => f.pad("stale"),
            Self::Hop(step) => f.pad(&format!("hop-{step}")),
            Self::AnswerSource => f.pad("answer-source"),
        }
    }
}

impl FromStr for SpanKind {
    type Err = Error;

    /// Reads what [`SpanKind`] shows itself as.
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = [Self::Target, Self::Other, Self::Distractor, Self::Stale, Self::AnswerSource];
        let step = || text.strip_prefix("hop-")?.parse().ok().filter(|&step| step > 0).map(Self::Hop);
        plain.into_iter().find(|kind| kind.to_string() == text).or_else(step).ok_or_else(|| {
            let expected = "one of target, other, distractor, stale, answer-source, hop-1, hop-2, ...";
            Error::invalid("kind", format!("{text:?}"), expected)
        })
    }
}

impl TryFrom<String> for SpanKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SpanKind> for String {
    fn from(kind: SpanKind) -> Self {
        kind.to_string()
    }
}

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it is to the question.
    pub kind: SpanKind,
    /// Its tokens in the prompt.
    pub tokens: Range<usize>,
    /// The tokens of its value.
    pub value: Range<usize>,
    /// Its text.
    pub text: String,
    /// Whether it is not in the prompt: then its tokens are those that stand in its place.
    pub absent: bool,
    /// Its bytes in the prompt's text; none, at its place, when it is not there.
    pub bytes: Range<usize>,
    /// The bytes of its value in [`Self::text`].
    pub value_bytes: Range<usize>,
}

/// Which kinds are needles among these spans: the targets, or the steps of the chain where all of it is asked
/// for.
pub fn needle_kinds(spans: &[Span]) -> impl Fn(SpanKind) -> bool + use<> {
    let targets = spans.iter().any(|span| span.kind == SpanKind::Target);
    move |kind| match targets {
        true => kind == SpanKind::Target,
        false => matches!(kind, SpanKind::Hop(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_as_they_show() {
        let kinds = [
            (SpanKind::Target, "target"),
            (SpanKind::Other, "other"),
            (SpanKind::Distractor, "distractor"),
            (SpanKind::Stale, "stale"),
            (SpanKind::Hop(12), "hop-12"),
            (SpanKind::AnswerSource, "answer-source"),
        ];
        for (kind, text) in kinds {
            assert_eq!((kind.to_string().as_str(), text.parse::<SpanKind>().unwrap()), (text, kind));
        }
        for text in ["hop-0", "hop-", "hop", "Target", ""] {
            assert!(text.parse::<SpanKind>().is_err(), "{text}");
        }
    }
}
