use super::{Match, Scorer};

/// `last-line`: `match` in the answer's last line that is not blank, for answers that think aloud first.
#[derive(Debug, Clone, Copy)]
pub struct LastLine;

impl Scorer for LastLine {
    fn name(&self) -> &str {
        "last-line"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        Match.score(response.trim_end().lines().next_back().unwrap_or_default(), expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_last_line_does_not_count() {
        let score = |response: &str| LastLine.score(response, &["42".to_string()]);
        assert_eq!(
            (score("It may be 7.\nIt is 42.\n \n"), score("It is 42.\nOr 7."), score("")),
            (1.0, 0.0, 0.0)
        );
    }
}
