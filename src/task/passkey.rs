//! `passkey`: a number in lines of noise, said twice, as in the Landmark Attention paper.

use super::{Piece, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;

pub(super) struct Passkey;

impl Task for Passkey {
    fn name(&self) -> &'static str {
        "passkey"
    }

    fn purpose(&self) -> String {
        super::FIRST_PURPOSE.to_string()
    }

    fn asks_of_many(&self) -> bool {
        false
    }

    fn default_haystack(&self) -> &'static str {
        "noise"
    }

    fn answer_budget(&self) -> usize {
        16
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        let n = rng.between(1, 50_000).to_string();
        let needle = format!(" The pass key is {n}. Remember it. {n} is the pass key.");
        Ok(Question {
            instruction:
                "There is an important info hidden inside a lot of irrelevant text. Find it and memorize \
                          them. I will quiz you about the important information there."
                    .to_string(),
            pieces: vec![Piece::target(Needle::new(needle, &n)?)],
            question: "What is the pass key?".to_string(),
            completion: "The pass key is".to_string(),
            completion_in_chat: true,
            expected: vec![n],
            ..Question::default()
        })
    }
}
