//! Scores: from what a model wrote to a number between 0 and 1. One file a scorer, one line in [`SCORERS`].
//!
//! A trial counts as *correct* when its score is 1 ([`is_correct`]): with several expected answers all of
//! them must be there.

mod contains;
mod finding;
mod matching;

pub use contains::Contains;
pub use finding::classify;
pub use matching::Match;

use crate::registry::Entry;

/// A rule that compares an answer with what was expected.
pub trait Scorer: Send + Sync {
    /// Its name, as in `--scorer`.
    fn name(&self) -> &'static str;

    /// The score of `response`, 0 to 1. With several expected answers it is the share of them that is found;
    /// with none it is 0.
    fn score(&self, response: &str, expected: &[String]) -> f64;
}

/// Every scorer; the first is the default.
pub const SCORERS: &[Entry<&dyn Scorer>] = &[
    Entry {
        name: "match",
        about: "The value stands in the answer as a word or number of its own (12345 is not in 9123456)",
        value: &Match,
    },
    Entry {
        name: "contains",
        about: "The value occurs anywhere in the answer, in any case (RULER's string_match_all)",
        value: &Contains,
    },
];

/// Whether a score counts as correct: `score >= 1`, so that part of an answer is not an answer.
#[must_use]
pub fn is_correct(score: f64) -> bool {
    score >= 1.0
}

/// The share of `expected` for which `found` holds; 0 when nothing was expected. An empty value is never
/// found.
fn share_found(expected: &[String], found: impl Fn(&str) -> bool) -> f64 {
    let hits =
        expected.iter().map(|value| value.trim()).filter(|value| !value.is_empty() && found(value)).count();
    if expected.is_empty() { 0.0 } else { hits as f64 / expected.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, response: &str, expected: &[&str]) -> f64 {
        let expected: Vec<String> = expected.iter().map(|text| (*text).to_string()).collect();
        crate::registry::find("scorer", SCORERS, name).unwrap().value.score(response, &expected)
    }

    #[test]
    fn every_scorer_is_listed_under_its_own_name() {
        for entry in SCORERS {
            assert_eq!(entry.name, entry.value.name());
        }
    }

    #[test]
    fn every_scorer_finds_the_plain_answer_and_nothing_in_an_empty_one() {
        for entry in SCORERS {
            assert_eq!(score(entry.name, "The number is 1234567.", &["1234567"]), 1.0, "{}", entry.name);
            assert_eq!(score(entry.name, "", &["1234567"]), 0.0, "{}", entry.name);
            assert_eq!(score(entry.name, "1234567", &[]), 0.0, "{}", entry.name);
            assert_eq!(score(entry.name, "anything", &[""]), 0.0, "{}", entry.name);
        }
    }

    #[test]
    fn several_answers_score_the_share_found_and_only_all_of_them_are_correct() {
        for entry in SCORERS {
            let part = score(
                entry.name,
                "1111111, 2222222 and 3333333",
                &["1111111", "2222222", "9999999", "8888888"],
            );
            assert_eq!(part, 0.5, "{}", entry.name);
            assert!(!is_correct(part));
            assert!(is_correct(score(entry.name, "2222222, 1111111", &["1111111", "2222222"])));
        }
    }

    #[test]
    fn regression_a_number_within_one_per_cent_is_not_accepted() {
        for entry in SCORERS {
            assert_eq!(score(entry.name, "The number is 1234568.", &["1234567"]), 0.0, "{}", entry.name);
        }
    }

    #[test]
    fn regression_a_number_inside_a_longer_one_is_not_a_match() {
        for response in ["9123456", "12345th", "x12345", "123456", "12345é", "１12345", "12345²"] {
            assert_eq!(score("match", response, &["12345"]), 0.0, "{response}");
        }
    }

    #[test]
    fn a_match_may_touch_punctuation_and_stand_anywhere() {
        for response in
            ["12345", "**12345**.", "It is:12345", "(12345)", "912345 or 12345", "12345\n", "_12345_"]
        {
            assert_eq!(score("match", response, &["12345"]), 1.0, "{response}");
        }
        assert_eq!(score("match", "11 1 1", &["1 1"]), 1.0, "an occurrence that overlaps a touched one");
        assert_eq!(score("match", "Äpfel und Öl", &["öl"]), 1.0);
        assert_eq!(score("match", "EAT A SANDWICH", &["eat a sandwich"]), 1.0);
    }

    #[test]
    fn regression_the_same_answer_in_another_form_is_not_wrong() {
        for entry in SCORERS {
            for (response, value) in [
                ("The number is 7,743,219.", "7743219"),
                ("Das Passwort ist Cafe\u{301}.", "Café"),
                ("Das Passwort ist Café.", "Cafe\u{301}"),
                ("It is Dolores\nPark.", "Dolores Park"),
                ("It’s fine, it’s fine.", "it's fine"),
            ] {
                assert_eq!(score(entry.name, response, &[value]), 1.0, "{}: {response}", entry.name);
            }
        }
    }

    #[test]
    fn regression_scripts_without_spaces_touch_no_number() {
        for response in
            ["秘密数字是7743219。", "番号は7743219です。", "비밀 번호는 7743219입니다.", "คือ7743219ครับ"]
        {
            assert_eq!(score("match", response, &["7743219"]), 1.0, "{response}");
        }
    }

    #[test]
    fn numbers_with_a_sign_or_a_fraction_are_matched_exactly() {
        for (response, value) in [
            ("-5", "5"),
            ("5", "-5"),
            ("3.141", "3.14"),
            ("3", "3.14"),
            ("3.14", "3"),
            ("7743219.5", "7743219"),
            ("17,743,219", "7743219"),
            ("7,743,219", "219"),
        ] {
            assert_eq!(score("match", response, &[value]), 0.0, "{value} in {response}");
        }
        assert_eq!(score("match", "It is -5, not 3.14.", &["-5", "3.14"]), 1.0);
    }

    #[test]
    fn contains_takes_a_value_inside_a_longer_word() {
        assert_eq!(score("contains", "The ID is xAB12y", &["ab12"]), 1.0);
    }
}
