//! `magic`: a city's number of seven digits, as in the SSMax paper and Arize's test.

use super::{Piece, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;

/// Well-known names that are one word; none is part of another.
#[rustfmt::skip] // a name a line would hide the list
pub(super) const CITIES: &[&str] = &[
    "Amsterdam", "Athens", "Atlanta", "Baghdad", "Bangkok", "Barcelona", "Beijing", "Berlin", "Bogota",
    "Boston", "Brussels", "Budapest", "Cairo", "Calgary", "Chicago", "Copenhagen", "Dallas", "Damascus",
    "Delhi", "Denver", "Detroit", "Dubai", "Dublin", "Edinburgh", "Florence", "Geneva", "Glasgow",
    "Hamburg", "Havana", "Helsinki", "Houston", "Istanbul", "Jakarta", "Jerusalem", "Kiev", "Lagos", "Lima",
    "Lisbon", "London", "Madrid", "Manila", "Melbourne", "Miami", "Milan", "Montreal", "Moscow", "Mumbai",
    "Munich", "Nairobi", "Naples", "Oslo", "Ottawa", "Paris", "Philadelphia", "Phoenix", "Prague", "Rome",
    "Seattle", "Seoul", "Shanghai", "Singapore", "Stockholm", "Sydney", "Tehran", "Tokyo", "Toronto",
    "Vancouver", "Venice", "Vienna", "Warsaw", "Zurich",
];

/// The needle.
pub(super) fn sentence(city: &str, number: &str) -> String {
    format!("The special magic {city} number is: {number}.")
}

pub(super) struct Magic;

impl Task for Magic {
    fn name(&self) -> &'static str {
        "magic"
    }

    fn purpose(&self) -> String {
        super::FIRST_PURPOSE.to_string()
    }

    fn answer_budget(&self) -> usize {
        super::FIRST_BUDGET
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        let city = rng.choose(CITIES);
        let number = rng.between(1_000_000, 9_999_999).to_string();
        Ok(Question {
            pieces: vec![Piece::target(Needle::new(
                format!("The special magic {city} number is: {number}."),
                &number,
            )?)],
            question: format!("What is the special magic {city} number?"),
            completion: format!("The special magic {city} number is: "),
            completion_in_chat: true,
            expected: vec![number],
            ..Question::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_city_is_part_of_another() {
        assert!(CITIES.len() >= 60);
        for (i, city) in CITIES.iter().enumerate() {
            assert!(!CITIES.iter().enumerate().any(|(j, other)| i != j && other.contains(city)), "{city}");
        }
    }
}
