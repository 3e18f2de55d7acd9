use super::{Scorer, mean_over};
use crate::standing::stands_free;

/// `digits`: the share of an expected number's digits that stand in their place in a number of the answer,
/// the one that fits best; digits too many count as wrong. What holds no digit is found or not, as by
/// `match`.
#[derive(Debug, Clone, Copy)]
pub struct Digits;

impl Scorer for Digits {
    fn name(&self) -> &str {
        "digits"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        mean_over(expected, |value| {
            if stands_free(response, value) {
                return 1.0;
            }
            let wanted = digits(value);
            if wanted.is_empty() {
                return 0.0;
            }
            let numbers = response.split(|c: char| !(c.is_ascii_digit() || c == ',' || c == '-'));
            numbers.map(|number| share_in_place(&digits(number), &wanted)).fold(0.0, f64::max)
        })
    }
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).collect()
}

fn share_in_place(given: &[u8], wanted: &[u8]) -> f64 {
    let right = given.iter().zip(wanted).filter(|(given, wanted)| given == wanted).count();
    right as f64 / given.len().max(wanted.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_in_their_place_and_those_too_many_against_it() {
        let score = |response: &str| Digits.score(response, &["1234".to_string()]);
        for (response, share) in [
            ("It is 1234.", 1.0),
            ("1,234", 1.0),
            ("1235", 0.75),
            ("2341", 0.0),
            ("12345", 0.8),
            ("12", 0.5),
            ("99 or 1294", 0.75),
            ("none", 0.0),
        ] {
            assert_eq!(score(response), share, "{response}");
        }
        assert_eq!(Digits.score("It is 1a2b-3.", &["1a2b-3".to_string()]), 1.0, "digits between letters");
        assert_eq!(Digits.score("a Café", &["café".to_string(), "x".to_string()]), 0.5);
    }
}
