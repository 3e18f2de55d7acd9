//! What training draws from and what is held out for evaluation.
//!
//! A sentence, a paragraph, an essay or a needle's value belongs to one of the two by its SHA-256: the same
//! everywhere and for every seed, and nothing in the form of a text gives its side away. A model that was
//! trained on the one part is tested on what it has never seen by drawing from the other.

use serde::{Deserialize, Serialize};

use crate::hash::sha256;
use crate::registry::Entry;

/// A part of everything that can be drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// All of it.
    #[default]
    All,
    /// Three quarters, for training.
    Training,
    /// The other quarter.
    HeldOut,
}

/// The parts, by name.
pub const SPLITS: &[Entry<Split>] = &[
    Entry { name: "all", about: "every text and value", value: Split::All },
    Entry { name: "training", about: "the part that niah train draws from", value: Split::Training },
    Entry { name: "held-out", about: "the part that niah train never draws from", value: Split::HeldOut },
];

impl Split {
    /// Whether this part holds a text or a value.
    ///
    /// ```
    /// use niah::split::Split;
    /// assert_ne!(Split::Training.holds("1234567"), Split::HeldOut.holds("1234567"));
    /// ```
    #[must_use]
    pub fn holds(self, text: &str) -> bool {
        let held_out = || sha256(text)[0].is_multiple_of(4);
        match self {
            Self::All => true,
            Self::Training => !held_out(),
            Self::HeldOut => held_out(),
        }
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_held_out() {
        let held_out = (0..10_000).filter(|n: &u32| Split::HeldOut.holds(&n.to_string())).count();
        assert!((2_300..2_700).contains(&held_out), "{held_out}");
    }
}
