use super::{Scorer, share_found};

/// `contains`: the value occurs anywhere in the answer, whatever touches it, in upper or lower case. With several
/// expected answers this is RULER's `string_match_all`.
#[derive(Debug, Clone, Copy)]
pub struct Contains;

impl Scorer for Contains {
    fn name(&self) -> &'static str {
        "contains"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let response = response.to_lowercase();
        share_found(expected, |value| response.contains(&value.to_lowercase()))
    }
}
