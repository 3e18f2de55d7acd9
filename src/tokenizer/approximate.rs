//! A stand-in for a tokenizer that is not at hand: pieces of a text of as many bytes as a token has in the
//! mean.

use std::collections::BTreeSet;

use super::{Encoded, Tokenize};
use crate::error::{Error, Result};

/// Cuts a text into pieces of `bytes_per_token` bytes, never within a character.
///
/// Piece `i` ends at the first character border at or behind byte `(i + 1) * bytes_per_token`, so that a text
/// of `n` bytes has about `n / bytes_per_token` pieces.
///
/// ```
/// # use niah::tokenizer::{ApproximateTokenizer, Tokenize};
/// let encoded = ApproximateTokenizer::new(2.5).encode("abcdefghij").unwrap();
/// assert_eq!(encoded.spans, [0..3, 3..5, 5..8, 8..10]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ApproximateTokenizer {
    bytes_per_token: f64,
    special: BTreeSet<u32>,
}

impl ApproximateTokenizer {
    /// A tokenizer whose tokens have so many bytes in the mean.
    #[must_use]
    pub fn new(bytes_per_token: f64) -> Self {
        Self { bytes_per_token: bytes_per_token.max(0.01), special: BTreeSet::new() }
    }
}

/// A number for a piece of text: equal for equal pieces (FNV-1a, 32 bits).
fn id(piece: &str) -> u32 {
    piece.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Tokenize for ApproximateTokenizer {
    fn encode(&self, text: &str) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        let (mut start, mut piece) = (0, 1.0);
        while start < text.len() {
            let mut end = ((piece * self.bytes_per_token).ceil() as usize).clamp(start, text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            piece += 1.0;
            if end > start || self.bytes_per_token < 1.0 {
                encoded.ids.push(id(&text[start..end]));
                encoded.spans.push(start..end);
            }
            start = end;
        }
        Ok(encoded)
    }

    /// Ids are no texts here.
    fn decode(&self, _ids: &[u32]) -> Result<String> {
        Err(Error::Tokenizer("tokens of a server whose tokenizer is not at hand have no text".to_string()))
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn bos(&self) -> Option<u32> {
        None
    }

    fn special_ids(&self) -> &BTreeSet<u32> {
        &self.special
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_pieces_as_its_bytes_say_and_they_cover_it() {
        let text = "naïve 漢字 text with words ".repeat(50);
        for bytes_per_token in [1.0, 3.7, 4.0, 12.5] {
            let encoded = ApproximateTokenizer::new(bytes_per_token).encode(&text).unwrap();
            let expected = text.len() as f64 / bytes_per_token;
            let off = (encoded.ids.len() as f64 - expected).abs();
            // A character of three bytes is never cut, so of tokens of one byte there are fewer.
            assert!(
                off <= 1.0 || bytes_per_token < 3.0,
                "{bytes_per_token}: {} of {expected}",
                encoded.ids.len()
            );
            assert_eq!(encoded.spans.iter().map(|span| &text[span.clone()]).collect::<String>(), text);
        }
        let long = ApproximateTokenizer::new(4.0);
        assert_eq!(long.encode("").unwrap(), Encoded::default());
        assert_ne!(long.encode("abcd").unwrap().ids, long.encode("abce").unwrap().ids);
    }
}
