//! A tokenizer without its merges: what it is, not what it makes of a text.
//!
//! Half a million merges take seconds to read and check, and none of what is told here depends on them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer};

use super::huggingface::{MOST_BYTES, MOST_VALUES, ReadFile, broken, unusable};
use super::{ChatTemplate, GgufVocabulary, TextTokenizer, Tokenize, checks};
use crate::error::{Error, Result};
use crate::{files, json};

/// The outline of a tokenizer. It has no way to encode a text.
#[derive(Debug)]
pub struct TokenizerOutline(TextTokenizer);

impl TokenizerOutline {
    /// Reads the outline of a model directory's tokenizer.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::from_directory`], but for merges that are wrong.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        Self::from_files(directory, &|name| files::read(&directory.join(name), MOST_BYTES))
    }

    /// The outline of [`TextTokenizer::from_files`].
    ///
    /// # Errors
    /// Those of [`Self::from_directory`].
    pub fn from_files(directory: &Path, read: &ReadFile) -> Result<Self> {
        let build = |path: &Path, bytes: &[u8]| {
            let parts: Parts = json::parse(bytes, MOST_VALUES).map_err(|error| broken(path, &error))?;
            let parts = parts.checked().map_err(|problem| Error::file(path, problem))?;
            parts.build().map_err(|error| unusable(path, &error.to_string()))
        };
        TextTokenizer::read_files(directory, read, build).map(Self)
    }

    /// The outline of a GGUF file's tokenizer.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::from_gguf`], but for merges that are wrong.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        TextTokenizer::build_gguf(vocabulary, false).map(Self)
    }

    pub(super) fn new(tokenizer: TextTokenizer) -> Self {
        Self(tokenizer)
    }

    pub(super) fn into_inner(self) -> TextTokenizer {
        self.0
    }

    /// [`TextTokenizer::limit_to`].
    ///
    /// # Errors
    /// Those of [`TextTokenizer::limit_to`].
    pub fn limit_to(&mut self, rows: usize) -> Result<()> {
        self.0.limit_to(rows)
    }

    /// [`TextTokenizer::notes`].
    #[must_use]
    pub fn notes(&self) -> &[String] {
        self.0.notes()
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

/// A `tokenizer.json` in which a model's merges and words stand aside.
struct Parts {
    /// All but the words, and without merges.
    json: Map<String, Value>,
    /// `model.vocab`, when it is a map of words to ids.
    words: Option<Vocab>,
}

impl Parts {
    /// The same, unless the library cannot be trusted with it.
    fn checked(self) -> Result<Self, String> {
        let json = Value::Object(self.json);
        checks::settings(&json)?;
        match json {
            Value::Object(json) => Ok(Self { json, ..self }),
            _ => Err("not an object".to_string()),
        }
    }

    /// The tokenizer, its model without merges. Byte-pair models, the large ones, get their words as they
    /// are; the library would copy them four times.
    fn build(mut self) -> Result<Tokenizer, Box<dyn std::error::Error + Send + Sync>> {
        let model = self.json.get_mut("model").and_then(Value::as_object_mut);
        let (Some(words), Some(model)) = (self.words, model) else {
            return Ok(serde_json::from_value(Value::Object(self.json))?);
        };
        if model.get("type").is_none_or(|kind| kind != "BPE") {
            model.insert("vocab".to_string(), words.into_iter().collect());
            return Ok(serde_json::from_value(Value::Object(self.json))?);
        }
        model.insert("vocab".to_string(), Value::Object(Map::new()));
        let mut bpe = BPE::builder().vocab_and_merges(words, Vec::new());
        if let Some(unknown) = model.get("unk_token").and_then(Value::as_str) {
            bpe = bpe.unk_token(unknown.to_string());
        }
        // Added tokens find their ids in the words, so they come after them.
        let added = self.json.insert("added_tokens".to_string(), Value::Array(Vec::new()));
        let mut tokenizer: Tokenizer = serde_json::from_value(Value::Object(self.json))?;
        tokenizer.with_model(bpe.build()?);
        tokenizer.add_tokens(
            added.map(serde_json::from_value::<Vec<AddedToken>>).transpose()?.unwrap_or_default(),
        )?;
        Ok(tokenizer)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tokenizer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parts, A::Error> {
        let mut parts = Parts { json: Map::new(), words: None };
        while let Some(key) = entries.next_key::<String>()? {
            let value = match key.as_str() {
                "model" => {
                    let model: Model = entries.next_value()?;
                    parts.words = model.words;
                    Value::Object(model.json)
                }
                _ => entries.next_value()?,
            };
            parts.json.insert(key, value);
        }
        Ok(parts)
    }
}

/// The `model` of a `tokenizer.json`.
struct Model {
    json: Map<String, Value>,
    words: Option<Vocab>,
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelVisitor)
    }
}

struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = Model;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model with its vocabulary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Model, A::Error> {
        let mut model = Model { json: Map::new(), words: None };
        while let Some(key) = entries.next_key::<String>()? {
            let value = match key.as_str() {
                "merges" => {
                    entries.next_value::<IgnoredAny>()?;
                    Value::Array(Vec::new())
                }
                "vocab" => match entries.next_value()? {
                    Vocabulary::Words(words) => {
                        model.words = Some(words);
                        Value::Null
                    }
                    Vocabulary::Other(value) => value,
                },
                _ => entries.next_value()?,
            };
            model.json.insert(key, value);
        }
        Ok(model)
    }
}

