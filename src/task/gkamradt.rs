//! `gkamradt`: the needle that the first public tests hid, in San Francisco.

use super::{Piece, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;

const ANSWER: &str = "eat a sandwich and sit in Dolores Park";

pub(super) struct Gkamradt;

impl Task for Gkamradt {
    fn name(&self) -> &'static str {
        "gkamradt"
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
        let needle = format!("\nThe best thing to do in San Francisco is {ANSWER} on a sunny day.\n");
        Ok(Question {
            pieces: vec![Piece::target(Needle::new(needle, ANSWER)?)],
            question: "What is the best thing to do in San Francisco?".to_string(),
            chat_suffix: "Don't give information outside the document or repeat your findings".to_string(),
            completion: "The best thing to do in San Francisco is".to_string(),
            expected: vec![ANSWER.to_string()],
            ..Question::default()
        })
    }
}
