//! Haystacks: the text that a needle is hidden in.
//!
//! A haystack is a name in [`HAYSTACKS`] or the path of a text file or directory. For every trial it gives
//! one [`HaystackStream`], a pure function of the haystack, the seed and the trial's number.

mod essays;
pub mod noise;
mod reading;
pub mod sentences;
mod shuffled;
mod stream;
pub mod synthetic;
mod tokens;
mod user_text;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::registry::{self, Entry};
use crate::split::{SPLITS, Split};

pub use stream::{HaystackStream, Source};
pub use tokens::HaystackTokens;

/// Opens the text of one trial of a run: `(seed, trial number)`, of a part of the whole.
pub type Open = fn(u64, usize, Split) -> Box<dyn Source>;

/// The haystacks that have a name.
pub const HAYSTACKS: &[Entry<Open>] = &[
    Entry {
        name: "essays",
        about: "original English essays, in an order of their own for every trial",
        value: essays::open,
    },
    Entry { name: "noise", about: "the noise line of RULER, repeated", value: noise::open },
    Entry {
        name: "synthetic",
        about: "English prose from a seeded grammar: endless, no sentence twice, in no training set",
        value: synthetic::open,
    },
];

/// A haystack ready to be opened for any trial.
#[derive(Debug, Clone)]
pub struct Haystack {
    name: String,
    hash: String,
    kind: Kind,
    split: Split,
    shuffled: bool,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
enum Kind {
    Named(Open),
    Text(Arc<user_text::Text>),
}

impl Haystack {
    /// The haystack of this name, else the file or directory at this path (`./essays` names a directory
    /// called `essays`).
    ///
    /// # Errors
    /// [`crate::error::Error::File`] when it is neither, or when the path holds no UTF-8 text.
    pub fn resolve(name_or_path: &str) -> Result<Self> {
        if let Ok(entry) = registry::find("haystack", HAYSTACKS, name_or_path) {
            return Ok(Self::named(entry));
        }
        let reading::Read { text, notes } = reading::read(Path::new(name_or_path))?;
        Ok(Self { name: name_or_path.to_string(), notes, ..Self::from_text(&text) })
    }

    /// A haystack of this text, begun anew when it ends. It is never empty: text without words becomes a full
    /// stop.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = if text.trim().is_empty() { "." } else { text.trim() };
        Self {
            name: "text".to_string(),
            hash: sha256_hex(text),
            kind: Kind::Text(Arc::new(user_text::Text::new(text))),
            split: Split::All,
            shuffled: false,
            notes: Vec::new(),
        }
    }

    /// The haystack of a task that writes its text itself.
    #[must_use]
    pub fn none() -> Self {
        Self { name: "none".to_string(), ..Self::from_text("") }
    }

    fn named(entry: &Entry<Open>) -> Self {
        Self {
            name: entry.name.to_string(),
            hash: sample_hash(entry.value, Split::All),
            kind: Kind::Named(entry.value),
            split: Split::All,
            shuffled: false,
            notes: Vec::new(),
        }
    }

    /// The part of it that `split` names: whole essays, sentences of the grammar, paragraphs of the user's
    /// text.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a part is asked for of a haystack that has none, or that part is empty.
    pub fn part(self, split: Split) -> Result<Self> {
        let none = |expected: &str| Err(Error::invalid("haystack", self.name.clone(), expected));
        match (&self.kind, split) {
            (_, Split::All) => Ok(self),
            (Kind::Named(_), _) if self.is_same_for_all() => {
                none(&format!("a haystack with more than one sentence beside `split` {}", split_name(split)))
            }
            (Kind::Named(open), _) => Ok(Self { hash: sample_hash(*open, split), split, ..self }),
            (Kind::Text(text), _) => {
                let paragraphs = text.as_str().split("\n\n");
                let paragraphs: Vec<_> = paragraphs.filter(|text| split.holds(text.trim())).collect();
                if paragraphs.is_empty() {
                    return none("a longer text: one of several paragraphs, of which some are held out");
                }
                let text = Self::from_text(&paragraphs.join("\n\n"));
                Ok(Self { name: self.name, split, notes: self.notes, ..text })
            }
        }
    }

    /// Whether all trials have the same text.
    #[must_use]
    pub fn is_same_for_all(&self) -> bool {
        matches!(self.kind, Kind::Named(_)) && self.name == "noise"
    }

    /// The same with its sentences in another order for every trial.
    #[must_use]
    pub fn shuffled(self) -> Self {
        Self { shuffled: true, ..self }
    }

    /// The name or path it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a text of the user's own, and none of those that have a name.
    #[must_use]
    pub fn is_own_text(&self) -> bool {
        matches!(self.kind, Kind::Text(_))
    }

    /// What the user should know about how it was read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// SHA-256 in hex of its text; of a sample when the text is endless.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The text of one trial.
    #[must_use]
    pub fn open(&self, seed: u64, trial: usize) -> HaystackStream {
        let stream = HaystackStream::new(match &self.kind {
            Kind::Named(open) => open(seed, trial, self.split),
            Kind::Text(text) => user_text::open(text, trial),
        });
        match self.shuffled {
            true => HaystackStream::new(shuffled::open(stream, seed, trial)),
            false => stream,
        }
    }
}

