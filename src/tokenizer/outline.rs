//! A tokenizer without its merges: what it is, not what it makes of a text.
//!
//! Half a million merges take seconds to read and check, and none of what is told here depends on them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{ChatTemplate, GgufVocabulary, TextTokenizer, Tokenize};
use crate::error::Result;

/// The outline of a tokenizer. It has no way to encode a text.
#[derive(Debug)]
pub struct TokenizerOutline(TextTokenizer);

impl TokenizerOutline {
    /// Reads the outline of a model directory's tokenizer.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::from_directory`], but for merges that are wrong.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let read = |bytes: &[u8]| Ok(serde_json::from_slice::<WithoutMerges>(bytes)?.0);
        TextTokenizer::read_directory(directory, read).map(Self)
    }

    /// The outline of a GGUF file's tokenizer.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::from_gguf`], but for merges that are wrong.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        TextTokenizer::build_gguf(vocabulary, false).map(Self)
    }

    /// How it makes tokens.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// [`TextTokenizer::vocab_size`].
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    /// [`Tokenize::special_ids`].
    #[must_use]
    pub fn special_ids(&self) -> &BTreeSet<u32> {
        self.0.special_ids()
    }

    /// [`TextTokenizer::eos_ids`].
    #[must_use]
    pub fn eos_ids(&self) -> &BTreeSet<u32> {
        self.0.eos_ids()
    }

    /// [`Tokenize::bos`].
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.0.bos()
    }

    /// [`Tokenize::token_text`].
    ///
    /// # Errors
    /// When the id is unknown.
    pub fn token_text(&self, id: u32) -> Result<String> {
        self.0.token_text(id)
    }

    /// [`TextTokenizer::chat_template`].
    ///
    /// # Errors
    /// When the template cannot be parsed.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        self.0.chat_template()
    }

    /// The template's source, parsed or not.
    #[must_use]
    pub fn chat_template_source(&self) -> Option<&str> {
        self.0.chat_template_source()
    }
}

/// A `tokenizer.json` in which `model.merges` is empty, whatever the file holds.
struct WithoutMerges(Value);

impl<'de> Deserialize<'de> for WithoutMerges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries { inside: false }).map(Self)
    }
}

/// The `model` of a `tokenizer.json`.
struct Model(Value);

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries { inside: true }).map(Self)
    }
}

/// The entries of a `tokenizer.json`, or of the model inside it.
struct Entries {
    inside: bool,
}

impl<'de> Visitor<'de> for Entries {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.inside { "a model with its vocabulary" } else { "a tokenizer" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = match key.as_str() {
                "merges" if self.inside => {
                    entries.next_value::<IgnoredAny>()?;
                    Value::Array(Vec::new())
                }
                "model" if !self.inside => entries.next_value::<Model>()?.0,
                _ => entries.next_value()?,
            };
            kept.insert(key, value);
        }
        Ok(Value::Object(kept))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_merges_of_the_model_are_left_out() {
        let json = json!({
            "merges": ["kept"],
            "model": {"type": "BPE", "merges": [["a", "b"], ["c", "d"]], "vocab": {"merges": 0, "a": 1}},
            "added_tokens": [{"id": 0, "content": "merges"}]
        });
        let mut expected = json.clone();
        expected["model"]["merges"] = json!([]);
        let read: WithoutMerges = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(read.0, expected);
        for wrong in ["[]", "{\"model\": 3}", "{\"model\": {\"merges\": [}}", "{"] {
            assert!(serde_json::from_str::<WithoutMerges>(wrong).is_err(), "{wrong}");
        }
    }
}
