//! Tasks that write their text themselves, item by item, instead of hiding needles in a haystack.

use std::ops::Range;

use super::{Control, Question};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;
use crate::trial::Trial;

/// What such a task needs.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// What its items are, as in "12 lines".
    pub items: &'static str,
    /// The fewest that it can write.
    pub fewest: usize,
    /// The part that values are drawn from.
    pub split: Split,
    /// The control under which its texts stand.
    pub control: Option<Control>,
    /// Writes a text.
    pub write: fn(&ListingRequest) -> Result<Listed, Error>,
}

impl Listing {
    /// Of at least `fewest` of these items, with values of every part and under no control.
    #[must_use]
    pub fn new(
        items: &'static str,
        fewest: usize,
        write: fn(&ListingRequest) -> Result<Listed, Error>,
    ) -> Self {
        Self { items, fewest, split: Split::All, control: None, write }
    }

    /// The text, under the control.
    ///
    /// # Errors
    /// Those of the task.
    pub fn text(&self, request: &ListingRequest) -> Result<Listed, Error> {
        let mut listed = (self.write)(request)?;
        if let Some(control) = self.control {
            control.apply(&mut listed.question);
        }
        Ok(listed)
    }
}

/// Which text is to be written.
#[derive(Debug, Clone, Copy)]
pub struct ListingRequest {
    /// How many items.
    pub items: usize,
    /// For which trial.
    pub trial: Trial,
    /// The part that values are drawn from.
    pub split: Split,
}

impl ListingRequest {
    /// The generator of what every cell of the trial has in common: its prompts then share what stands
    /// before their needles.
    #[must_use]
    pub fn common(&self, task: &str) -> Rng {
        Rng::for_purpose(self.trial.seed, &["listing", task, &self.trial.index.to_string()])
    }

    /// The generator of what is this cell's own.
    #[must_use]
    pub fn own(&self, task: &str) -> Rng {
        self.trial.rng(&format!("question {task}"))
    }

    /// The place of an item that the cell's depth says among `others`.
    #[must_use]
    pub fn place(&self, others: usize) -> usize {
        ((others as f64 * self.trial.cell.depth.fraction()) as usize).min(others)
    }
}

/// A text as its items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// What stands before the first item.
    pub head: String,
    /// The items.
    pub items: Vec<Item>,
    /// What stands between two items.
    pub between: &'static str,
    /// What stands after the last.
    pub tail: String,
    /// What is asked; it plants nothing.
    pub question: Question,
}

/// An item of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its text.
    pub text: String,
    /// What of it matters.
    pub mark: Option<Mark>,
}

/// The part of an item that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is to the question.
    pub kind: SpanKind,
    /// Its bytes in the item.
    pub bytes: Range<usize>,
    /// The bytes of its value in the item.
    pub value: Range<usize>,
}

impl Item {
    /// An item of no account.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), mark: None }
    }

    /// An item that is a needle as a whole, white space behind it apart.
    #[must_use]
    pub fn needle(needle: &Needle, kind: SpanKind) -> Self {
        let text = needle.text().to_string();
        let mark = Mark { kind, bytes: 0..text.trim_end().len(), value: needle.value_range() };
        Self { text, mark: Some(mark) }
    }

    /// An item that ends with what matters: `lead`, which does not, and then `text`, its own value.
    #[must_use]
    pub fn ending_in(lead: &str, text: &str, kind: SpanKind) -> Self {
        let bytes = lead.len()..lead.len() + text.len();
        Self { text: format!("{lead}{text}"), mark: Some(Mark { kind, value: bytes.clone(), bytes }) }
    }
}
