use super::{Scorer, items};

/// `exact`: the answer is what was expected, outer white space apart. With several expected answers it says
/// all of them in their order and nothing else, with commas or line breaks between them.
#[derive(Debug, Clone, Copy)]
pub struct Exact;

impl Scorer for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let expected: Vec<&str> = expected.iter().map(|value| value.trim()).collect();
        let equal = match expected[..] {
            [] => false,
            [one] => !one.is_empty() && response.trim() == one,
            _ => items(response).eq(expected),
        };
        f64::from(u8::from(equal))
    }
}
