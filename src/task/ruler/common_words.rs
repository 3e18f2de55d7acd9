//! `cwe`: a numbered list of words; which ten come most often?

use super::super::values::Values;
use super::super::words::{ADJECTIVES, NOUNS};
use super::super::{Item, Listed, Listing, ListingRequest, Mark, Question, Task, Wording};
use super::{LONG, SCORER, example, question};
use crate::error::Error;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;

/// Words that are asked for.
const COMMON: usize = 10;

const INSTRUCTION: &str = "Below is a numbered list of words. In these words, some appear more often than \
                           others. Memorize the ones that appear most often.\n";
const QUESTION: &str = "Question: What are the 10 most common words in the above list?";
const PREFIX: &str = " Answer: The top 10 words that appear most often in the list are:";

/// How often a list says its words, and how many the list of the example has.
struct Counts {
    common: usize,
    others: usize,
    example_common: usize,
    example_others: usize,
    example_words: usize,
}

const FEW: Counts = Counts { common: 6, others: 1, example_common: 3, example_others: 1, example_words: 20 };
const MANY: Counts =
    Counts { common: 30, others: 3, example_common: 10, example_others: 3, example_words: 40 };

pub(in super::super) struct CommonWords;

impl Task for CommonWords {
    fn name(&self) -> &'static str {
        "ruler-cwe"
    }

    fn default_scorer(&self) -> &'static str {
        SCORER
    }

    fn answer_budget(&self) -> usize {
        120
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("different words", COMMON + 1, write))
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("the words that are asked for stand everywhere")
    }
}

/// This many different words: single ones first, then pairs of what is left.
fn words(rng: &mut Rng, count: usize) -> Vec<String> {
    let mut single: Vec<&str> = [ADJECTIVES, NOUNS].concat();
    rng.shuffle(&mut single);
    let mut words: Vec<String> = single.into_iter().take(count).map(String::from).collect();
    // A pair of an adjective and a noun never holds a common word, which would be found in it.
    let mut values = Values::new(Split::All);
    while words.len() < count {
        let pair = values.key(rng);
        if !pair.split('-').any(|part| words[..COMMON].iter().any(|word| word == part)) {
            words.push(pair);
        }
    }
    words
}

/// The numbered list of these words, the first ten of which are common.
fn list(rng: &mut Rng, words: &[String], common: usize, others: usize) -> Vec<(String, bool)> {
    let repeated = words.iter().enumerate().flat_map(|(number, word)| {
        let is_common = number < COMMON;
        let times = if is_common { common } else { others };
        std::iter::repeat_n((word.clone(), is_common), times)
    });
    let mut list: Vec<_> = repeated.collect();
    rng.shuffle(&mut list);
    list
}

fn numbered<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let numbered: Vec<_> = words.zip(1..).map(|(word, number)| format!("{number}. {word}")).collect();
    numbered.join(" ")
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let counts = if request.trial.cell.context_length.0 < LONG { FEW } else { MANY };
    let name = CommonWords.name();
    let solved = {
        let mut rng = request.common(name);
        let words = words(&mut rng, counts.example_words);
        let list = list(&mut rng, &words, counts.example_common, counts.example_others);
        let context = numbered(list.iter().map(|(word, _)| word));
        let answer = format!("{PREFIX} {}", numbered(words[..COMMON].iter()));
        example(INSTRUCTION, &context, QUESTION, &answer)
    };
    let mut rng = request.own(name);
    let words = words(&mut rng, request.items);
    let item = |((word, is_common), number): ((String, bool), usize)| {
        let lead = format!("{number}. ");
        let bytes = lead.len()..lead.len() + word.len();
        let mark = is_common.then(|| Mark { kind: SpanKind::Target, value: bytes.clone(), bytes });
        Item { text: lead + &word, mark }
    };
    let items = list(&mut rng, &words, counts.common, counts.others).into_iter().zip(1..).map(item).collect();
    let expected = words[..COMMON].to_vec();
    let question = question(solved + INSTRUCTION, QUESTION.to_string(), PREFIX.to_string(), expected);
    let wording = Wording { numbered: true, ..question.wording };
    let question = Question { said_elsewhere: true, wording, ..question };
    Ok(Listed { items, between: " ", question, ..Listed::default() })
}
