use super::{Contains, Scorer};

/// `any`: one of the expected answers occurs in the answer, as `contains` finds it: RULER's
/// `string_match_part`, for questions whose answer can be said in several ways.
#[derive(Debug, Clone, Copy)]
pub struct Any;

impl Scorer for Any {
    fn name(&self) -> &str {
        "any"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let of_one = |value: &String| Contains.score(response, std::slice::from_ref(value));
        expected.iter().map(of_one).fold(0.0, f64::max)
    }
}
