//! The tokenizer that commands use, wherever it was read from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use tokenizers::{DecoderWrapper, ModelWrapper, PostProcessorWrapper, Tokenizer};

use super::{ChatTemplate, Encoded, Tokenize};
use crate::error::{Error, Result};

/// Control tokens that end an assistant's turn, in the chat formats of the supported families. They stop
/// generation when the vocabulary has them, because many checkpoints name only their end of text.
const END_OF_TURN: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|endoftext|>",
    "<|end_of_text|>",
];

/// A tokenizer with what is known about its special tokens, and the model's chat template.
pub struct TextTokenizer {
    inner: Tokenizer,
    bos: Option<u32>,
    special_ids: BTreeSet<u32>,
    eos_ids: BTreeSet<u32>,
    vocab_size: usize,
    byte_level: bool,
    hash: String,
    special_tokens: BTreeMap<String, String>,
    chat_template: Option<String>,
}

/// What the two sources, a directory and a GGUF file, each find out.
pub(super) struct Parts {
    pub(super) inner: Tokenizer,
    pub(super) bos: Option<u32>,
    pub(super) eos: BTreeSet<u32>,
    /// SHA-256 of what defines the token ids.
    pub(super) hash: String,
    /// `bos_token`, `eos_token` and so on, as a chat template names them.
    pub(super) special_tokens: BTreeMap<String, String>,
    pub(super) chat_template: Option<String>,
}

impl TextTokenizer {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { mut inner, bos, eos, hash, special_tokens, chat_template } = parts;
        // A post-processor adds tokens and trims spaces off the offsets; both are the caller's business.
        inner.with_post_processor(None::<PostProcessorWrapper>);

        let added = inner.get_added_vocabulary().get_added_tokens_decoder();
        let mut special_ids: BTreeSet<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let mut eos_ids: BTreeSet<u32> =
            eos.into_iter().filter(|id| inner.id_to_token(*id).is_some()).collect();
        eos_ids.extend(
            END_OF_TURN
                .iter()
                .filter_map(|marker| inner.token_to_id(marker))
                .filter(|id| special_ids.contains(id)),
        );
        special_ids.extend(bos);
        special_ids.extend(&eos_ids);

        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |last| *last as usize + 1);
        let byte_level = inner.get_decoder().is_some_and(is_byte_level);
        Self { inner, bos, special_ids, eos_ids, vocab_size, byte_level, hash, special_tokens, chat_template }
    }

    /// How it makes tokens.
    pub(super) fn kind(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) if self.byte_level => "byte-level BPE",
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// One more than the largest id, added tokens included: the rows an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Ids after which a response has ended.
    pub fn eos_ids(&self) -> &BTreeSet<u32> {
        &self.eos_ids
    }

    /// SHA-256, in hexadecimal, of what defines the token ids: the bytes of `tokenizer.json`, or the
    /// vocabulary of the GGUF file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The model's chat template, or `None` for a model without one: its prompts are plain text to complete.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template cannot be parsed.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        self.chat_template
            .as_deref()
            .map(|source| ChatTemplate::new(source, self.special_tokens.clone()))
            .transpose()
    }

    /// The template's source, parsed or not.
    pub(super) fn chat_template_source(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    fn piece(&self, id: u32) -> Result<String> {
        self.inner.id_to_token(id).ok_or_else(|| {
            Error::Tokenizer(format!("id {id} is unknown; the vocabulary has {} ids", self.vocab_size))
        })
    }

    fn decode_with(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        // The library leaves unknown ids out in silence.
        for id in ids {
            self.piece(*id)?;
        }
        self.inner.decode(ids, skip_special).map_err(failed)
    }
}

impl Tokenize for TextTokenizer {
    fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self.inner.encode(text, false).map_err(failed)?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), spans: monotone(encoding.get_offsets(), text.len()) })
    }

    fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decode_with(ids, false)
    }

    fn decode_plain(&self, ids: &[u32]) -> Result<String> {
        self.decode_with(ids, true)
    }

    fn token_text(&self, id: u32) -> Result<String> {
        let piece = self.piece(id)?;
        if self.inner.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id) {
            return Ok(piece);
        }
        if self.byte_level {
            let bytes: Option<Vec<u8>> = piece.chars().map(byte_of_char).collect();
            return Ok(bytes.map_or(piece, |bytes| readable(&bytes)));
        }
        Ok(byte_of_piece(&piece).map_or_else(|| piece.replace('▁', " "), |byte| readable(&[byte])))
    }

    fn bos(&self) -> Option<u32> {
        self.bos
    }

    fn special_ids(&self) -> &BTreeSet<u32> {
        &self.special_ids
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.vocab_size)
            .field("bos", &self.bos)
            .field("eos_ids", &self.eos_ids)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// An error of the tokenizers library.
pub(super) fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

/// Offsets as ranges whose starts and ends never decrease: a normalizer that inserts or reorders characters
/// may report them otherwise.
fn monotone(offsets: &[(usize, usize)], len: usize) -> Vec<Range<usize>> {
    let (mut start, mut end) = (0, 0);
    offsets
        .iter()
        .map(|&(s, e)| {
            start = s.min(len).max(start);
            end = e.min(len).max(end).max(start);
            start..end
        })
        .collect()
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(steps) => steps.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

/// The byte that a character stands for in GPT-2's alphabet: a printable byte is the character of the same
/// number, and the 68 others are, in order, the characters from U+0100.
fn byte_of_char(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The byte of a SentencePiece byte token such as `<0x0A>`.
fn byte_of_piece(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")));
    }
    text
}

#[cfg(test)]
mod tests {
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn every_byte_has_one_character_of_the_byte_level_alphabet() {
        let bytes: BTreeSet<u8> = ByteLevel::alphabet().into_iter().filter_map(byte_of_char).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(byte_of_char('Ġ'), Some(b' '));
        assert_eq!(byte_of_char('Ċ'), Some(b'\n'));
        assert_eq!(byte_of_char('中'), None);
    }

    #[test]
    fn offsets_that_go_back_are_repaired() {
        assert_eq!(monotone(&[(0, 0), (3, 5), (1, 4), (9, 7)], 6), [0..0, 3..5, 3..5, 6..6]);
    }

    #[test]
    fn bytes_that_are_no_character_are_shown_as_numbers() {
        assert_eq!(readable(b"a\xE4\xB8"), "a<0xE4><0xB8>");
        assert_eq!(readable("中".as_bytes()), "中");
        assert_eq!(byte_of_piece("<0x0A>"), Some(b'\n'));
        assert_eq!(byte_of_piece("<0xA>"), None);
    }
}
