//! `abcdigits`: lines such as `A=967892`, of which one comes a single time among many others and is asked for
//! at the end, as in the Multiscreen paper (arXiv 2604.01178). No prose, so what is measured is retrieval
//! alone.
//!
//! Letters have values of six digits. The last line is the target's without its digits. Of the other lines
//! one is the target's, at `int((lines - 2) * depth)` among the rest; the other letters come once each and
//! then as often as weights 1, 2, 4, ... 2^24 say, which are theirs by chance. `--seed S` gives, trial by
//! trial, the texts of the published generator under `random.Random(S)` with as many lines, byte for byte:
//! 123 is its own seed.
//!
//! The paper uses 50 lines and more. All 26 letters need 27 lines; where a length has room for fewer, there
//! are as many letters as lines less one, the first of the alphabet, so that short training contexts can be
//! tested as well.

use super::{Breaks, Item, Listed, Listing, ListingRequest, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::{PythonRandom, Rng};
use crate::span::SpanKind;
use crate::split::Split;

/// Lines of up to `LETTERS` letters with values of `DIGITS` digits.
pub(super) struct AbcDigits<const LETTERS: usize, const DIGITS: u32> {
    name: &'static str,
}

/// As published.
pub(super) const FULL: AbcDigits<26, 6> = AbcDigits { name: "abcdigits" };
/// With fewer keys to tell apart.
pub(super) const FEW_LETTERS: AbcDigits<5, 6> = AbcDigits { name: "abcdigits-5x6" };
/// With fewer keys and shorter values.
pub(super) const EASY: AbcDigits<5, 2> = AbcDigits { name: "abcdigits-5x2" };

impl<const LETTERS: usize, const DIGITS: u32> Task for AbcDigits<LETTERS, DIGITS> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer_budget(&self) -> usize {
        8
    }

    fn draw(&self, _rng: &mut Rng) -> Result<Question, Error> {
        let expected = "a task with needles to hide in text: abcdigits has lines of its own, and niah train \
                        makes such with `mix` key-values";
        Err(Error::invalid("task", self.name, expected))
    }

    fn listing(&self) -> Option<Listing> {
        let write = write::<LETTERS, DIGITS>;
        Some(Listing::new("lines", 4, write))
    }
}

/// One text of the generator.
struct Text {
    /// The letter of each line but the last, counted from A.
    letters: Vec<usize>,
    /// The value of each letter.
    values: Vec<u32>,
    /// The line with the target.
    target: usize,
}

/// The text that `random` draws next, of `lines` lines with the last and of `most` letters, with values from
/// `smallest` to ten times as much.
fn draw(
    random: &mut PythonRandom,
    lines: usize,
    depth: f64,
    (most, smallest): (usize, u32),
    split: Split,
) -> Text {
    let letters = most.min(lines.saturating_sub(1)).max(1);
    let holds = |offset: u32| split.holds(&(smallest + offset).to_string());
    let values = random.sample(9 * smallest, letters, holds);
    // The letter of weight 0 is the target.
    let mut weights: Vec<u32> = (0..letters).map(|i| if i == 0 { 0 } else { 1 << (i - 1) }).collect();
    random.shuffle(&mut weights);
    let mut rest: Vec<usize> = (0..letters).filter(|&letter| weights[letter] > 0).collect();
    rest.extend(random.choices(&weights, lines.saturating_sub(letters + 1)));
    random.shuffle(&mut rest);
    let target = (rest.len() as f64 * depth) as usize;
    let letter = weights.iter().position(|&weight| weight == 0).unwrap_or(0);
    rest.insert(target.min(rest.len()), letter);
    Text { letters: rest, values: values.iter().map(|offset| smallest + offset).collect(), target }
}

