//! Text to token ids and back, with the byte range behind every token.
//!
//! [`Tokenize`] is all that prompt building knows of a tokenizer, so that tests can drive it with a toy one.
//! [`TextTokenizer`] is the real one: read from a directory with `tokenizer.json` (`huggingface`), or built
//! from the vocabulary of a GGUF file (`gguf`), or made by [`train_tokenizer`]. [`ApproximateTokenizer`]
//! stands for one that is not at hand. [`TokenizerOutline`] is what
//! can be said of one quickly. [`ChatTemplate`] puts a question into the form a model was tuned on.
//!
//! What a download says is read, and its templates are rendered, in another process (`apart`), which nothing
//! in it can take further than [`crate::isolation`] allows.

mod apart;
mod approximate;
mod chat_template;
mod checks;
mod facts;
mod gguf;
mod huggingface;
mod local;
mod outline;
mod pre_tokenizer;
mod pre_tokenizer_rules;
mod sentencepiece;
mod template_files;
mod text;
mod training;

use std::collections::BTreeSet;
use std::ops::Range;

pub use apart::serve_isolated;
pub use approximate::ApproximateTokenizer;
pub use chat_template::{ChatTemplate, MARKS, Marks, Message, apart_from_thought};
pub use gguf::GgufVocabulary;
pub use huggingface::ReadFile;
pub use outline::TokenizerOutline;
pub use text::TextTokenizer;
pub use training::{END_OF_TEXT, train_tokenizer};

use crate::error::Error;

/// Token ids with the bytes of the text that each one stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, without any the tokenizer would add on its own (no BOS, no EOS).
    pub ids: Vec<u32>,
    /// Byte range in the text of each id. Starts and ends never decrease; the pieces of a character that was
    /// split over several tokens repeat that character's range.
    pub spans: Vec<Range<usize>>,
}

/// What prompt building needs from a tokenizer.
pub trait Tokenize: Sync {
    /// Encodes `text`. Special tokens written out in the text are recognised; none is added.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    fn encode(&self, text: &str) -> Result<Encoded, Error>;

    /// The text of these ids, special tokens included.
    ///
    /// # Errors
    /// When an id is unknown.
    fn decode(&self, ids: &[u32]) -> Result<String, Error>;

    /// The text of these ids without special tokens, as a reader of the model's response wants it.
    ///
    /// # Errors
    /// When an id is unknown.
    fn decode_plain(&self, ids: &[u32]) -> Result<String, Error> {
        self.decode(ids)
    }

    /// What one token stands for, for display: bytes that are no whole character are written `<0xE4>`.
    ///
    /// # Errors
    /// When the id is unknown.
    fn token_text(&self, id: u32) -> Result<String, Error> {
        self.decode(&[id])
    }

    /// The same of several tokens.
    ///
    /// # Errors
    /// When an id is unknown.
    fn token_texts(&self, ids: &[u32]) -> Result<Vec<String>, Error> {
        ids.iter().map(|id| self.token_text(*id)).collect()
    }

    /// The id that begins every sequence, when the model wants one and the tokenizer would add it.
    fn bos(&self) -> Option<u32>;

    /// Whether its tokens are a model's own: a prompt then ends with a whole token, and else before the white
    /// space in front of the answer, which most tokenizers join with the word behind it.
    fn is_exact(&self) -> bool {
        true
    }

    /// Ids that are control tokens (BOS, EOS, turn markers): none of them may stand in a haystack.
    fn special_ids(&self) -> &BTreeSet<u32>;
}