/// The order in which a haystack's sentences stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// That of the text.
    #[default]
    Text,
    /// Shuffled, so that only the words of a sentence hang together.
    Shuffled,
}

impl Order {
    /// Whether it is that of the text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// The orders, by name.
pub const ORDERS: &[Entry<Order>] = &[
    Entry { name: "text", about: "as the text has its sentences", value: Order::Text },
    Entry {
        name: "shuffled",
        about: "sentences in an order of their own for every trial",
        value: Order::Shuffled,
    },
];

/// The hash of a sample tells two versions of a built-in haystack apart.
fn sample_hash(open: Open, split: Split) -> String {
    let mut sample = HaystackStream::new(open(0, 0, split));
    sample.grow_to(1 << 16);
    sha256_hex(sample.text())
}

fn split_name(split: Split) -> &'static str {
    SPLITS.iter().find(|entry| entry.value == split).map_or("all", |entry| entry.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(haystack: &Haystack, seed: u64, trial: usize, bytes: usize) -> String {
        let mut stream = haystack.open(seed, trial);
        stream.grow_to(bytes);
        stream.text().to_string()
    }

    #[test]
    fn every_named_haystack_is_a_growing_pure_function_of_seed_and_trial() {
        for entry in HAYSTACKS {
            let haystack = Haystack::resolve(entry.name).unwrap();
            let long = text(&haystack, 3, 1, 150_000);
            assert!(long.len() >= 150_000);
            assert!(long.starts_with(&text(&haystack, 3, 1, 5_000)), "{}", entry.name);
            let mut grown = haystack.open(3, 1);
            (0..150_000).step_by(7_919).for_each(|bytes| grown.grow_to(bytes));
            grown.grow_to(150_000);
            assert_eq!(grown.text(), long, "{}", entry.name);
            assert_eq!(text(&haystack, 3, 2, 5_000) == text(&haystack, 3, 1, 5_000), entry.name == "noise");
            assert!(grown.sentence_ends().windows(2).all(|pair| pair[0] < pair[1]));
            assert!(!long.contains("magic") && !long.contains("pass key"), "{}", entry.name);
        }
    }

    #[test]
    fn essays_and_user_text_count_their_loops() {
        let stream = Haystack::from_text("One. Two.").open(0, 0);
        assert_eq!([0, 11, 12, 22, 23].map(|bytes| stream.loops_within(bytes)), [0, 0, 1, 1, 2]);
        assert_eq!(Haystack::resolve("noise").unwrap().open(0, 0).loops_within(1 << 20), 0);
        assert!(Haystack::resolve("essays").unwrap().open(0, 0).loops_within(1 << 30) > 0);
    }

    #[test]
    fn the_parts_of_a_haystack_have_no_sentence_in_common() {
        let user = (0..200).map(|n| format!("Paragraph {n} says this. It has two sentences, of {n} words."));
        let user = Haystack::from_text(&user.collect::<Vec<_>>().join("\n\n"));
        for haystack in [Haystack::resolve("essays").unwrap(), Haystack::resolve("synthetic").unwrap(), user]
        {
            let sentences = |split| -> std::collections::BTreeSet<String> {
                let text = text(&haystack.clone().part(split).unwrap(), 1, 0, 200_000);
                let ends = sentences::sentence_ends(&text);
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let all = starts.zip(&ends).map(|(start, &end)| text[start..end].trim().to_string());
                all.filter(|sentence| sentence.split(' ').count() > 3).collect()
            };
            let (training, held_out) = (sentences(Split::Training), sentences(Split::HeldOut));
            assert!(training.len() > 100 && held_out.len() > 40, "{}", haystack.name());
            assert_eq!(training.intersection(&held_out).next(), None, "{}", haystack.name());
        }
        assert!(Haystack::resolve("noise").unwrap().part(Split::HeldOut).is_err());
    }

    #[test]
    fn a_shuffled_haystack_has_the_same_sentences_in_another_order_and_only_grows() {
        let user = (0..900).map(|n| format!("Sentence {n} has its number.")).collect::<Vec<_>>().join(" ");
        for plain in [Haystack::from_text(&user), Haystack::resolve("essays").unwrap()] {
            let shuffled = plain.clone().shuffled();
            let long = text(&shuffled, 3, 1, 150_000);
            assert!(long.starts_with(&text(&shuffled, 3, 1, 9_000)));
            assert_eq!(long, text(&shuffled, 3, 1, 150_000));
            assert_ne!(long[..2000], text(&plain, 3, 1, 2000)[..2000]);
            assert_ne!(long[..2000], text(&shuffled, 4, 1, 2000)[..2000]);
            let words = |text: &str| {
                text.split_whitespace().map(String::from).collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(words(&long), words(&text(&plain, 3, 1, 150_000)));
            assert_eq!(shuffled.open(0, 0).loops_within(1 << 20), plain.open(0, 0).loops_within(1 << 20));
        }
    }

    #[test]
    fn haystacks_are_told_apart_by_their_hash() {
        let hashes: std::collections::BTreeSet<_> = ["essays", "noise", "synthetic"]
            .map(|name| Haystack::resolve(name).unwrap().hash().to_string())
            .into();
        assert_eq!(hashes.len(), 3);
    }
}
