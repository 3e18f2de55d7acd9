//! SentencePiece BPE out of pieces and scores, which is all that a GGUF file of kind `llama` holds.
//!
//! SentencePiece joins, again and again, the two neighbours whose union is the piece of the highest score.
//! A BPE model with ranked merges does the same when every way to cut a piece in two is a merge, ranked by
//! the score of the whole. (Only the order among several cuts of one piece is lost: SentencePiece takes the
//! leftmost pair. It matters where such pairs overlap, as in runs of one character.)

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer};

use super::gguf::{BYTE, GgufVocabulary, NORMAL};
use super::local::failed;
use crate::error::{Error, Result};

/// SentencePiece's stand-in for a space.
const SPACE: &str = "▁";

pub(super) fn build(vocabulary: &GgufVocabulary, vocab: Vocab, with_merges: bool) -> Result<Tokenizer> {
    let scores = vocabulary.scores.as_deref().ok_or_else(|| {
        Error::Tokenizer(
            "the GGUF file has a SentencePiece vocabulary without tokenizer.ggml.scores; put the model's own \
             tokenizer.json beside the file"
                .to_string(),
        )
    })?;
    let merges = if with_merges { merges(vocabulary, scores, &vocab) } else { Vec::new() };
    let has_bytes = (0..vocabulary.tokens.len()).any(|id| vocabulary.token_type(id) == BYTE);
    let mut bpe = BPE::builder().vocab_and_merges(vocab, merges).byte_fallback(has_bytes).fuse_unk(true);
    if let Some(unk) = vocabulary.token(vocabulary.unk) {
        bpe = bpe.unk_token(unk.to_string());
    }
    let mut tokenizer = Tokenizer::new(bpe.build().map_err(failed)?);

    let prefix = vocabulary.add_space_prefix.unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    if prefix {
        // In front of the text and after every added token, as in llama.cpp and in the tokenizers of Llama 2.
        normalizers.push(Prepend::new(SPACE.to_string()).into());
    }
    normalizers.push(spaces()?.into());
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).map_err(failed)?;
    tokenizer.with_decoder(Some(decoder(prefix)?));
    Ok(tokenizer)
}

/// Puts the stand-in in the place of every space.
pub(super) fn spaces() -> Result<Replace> {
    Replace::new(" ", SPACE).map_err(failed)
}

/// Pieces and bytes to text, without the first space where `prefix` has put one.
pub(super) fn decoder(prefix: bool) -> Result<Decoders> {
    let mut decoders: Vec<DecoderWrapper> = vec![
        Replace::new(SPACE, " ").map_err(failed)?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if prefix {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    Ok(Decoders::new(decoders))
}

/// Every way to cut an ordinary piece into two others, best score first.
fn merges(vocabulary: &GgufVocabulary, scores: &[f32], vocab: &Vocab) -> Vec<(String, String)> {
    let is_piece =
        |part: &str| vocab.get(part).is_some_and(|id| vocabulary.token_type(*id as usize) == NORMAL);
    let mut pieces: Vec<usize> =
        (0..vocabulary.tokens.len()).filter(|id| vocabulary.token_type(*id) == NORMAL).collect();
    // The sort is stable: of equal scores the lower id goes first.
    pieces.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let cuts = |id: usize| {
        let piece = vocabulary.tokens[id].as_str();
        piece.char_indices().skip(1).map(move |(at, _)| piece.split_at(at))
    };
    pieces
        .into_iter()
        .flat_map(cuts)
        .filter(|(left, right)| is_piece(left) && is_piece(right))
        .map(|(left, right)| (left.to_string(), right.to_string()))
        .collect()
}