/// A vocabulary: words with their ids, or what a Unigram model has.
enum Vocabulary {
    Words(Vocab),
    Other(Value),
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

struct VocabularyVisitor;

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("words with their ids, or a list of pieces")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Vocabulary, A::Error> {
        let mut words = Vocab::default();
        while let Some((word, id)) = entries.next_entry::<String, u32>()? {
            words.insert(word, id);
        }
        Ok(Vocabulary::Words(words))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vocabulary, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Vocabulary::Other(Value::Array(list)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A byte-level model with words, merges, added tokens inside and beyond the words, and BOS.
    fn byte_pairs() -> Value {
        let added = |id: u32, content: &str, special: bool| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special
            })
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [added(3, "<s>", true), added(5, "<|im_end|>", true), added(6, "tool", false)],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3, "merges": 4},
                "merges": ["a b"]
            }
        })
    }

    /// A model of whole words, which has no merges.
    fn whole_words() -> Value {
        let mut json = byte_pairs();
        json["model"] = json!({"type": "WordLevel", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3, "?": 4}, "unk_token": "?"});
        json
    }

    /// Pieces with scores in the place of words with ids.
    fn pieces() -> Value {
        let mut json = byte_pairs();
        let vocab = json!([["?", 0.0], ["a", -1.0], ["b", -2.0], ["<s>", 0.0], ["ab", -3.0]]);
        json["model"] = json!({"type": "Unigram", "vocab": vocab, "unk_id": 0, "byte_fallback": false});
        json
    }

    fn directory(tokenizer: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let beside =
            json!({"added_tokens_decoder": {"7": {"content": "<late>", "special": true}}, "eos_token": "b"});
        for (name, text) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", &beside.to_string())] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn assert_outlines(outline: &TokenizerOutline, whole: &TextTokenizer) {
        assert_eq!(
            (outline.kind(), outline.vocab_size(), outline.bos()),
            (whole.kind(), whole.vocab_size(), whole.bos())
        );
        assert_eq!((outline.special_ids(), outline.eos_ids()), (whole.special_ids(), whole.eos_ids()));
        for id in 0..whole.vocab_size() as u32 {
            assert_eq!(outline.token_text(id).ok(), whole.token_text(id).ok(), "{id}");
        }
    }

    #[test]
    fn an_outline_says_what_the_whole_tokenizer_says() {
        for (json, kind) in
            [(byte_pairs(), "byte-level BPE"), (whole_words(), "WordLevel"), (pieces(), "Unigram")]
        {
            let mut reversed = Map::new();
            json.as_object().unwrap().iter().rev().for_each(|(key, value)| {
                reversed.insert(key.clone(), value.clone());
            });
            for text in [json.to_string(), Value::Object(reversed).to_string()] {
                let place = directory(&text);
                let whole = TextTokenizer::from_directory(place.path()).unwrap();
                let outline = TokenizerOutline::from_directory(place.path()).unwrap();
                assert_eq!(outline.kind(), kind);
                assert_outlines(&outline, &whole);
            }
        }
        let place = directory(&byte_pairs().to_string());
        let outline = TokenizerOutline::from_directory(place.path()).unwrap();
        assert_eq!((outline.vocab_size(), outline.bos()), (8, Some(3)));
        assert_eq!(outline.eos_ids(), &BTreeSet::from([1, 5]));
    }

    #[test]
    fn an_outline_of_a_gguf_vocabulary_says_what_the_whole_tokenizer_says() {
        let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        for (model, pre) in [("gpt2", Some("smollm".to_string())), ("llama", None)] {
            let vocabulary = GgufVocabulary {
                model: model.to_string(),
                pre,
                tokens: strings(&["a", "b", "ab", "<|im_end|>", "?"]),
                token_types: Some(vec![1, 1, 1, 3, 2]),
                scores: Some(vec![0.0; 5]),
                merges: strings(&["a b"]),
                eos: Some(3),
                unk: Some(4),
                add_bos: Some(false),
                ..GgufVocabulary::default()
            };
            let whole = TextTokenizer::from_gguf(&vocabulary).unwrap();
            assert_outlines(&TokenizerOutline::from_gguf(&vocabulary).unwrap(), &whole);
        }
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let whole = byte_pairs().to_string();
        for (text, expected) in [
            ("[]", "broken JSON"),
            ("{", "broken JSON"),
            (&whole[..200], "broken JSON"),
            (&whole.replace("\"ab\":2", "\"ab\":-2"), "broken JSON"),
            (r#"{"model": 3}"#, "broken JSON"),
            ("{}", "not a tokenizer"),
            (r#"{"version": "1.0", "model": {}}"#, "not a tokenizer"),
            (&whole.replace("ByteLevel", "Mystery"), "not a tokenizer"),
            (&whole.replace("\"special\":false", "\"special\":3"), "not a tokenizer"),
        ] {
            let message = TokenizerOutline::from_directory(directory(text).path()).unwrap_err().to_string();
            assert!(message.contains("tokenizer.json") && message.contains(expected), "{text}: {message}");
        }
    }
}
