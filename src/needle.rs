//! A needle: the sentence hidden in a haystack, and the part of it that is asked for.

use std::ops::Range;

use crate::error::Error;
use crate::standing::{is_contained, occurrences};

/// A sentence to hide, with the byte range of the value that the question asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    text: String,
    value: Range<usize>,
}

impl Needle {
    /// A needle in whose `text` `value` stands free ([`crate::standing`]), as it must in an answer to count.
    /// Where it does so several times, the first place is the value's.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the value is blank, or stands nowhere in the text but as a part of
    /// something longer.
    pub fn new(text: impl Into<String>, value: &str) -> Result<Self, Error> {
        let text = text.into();
        if let Some(place) = occurrences(&text, value).into_iter().next() {
            return Ok(Self { value: place, text });
        }
        let expected = match is_contained(&text, value) {
            false => format!("text that occurs in the needle {text:?}"),
            true => format!(
                "text that stands free in the needle {text:?}, where it is a part of a longer word or \
                 number: take all of that as the answer, or put a space or a mark between them"
            ),
        };
        Err(Error::invalid("answer", format!("{value:?}"), expected))
    }

    /// A needle all of which is its value, outer white space apart.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it is blank.
    pub fn whole(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let start = text.len() - text.trim_start().len();
        match text.trim().len() {
            0 => Err(Error::invalid("needle", "nothing", "a text to hide")),
            length => Ok(Self { value: start..start + length, text }),
        }
    }

    /// The whole sentence as it is inserted, white space of its own included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value that is asked for, as the text has it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_where_it_stands_free_and_the_first_of_several_such_places() {
        for (text, value, place) in [
            ("In 1234 the code was 12.", "12", 21..23),
            ("Fred says the secret is red.", "red", 24..27),
            (" The pass key is 7. Remember it. 7 is the pass key.", "7", 17..18),
            ("It was 5.5 once, -5 then and 5 now.", "5", 29..30),
            ("The number is 7,743,219.", "7743219", 14..23),
            ("\u{79D8}\u{5BC6}7743219\u{3002}", "7743219", 6..13),
        ] {
            let needle = Needle::new(text, value).unwrap();
            assert_eq!(needle.value_range(), place, "{text}");
            assert_eq!(needle.value(), &text[place], "{text}");
        }
    }

    #[test]
    fn a_value_that_stands_free_nowhere_is_refused_with_the_way_out() {
        for (text, value, words) in [
            ("She preferred it.", "red", "a part of a longer word or number"),
            ("In 1956 it was.", "5", "a part of a longer word or number"),
            ("In 1956 it was.", "7", "text that occurs in the needle"),
            ("In 1956 it was.", " ", "text that occurs in the needle"),
        ] {
            let message = Needle::new(text, value).unwrap_err().to_string();
            assert!(message.starts_with("answer: found ") && message.contains(words), "{message}");
        }
    }
}
