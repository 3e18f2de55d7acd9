//! What is known of a tokenizer before it meets a text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

/// How a tokenizer makes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    ByteLevelBpe,
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ByteLevelBpe => "byte-level BPE",
            Self::Bpe => "BPE",
            Self::WordPiece => "WordPiece",
            Self::WordLevel => "WordLevel",
            Self::Unigram => "Unigram",
        }
    }
}

/// Where a chat template was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TemplateSource {
    Source {
        /// The file or key that it stands in.
        place: String,
        source: String,
    },
    /// There are templates, and for this reason none of them is the one to use.
    Unclear(String),
}

/// What does not change from text to text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) bos: Option<u32>,
    pub(super) special_ids: BTreeSet<u32>,
    pub(super) eos_ids: BTreeSet<u32>,
    /// Ids of the tokens that are found in a text as they stand, special or not.
    pub(super) added_ids: BTreeSet<u32>,
    pub(super) vocab_size: usize,
    /// SHA-256 of what defines the token ids.
    pub(super) hash: String,
    /// `bos_token`, `eos_token` and so on, as a chat template names them.
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) chat_template: Option<TemplateSource>,
    /// What was set aside.
    pub(super) notes: Vec<String>,
}

/// What the two sources, a directory and a GGUF file, each find out.
pub(super) struct Parts {
    pub(super) inner: Tokenizer,
    pub(super) bos: Option<u32>,
    pub(super) eos: BTreeSet<u32>,
    pub(super) hash: String,
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) chat_template: Option<TemplateSource>,
    pub(super) notes: Vec<String>,
}
