//! `associative`: question and needle share no content word; a fact one or two steps away leads from one to
//! the other, as in NoLiMa (Modarressi et al. 2025, arXiv 2502.05167). The facts and texts are our own.

use super::words::NAMES;
use super::{Piece, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;

/// Landmarks, each with its town and its country or state.
const PLACES: &[(&str, &str, &str)] = &[
    ("Acropolis", "Athens", "Greece"),
    ("Atomium", "Brussels", "Belgium"),
    ("Big Ben clock", "London", "England"),
    ("Brandenburg Gate", "Berlin", "Germany"),
    ("Burj Khalifa", "Dubai", "the United Arab Emirates"),
    ("Chain Bridge over the Danube", "Budapest", "Hungary"),
    ("Christ the Redeemer statue", "Rio de Janeiro", "Brazil"),
    ("CN Tower", "Toronto", "Canada"),
    ("Colosseum", "Rome", "Italy"),
    ("Eiffel Tower", "Paris", "France"),
    ("Forbidden City", "Beijing", "China"),
    ("Golden Gate Bridge", "San Francisco", "California"),
    ("Hagia Sophia", "Istanbul", "Turkey"),
    ("Kremlin", "Moscow", "Russia"),
    ("Little Mermaid statue", "Copenhagen", "Denmark"),
    ("Petronas Towers", "Kuala Lumpur", "Malaysia"),
    ("Rijksmuseum", "Amsterdam", "the Netherlands"),
    ("Sagrada Familia", "Barcelona", "Spain"),
    ("Space Needle", "Seattle", "the state of Washington"),
    ("Table Mountain cable car", "Cape Town", "South Africa"),
    ("Taj Mahal", "Agra", "India"),
    ("Vasa Museum", "Stockholm", "Sweden"),
];

/// What is said of somebody, and what that makes them.
const TRAITS: &[(&str, &str)] = &[
    ("has not touched meat or fish since childhood", "is a vegetarian"),
    ("reads lips and never notices the doorbell", "is deaf"),
    ("finds the way with a white cane and a guide dog", "is blind"),
    ("spends every night at the telescope and draws the moons of Jupiter", "is an astronomer"),
    ("pulls out bad molars and fills cavities all week long", "is a dentist"),
    ("has flown the night plane to Lima for twenty years", "is a pilot"),
    ("wears a new gold ring since the wedding on Sunday", "got married lately"),
    ("stands at the ovens from three in the morning so that the rolls are warm at six", "is a baker"),
    ("gets hives from butter, cheese and cream", "cannot have milk"),
    ("came into the world ten minutes behind an identical sister", "is a twin"),
];

pub(super) struct Associative;

impl Task for Associative {
    fn name(&self) -> &'static str {
        "associative"
    }

    fn answer_budget(&self) -> usize {
        16
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        let name = rng.choose(NAMES).to_string();
        let (said, asked) = if rng.below(3) == 0 {
            let (said, asked) = *rng.choose(TRAITS);
            (said.to_string(), asked.to_string())
        } else {
            let (landmark, town, country) = *rng.choose(PLACES);
            // One step to the town, two to the country.
            let place = if rng.below(2) == 0 { town } else { country };
            (format!("can see the {landmark} from the kitchen window"), format!("has a home in {place}"))
        };
        Ok(Question {
            instruction: "The text below mentions a character. Only one thing is said of this person."
                .to_string(),
            pieces: vec![Piece::target(Needle::new(format!("{name} {said}."), &name)?)],
            question: format!("Which character {asked}?"),
            chat_suffix: "Answer with the name alone.".to_string(),
            completion: "The character is".to_string(),
            completion_in_chat: true,
            expected: vec![name],
            ..Question::default()
        })
    }
}
