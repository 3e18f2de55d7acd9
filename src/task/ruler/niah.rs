//! Needles among noise, essays or other needles: `niah_single`, `niah_multikey`, `niah_multivalue` and
//! `niah_multiquery`.

use super::super::values::{Values, joined};
use super::super::{Item, Listed, Listing, ListingRequest, Piece, Question, Task};
use super::{SCORER, question};
use crate::error::Error;
use crate::haystack::noise;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;

/// Tokens of an answer.
const BUDGET: usize = 128;

/// What keys and values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Type {
    Words,
    Numbers,
    Uuids,
}

impl Type {
    fn draw(self, values: &mut Values, rng: &mut Rng) -> String {
        match self {
            Self::Words => values.key(rng),
            Self::Numbers => values.number(rng, 7),
            Self::Uuids => values.uuid(rng),
        }
    }

    /// What the texts call it.
    fn plural(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Numbers => "numbers",
            Self::Uuids => "uuids",
        }
    }
}

fn needle(values: Type, key: &str, value: &str) -> Result<Needle, Error> {
    Needle::new(format!("One of the special magic {} for {key} is: {value}.", values.plural()), value)
}

/// What is asked of `keys` when the answer is `expected`.
fn asked(values: Type, keys: &[String], expected: Vec<String>) -> Question {
    let (query, plural) = (joined(keys), values.plural());
    let singular = plural.trim_end_matches('s');
    let (instruction, asked, prefix) = if expected.len() > 1 {
        (
            format!(
                "Some special magic {plural} are hidden within the following text. Make sure to memorize it. \
                 I will quiz you about the {plural} afterwards.\n"
            ),
            format!("What are all the special magic {plural} for {query} mentioned in the provided text?"),
            format!(" The special magic {plural} for {query} mentioned in the provided text are"),
        )
    } else {
        (
            format!(
                "A special magic {singular} is hidden within the following text. Make sure to memorize it. I \
                 will quiz you about the {singular} afterwards.\n"
            ),
            format!("What is the special magic {singular} for {query} mentioned in the provided text?"),
            format!(" The special magic {singular} for {query} mentioned in the provided text is"),
        )
    };
    Question { wording: Default::default(), ..question(instruction, asked, prefix, expected) }
}

/// Needles among essays.
pub(in super::super) struct Hidden {
    pub(in super::super) name: &'static str,
    pub(in super::super) values: Type,
    /// Keys in the text.
    pub(in super::super) keys: usize,
    /// Values of each key.
    pub(in super::super) values_of_key: usize,
    /// Keys that are asked for.
    pub(in super::super) asked: usize,
}

impl Hidden {
    pub(in super::super) const SINGLE_2: Self = Self::of("ruler-niah-single-2", Type::Numbers, (1, 1, 1));
    pub(in super::super) const SINGLE_3: Self = Self::of("ruler-niah-single-3", Type::Uuids, (1, 1, 1));
    pub(in super::super) const MULTIKEY_1: Self = Self::of("ruler-niah-multikey-1", Type::Numbers, (4, 1, 1));
    pub(in super::super) const MULTIVALUE: Self = Self::of("ruler-niah-multivalue", Type::Numbers, (1, 4, 1));
    pub(in super::super) const MULTIQUERY: Self = Self::of("ruler-niah-multiquery", Type::Numbers, (4, 1, 4));

    const fn of(name: &'static str, values: Type, counts: (usize, usize, usize)) -> Self {
        let (keys, values_of_key, asked) = counts;
        Self { name, values, keys, values_of_key, asked }
    }
}

impl Task for Hidden {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_scorer(&self) -> &'static str {
        SCORER
    }

    fn answer_budget(&self) -> usize {
        BUDGET
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        self.draw_of(rng, Split::All)
    }

    fn draw_of(&self, rng: &mut Rng, split: Split) -> Result<Question, Error> {
        let mut values = Values::new(split);
        let (mut pieces, mut keys, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..self.keys {
            let key = values.key(rng);
            for _ in 0..self.values_of_key {
                let value = self.values.draw(&mut values, rng);
                let needle = needle(self.values, &key, &value)?;
                pieces.push(match number < self.asked {
                    true => Piece::target(needle),
                    false => Piece::spread(needle, SpanKind::Other),
                });
                if number < self.asked {
                    expected.push(value);
                }
            }
            if number < self.asked {
                keys.push(key);
            }
        }
        Ok(Question { pieces, ..asked(self.values, &keys, expected) })
    }
}

/// One needle among lines: RULER's noise, or needles with other keys.
pub(in super::super) struct Lines {
    name: &'static str,
    write: fn(&ListingRequest) -> Result<Listed, Error>,
}

impl Lines {
    pub(in super::super) const SINGLE_1: Self = Self { name: "ruler-niah-single-1", write: among_noise };
    pub(in super::super) const MULTIKEY_2: Self = Self { name: MULTIKEY_2, write: among_words };
    pub(in super::super) const MULTIKEY_3: Self = Self { name: MULTIKEY_3, write: among_uuids };
}

const MULTIKEY_2: &str = "ruler-niah-multikey-2";
const MULTIKEY_3: &str = "ruler-niah-multikey-3";

impl Task for Lines {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_scorer(&self) -> &'static str {
        SCORER
    }

    fn answer_budget(&self) -> usize {
        BUDGET
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("lines", 1, self.write))
    }
}

fn among_noise(request: &ListingRequest) -> Result<Listed, Error> {
    let others = (1..request.items).map(|_| Item::plain(noise::LINE)).collect();
    among(request, others, Values::new(request.split), (Lines::SINGLE_1.name, Type::Words, Type::Numbers))
}

fn among_words(request: &ListingRequest) -> Result<Listed, Error> {
    among_needles(request, (MULTIKEY_2, Type::Words, Type::Numbers))
}

fn among_uuids(request: &ListingRequest) -> Result<Listed, Error> {
    among_needles(request, (MULTIKEY_3, Type::Uuids, Type::Uuids))
}

/// The name of a task, what its keys are and what its values are.
type Kind = (&'static str, Type, Type);

fn among_needles(request: &ListingRequest, kind: Kind) -> Result<Listed, Error> {
    let (name, keys, type_of_values) = kind;
    let (mut values, mut rng) = (Values::new(request.split), request.common(name));
    let mut others = Vec::with_capacity(request.items);
    for _ in 1..request.items {
        let key = keys.draw(&mut values, &mut rng);
        let value = type_of_values.draw(&mut values, &mut rng);
        others.push(Item::plain(needle(type_of_values, &key, &value)?.text()));
    }
    among(request, others, values, kind)
}

fn among(
    request: &ListingRequest,
    mut items: Vec<Item>,
    mut values: Values,
    (name, keys, type_of_values): Kind,
) -> Result<Listed, Error> {
    let mut rng = request.own(name);
    let key = keys.draw(&mut values, &mut rng);
    let value = type_of_values.draw(&mut values, &mut rng);
    let needle = needle(type_of_values, &key, &value)?;
    items.insert(request.place(items.len()), Item::needle(&needle, SpanKind::Target));
    let question = asked(type_of_values, &[key], vec![value]);
    Ok(Listed { items, between: "\n", question, ..Listed::default() })
}
