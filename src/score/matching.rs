use super::{Scorer, listed, share_found};
use crate::standing::stands_free;

/// `match`, the default: the value stands free in the answer, so that `12345` is found in `It is 12,345.` and
/// `是12345。` but not in `9123456`, `12345th` or `12345.5`. What touches a value, and which forms of it are
/// the same, is said in [`crate::standing`]. With several expected answers, numbers with commas alone between
/// them that are as many as expected are those of a list.
#[derive(Debug, Clone, Copy)]
pub struct Match;

impl Scorer for Match {
    fn name(&self) -> &str {
        "match"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let listed = listed(response, expected);
        let texts = [Some(response), listed.as_deref()];
        share_found(expected, |value| texts.iter().flatten().any(|text| stands_free(text, value)))
    }
}
