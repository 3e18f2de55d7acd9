//! A configuration as key-value pairs, read with checks: every error names the file, the key, what was
//! expected and found.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::{files, json};

/// `config.json`, a section of it, or a GGUF's metadata under Hugging Face's names.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    section: String,
    dialect: Dialect,
    values: Map<String, Value>,
    /// Full names of the keys that were asked for, of all clones and sections.
    read: Rc<RefCell<BTreeSet<String>>>,
}

/// Whose rules say what a configuration means where it is silent, and which of its keys count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Those of the configuration classes of transformers.
    Transformers,
    /// Those of llama.cpp, which the translation of a GGUF's metadata has put in.
    LlamaCpp,
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
        Self {
            path: path.to_path_buf(),
            section: String::new(),
            dialect: Dialect::Transformers,
            values,
            read: Rc::default(),
        }
    }

    /// The same under other rules.
    #[must_use]
    pub(super) fn in_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Whose rules it follows.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The part that describes the language model: `text_config` of a checkpoint that sees images as well,
    /// else all of it. The head is tied when either says so, and where the part does not name its family, the
    /// type of the whole gives it.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when `text_config` is no object.
    pub fn text_part(self) -> Result<Self> {
        const TIED: &str = "tie_word_embeddings";
        let Some(mut text) = self.optional_section("text_config")? else { return Ok(self) };
        for key in [TIED, "model_type"] {
            if text.get(key).is_none() {
                text.values.remove(key);
            }
        }
        // Tied when either says so.
        if self.get(TIED) == Some(&Value::Bool(true)) {
            text.values.remove(TIED);
        }
        let tied = self.get(TIED).map(|tied| (TIED, tied.clone()));
        let whole = self.get("model_type").and_then(Value::as_str);
        let family = TEXT_PARTS.iter().find(|(whole_type, _)| Some(*whole_type) == whole);
        let family = family.map(|(_, text_type)| ("model_type", Value::from(*text_type)));
        let defaults: Vec<_> = tied.into_iter().chain(family).collect();
        Ok(text.with_defaults(defaults.iter().map(|(key, value)| (*key, value))))
    }

    /// The same with these values for keys that are not there. A key that is null is there.
    #[must_use]
    pub fn with_defaults<'a>(&self, defaults: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut config = self.clone();
        for (key, value) in defaults {
            if !config.values.contains_key(key) {
                config.values.insert(key.to_string(), value.clone());
            }
        }
        config
    }

    /// The same without the keys that `keep` does not name.
    #[must_use]
    pub fn narrowed(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.values.iter().filter(|(key, _)| keep(key));
        self.of(self.section.clone(), kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Keys that nothing has asked for and that say something: null, false, 0 and what is empty say that a
    /// thing is not in use.
    #[must_use]
    pub fn unread(&self) -> Vec<&str> {
        let read = self.read.borrow();
        let speaks = |value: &Value| match value {
            Value::Null => false,
            Value::Bool(on) => *on,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(items) => !items.is_empty(),
        };
        let unread = self
            .values
            .iter()
            .filter(|(key, value)| !read.contains(&format!("{}{key}", self.section)) && speaks(value));
        unread.map(|(key, _)| key.as_str()).collect()
    }

    /// This section laid over another.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        self.with_defaults(other.values.iter().map(|(key, value)| (key.as_str(), value)))
    }

    /// Whether the key is there, if only as null.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The full name of `key` in messages: the file, and the section it is in.
    #[must_use]
    pub fn name_of(&self, key: &str) -> String {
        format!("{}: {}{key}", self.path.display(), self.section)
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`, if it is there and not null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(format!("{}{key}", self.section));
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// An error about the value of `key`.
    pub fn wrong(&self, key: &str, expected: impl Into<String>, found: impl Display) -> Error {
        Error::invalid(self.name_of(key), found, expected)
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

    /// A count: a whole number from 0 to 2^31.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn count(&self, key: &str) -> Result<usize> {
        const COUNT: &str = "a whole number from 0 to 2^31";
        let count = |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|count| *count <= 1 << 31);
        self.required(key, COUNT, self.optional(key, COUNT, count)?)
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

    /// The first `count` numbers of a list of at least as many.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when they are missing, or fewer.
    pub fn first_numbers(&self, key: &str, count: usize) -> Result<Vec<f32>> {
        let expected = format!("at least {count} numbers");
        let read = |value: &Value| {
            let numbers = value.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).take(count);
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

    /// `true` or `false`, not missing.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is missing or something else.
    pub fn required_flag(&self, key: &str) -> Result<bool> {
        self.required(key, "true or false", self.optional_flag(key)?)
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
        Ok(values.map(|values| self.of(section, values)))
    }

    /// Other values of the same file.
    fn of(&self, section: String, values: Map<String, Value>) -> Self {
        let (path, read) = (self.path.clone(), Rc::clone(&self.read));
        Self { path, section, dialect: self.dialect, values, read }
    }
}

/// Families of the language models in checkpoints of these types, which may leave it out.
const TEXT_PARTS: &[(&str, &str)] = &[
    ("gemma3", "gemma3_text"),
    ("lfm2_vl", "lfm2"),
    ("llama4", "llama4_text"),
    ("llava", "llama"),
    ("mistral3", "mistral"),
    ("qwen2_5_vl", "qwen2_5_vl_text"),
    ("qwen3_5", "qwen3_5_text"),
    ("qwen3_5_moe", "qwen3_5_moe_text"),
    ("qwen3_vl", "qwen3_vl_text"),
];

const SIZE: &str = "a whole number from 1 to 2^31";
