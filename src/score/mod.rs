//! Scores: from what a model wrote to a number between 0 and 1. One file a scorer, one line in [`SCORERS`].
//!
//! A trial counts as *correct* from a score on that the scorer states ([`Scorer::is_correct`]); of most that
//! is 1, so that with several expected answers all of them must be there. The score itself keeps what is
//! right in part. What is the same to every scorer may be widened ([`NORMALISATIONS`]), and the threshold
//! set: see [`scoring()`].

mod any;
mod changed;
mod contains;
mod digits;
mod distance;
mod edit;
mod exact;
pub mod expected;
mod finding;
mod last_line;
mod matching;
mod normalise;
mod pattern;
mod rouge;
mod scoring;
mod sequence;
mod set_f1;
mod stemming;

pub use any::Any;
pub use changed::ChangedWord;
pub use contains::Contains;
pub use digits::Digits;
pub use edit::Edit;
pub use exact::Exact;
pub use finding::{Excess, classify, finding, is_by_mass};
pub use last_line::LastLine;
pub use matching::Match;
pub use normalise::{NORMALISATIONS, Normalise};
pub use pattern::{Pattern, Whole};
pub use rouge::Rouge1;
pub use scoring::scoring;
pub use sequence::SequenceRatio;
pub use set_f1::{SetF1, SetF1Any};
pub use stemming::stem;

use crate::error::Result;
use crate::registry::{self, Entry};

/// A rule that compares an answer with what was expected.
pub trait Scorer: Send + Sync {
    /// Its name, as in `--scorer`.
    fn name(&self) -> &str;

    /// The score of `response`, 0 to 1. With several expected answers it is the share of them that is found,
    /// where the scorer says nothing else; with none it is 0.
    fn score(&self, response: &str, expected: &[String]) -> f64;

    /// Whether a score counts as correct: `score >= 1`, so that part of an answer is not an answer, where the
    /// scorer says nothing else.
    fn is_correct(&self, score: f64) -> bool {
        score >= 1.0
    }

    /// The scores that are correct, in words.
    fn threshold(&self) -> &str {
        "1"
    }
}

impl Scorer for &dyn Scorer {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        (**self).score(response, expected)
    }

    fn is_correct(&self, score: f64) -> bool {
        (**self).is_correct(score)
    }

    fn threshold(&self) -> &str {
        (**self).threshold()
    }
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
    Entry { name: "exact", about: "The answer is the value and nothing else", value: &Exact },
    Entry {
        name: "any",
        about: "One of the values occurs in the answer (RULER's string_match_part)",
        value: &Any,
    },
    Entry {
        name: "digits",
        about: "The share of the number's digits that stand in their place",
        value: &Digits,
    },
    Entry {
        name: "rouge1",
        about: "The share of the expected words that the answer says, stemmed; correct above 0.5",
        value: &Rouge1,
    },
    Entry { name: "set-f1", about: "F1 of the list in brackets in the last line, as a set", value: &SetF1 },
    Entry {
        name: "set-f1-any",
        about: "The same of a list anywhere, in brackets or with commas",
        value: &SetF1Any,
    },
    Entry {
        name: "edit",
        about: "1 less the edit distance over the length of the longer text",
        value: &Edit,
    },
    Entry {
        name: "sequence-ratio",
        about: "The ratio of Python's SequenceMatcher; correct from 0.9 on",
        value: &SequenceRatio,
    },
    Entry {
        name: "last-line",
        about: "The value stands in the last line of the answer, as by match",
        value: &LastLine,
    },
    Entry {
        name: "regex",
        about: "regex:PATTERN: what the pattern finds last, or its first group, is the value",
        value: &Whole,
    },
];

/// The scorer of this name: one of [`SCORERS`], or `regex:` with a pattern behind it.
///
/// # Errors
/// [`crate::error::Error::UnknownChoice`] for a name that is in no table, and when the pattern is none.
pub fn named(name: &str) -> Result<Box<dyn Scorer>> {
    match name.starts_with(pattern::PREFIX) {
        true => Ok(Box::new(Pattern::new(name)?)),
        false => Ok(Box::new(registry::find("scorer", SCORERS, name)?.value)),
    }
}

/// The share of `expected` for which `found` holds; 0 when nothing was expected. An empty value is never
/// found.
fn share_found(expected: &[String], found: impl Fn(&str) -> bool) -> f64 {
    let hits =
        expected.iter().map(|value| value.trim()).filter(|value| !value.is_empty() && found(value)).count();
    if expected.is_empty() { 0.0 } else { hits as f64 / expected.len() as f64 }
}

/// The answer with a space behind each comma of numbers that stand in a row without one, where they are as
/// many as were expected: 12,34 is a decimal number, and two of a list where two are asked for.
fn listed(response: &str, expected: &[String]) -> Option<String> {
    let is_of_row = |c: char| c.is_ascii_digit() || c == ',';
    let is_list = |row: &str| {
        let mut items = row.split(',');
        items.clone().count() == expected.len() && items.all(|item| !item.is_empty())
    };
    if expected.len() < 2 {
        return None;
    }
    let (mut text, mut rest, mut found) = (String::new(), response, false);
    while let Some(start) = rest.find(is_of_row) {
        let row = &rest[start..];
        let row = &row[..row.find(|c| !is_of_row(c)).unwrap_or(row.len())];
        // A comma behind the last one goes on with the sentence.
        let numbers = row.trim_end_matches(',');
        text.push_str(&rest[..start]);
        match is_list(numbers) {
            true => text.push_str(&numbers.replace(',', ", ")),
            false => text.push_str(numbers),
        }
        found |= is_list(numbers);
        text.push_str(&row[numbers.len()..]);
        rest = &rest[start + row.len()..];
    }
    found.then(|| text + rest)
}

