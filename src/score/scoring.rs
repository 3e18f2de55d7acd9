use super::{Normalise, Scorer, named};
use crate::error::Result;
use crate::standing::plain_numbers;

/// The scorer of this name, on texts that are normalised so, whose scores count as correct from
/// `correct_from` on in place of its own threshold.
///
/// # Errors
/// Those of [`named`].
pub fn scoring(name: &str, normalise: Normalise, correct_from: Option<f64>) -> Result<Box<dyn Scorer>> {
    let scorer = named(name)?;
    let scorer = match normalise {
        Normalise::Nothing => scorer,
        Normalise::Numbers => Box::new(OfNumbers { scorer }),
    };
    Ok(match correct_from {
        None => scorer,
        Some(from) => Box::new(From { words: format!("at least {from}"), scorer, from }),
    })
}

/// A scorer with a threshold of the user's own.
struct From {
    scorer: Box<dyn Scorer>,
    from: f64,
    words: String,
}

impl Scorer for From {
    fn name(&self) -> &str {
        self.scorer.name()
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        self.scorer.score(response, expected)
    }

    fn is_correct(&self, score: f64) -> bool {
        score >= self.from
    }

    fn threshold(&self) -> &str {
        &self.words
    }
}

/// A scorer that also reads answer and expected texts with all numbers in plain digits, and takes the better
/// of both scores: normalising makes no answer worse.
struct OfNumbers {
    scorer: Box<dyn Scorer>,
}

impl Scorer for OfNumbers {
    fn name(&self) -> &str {
        self.scorer.name()
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let as_written = self.scorer.score(response, expected);
        let plain: Vec<String> = expected.iter().map(|value| plain_numbers(value, true)).collect();
        let spaces = plain.iter().any(|value| has_long_number(value));
        as_written.max(self.scorer.score(&plain_numbers(response, spaces), &plain))
    }

    fn is_correct(&self, score: f64) -> bool {
        self.scorer.is_correct(score)
    }

    fn threshold(&self) -> &str {
        self.scorer.threshold()
    }
}

/// Whether a text has a number of more than one group of three digits. Only where one is expected may a plain
/// space stand between groups: 123 456 789 may as well be three numbers.
fn has_long_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::score::SCORERS;

    fn numbers(name: &str) -> Box<dyn Scorer> {
        scoring(name, Normalise::Numbers, None).unwrap()
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_string()).collect()
    }

    #[test]
    fn a_number_in_any_form_is_the_number_where_that_is_asked_for_and_not_else() {
        let forms = [
            "1,234,567",
            "1 234 567",
            "1_234_567",
            "1\u{202F}234\u{202F}567",
            "１２３４５６７",
            "1'234'567",
            "١٢٣٤٥٦٧",
        ];
        for form in forms {
            for name in ["exact", "edit", "digits", "rouge1", "sequence-ratio", r"regex:^\D*(\d+)\D*$"] {
                assert_eq!(numbers(name).score(form, &texts(&["1234567"])), 1.0, "{name}: {form}");
                assert_eq!(numbers(name).score("1234567", &texts(&[form])), 1.0, "{name}: {form} expected");
            }
            assert_eq!(named("exact").unwrap().score(form, &texts(&["1234567"])), 0.0, "{form}");
        }
        let listed = "Final Answer: [1,234,567, ７]";
        assert_eq!(numbers("set-f1").score(listed, &texts(&["1234567", "7"])), 1.0);
        assert!(named("set-f1").unwrap().score(listed, &texts(&["1234567", "7"])) < 0.5);
    }

    #[test]
    fn another_number_stays_another_one() {
        for (answer, expected) in [
            ("1,234,568", "1234567"),
            ("12,34,567", "1234567"),
            ("1234,567", "1234567"),
            ("0,123", "123"),
            ("1.234", "1234"),
            ("123 456", "123"),
        ] {
            assert_eq!(numbers("exact").score(answer, &texts(&[expected])), 0.0, "{answer} for {expected}");
        }
        assert_eq!(numbers("set-f1").score("[123, 456]", &texts(&["123", "456"])), 1.0);
    }

    /// Values as tasks expect them, and worse.
    fn drawn(rng: &mut Rng) -> Vec<String> {
        let value = |rng: &mut Rng| match rng.below(6) {
            0 => rng.below(10_000_000).to_string(),
            1 => format!("{},{:03}", 1 + rng.below(999), rng.below(1000)),
            2 => format!("word{} and {}", rng.below(100), rng.below(1000)),
            3 => format!("{:08x}-{:04x}", rng.below(1 << 32), rng.below(1 << 16)),
            4 => format!("Čafé №{} １２", rng.below(10)),
            _ => format!("{}", rng.below(1000)),
        };
        (0..1 + rng.below(4)).map(|_| value(rng)).collect()
    }

    #[test]
    fn every_scorer_stays_between_0_and_1_and_gives_1_for_the_expected_answer_and_0_for_an_empty_one() {
        let names = SCORERS.iter().map(|entry| entry.name).chain(["regex:(?s).*"]);
        for name in names {
            for normalise in [Normalise::Nothing, Normalise::Numbers] {
                let scorer = scoring(name, normalise, None).unwrap();
                let mut rng = Rng::for_purpose(7, &["scorers", name]);
                for _ in 0..300 {
                    let expected = drawn(&mut rng);
                    // An item with a comma in it is two of a list.
                    let listed = !expected.iter().any(|value| value.contains(','));
                    let said = match name {
                        "set-f1" => format!("Final Answer: [{}]", expected.join(", ")),
                        "sequence-ratio" => expected.join(" "),
                        _ => expected.join(", "),
                    };
                    let takes_lists = ["set-f1", "set-f1-any", "exact", "regex", "regex:(?s).*"];
                    if listed
                        || expected.len() == 1 && !name.starts_with("set")
                        || !takes_lists.contains(&name)
                    {
                        assert_eq!(scorer.score(&said, &expected), 1.0, "{name} {normalise:?}: {said}");
                    }
                    for empty in ["", " ", "\n\t"] {
                        assert_eq!(scorer.score(empty, &expected), 0.0, "{name} {normalise:?}: {expected:?}");
                    }
                    let other = drawn(&mut rng).join(" ");
                    let score = scorer.score(&other, &expected);
                    assert!((0.0..=1.0).contains(&score), "{name} {normalise:?}: {score} for {other}");
                    let plain = scoring(name, Normalise::Nothing, None).unwrap().score(&other, &expected);
                    assert!(score >= plain, "{name}: normalising made {other} worse for {expected:?}");
                }
            }
        }
    }

    #[test]
    fn a_threshold_of_ones_own_decides_what_is_correct_and_leaves_the_score() {
        let own = scoring("edit", Normalise::Nothing, Some(0.8)).unwrap();
        assert_eq!((own.name(), own.threshold()), ("edit", "at least 0.8"));
        let score = own.score("abcdefghiX", &texts(&["abcdefghij"]));
        assert_eq!(score, 0.9);
        assert!(own.is_correct(score) && !own.is_correct(0.79));
        let rouge = scoring("rouge1", Normalise::Numbers, None).unwrap();
        assert_eq!(rouge.threshold(), "above 0.5");
        assert!(
            !rouge.is_correct(0.5)
                && scoring("rouge1", Normalise::Numbers, Some(0.5)).unwrap().is_correct(0.5)
        );
    }
}