/// The text of a trial. Those of the trials before it are drawn and passed over: the generator makes one
/// after the other. The last line is the completion, so that its lines are one more than its items.
fn write<const LETTERS: usize, const DIGITS: u32>(request: &ListingRequest) -> Result<Listed, Error> {
    let ListingRequest { items, trial, split } = *request;
    let depth = trial.cell.depth.fraction();
    let mut random = PythonRandom::new(trial.seed);
    let mut next = || draw(&mut random, items + 1, depth, (LETTERS, 10u32.pow(DIGITS - 1)), split);
    for _ in 0..trial.index {
        next();
    }
    let text = next();
    let name = |letter: usize| char::from(b'A' + letter as u8);
    let line = |&letter: &usize| Item::plain(format!("{}={}", name(letter), text.values[letter]));
    let mut items: Vec<Item> = text.letters.iter().map(line).collect();
    let letter = text.letters[text.target];
    let (completion, value) = (format!("{}=", name(letter)), text.values[letter].to_string());
    items[text.target] =
        Item::needle(&Needle::new(format!("{completion}{value}"), &value)?, SpanKind::Target);
    Ok(Listed {
        items,
        between: "\n",
        question: Question {
            question: completion.clone(),
            completion_asks: true,
            completion,
            completion_in_chat: true,
            breaks: Breaks { question: "\n", answer: "", ..Breaks::default() },
            expected: vec![value],
            ..Question::default()
        },
        ..Listed::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::grid::{Cell, ContextLength, Depth};
    use crate::hash::sha256_hex;
    use crate::trial::Trial;

    /// A text of so many lines, the completion counted.
    fn request(lines: usize, percent: f64, seed: u64, index: usize, split: Split) -> ListingRequest {
        let depth = Depth::from_percent(percent).unwrap();
        let cell = Cell { context_length: ContextLength(1000), depth };
        ListingRequest { items: lines - 1, trial: Trial { cell, index, seed }, split }
    }

    /// The number of the line that is asked for.
    fn target(listed: &Listed) -> usize {
        listed.items.iter().position(|item| item.mark.is_some()).unwrap()
    }

    /// The other lines.
    fn others(listed: &Listed) -> Vec<&str> {
        listed.items.iter().filter(|item| item.mark.is_none()).map(|item| item.text.as_str()).collect()
    }

    /// `fixtures/abcdigits.json`, made by `fixtures/make_abcdigits.py`.
    #[test]
    fn texts_are_those_of_the_published_generator() {
        let golden: Value = serde_json::from_str(include_str!("../../fixtures/abcdigits.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let number = |key: &str| case[key].as_u64().unwrap();
            let smallest = 10u32.pow(number("n_digits") as u32 - 1);
            let mut random = PythonRandom::new(number("seed"));
            let trial = |_| {
                let depth = case["depth"].as_f64().unwrap();
                let text = draw(&mut random, number("n_lines") as usize, depth, (26, smallest), Split::All);
                let line =
                    |&letter: &usize| format!("{}={}", char::from(b'A' + letter as u8), text.values[letter]);
                let lines = text.letters.iter().chain([&text.letters[text.target]]).map(line);
                lines.collect::<Vec<_>>().join("\n")
            };
            let trials: Vec<String> = (0..number("n_trials")).map(trial).collect();
            assert_eq!(
                case["sha256_of_trials_joined_by_blank_line"],
                sha256_hex(trials.join("\n\n")),
                "{case}"
            );
        }
    }

    #[test]
    fn a_trial_is_the_one_of_its_number_and_short_texts_have_fewer_letters() {
        let request = |lines, index, percent| request(lines, percent, 123, index, Split::All);
        let first = write::<26, 6>(&request(64, 0, 50.0)).unwrap();
        let beginning: Vec<&str> = first.items[..5].iter().map(|item| item.text.as_str()).collect();
        assert_eq!(beginning, ["V=835775", "V=835775", "W=357072", "H=979234", "Z=557468"]);
        assert_eq!((first.items.len(), target(&first)), (63, 31));
        assert_eq!(first.question.completion, "U=");
        assert_eq!(first.question.expected, ["450010"]);
        assert_ne!(write::<26, 6>(&request(64, 1, 50.0)).unwrap(), first);
        for lines in 5..60 {
            for percent in [0.0, 40.0, 100.0] {
                let listed = write::<26, 6>(&request(lines, 2, percent)).unwrap();
                let others = others(&listed);
                assert_eq!(others.len(), lines - 2);
                let target = listed.question.completion.as_str();
                assert!(!others.iter().any(|line| line.contains(target)), "the target comes once");
                let letters: std::collections::BTreeSet<_> = others.iter().map(|line| &line[..1]).collect();
                assert_eq!(letters.len(), (lines - 2).min(25));
            }
        }
    }

    #[test]
    fn easier_texts_have_the_letters_and_digits_that_their_name_says() {
        for (task, letters, digits) in
            [(Box::new(FEW_LETTERS) as Box<dyn Task>, 5, 6), (Box::new(EASY), 5, 2)]
        {
            assert_eq!(task.name(), format!("abcdigits-{letters}x{digits}"));
            let request = request(40, 50.0, 1, 3, Split::HeldOut);
            let listed = (task.listing().unwrap().write)(&request).unwrap();
            let others = others(&listed);
            let different: std::collections::BTreeSet<_> = others.iter().collect();
            assert_eq!((others.len(), different.len()), (38, letters - 1));
            assert!(different.iter().all(|line| line.len() == 2 + digits), "{different:?}");
            assert_eq!(listed.question.expected[0].len(), digits);
        }
    }

    #[test]
    fn values_are_of_the_part_that_is_asked_for() {
        for split in [Split::Training, Split::HeldOut] {
            let text = draw(&mut PythonRandom::new(5), 200, 0.3, (26, 100_000), split);
            assert!(text.values.iter().all(|value| split.holds(&value.to_string())));
        }
    }
}
