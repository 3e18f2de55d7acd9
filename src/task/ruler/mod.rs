//! The tasks of RULER (Hsieh et al. 2024, arXiv 2404.06654) that need no download: eleven of its thirteen,
//! with its templates, answer prefixes, counts and budgets. Words, names and numbers are drawn by our own
//! generator from our own lists. `qa_1` and `qa_2` need SQuAD and HotpotQA.
//!
//! Two things are of this program: the first needle stands at the cell's depth and the others evenly between
//! it and the end, where RULER draws all places; and the essays are those of the haystack.

mod common_words;
mod frequent_words;
mod niah;
mod tracking;

pub(super) use common_words::CommonWords;
pub(super) use frequent_words::FrequentWords;
pub(super) use niah::{Hidden, Lines};
pub(super) use tracking::Tracking;

use super::{Breaks, Question, Wording};

/// Name of the scorer that RULER's score is: the share of the references that the answer contains.
const SCORER: &str = "contains";

/// Context lengths from which lists of words have their full counts.
const LONG: usize = 4096;

/// A question in RULER's form: the text follows `instruction`, a line break, the question and the answer's
/// beginning follow the text.
fn question(instruction: String, question: String, prefix: String, expected: Vec<String>) -> Question {
    Question {
        instruction,
        question,
        completion: prefix,
        completion_in_chat: true,
        breaks: Breaks { question: "\n", completion: "", answer: " " },
        expected,
        wording: Wording { between: " ", ..Wording::default() },
        ..Question::default()
    }
}

/// A solved example as it stands before the prompt.
fn example(instruction: &str, context: &str, question: &str, answer: &str) -> String {
    format!("{instruction}{context}\n{question}{answer}\n\n")
}
