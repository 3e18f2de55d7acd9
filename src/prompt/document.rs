//! Documents to train on: a haystack with needles and questions with their answers, in the form that prompts
//! have.

use std::ops::Range;

use super::layout::{Frame, lay_out};
use crate::needle::Needle;
use crate::task::{Piece, Question};

/// The text of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Haystack, needles, questions and answers.
    pub text: String,
    /// Bytes of the answer to each question, in the order of asking.
    pub answers: Vec<Range<usize>>,
}

impl Document {
    /// Puts `needles` into `haystack` at these bytes of it, ascending, and asks `questions` one after the
    /// other.
    ///
    /// Up to the answer of the first question this is the text of a completion prompt; each further question
    /// follows in the same way.
    #[must_use]
    pub fn new(needles: &[Needle], questions: &[&Question], haystack: &str, positions: &[usize]) -> Self {
        let mut document = Self { text: String::new(), answers: Vec::new() };
        for (number, question) in questions.iter().enumerate() {
            let (needles, haystack) = if number == 0 { (needles, haystack) } else { (&[][..], "") };
            let pieces = needles.iter().cloned().map(Piece::target).collect();
            let asked = Question { pieces, ..(*question).clone() };
            let layout = lay_out(&Frame::completion(), &asked, haystack, positions);
            let start = document.text.len();
            document.text.push_str(&layout.text);
            document.answers.push(start + layout.answer..document.text.len());
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, value: &str) -> Question {
        Question {
            pieces: vec![Piece::target(Needle::new(format!("{name} is {value}."), value).unwrap())],
            question: format!("What is {name}?"),
            completion: format!("{name} is "),
            expected: vec![value.to_string()],
            ..Question::default()
        }
    }

    #[test]
    fn questions_follow_each_other_as_a_prompt_has_them() {
        let (a, b) = (question("A", "12"), question("B", "34"));
        let needles = [&b, &a].map(|question| question.pieces[0].needle.clone());
        let document = Document::new(&needles, &[&a, &b], "One. Two.", &[0, 4]);
        let text = "B is 34. One. A is 12. Two.\n\nWhat is A?\nA is 12\n\nWhat is B?\nB is 34";
        assert_eq!(document.text, text);
        let answers: Vec<_> = document.answers.iter().map(|bytes| &document.text[bytes.clone()]).collect();
        assert_eq!(answers, ["12", "34"]);
    }
}
