//! A needle: the sentence hidden in a haystack, and the part of it that is asked for.

use std::ops::Range;

use crate::error::Error;

/// A sentence to hide, with the byte range of the value that the question asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    text: String,
    value: Range<usize>,
}

impl Needle {
    /// A needle whose `value` occurs in its `text`; the first occurrence counts.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the value is empty or does not occur in the text.
    pub fn new(text: impl Into<String>, value: &str) -> Result<Self, Error> {
        let text = text.into();
        match text.find(value) {
            Some(start) if !value.is_empty() => Ok(Self { value: start..start + value.len(), text }),
            _ => Err(Error::invalid("--answer", format!("{value:?}"), "text that occurs in the needle")),
        }
    }

    /// The whole sentence as it is inserted, white space of its own included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value that is asked for.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.text[self.value.clone()]
    }

    /// The bytes of [`Self::text`] that hold the value.
    #[must_use]
    pub fn value_range(&self) -> Range<usize> {
        self.value.clone()
    }
}