/// The mean of `score` over all that was expected; 0 when nothing was. An empty value scores 0.
fn mean_over(expected: &[String], score: impl Fn(&str) -> f64) -> f64 {
    let of = |value: &String| if value.trim().is_empty() { 0.0 } else { score(value.trim()) };
    if expected.is_empty() { 0.0 } else { expected.iter().map(of).sum::<f64>() / expected.len() as f64 }
}

/// The items of an answer, between commas and line breaks.
fn items(response: &str) -> impl Iterator<Item = &str> {
    response.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty())
}

/// All that was expected as one text.
fn joined(expected: &[String]) -> String {
    expected.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scorers that look for values in an answer, whatever else it says.
    const FINDING: [&str; 2] = ["match", "contains"];

    fn score(name: &str, response: &str, expected: &[&str]) -> f64 {
        let expected: Vec<String> = expected.iter().map(|text| (*text).to_string()).collect();
        crate::registry::find("scorer", SCORERS, name).unwrap().value.score(response, &expected)
    }

    #[test]
    fn every_scorer_is_listed_under_its_own_name() {
        for entry in SCORERS {
            assert_eq!(entry.name, entry.value.name());
            assert_eq!(named(entry.name).unwrap().name(), entry.name);
        }
        assert_eq!(named("regex:[0-9]+").unwrap().name(), "regex:[0-9]+");
        assert!(named("regexp").is_err() && named("regex:(").is_err());
    }

    #[test]
    fn every_scorer_gives_one_for_what_was_expected_and_nothing_for_an_empty_answer() {
        for entry in SCORERS {
            for expected in [&["1234567"][..], &["Café noir"], &["a", "b", "c"], &["x, y"]] {
                let said = match entry.name {
                    "set-f1" => format!("[{}]", expected.join(", ")),
                    _ => expected.join(if entry.name == "sequence-ratio" { " " } else { ", " }),
                };
                // An item with a comma in it is two of a list.
                if expected[0] == "x, y" && entry.name.starts_with("set-f1") {
                    continue;
                }
                assert_eq!(score(entry.name, &said, expected), 1.0, "{}: {said}", entry.name);
                assert_eq!(score(entry.name, "", expected), 0.0, "{}", entry.name);
                let other = score(entry.name, "something else", expected);
                assert!((0.0..1.0).contains(&other), "{}", entry.name);
                assert!(entry.value.is_correct(1.0) && !entry.value.is_correct(0.0), "{}", entry.name);
            }
        }
    }

    #[test]
    fn a_scorer_that_looks_for_values_finds_the_plain_answer_and_nothing_in_an_empty_one() {
        for name in FINDING {
            assert_eq!(score(name, "The number is 1234567.", &["1234567"]), 1.0, "{}", name);
            assert_eq!(score(name, "", &["1234567"]), 0.0, "{}", name);
            assert_eq!(score(name, "1234567", &[]), 0.0, "{}", name);
            assert_eq!(score(name, "anything", &[""]), 0.0, "{}", name);
        }
    }

    #[test]
    fn several_answers_score_the_share_found_and_only_all_of_them_are_correct() {
        for name in FINDING {
            let part =
                score(name, "1111111, 2222222 and 3333333", &["1111111", "2222222", "9999999", "8888888"]);
            assert_eq!(part, 0.5, "{}", name);
            assert!(!Match.is_correct(part));
            assert!(Match.is_correct(score(name, "2222222, 1111111", &["1111111", "2222222"])));
        }
    }

    #[test]
    fn a_list_of_two_numbers_without_spaces_was_taken_for_a_decimal_number() {
        for (response, expected, share) in [
            ("[1,5]", &["1", "5"][..], 1.0),
            ("It is 12,34, I think.", &["12", "34"], 1.0),
            ("465,427", &["465", "427"], 1.0),
            ("465,428", &["465", "427"], 0.5),
            ("[4,6,8]", &["4", "6", "8"], 1.0),
            ("1,234,567, 8", &["1234567", "8"], 1.0),
            ("12,34", &["12"], 0.0),
            ("12,34", &["12", "34", "56"], 0.0),
            (",12,34", &["12", "34"], 0.0),
        ] {
            assert_eq!(score("match", response, expected), share, "{response} for {expected:?}");
            assert_eq!(score("last-line", response, expected), share, "{response} for {expected:?}");
        }
        assert_eq!(score("digits", "12,34", &["12", "34"]), 1.0);
    }

    #[test]
    fn regression_a_number_within_one_per_cent_is_not_accepted() {
        for name in FINDING {
            assert_eq!(score(name, "The number is 1234568.", &["1234567"]), 0.0, "{}", name);
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
        for name in FINDING {
            for (response, value) in [
                ("The number is 7,743,219.", "7743219"),
                ("Das Passwort ist Cafe\u{301}.", "Café"),
                ("Das Passwort ist Café.", "Cafe\u{301}"),
                ("It is Dolores\nPark.", "Dolores Park"),
                ("It’s fine, it’s fine.", "it's fine"),
            ] {
                assert_eq!(score(name, response, &[value]), 1.0, "{}: {response}", name);
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
