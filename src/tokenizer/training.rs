//! A small tokenizer of one's own: byte-level BPE (arXiv 1508.07909) with every digit a token, as a
//! `tokenizer.json`.

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::local::failed;
use crate::error::{Error, Result};

/// The one special token: it stands in front of every text, and its id is 0.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Bytes and the special token: there is no smaller vocabulary.
const SMALLEST: usize = 257;

/// Learns `vocab_size` entries from `texts` and returns the tokenizer as the contents of a `tokenizer.json`.
///
/// The entries are [`END_OF_TEXT`], the 256 bytes, and the most frequent merges within words. A digit never
/// merges, so a number is as many tokens as it has digits.
///
/// # Errors
/// [`Error::InvalidValue`] when the size has no room for all bytes or the texts are too few for it, and
/// [`Error::Tokenizer`] when the library fails.
pub fn train_tokenizer(texts: &[String], vocab_size: usize) -> Result<String> {
    let wrong = |expected: String| Error::invalid("vocab size", vocab_size, expected);
    if vocab_size < SMALLEST {
        return Err(wrong(format!("at least {SMALLEST}: every byte, and {END_OF_TEXT}")));
    }
    let mut tokenizer = Tokenizer::new(BPE::default());
    let bytes = ByteLevel::new(false, false, true);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()])));
    tokenizer.with_decoder(Some(ByteLevelDecoder::new(false, false, true)));
    let mut trainer = TrainerWrapper::from(
        BpeTrainer::builder()
            .vocab_size(vocab_size)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .build(),
    );
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    let learned = tokenizer.get_vocab_size(true);
    if learned != vocab_size {
        return Err(wrong(format!("at most {learned}, or more text to learn from")));
    }
    let id = tokenizer.token_to_id(END_OF_TEXT).unwrap_or_default();
    let template = TemplateProcessing::builder()
        .try_single(format!("{END_OF_TEXT} $A"))
        .map_err(Error::Tokenizer)?
        .special_tokens(vec![(END_OF_TEXT, id)])
        .build()
        .map_err(|error| Error::Tokenizer(error.to_string()))?;
    tokenizer.with_post_processor(Some(template));
    tokenizer.to_string(true).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TextTokenizer, Tokenize};

    fn texts() -> Vec<String> {
        (0..200)
            .map(|n| format!("The river {n} was as wide as {} bridges, and the bridges knew it.", n * n))
            .collect()
    }

    #[test]
    fn a_trained_tokenizer_loads_and_gives_text_back() {
        let directory = tempfile::tempdir().unwrap();
        let json = train_tokenizer(&texts(), 280).unwrap();
        assert_eq!(json, train_tokenizer(&texts(), 280).unwrap(), "the same texts give the same file");
        std::fs::write(directory.path().join("tokenizer.json"), json).unwrap();
        let tokenizer = TextTokenizer::from_directory(directory.path()).unwrap();
        assert_eq!((tokenizer.vocab_size(), tokenizer.bos()), (280, Some(0)));
        assert!(tokenizer.eos_ids().contains(&0) && tokenizer.special_ids().contains(&0));
        let text = "The bridges: 1234567, naïve → 漢.\n\nThe river";
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), text);
        let number = encoded.spans.iter().filter(|span| span.start >= 13 && span.end <= 20).count();
        assert_eq!(number, 7, "every digit is a token");
        assert!(encoded.ids.len() < text.len() - 10, "words have merged");
    }

    #[test]
    fn a_vocabulary_without_room_for_bytes_or_beyond_the_text_is_refused() {
        for (size, words) in [(256, "at least 257"), (100_000, "more text")] {
            let message = train_tokenizer(&texts(), size).unwrap_err().to_string();
            assert!(message.contains("vocab size") && message.contains(words), "{message}");
        }
    }
}
