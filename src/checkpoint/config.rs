//! A configuration as key-value pairs, read with checks: every error names the file, the key, what was expected and found.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::{files, json};

/// `config.json`, a section of it, or a GGUF's metadata under Hugging Face's names.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    section: String,
    values: Map<String, Value>,
}

impl Config {
    /// Reads a JSON file that holds an object.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, unreadable or not JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path, json::MOST_BYTES).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::file(
                path,
                "not found; a checkpoint directory holds config.json, tokenizer.json and weights",
            ),
            _ => Error::file(path, files::problem(&error)),
        })?;
        Self::parse(path, &bytes)
    }

    /// Reads the bytes of such a file; `path` stands for it in messages.
    ///
    /// # Errors
    /// [`Error::File`] when they are not JSON, or hold no object.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        match json::parse(bytes, json::MOST_VALUES) {
            Ok(Value::Object(values)) => Ok(Self::new(path, values)),
            Ok(_) => Err(Error::file(
                path,
                "expected a JSON object, found something else; download the file again",
            )),
            Err(error) => Err(Error::file(path, format!("broken JSON ({error}); download the file again"))),
        }
    }

    /// A configuration from values that were read from `path`.
    #[must_use]
    pub fn new(path: &Path, values: Map<String, Value>) -> Self {
        Self { path: path.to_path_buf(), section: String::new(), values }
    }

    /// The part that describes the language model: `text_config` of a checkpoint that sees images as well, else all of it. Where the
    /// part does not say so itself, the whole says whether the head is tied, and its type gives the family.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when `text_config` is no object.
    pub fn text_part(self) -> Result<Self> {
        let Some(text) = self.optional_section("text_config")? else { return Ok(self) };
        let tie = self.get("tie_word_embeddings").map(|tie| ("tie_word_embeddings", tie.clone()));
        let whole = self.get("model_type").and_then(Value::as_str);
        let family = TEXT_PARTS.iter().find(|(whole_type, _)| Some(*whole_type) == whole);
        let family = family.map(|(_, text_type)| ("model_type", Value::from(*text_type)));
        Ok(text.with_defaults(tie.into_iter().chain(family)))
    }

    /// The same with these values for keys that are missing.
    #[must_use]
    pub fn with_defaults(&self, defaults: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut config = self.clone();
        for (key, value) in defaults {
            if config.get(key).is_none() {
                config.values.insert(key.to_string(), value);
            }
        }
        config
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`, if it is there and not null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// An error about the value of `key`.
    pub fn wrong(&self, key: &str, expected: impl Into<String>, found: impl Display) -> Error {
        Error::invalid(format!("{}: {}{key}", self.path.display(), self.section), found, expected)
    }

    fn required<T>(&self, key: &str, expected: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.wrong(key, expected, "nothing"))
    }

    fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong(key, expected, value)),
        }
    }

    /// A size: a whole number from 1 to 2^31, so that the product of two is in range.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn size(&self, key: &str) -> Result<usize> {
        self.required(key, SIZE, self.optional_size(key)?)
    }

    /// Like [`Self::size`], but may be missing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        self.optional(key, SIZE, |value| {
            let whole =
                value.as_u64().or_else(|| value.as_f64().filter(|x| x.fract() == 0.0).map(|x| x as u64))?;
            usize::try_from(whole).ok().filter(|size| (1..=1usize << 31).contains(size))
        })
    }

    /// A finite number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.required(key, "a number", self.optional_number(key)?)
    }

    /// Like [`Self::number`], but may be missing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.optional(key, "a number", Value::as_f64)
    }

    /// A number above 0.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn positive(&self, key: &str) -> Result<f64> {
        self.required(key, "a number above 0", self.optional_positive(key)?)
    }

    /// Like [`Self::positive`], but may be missing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_positive(&self, key: &str) -> Result<Option<f64>> {
        self.optional(key, "a number above 0", |value| value.as_f64().filter(|x| *x > 0.0))
    }

    /// Exactly `count` numbers.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when they are missing, or fewer or more.
    pub fn numbers(&self, key: &str, count: usize) -> Result<Vec<f32>> {
        let expected = format!("{count} numbers");
        let read = |value: &Value| {
            let numbers = value.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32));
            numbers.collect::<Option<Vec<_>>>().filter(|numbers| numbers.len() == count)
        };
        self.required(key, &expected, self.optional(key, &expected, read)?)
    }

    /// A list of strings, or nothing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.optional(key, "a list of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_string)).collect()
        })
    }

    /// A list of indices, each less than `end`, or nothing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_indices(&self, key: &str, end: usize) -> Result<Option<Vec<usize>>> {
        self.optional(key, &format!("a list of whole numbers below {end}"), |value| {
            let index = |item: &Value| usize::try_from(item.as_u64()?).ok().filter(|index| *index < end);
            value.as_array()?.iter().map(index).collect()
        })
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn string(&self, key: &str) -> Result<String> {
        self.required(key, "a string", self.optional_string(key)?)
    }

    /// Like [`Self::string`], but may be missing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_string(&self, key: &str) -> Result<Option<String>> {
        self.optional(key, "a string", |value| value.as_str().map(str::to_string))
    }

    /// `true` or `false`; missing is `false`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn flag(&self, key: &str) -> Result<bool> {
        Ok(self.optional_flag(key)?.unwrap_or(false))
    }

    /// `true` or `false`, or nothing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>> {
        self.optional(key, "true or false", Value::as_bool)
    }

    /// The object under `key`, when there is one.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is something else.
    pub fn optional_section(&self, key: &str) -> Result<Option<Self>> {
        let values = self.optional(key, "an object", |value| value.as_object().cloned())?;
        let section = format!("{}{key}.", self.section);
        Ok(values.map(|values| Self { path: self.path.clone(), section, values }))
    }
}

/// Families of the language models in checkpoints of these types, which may leave it out.
const TEXT_PARTS: &[(&str, &str)] = &[
    ("gemma3", "gemma3_text"),
    ("llama4", "llama4_text"),
    ("llava", "llama"),
    ("mistral3", "mistral"),
    ("qwen2_5_vl", "qwen2_5_vl_text"),
    ("qwen3_vl", "qwen3_vl_text"),
];

const SIZE: &str = "a whole number from 1 to 2^31";
