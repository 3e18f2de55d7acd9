//! Figures that can be asked for alone, as a paper takes them.

use crate::error::{Error, Result};
use crate::registry::Entry;
use crate::report::document::{Block, Document, Figure};

/// Every figure that some report has, by the name of its [`Figure`].
pub const FIGURES: &[Entry<&str>] = &[
    Entry { name: "accuracy", about: "accuracy by length and depth", value: "accuracy" },
    Entry { name: "needle-mass", about: "attention on the needle by length and depth", value: "needle-mass" },
    Entry {
        name: "outcome",
        about: "wrong answers, with a head on the needle and without",
        value: "outcome",
    },
    Entry { name: "heads", about: "needle mass by layer and head", value: "heads" },
    Entry { name: "margins", about: "needle mass and score margins by length", value: "margins" },
    Entry { name: "retrieval", about: "what heads copy and look for, by layer and head", value: "retrieval" },
    Entry { name: "tokens", about: "attention of every token of a prompt", value: "tokens" },
    Entry { name: "models", about: "accuracy and needle mass by checkpoint or step", value: "models" },
    Entry { name: "loss", about: "loss by position", value: "loss" },
    Entry { name: "fade", about: "the largest weight, needle mass and entropy by length", value: "fade" },
    Entry { name: "difference", about: "two runs, B - A", value: "difference" },
    Entry { name: "speed", about: "tokens per second by length", value: "speed" },
    Entry { name: "masking", about: "answers by masked heads", value: "masking" },
    Entry { name: "memory", about: "memory of a run by length", value: "memory" },
];

/// The figures of a document, from top to bottom.
pub(super) fn of(document: &Document) -> Vec<&Figure> {
    fn collect<'d>(blocks: &'d [Block], found: &mut Vec<&'d Figure>) {
        for block in blocks {
            match block {
                Block::Figure(figure) => found.push(figure),
                Block::Together(blocks) => collect(blocks, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(&document.blocks, &mut found);
    found
}

/// The figure of this name.
///
/// # Errors
/// [`Error::InvalidValue`] with the figures that the document has.
pub fn named<'d>(document: &'d Document, name: &str) -> Result<&'d Figure> {
    let figures = of(document);
    let known: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    figures.into_iter().find(|figure| figure.name == name).ok_or_else(|| not_made(name, &known))
}

/// The error for a figure that is none of those which can be made.
#[must_use]
pub fn not_made(name: &str, made: &[&str]) -> Error {
    let expected = match made {
        [] => "no such flag: nothing is drawn here".to_string(),
        _ => format!("one that is made here: {}", made.join(", ")),
    };
    Error::invalid("figure", name, expected)
}
