//! The tokenizers library with what is known about one of its tokenizers.

use std::collections::BTreeSet;
use std::ops::Range;

use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, OffsetReferential, OffsetType,
    PostProcessorWrapper, PreTokenizedString, PreTokenizer, Tokenizer,
};

use super::Encoded;
use super::facts::{Facts, Kind, Parts};
use crate::error::{Error, Result};
use crate::printable::excerpt;

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

/// Tokens that a byte of text makes, at most: one character of Arabic becomes eighteen when it is taken
/// apart.
const TOKENS_PER_BYTE: usize = 16;

/// A tokenizer in this process.
pub(super) struct Local {
    inner: Tokenizer,
    byte_level: bool,
}

impl Local {
    pub(super) fn new(parts: Parts) -> (Self, Facts) {
        let Parts { mut inner, bos, eos, hash, special_tokens, chat_template, notes } = parts;
        // A post-processor adds tokens and trims spaces off the offsets; both are the caller's business.
        inner.with_post_processor(None::<PostProcessorWrapper>);

        let added = inner.get_added_vocabulary().get_added_tokens_decoder();
        let mut special_ids: BTreeSet<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let added_ids = added.keys().copied().collect();
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
        let kind = match inner.get_model() {
            ModelWrapper::BPE(_) if byte_level => Kind::ByteLevelBpe,
            ModelWrapper::BPE(_) => Kind::Bpe,
            ModelWrapper::WordPiece(_) => Kind::WordPiece,
            ModelWrapper::WordLevel(_) => Kind::WordLevel,
            ModelWrapper::Unigram(_) => Kind::Unigram,
        };
        let facts = Facts {
            kind,
            bos,
            special_ids,
            eos_ids,
            added_ids,
            vocab_size,
            hash,
            special_tokens,
            chat_template,
            notes,
        };
        (Self { inner, byte_level }, facts)
    }

    pub(super) fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self.inner.encode(text, false).map_err(failed)?;
        let ids = encoding.get_ids().to_vec();
        if ids.len() > text.len().saturating_mul(TOKENS_PER_BYTE) {
            return Err(Error::Tokenizer(format!(
                "a text of {} bytes becomes {} tokens, so it is not only cut into tokens; download the file \
                 again",
                text.len(),
                ids.len()
            )));
        }
        let spans = monotone(encoding.get_offsets(), text);
        match self.left_out(text, &spans) {
            None => Ok(Encoded { ids, spans }),
            Some((at, character)) => Err(Error::Tokenizer(format!(
                "the text holds {character:?}, for which the vocabulary has no token, nor one for what it does \
                 not know, so that the model would not see it: {:?}; take it out of the text",
                excerpt(text, at..at + character.len_utf8())
            ))),
        }
    }

    /// The first character that the vocabulary cannot spell, with its byte. The library leaves such
    /// characters out in silence when a BPE names no token for them; of other models it says so itself.
    fn left_out(&self, text: &str, spans: &[Range<usize>]) -> Option<(usize, char)> {
        let ModelWrapper::BPE(bpe) = self.inner.get_model() else { return None };
        if bpe.get_unk_token().is_some() {
            return None;
        }
        // Where a character is left out, the spans of its word are too short by it: the gap is at its end.
        let starts = spans.iter().map(|span| span.start).chain([text.len()]);
        let mut ends = std::iter::once(0).chain(spans.iter().map(|span| span.end));
        if starts.zip(&mut ends).all(|(start, end)| start <= end) {
            return None;
        }
        let mut seen = BTreeSet::new();
        text.char_indices().find(|(_, character)| seen.insert(*character) && self.is_missing(*character))
    }

    /// Whether a character, as the model is given it, is in no way in the vocabulary: normalizers and
    /// pre-tokenizers take some away on purpose, and after some of them the offsets are not exact. Control
    /// characters are passed over: many vocabularies of bytes lack theirs, and no text says anything by them.
    fn is_missing(&self, character: char) -> bool {
        if character.is_control() {
            return false;
        }
        let mut text = NormalizedString::from(character.to_string());
        if self.inner.get_normalizer().is_some_and(|normalizer| normalizer.normalize(&mut text).is_err()) {
            return false;
        }
        let mut text = PreTokenizedString::from(text);
        let pre_tokenizer = self.inner.get_pre_tokenizer();
        if pre_tokenizer.is_some_and(|pre_tokenizer| pre_tokenizer.pre_tokenize(&mut text).is_err()) {
            return false;
        }
        let pieces = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let mut symbols = pieces.iter().flat_map(|(piece, _, _)| piece.chars());
        symbols
            .any(|symbol| self.inner.token_to_id(&symbol.to_string()).is_none() && !self.falls_back(symbol))
    }

    /// Whether a character is spelt by its bytes when it has no token.
    fn falls_back(&self, character: char) -> bool {
        let falls_back = matches!(self.inner.get_model(), ModelWrapper::BPE(bpe) if bpe.byte_fallback);
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).bytes();
        falls_back
            && bytes.map(|byte| format!("<0x{byte:02X}>")).all(|byte| self.inner.token_to_id(&byte).is_some())
    }

    pub(super) fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        // The library leaves unknown ids out in silence.
        for id in ids {
            self.piece(*id)?;
        }
        self.inner.decode(ids, skip_special).map_err(failed)
    }

    /// What one token stands for, for display.
    pub(super) fn token_text(&self, id: u32) -> Result<String> {
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

    fn piece(&self, id: u32) -> Result<String> {
        self.inner
            .id_to_token(id)
            .ok_or_else(|| Error::Tokenizer(format!("id {id} is unknown: the vocabulary has no such token")))
    }
}

/// An error of the tokenizers library.
pub(super) fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer(short(&error.to_string()).to_string())
}

/// The beginning of a message, which may hold a whole file.
pub(super) fn short(message: &str) -> &str {
    const CHARACTERS: usize = 300;
    message.char_indices().nth(CHARACTERS).map_or(message, |(end, _)| &message[..end])
}

/// Offsets as ranges whose starts and ends never decrease, at borders of characters: a normalizer that
/// inserts or reorders characters may report them otherwise.
fn monotone(offsets: &[(usize, usize)], text: &str) -> Vec<Range<usize>> {
    let (mut start, mut end) = (0, 0);
    offsets
        .iter()
        .map(|&(s, e)| {
            start =
                (0..=s.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0).max(start);
            end = (e..text.len())
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(text.len())
                .max(end)
                .max(start);
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
    fn offsets_that_go_back_or_into_a_character_are_repaired() {
        assert_eq!(monotone(&[(0, 0), (3, 5), (1, 4), (9, 7)], "abcdef"), [0..0, 3..5, 3..5, 6..6]);
        assert_eq!(monotone(&[(1, 2), (2, 3)], "é→"), [0..2, 2..5]);
    }

    #[test]
    fn bytes_that_are_no_character_are_shown_as_numbers() {
        assert_eq!(readable(b"a\xE4\xB8"), "a<0xE4><0xB8>");
        assert_eq!(readable("中".as_bytes()), "中");
        assert_eq!(byte_of_piece("<0x0A>"), Some(b'\n'));
        assert_eq!(byte_of_piece("<0xA>"), None);
    }
}
