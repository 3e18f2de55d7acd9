use regex::Regex;

use super::{Exact, Scorer};
use crate::error::{Error, Result};

/// What stands before the pattern in the name of the scorer.
pub(super) const PREFIX: &str = "regex:";

/// `regex`: the whole answer is taken, as by `exact`.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

impl Scorer for Whole {
    fn name(&self) -> &str {
        "regex"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        Exact.score(response, expected)
    }
}

/// `regex:PATTERN`: what the pattern finds last in the answer, or its first group where it has one, is what
/// was expected, as by `exact`.
#[derive(Debug, Clone)]
pub struct Pattern {
    name: String,
    pattern: Regex,
}

impl Pattern {
    /// The scorer of this name, `regex:` with a pattern behind it.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the pattern is none.
    pub fn new(name: &str) -> Result<Self> {
        let text = name.strip_prefix(PREFIX).unwrap_or(name);
        if text.is_empty() {
            let expected =
                format!("a regular expression behind {PREFIX}, or regex alone for the whole answer");
            return Err(Error::invalid("scorer", format!("{name:?}"), expected));
        }
        let pattern = Regex::new(text).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
            Error::invalid(
                "scorer",
                format!("{name:?}"),
                format!("a regular expression behind {PREFIX} ({reason})"),
            )
        })?;
        Ok(Self { name: name.to_string(), pattern })
    }
}

impl Scorer for Pattern {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let last = self.pattern.captures_iter(response).last();
        let found = last.and_then(|found| found.get(1).or(found.get(0)));
        found.map_or(0.0, |found| Exact.score(found.as_str(), expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_last_is_compared_whole() {
        let score =
            |name: &str, response: &str| Pattern::new(name).unwrap().score(response, &["42".to_string()]);
        assert_eq!(score(r"regex:\d+", "7, then 42."), 1.0);
        assert_eq!(score(r"regex:\d+", "42, then 7."), 0.0);
        assert_eq!(score(r"regex:answer is (\d+)", "The answer is 42, not 7."), 1.0);
        assert_eq!(score(r"regex:answer is (\d+)", "42"), 0.0);
        let empty = Pattern::new("regex:").unwrap_err().to_string();
        assert!(empty.contains("regex alone"), "an empty pattern finds nothing in any answer: {empty}");
        let message = Pattern::new("regex:(").unwrap_err().to_string();
        assert!(
            message.starts_with("scorer: found \"regex:(\"") && message.contains("unclosed group"),
            "{message}"
        );
    }
}
