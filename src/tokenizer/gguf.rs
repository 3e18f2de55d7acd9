//! A tokenizer out of the vocabulary that a GGUF file carries (`tokenizer.ggml.*`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::{AddedToken, Tokenizer};

use super::facts::{Parts, TemplateSource};
use super::local::failed;
use super::pre_tokenizer::Rule;
use super::{TextTokenizer, sentencepiece};
use crate::error::{Error, Result};
use crate::hash;

/// Kinds of token, as GGUF numbers them.
pub(super) const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
pub(super) const BYTE: i32 = 6;

/// What a GGUF file says about its tokenizer, field for field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GgufVocabulary {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece.
    pub model: String,
    /// `tokenizer.ggml.pre`: how a byte-level vocabulary cuts text before merging.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`, in the order of their ids.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`, one a token.
    pub scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.token_type`, one a token.
    pub token_types: Option<Vec<i32>>,
    /// `tokenizer.ggml.merges`, best first, the two halves separated by a space.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`. Nothing is ever put after a text here; it is part of the hash only.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`, for SentencePiece.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
}

impl TextTokenizer {
    /// Builds the tokenizer of a GGUF file.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the vocabulary contradicts itself, or is of a kind or has a rule for cutting
    /// text that is not known.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        Self::build_gguf(vocabulary, true)
    }

    /// The same, with merges or without.
    pub(super) fn build_gguf(vocabulary: &GgufVocabulary, with_merges: bool) -> Result<Self> {
        let vocab = vocabulary.checked()?;
        let vocabulary = &*vocabulary.with_defaults();
        let (mut inner, adds_bos) = match vocabulary.model.as_str() {
            "gpt2" | "gemma4" => {
                let pre =
                    if vocabulary.model == "gemma4" { Some("gemma4") } else { vocabulary.pre.as_deref() };
                let rule = Rule::find(pre)?;
                (by_rule(vocabulary, vocab, rule, with_merges)?, rule.add_bos)
            }
            "llama" => (sentencepiece::build(vocabulary, vocab, with_merges)?, true),
            other => {
                return Err(Error::Tokenizer(format!(
                    "the GGUF file has tokenizer.ggml.model {other:?}; known: gpt2, llama, gemma4; put the \
                     model's own tokenizer.json beside the file"
                )));
            }
        };
        inner.add_tokens(vocabulary.added_tokens()).map_err(failed)?;

        let bos = vocabulary.bos.filter(|_| vocabulary.add_bos.unwrap_or(adds_bos));
        if vocabulary.add_bos == Some(true) && bos.is_none() {
            return Err(Error::Tokenizer(
                "the GGUF file asks for a BOS token (tokenizer.ggml.add_bos_token) without naming one \
                 (tokenizer.ggml.bos_token_id); convert the model again"
                    .to_string(),
            ));
        }
        let special_tokens: BTreeMap<String, String> = vocabulary
            .named_ids()
            .into_iter()
            .filter_map(|(name, id)| Some((format!("{name}_token"), vocabulary.token(id)?.to_string())))
            .collect();
        Ok(Self::new(Parts {
            inner,
            bos,
            eos: BTreeSet::from_iter([vocabulary.eos, vocabulary.eot].into_iter().flatten()),
            hash: vocabulary.hash(),
            special_tokens,
            chat_template: vocabulary.chat_template.clone().map(|source| {
                let place = "tokenizer.chat_template of the GGUF file".to_string();
                TemplateSource::Source { place, source }
            }),
            notes: Vec::new(),
        }))
    }
}

impl GgufVocabulary {
    /// The type of a token; ordinary where the file says nothing.
    pub(super) fn token_type(&self, id: usize) -> i32 {
        self.token_types.as_ref().map_or(NORMAL, |types| types[id])
    }

    pub(super) fn token(&self, id: Option<u32>) -> Option<&str> {
        id.and_then(|id| self.tokens.get(id as usize)).map(String::as_str)
    }

    /// With the ids that a SentencePiece vocabulary has where the file is silent, as llama.cpp takes them.
    fn with_defaults(&self) -> Cow<'_, Self> {
        if self.model != "llama" {
            return Cow::Borrowed(self);
        }
        let known = |id: u32| Some(id).filter(|id| (*id as usize) < self.tokens.len());
        let (bos, eos, unk) = (self.bos.or(known(1)), self.eos.or(known(2)), self.unk.or(known(0)));
        Cow::Owned(Self { bos, eos, unk, ..self.clone() })
    }

    fn named_ids(&self) -> [(&'static str, Option<u32>); 5] {
        [("bos", self.bos), ("eos", self.eos), ("unk", self.unk), ("pad", self.pad), ("eot", self.eot)]
    }

    /// Checks what the rest relies on, and gives the id of every token.
    fn checked(&self) -> Result<Vocab> {
        let problem = |text: String| Error::Tokenizer(format!("the GGUF vocabulary is damaged: {text}"));
        let count = self.tokens.len();
        if count == 0 {
            return Err(problem("it has no tokens".to_string()));
        }
        for (name, length) in [
            ("token_type", self.token_types.as_ref().map(Vec::len)),
            ("scores", self.scores.as_ref().map(Vec::len)),
        ] {
            if let Some(length) = length.filter(|length| *length != count) {
                return Err(problem(format!("{length} entries in tokenizer.ggml.{name} for {count} tokens")));
            }
        }
        for (name, id) in self.named_ids() {
            // Nothing is ever padded.
            if let Some(id) = id.filter(|id| *id as usize >= count && name != "pad") {
                return Err(problem(format!("the {name} token is {id}, but there are only {count} tokens")));
            }
        }
        let mut vocab = Vocab::with_capacity(count);
        for (id, token) in (0u32..).zip(&self.tokens) {
            if let Some(first) = vocab.insert(token.clone(), id) {
                return Err(problem(format!("tokens {first} and {id} are both {token:?}")));
            }
        }
        Ok(vocab)
    }

    /// Tokens that are found in a text as they stand, before it is cut into pieces.
    fn added_tokens(&self) -> Vec<AddedToken> {
        let kinds = (0..self.tokens.len()).map(|id| self.token_type(id));
        self.tokens
            .iter()
            .zip(kinds)
            .filter(|(_, kind)| matches!(*kind, UNKNOWN | CONTROL | USER_DEFINED))
            .map(|(token, kind)| AddedToken::from(token, kind != USER_DEFINED).normalized(false))
            .collect()
    }

    /// SHA-256 over everything that decides which ids a text gets.
    fn hash(&self) -> String {
        let mut digest = Sha256::new();
        let mut feed = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        feed(self.model.as_bytes());
        feed(format!("{:?}", self.pre).as_bytes());
        for (name, id) in self.named_ids() {
            feed(format!("{name} {id:?}").as_bytes());
        }
        feed(format!("{:?}", [self.add_bos, self.add_eos, self.add_space_prefix]).as_bytes());
        for (id, token) in self.tokens.iter().enumerate() {
            feed(token.as_bytes());
            feed(&self.token_type(id).to_le_bytes());
        }
        for score in self.scores.iter().flatten() {
            feed(&score.to_le_bytes());
        }
        for merge in &self.merges {
            feed(merge.as_bytes());
        }
        hash::hex(digest.finalize())
    }
}

/// A byte-pair model that is cut by a rule.
fn by_rule(vocabulary: &GgufVocabulary, vocab: Vocab, rule: &Rule, with_merges: bool) -> Result<Tokenizer> {
    let merges = if with_merges { parse_merges(&vocabulary.merges, &vocab)? } else { Vec::new() };
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(rule.ignore_merges);
    let bpe = bpe.byte_fallback(rule.raw).fuse_unk(rule.raw).build().map_err(failed)?;
    let mut tokenizer = Tokenizer::new(bpe);
    if rule.nfc {
        tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
    }
    tokenizer.with_pre_tokenizer(Some(rule.pre_tokenizer()?));
    if rule.raw {
        tokenizer.with_normalizer(Some(sentencepiece::spaces()?)).map_err(failed)?;
        tokenizer.with_decoder(Some(sentencepiece::decoder(false)?));
    } else {
        tokenizer.with_decoder(Some(ByteLevel::default()));
    }
    Ok(tokenizer)
}

/// The two halves of every merge. The library panics on some merges of unknown tokens, hence the checks.
fn parse_merges(merges: &[String], vocab: &Vocab) -> Result<Vec<(String, String)>> {
    let known = |token: &str| vocab.contains_key(token);
    merges
        .iter()
        .enumerate()
        .map(|(rank, merge)| match merge.split_once(' ') {
            Some((left, right)) if known(left) && known(right) && known(&[left, right].concat()) => {
                Ok((left.to_string(), right.to_string()))
            }
            _ => Err(Error::Tokenizer(format!(
                "the GGUF vocabulary is damaged: merge {rank} is {merge:?}, which is not two tokens that \
                 make a third"
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Tokenize;
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| item.to_string()).collect()
    }

    /// Six letters, a space, three merged tokens, a control token and a user's token.
    fn byte_vocabulary() -> GgufVocabulary {
        let tokens =
            strings(&["t", "h", "e", "x", "4", "2", "Ġ", "he", "the", "Ġthe", "<|im_end|>", "<tag>"]);
        GgufVocabulary {
            model: "gpt2".to_string(),
            pre: Some("smollm".to_string()),
            token_types: Some(vec![1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4]),
            tokens,
            merges: strings(&["h e", "t he", "Ġ the"]),
            eos: Some(10),
            ..GgufVocabulary::default()
        }
    }

    fn sentencepiece_vocabulary() -> GgufVocabulary {
        let mut tokens = strings(&["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁a", "▁ab"]);
        let mut types = vec![2, 3, 3, 1, 1, 1, 1, 1, 1];
        let mut scores = vec![0.0, 0.0, 0.0, -5.0, -6.0, -7.0, -1.0, -2.0, -3.0];
        for byte in 0..=255u8 {
            tokens.push(format!("<0x{byte:02X}>"));
            types.push(6);
            scores.push(0.0);
        }
        GgufVocabulary {
            model: "llama".to_string(),
            tokens,
            token_types: Some(types),
            scores: Some(scores),
            bos: Some(1),
            eos: Some(2),
            unk: Some(0),
            ..GgufVocabulary::default()
        }
    }

    fn message(vocabulary: &GgufVocabulary) -> String {
        TextTokenizer::from_gguf(vocabulary).unwrap_err().to_string()
    }

    #[test]
    fn byte_level_text_is_encoded_with_spans_and_decoded() {
        let tokenizer = TextTokenizer::from_gguf(&byte_vocabulary()).unwrap();
        let text = "the the 42<|im_end|><tag>x";
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(encoded.ids, [8, 9, 6, 4, 5, 10, 11, 3]);
        assert_eq!(encoded.spans, [0..3, 3..7, 7..8, 8..9, 9..10, 10..20, 20..25, 25..26]);
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), text);
        assert_eq!(tokenizer.decode_plain(&encoded.ids).unwrap(), "the the 42<tag>x");
        assert_eq!(tokenizer.token_text(9).unwrap(), " the");
        assert_eq!(tokenizer.special_ids(), &BTreeSet::from([10]));
        assert_eq!(tokenizer.eos_ids(), &BTreeSet::from([10]));
        assert_eq!(tokenizer.bos(), None);
        assert_eq!(tokenizer.vocab_size(), 12);
    }

    #[test]
    fn unknown_ids_are_errors() {
        let tokenizer = TextTokenizer::from_gguf(&byte_vocabulary()).unwrap();
        assert!(tokenizer.decode(&[12]).unwrap_err().to_string().contains("id 12"));
        assert!(tokenizer.token_text(12).is_err());
    }

    #[test]
    fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
        let tokenizer = TextTokenizer::from_gguf(&sentencepiece_vocabulary()).unwrap();
        let encoded = tokenizer.encode("ab ab\né").unwrap();
        let byte = |byte: u32| 9 + byte;
        assert_eq!(encoded.ids, [8, 8, byte(0x0A), byte(0xC3), byte(0xA9)]);
        assert_eq!(encoded.spans, [0..2, 2..5, 5..6, 6..8, 6..8]);
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), "ab ab\né");
        assert_eq!(tokenizer.token_text(8).unwrap(), " ab");
        assert_eq!(tokenizer.token_text(byte(0xC3)).unwrap(), "<0xC3>");
        assert_eq!(tokenizer.bos(), Some(1));
        assert_eq!(tokenizer.special_ids(), &BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn a_sentencepiece_vocabulary_that_names_no_special_ids_has_the_usual_ones() {
        let vocabulary = GgufVocabulary { bos: None, eos: None, unk: None, ..sentencepiece_vocabulary() };
        let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
        assert_eq!((tokenizer.bos(), tokenizer.eos_ids()), (Some(1), &BTreeSet::from([2])));
        let without = GgufVocabulary { add_bos: Some(false), ..vocabulary };
        assert_eq!(TextTokenizer::from_gguf(&without).unwrap().bos(), None);
    }

    #[test]
    fn a_rule_of_raw_pieces_falls_back_to_bytes() {
        let vocabulary = GgufVocabulary {
            model: "gemma4".to_string(),
            merges: strings(&["a b", "▁ ab"]),
            add_bos: Some(false),
            ..sentencepiece_vocabulary()
        };
        let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
        let encoded = tokenizer.encode("ab ab\né").unwrap();
        let byte = |byte: u32| 9 + byte;
        assert_eq!(encoded.ids, [6, 8, byte(0x0A), byte(0xC3), byte(0xA9)]);
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), "ab ab\né");
    }

    #[test]
    fn the_space_prefix_can_be_left_out() {
        let vocabulary = GgufVocabulary { add_space_prefix: Some(false), ..sentencepiece_vocabulary() };
        let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
        let encoded = tokenizer.encode("ab ab").unwrap();
        assert_eq!(encoded.ids, [6, 8]);
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), "ab ab");
    }

    #[test]
    fn the_file_decides_about_bos_and_the_rule_where_it_is_silent() {
        let with = |pre: &str, add_bos| GgufVocabulary {
            pre: Some(pre.to_string()),
            bos: Some(10),
            add_bos,
            ..byte_vocabulary()
        };
        for (pre, add_bos, expected) in [
            ("llama-bpe", None, Some(10)),
            ("llama-bpe", Some(false), None),
            ("smollm", None, None),
            ("smollm", Some(true), Some(10)),
        ] {
            let tokenizer = TextTokenizer::from_gguf(&with(pre, add_bos)).unwrap();
            assert_eq!(tokenizer.bos(), expected, "{pre} {add_bos:?}");
        }
        let nameless = GgufVocabulary { bos: None, ..with("smollm", Some(true)) };
        assert!(message(&nameless).contains("bos_token_id"));
    }

    #[test]
    fn the_hash_follows_the_vocabulary() {
        let hash = |vocabulary: &GgufVocabulary| vocabulary.hash();
        let vocabulary = byte_vocabulary();
        let mut other = vocabulary.clone();
        other.merges.swap(0, 1);
        assert_eq!(hash(&vocabulary), hash(&vocabulary.clone()));
        assert_ne!(hash(&vocabulary), hash(&other));
        assert_eq!(hash(&vocabulary).len(), 64);
    }

    #[test]
    fn damaged_vocabularies_are_errors() {
        let good = byte_vocabulary();
        let cases = [
            (GgufVocabulary { tokens: vec![], ..good.clone() }, "no tokens"),
            (GgufVocabulary { token_types: Some(vec![1]), ..good.clone() }, "token_type"),
            (GgufVocabulary { scores: Some(vec![1.0]), ..good.clone() }, "scores"),
            (GgufVocabulary { eos: Some(99), ..good.clone() }, "eos token is 99"),
            (GgufVocabulary { merges: strings(&["h e", "q e"]), ..good.clone() }, "merge 1"),
            (GgufVocabulary { merges: strings(&["<|im_end|> <|im_end|>"]), ..good.clone() }, "merge 0"),
            (GgufVocabulary { merges: strings(&["he"]), ..good.clone() }, "merge 0"),
            (GgufVocabulary { model: "bert".to_string(), ..good.clone() }, "tokenizer.json"),
            (GgufVocabulary { model: "llama".to_string(), ..good.clone() }, "scores"),
        ];
        for (vocabulary, expected) in cases {
            let message = message(&vocabulary);
            assert!(message.contains(expected), "{message}");
        }
        let mut twice = good;
        twice.tokens[1] = "t".to_string();
        assert!(message(&twice).contains("tokens 0 and 1 are both \"t\""));
    }
}
