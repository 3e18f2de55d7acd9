//! Values of a neighbour's object, checked: each error names the file, the place in it, the key, and what was
//! found and expected.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::grid::LONGEST;
use crate::printable;

/// An object in a file.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    path: &'a Path,
    /// Where it stands, such as `line 3`.
    place: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// [`Error::File`] when the value is no object.
    pub(super) fn of(path: &'a Path, place: &'a str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(object) => Ok(Self { path, place, object }),
            other => Err(wrong(path, place, "it", other, "an object")),
        }
    }

    /// What is wrong with the value of a key.
    pub(super) fn wrong(&self, key: &str, expected: &str) -> Error {
        let nothing = Value::String("nothing".to_string());
        wrong(self.path, self.place, key, self.object.get(key).unwrap_or(&nothing), expected)
    }

    /// The value of a key; none where it is missing or `null`.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.object.iter()
    }

    /// The object of a key.
    pub(super) fn object(&self, key: &'a str) -> Result<Option<Fields<'a>>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { object, ..*self })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    /// A text, or a number in its digits.
    pub(super) fn name(&self, key: &str) -> Result<Option<String>> {
        match self.value(key) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => self.text(key),
        }
    }

    /// One text, or several.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => {
                let texts: Option<Vec<String>> = values.iter().map(text).collect();
                texts.ok_or_else(|| self.wrong(key, "texts"))
            }
            Some(one) => Ok(vec![text(one).ok_or_else(|| self.wrong(key, "a text, or several"))?]),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(key, "a number")),
            },
        }
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let number = self.number(key)?;
        let whole = |number: f64| number >= 0.0 && number.fract() == 0.0 && number < 9e15;
        match number {
            None => Ok(None),
            Some(number) if whole(number) => Ok(Some(number as usize)),
            Some(_) => Err(self.wrong(key, "a whole number that is not negative")),
        }
    }

    /// A length in tokens; none where it is missing, also as -1.
    pub(super) fn length(&self, key: &str) -> Result<Option<usize>> {
        if self.number(key)? == Some(-1.0) {
            return Ok(None);
        }
        match self.count(key)? {
            Some(length) if length == 0 || length > LONGEST => {
                Err(self.wrong(key, &format!("a length of 1 to {LONGEST} tokens")))
            }
            length => Ok(length),
        }
    }

    /// How many tokens were counted; none where it is missing, also as -1.
    pub(super) fn tokens(&self, key: &str) -> Result<Option<usize>> {
        if self.number(key)? == Some(-1.0) { Ok(None) } else { self.count(key) }
    }

    /// What must be there.
    ///
    /// # Errors
    /// [`Error::File`] naming the key where it is not.
    pub(super) fn needed<T>(&self, key: &str, value: Option<T>, expected: &str) -> Result<T> {
        value.ok_or_else(|| self.wrong(key, expected))
    }

    /// What a row of ours has there beside what the neighbour knows.
    pub(super) fn ours(&self) -> Result<super::Ours> {
        match self.value("niah") {
            None => Ok(super::Ours::default()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|error| {
                Error::file(self.path, format!("{}: niah: {error}; leave the key out", self.place))
            }),
        }
    }
}

/// The error of a value, with a remedy.
pub(super) fn wrong(path: &Path, place: &str, key: &str, found: &Value, expected: &str) -> Error {
    let found = match found {
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
        other => other.to_string(),
    };
    let found = printable::shortened(&found);
    Error::file(
        path,
        format!("{place}: {key}: found {found}, expected {expected}; mend the file, or leave it out"),
    )
}
