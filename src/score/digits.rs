use super::{Scorer, mean_over};
use crate::standing::{plain_numbers, stands_free};

/// `digits`: the share of an expected number's digits that stand in their place in a number of the answer,
/// the one that fits best; digits too many count as wrong, and so does another sign. Digits before a decimal
/// point have their places from the first one on, and those behind it theirs. Numbers may be written in
/// groups of three; a comma between other digits is that of a list, and a hyphen belongs to the number only
/// where one is expected. What holds no digit is found or not, as by `match`.
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
            let value = plain_numbers(value, true);
            let wanted = Number::of(&value);
            if wanted.is_empty() {
                return 0.0;
            }
            let numbers = apart(&plain_numbers(response, false), hyphenated(&value));
            numbers.split(' ').map(|number| Number::of(number).share_of(&wanted)).fold(0.0, f64::max)
        })
    }
}

/// Whether a hyphen stands between digits.
fn hyphenated(value: &str) -> bool {
    value.as_bytes().windows(3).any(|part| matches!(part, [b'0'..=b'9', b'-', b'0'..=b'9']))
}

/// The numbers of a text with spaces between them: digits, points and signs, and hyphens where they belong to
/// numbers.
fn apart(text: &str, hyphens: bool) -> String {
    let mut behind_digit = false;
    let kept = text.chars().map(|c| {
        let c = if matches!(c, '\u{2212}' | '\u{FE63}' | '\u{FF0D}') { '-' } else { c };
        let kept = c.is_ascii_digit() || c == '.' || c == '-' && (hyphens || !behind_digit);
        behind_digit = c.is_ascii_digit();
        if kept { c } else { ' ' }
    });
    kept.collect()
}

/// The digits of a number, whatever else stands between them.
struct Number {
    negative: bool,
    whole: Vec<u8>,
    decimals: Vec<u8>,
}

impl Number {
    /// A point behind the last digit ends a sentence.
    fn of(text: &str) -> Self {
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect();
        let text = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let signed = whole.find(|c: char| c.is_ascii_digit()).is_some_and(|at| whole[..at].ends_with('-'));
        Self { negative: signed, whole: digits(whole), decimals: digits(decimals) }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.decimals.is_empty()
    }

    fn share_of(&self, wanted: &Self) -> f64 {
        let parts = [(&self.whole, &wanted.whole), (&self.decimals, &wanted.decimals)];
        let same = |(given, wanted): (&u8, &u8)| usize::from(given == wanted);
        let right: usize =
            parts.iter().map(|(given, wanted)| given.iter().zip(*wanted).map(same).sum::<usize>()).sum();
        let places: usize = parts.iter().map(|(given, wanted)| given.len().max(wanted.len())).sum();
        right as f64 / (places + usize::from(self.negative != wanted.negative)) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sign_or_another_place_of_the_point_is_wrong() {
        let score = |value: &str, response: &str| Digits.score(response, &[value.to_string()]);
        for (value, response, share) in [
            ("3.14", "3.14", 1.0),
            ("3.14", "It is 3.15.", 2.0 / 3.0),
            ("3.14", "314", 1.0 / 5.0),
            ("314", "3.14", 1.0 / 5.0),
            ("5", "-5", 0.5),
            ("-5", "5", 0.5),
            ("-5", "It is -5.", 1.0),
            (".5", "0.5", 0.5),
            ("555-1234", "555-1235", 6.0 / 7.0),
            ("1,234", "1234", 1.0),
            ("1234567", "-1234567", 7.0 / 8.0),
            ("1234567", "\u{2212}1234567", 7.0 / 8.0),
        ] {
            assert_eq!(score(value, response), share, "{response} for {value}");
        }
    }

    #[test]
    fn numbers_of_a_list_or_a_date_were_read_as_one() {
        let score = |value: &str, response: &str| Digits.score(response, &[value.to_string()]);
        for (value, response, share) in [
            ("1234", "12,34", 0.5),
            ("1234567", "12,34,567", 2.0 / 7.0),
            ("1234567", "1-234-567", 1.0 / 7.0),
            ("20240115", "2024-01-15", 0.5),
            ("1234567", "1,234,568", 6.0 / 7.0),
            ("1234567", "It is 1 234 567.", 1.0),
        ] {
            assert_eq!(score(value, response), share, "{response} for {value}");
        }
    }

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
