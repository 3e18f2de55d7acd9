//! `fwe`: a text of coded words, drawn by a zeta law; which three come most often?

use super::super::values::Values;
use super::super::{Item, Listed, Listing, ListingRequest, Question, Task};
use super::{SCORER, question};
use crate::error::Error;
use crate::span::SpanKind;

/// Letters of a coded word.
const LETTERS: usize = 6;

/// Words that are asked for: the most frequent ones behind the dots.
const ASKED: usize = 3;

/// The zeta function at the law's exponent, 2: pi squared over 6.
const ZETA_2: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;

/// Fewest words of a text: of fewer, the fourth word would come as often as the third.
const FEWEST: usize = 80;

const INSTRUCTION: &str = "Read the following coded text and track the frequency of each coded word. Find the \
                           three most frequently appeared coded words. ";
const QUESTION: &str = "Question: Do not provide any explanation. Please ignore the dots '....'. What are the \
                        three most frequently appeared words in the above coded text?";
const PREFIX: &str =
    " Answer: According to the coded text above, the three most frequently appeared words are:";

pub(in super::super) struct FrequentWords;

impl Task for FrequentWords {
    fn name(&self) -> &'static str {
        "ruler-fwe"
    }

    fn default_scorer(&self) -> &'static str {
        SCORER
    }

    fn answer_budget(&self) -> usize {
        50
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("words", FEWEST, write))
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("the words that are asked for stand everywhere")
    }
}

/// How often the word of each rank, from 1, comes in a text of `words`: `words * rank^-2 / zeta(2)`, rounded
/// down.
fn counts(words: usize, vocabulary: usize) -> impl Iterator<Item = usize> {
    let count = move |rank: usize| (words as f64 / (rank * rank) as f64 / ZETA_2) as usize;
    (1..=vocabulary).map(count).take_while(|&count| count > 0)
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let mut rng = request.own(FrequentWords.name());
    let vocabulary = request.trial.cell.context_length.0 / 50;
    let mut values = Values::new(request.split);
    let mut items: Vec<Item> = Vec::with_capacity(request.items);
    let mut expected = Vec::new();
    for (rank, count) in (1..).zip(counts(request.items, vocabulary.max(ASKED + 2))) {
        let word = if rank == 1 { "...".to_string() } else { values.letters(&mut rng, LETTERS, b'a') };
        let asked = (2..2 + ASKED).contains(&rank);
        let item = match asked {
            true => Item::ending_in("", &word, SpanKind::Target),
            false => Item::plain(word.as_str()),
        };
        items.extend(std::iter::repeat_n(item, count));
        if asked {
            expected.push(word);
        }
    }
    rng.shuffle(&mut items);
    let question = question(INSTRUCTION.to_string(), QUESTION.to_string(), PREFIX.to_string(), expected);
    let question = Question { said_elsewhere: true, ..question };
    Ok(Listed { items, between: " ", question, ..Listed::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_law_and_the_three_asked_for_come_most_often() {
        assert_eq!(counts(1000, 20).take(5).collect::<Vec<_>>(), [607, 151, 67, 37, 24]);
        for words in FEWEST..3000 {
            let counts: Vec<_> = counts(words, 40).collect();
            assert!(counts[ASKED] > counts.get(ASKED + 1).copied().unwrap_or(0), "{words}");
        }
    }
}
