//! A question about what stands in the user's own text: `--question` and `--answer` without a needle.

use super::custom::asked;
use super::{Question, Task};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// One question and its answer; nothing is hidden.
#[derive(Debug, Clone)]
pub struct About {
    question: Question,
}

impl About {
    /// Checks what the user gave.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting when question or answer is missing or blank, or when the
    /// question says the answer.
    pub fn new(question: Option<&str>, answer: Option<&str>) -> Result<Self> {
        let (question, answer) = asked(question, answer)?;
        let question = Question {
            question,
            expected: vec![answer],
            said_elsewhere: true,
            about_haystack: true,
            ..Question::default()
        };
        Ok(Self { question })
    }
}

impl Task for About {
    fn name(&self) -> &'static str {
        "question"
    }

    fn answer_budget(&self) -> usize {
        64
    }

    fn draw(&self, _rng: &mut Rng) -> Result<Question, Error> {
        Ok(self.question.clone())
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("what is asked for stands where the text has it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_and_answer_are_both_needed_and_the_question_keeps_the_answer_to_itself() {
        for (question, answer, named) in [
            (None, Some("red"), "question"),
            (Some("Which?"), None, "answer"),
            (Some(" "), Some("red"), "question"),
            (Some("Which?"), Some("\n"), "answer"),
            (Some("Is it red?"), Some("red"), "question"),
        ] {
            let message = About::new(question, answer).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{named}: ")), "{message}");
        }
        let question = About::new(Some(" Which? "), Some("red")).unwrap().draw(&mut Rng::new(0)).unwrap();
        assert_eq!((question.question.as_str(), question.pieces.len()), ("Which?", 0));
    }
}
