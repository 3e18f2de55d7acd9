//! An answer for a reader: what became of it, and where it says what was expected.

use std::ops::Range;

use crate::score::expected::parted;
use crate::trial::{Finding, Outcome, Status};

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The answer is right.
    Found,
    /// It is wrong, though a head looked at the needle.
    Looked,
    /// It is wrong, and no head looked at the needle.
    Missed,
    /// It is wrong, and of heads nothing can be said.
    Wrong,
    /// There is none, as the trial failed.
    Failed,
    /// The trial was left out.
    Skipped,
    /// Nothing is known of it.
    Unscored,
}

impl Fate {
    /// That of a trial.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match (outcome.status, outcome.outcome) {
            (Status::Error, _) => Self::Failed,
            (Status::Skipped, _) => Self::Skipped,
            (Status::Ok, Some(Finding::Found)) => Self::Found,
            (Status::Ok, Some(Finding::Looked)) => Self::Looked,
            (Status::Ok, Some(Finding::Missed)) => Self::Missed,
            (Status::Ok, Some(Finding::Wrong)) => Self::Wrong,
            (Status::Ok, None) => Self::Unscored,
        }
    }

    /// A sign for it.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Found => "\u{2713}",
            Self::Looked => "\u{25d0}",
            Self::Missed | Self::Wrong => "\u{2717}",
            Self::Failed => "!",
            Self::Skipped | Self::Unscored => "\u{2013}",
        }
    }

    /// The words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Looked => "wrong, though a head looked at the needle",
            Self::Missed => "missed: no head looked at the needle",
            Self::Wrong => "wrong",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unscored => "not scored",
        }
    }
}

/// Where `answer` says what was expected, or the first of it that it says, in any case of ASCII letters.
#[must_use]
pub fn matched(answer: &str, expected: &str) -> Option<Range<usize>> {
    let lower = answer.to_ascii_lowercase();
    let parts = parted(expected);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    { parts }.find_map(|part| lower.find(&part.to_ascii_lowercase()).map(|at| at..at + part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_expected_part_that_is_said_is_matched_in_any_case() {
        assert_eq!(matched("the É SAND hill", "sand|x"), Some(7..11));
        assert_eq!(matched("x and sand", "none| x "), Some(0..1));
        assert_eq!(matched("1 < 2", "3"), None);
        assert_eq!(matched("a", "|"), None);
    }
}
