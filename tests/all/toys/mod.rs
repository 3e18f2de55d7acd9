//! Toy tokenizers that differ in everything prompt building must not depend on.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Mutex;

use niah::error::{Error, Result};
use niah::tokenizer::{Encoded, Tokenize};

/// Control tokens of every toy; the first is its BOS when it has one.
pub(crate) const SPECIAL: [&str; 4] = ["<s>", "</s>", "<|user|>", "<|assistant|>"];

/// Ids of single bytes follow those of the control tokens.
const BYTES: u32 = SPECIAL.len() as u32;

/// A tokenizer that cuts plain text with a rule of its own.
pub(crate) struct Toy {
    pub(crate) name: &'static str,
    pub(crate) bos: Option<u32>,
    split: fn(&str) -> Vec<Range<usize>>,
    /// Characters beyond ASCII are one token a byte.
    splits_characters: bool,
    special: BTreeSet<u32>,
    vocabulary: Mutex<HashMap<u32, Vec<u8>>>,
}

/// A token a byte, BOS in front.
pub(crate) fn bytes() -> Toy {
    toy("bytes", Some(0), |text| (0..text.len()).map(|at| at..at + 1).collect(), true)
}

/// A token a word with the space before it, a mark, or a run of line breaks.
pub(crate) fn words() -> Toy {
    toy("words", None, |text| split_words(text, false), false)
}

/// Pieces of words; `.` and the line breaks after it are one token, a space before a digit is a token of its
/// own, and characters beyond ASCII are several tokens.
pub(crate) fn merging() -> Toy {
    toy("merging", Some(0), |text| split_words(text, true), true)
}

pub(crate) fn all() -> [Toy; 3] {
    [bytes(), words(), merging()]
}

fn toy(name: &'static str, bos: Option<u32>, split: fn(&str) -> Vec<Range<usize>>, chars: bool) -> Toy {
    let singles = (0..=u8::MAX).map(|byte| (BYTES + u32::from(byte), vec![byte]));
    let special = SPECIAL.iter().zip(0..).map(|(text, id)| (id, text.as_bytes().to_vec()));
    let vocabulary = Mutex::new(singles.chain(special).collect());
    Toy { name, bos, split, splits_characters: chars, special: (0..BYTES).collect(), vocabulary }
}

fn split_words(text: &str, merging: bool) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some(first) = text[from..].chars().next() {
        let rest = &text[from..];
        let after_space = rest.strip_prefix(' ').unwrap_or(rest);
        let lead = rest.len() - after_space.len();
        let next = after_space.chars().next();
        let length = match next {
            Some(c) if lead == 1 && merging && c.is_ascii_digit() => 1,
            Some(c) if c.is_alphanumeric() => {
                let word = after_space.find(|c: char| !c.is_alphanumeric()).unwrap_or(after_space.len());
                let limit = if merging { 3 } else { word };
                lead + (0..=word.min(limit))
                    .rev()
                    .find(|&n| n > 0 && after_space.is_char_boundary(n))
                    .unwrap_or(word)
            }
            Some('.') if merging => lead + 1 + after_space[1..].bytes().take_while(|&b| b == b'\n').count(),
            _ if first == '\n' => rest.bytes().take_while(|&b| b == b'\n').count(),
            Some(c) if !c.is_whitespace() => lead + c.len_utf8(),
            _ => first.len_utf8(),
        };
        spans.push(from..from + length);
        from += length;
    }
    spans
}

impl Toy {
    fn plain(&self, text: &str, base: usize, out: &mut Encoded) {
        for piece in (self.split)(text) {
            let bytes = &text.as_bytes()[piece.clone()];
            if bytes.len() == 1 || (self.splits_characters && !bytes.is_ascii()) {
                for at in piece {
                    let start = (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap();
                    let end = (at + 1..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap();
                    out.ids.push(BYTES + u32::from(text.as_bytes()[at]));
                    out.spans.push(base + start..base + end);
                }
                continue;
            }
            let hash = |h: u32, &b: &u8| (h ^ u32::from(b)).wrapping_mul(0x0100_0193);
            let mut id = bytes.iter().fold(0x811C_9DC5_u32, hash) | 1 << 31;
            let mut vocabulary = self.vocabulary.lock().unwrap();
            // Another piece may have the same hash: of tens of thousands two do.
            while vocabulary.get(&id).is_some_and(|known| known != bytes) {
                id = id.wrapping_add(1) | 1 << 31;
            }
            vocabulary.insert(id, bytes.to_vec());
            drop(vocabulary);
            out.ids.push(id);
            out.spans.push(base + piece.start..base + piece.end);
        }
    }
}

impl Tokenize for Toy {
    fn encode(&self, text: &str) -> Result<Encoded> {
        let mut out = Encoded::default();
        let mut from = 0;
        while from < text.len() {
            let next = SPECIAL
                .iter()
                .zip(0..)
                .filter_map(|(s, id)| Some((from + text[from..].find(s)?, id, s.len())))
                .min();
            let (at, special) = next.map_or((text.len(), None), |(at, id, len)| (at, Some((id, len))));
            self.plain(&text[from..at], from, &mut out);
            from = at;
            if let Some((id, len)) = special {
                out.ids.push(id);
                out.spans.push(at..at + len);
                from += len;
            }
        }
        Ok(out)
    }

    fn decode(&self, ids: &[u32]) -> Result<String> {
        let vocabulary = self.vocabulary.lock().unwrap();
        let mut bytes = Vec::new();
        for id in ids {
            bytes.extend(vocabulary.get(id).ok_or_else(|| Error::Tokenizer(format!("unknown id {id}")))?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bos(&self) -> Option<u32> {
        self.bos
    }

    fn special_ids(&self) -> &BTreeSet<u32> {
        &self.special
    }
}
