//! `multi`: several needles at once, all of them asked for.

use super::values::{Values, joined};
use super::{FIRST_BUDGET, Piece, Question, Task, magic};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::split::Split;

/// The magic numbers of this many cities.
pub(super) struct Multi {
    name: &'static str,
    needles: usize,
}

impl Multi {
    pub(super) const TWO: Self = Self { name: "multi-2", needles: 2 };
    pub(super) const FOUR: Self = Self { name: "multi", needles: 4 };
    pub(super) const EIGHT: Self = Self { name: "multi-8", needles: 8 };
}

impl Task for Multi {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer_budget(&self) -> usize {
        FIRST_BUDGET * self.needles
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        self.draw_of(rng, Split::All)
    }

    fn draw_of(&self, rng: &mut Rng, split: Split) -> Result<Question, Error> {
        let mut values = Values::new(split);
        let mut cities = magic::CITIES.to_vec();
        rng.shuffle(&mut cities);
        let cities: Vec<String> = cities[..self.needles].iter().map(ToString::to_string).collect();
        let expected: Vec<String> = cities.iter().map(|_| values.number(rng, 7)).collect();
        let needles = cities
            .iter()
            .zip(&expected)
            .map(|(city, number)| Ok(Piece::target(Needle::new(magic::sentence(city, number), number)?)));
        let cities = joined(&cities);
        Ok(Question {
            pieces: needles.collect::<Result<_, Error>>()?,
            question: format!("What are the special magic numbers of {cities}, in this order?"),
            completion: format!("The special magic numbers of {cities} are: "),
            completion_in_chat: true,
            expected,
            ..Question::default()
        })
    }
}
