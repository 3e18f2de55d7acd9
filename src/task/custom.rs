//! A task of the user's own: `--needle`, `--question`, `--answer`.

use super::{Piece, Question, Task};
use crate::error::{Error, Result};
use crate::needle::Needle;
use crate::rng::Rng;
use crate::standing::stands_free;

/// One needle, one question and one answer, the same in every trial.
#[derive(Debug, Clone)]
pub struct Custom {
    question: Question,
}

impl Custom {
    /// Checks what the user gave.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting when a text is missing or blank, when the answer does not
    /// stand free in the needle, or when it does in the question. The needle never stands in for a missing
    /// question: it would give the answer away.
    pub fn new(needle: &str, question: Option<&str>, answer: Option<&str>) -> Result<Self> {
        given("needle", Some(needle), "the sentence to hide")?;
        let (question, answer) = asked(question, answer)?;
        Ok(Self {
            question: Question {
                pieces: vec![Piece::target(Needle::new(needle, &answer)?)],
                question,
                expected: vec![answer],
                ..Question::default()
            },
        })
    }
}

/// A text that has to be there, without outer white space.
fn given(name: &str, text: Option<&str>, expected: &str) -> Result<String> {
    match text.map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text.to_string()),
        _ => Err(Error::invalid(name, "nothing", expected)),
    }
}

/// A question and its answer, of which the first does not say the second.
///
/// # Errors
/// [`Error::InvalidValue`] naming the setting.
pub(super) fn asked(question: Option<&str>, answer: Option<&str>) -> Result<(String, String)> {
    let question = given("question", question, "the question, given with `answer`")?;
    let answer = given("answer", answer, "the words of the text that answer the question")?;
    if stands_free(&question, &answer) {
        let expected = format!("a question that does not say the answer {answer:?}");
        return Err(Error::invalid("question", format!("{question:?}"), expected));
    }
    Ok((question, answer))
}

impl Task for Custom {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn purpose(&self) -> String {
        super::FIRST_PURPOSE.to_string()
    }

    fn asks_of_many(&self) -> bool {
        false
    }

    fn answer_budget(&self) -> usize {
        64
    }

    fn draw(&self, _rng: &mut Rng) -> Result<Question, Error> {
        Ok(self.question.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needle_is_never_used_as_the_question() {
        let needle = "The cat sleeps in the piano.";
        for question in [None, Some(" ")] {
            let message = Custom::new(needle, question, Some("piano")).unwrap_err().to_string();
            assert!(message.starts_with("question"), "{message}");
        }
        assert!(Custom::new(needle, Some(needle), Some("piano")).is_err());
        assert!(Custom::new(needle, Some("Where?"), None).unwrap_err().to_string().starts_with("answer"));
        assert!(Custom::new(needle, Some("Where?"), Some("organ")).is_err());
        let task = Custom::new(needle, Some("Where does it sleep?"), Some("piano")).unwrap();
        assert_eq!(task.draw(&mut Rng::new(0)).unwrap().question, "Where does it sleep?");
    }

    #[test]
    fn a_question_says_the_answer_in_any_form_but_not_within_a_word() {
        let with = |question, needle, answer| Custom::new(needle, Some(question), Some(answer));
        let door = "The colour of the door is red.";
        assert!(with("Which colour did she say she preferred?", door, "red").is_ok());
        assert!(with("How many goals were there in 1956?", "The score was 5 goals.", "5").is_ok());
        for (question, needle, answer) in [
            ("Is it RED?", door, "red"),
            ("Is it Dolores\u{A0}Park?", "It is Dolores Park.", "Dolores Park"),
            ("Is it Dolores\nPark?", "It is Dolores Park.", "Dolores Park"),
            ("Is it the Cafe\u{301}?", "It is the Café.", "Café"),
            ("Is it 7,743,219?", "It is 7743219.", "7743219"),
            ("Why it’s fine?", "The answer is it's fine.", "it's fine"),
        ] {
            let message = with(question, needle, answer).unwrap_err().to_string();
            assert!(message.starts_with("question: "), "{message}");
        }
    }
}
