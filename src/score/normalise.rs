use serde::{Deserialize, Serialize};

use crate::registry::Entry;

/// What is the same to every scorer, besides what it takes for the same itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// Nothing.
    #[default]
    Nothing,
    /// Numbers in whatever digits and groups they are written.
    Numbers,
}

impl Normalise {
    /// Whether texts are compared as they are.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// What may be normalised, by name.
pub const NORMALISATIONS: &[Entry<Normalise>] = &[
    Entry { name: "nothing", about: "texts as the scorer reads them", value: Normalise::Nothing },
    Entry {
        name: "numbers",
        about: "1,234,567, 1 234 567, 1_234_567 and full-width digits are 1234567",
        value: Normalise::Numbers,
    },
];
