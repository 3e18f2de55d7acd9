use super::{Scorer, share_found};
use crate::standing::is_contained;

/// `contains`: the value occurs anywhere in the answer, whatever touches it, in upper or lower case. With
/// several expected answers this is RULER's `string_match_all`, which finds no value in another form: here
/// 7,743,219 is 7743219, and the rest that [`crate::standing`] takes for the same.
#[derive(Debug, Clone, Copy)]
pub struct Contains;

impl Scorer for Contains {
    fn name(&self) -> &str {
        "contains"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let lower = response.to_lowercase();
        share_found(expected, |value| lower.contains(&value.to_lowercase()) || is_contained(response, value))
    }
}
