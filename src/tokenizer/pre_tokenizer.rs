//! How a byte-level vocabulary cuts text before merging: what `tokenizer.ggml.pre` stands for.
//!
//! A GGUF file names the rule, and the model's own `tokenizer.json` spells it out. The rules below follow the
//! latter, step by step, because the order shows: a look-ahead does not see past an earlier cut, and a step
//! after the byte-level one sees the byte alphabet instead of the text. A name that is not in the table is
//! an error: a wrong rule gives plausible ids that the model has never seen, and digits suffer first.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::local::failed;
use super::pre_tokenizer_rules::RULES;
use crate::error::{Error, Result};

/// One rule, under every name that GGUF files give it.
pub(super) struct Rule {
    pub(super) names: &'static [&'static str],
    /// The text is put into Unicode normal form C first.
    pub(super) nfc: bool,
    pub(super) steps: &'static [Step],
    /// A piece that is a token as a whole is taken as it is, even where merges would not build it.
    pub(super) ignore_merges: bool,
    /// A BOS token is added unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Tokens are pieces of text with `▁` for a space, and bytes where there is no piece, instead of the byte
    /// alphabet.
    pub(super) raw: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Every match of the regex is a piece, and so is what lies between matches.
    Split(&'static str),
    /// Every digit (Unicode category N) is a piece.
    EachDigit,
    /// Every run of digits is a piece.
    DigitRuns,
    /// Every run of punctuation is a piece.
    PunctuationRuns,
    /// Bytes become characters of the byte alphabet, after GPT-2's regex has cut the text.
    ByteLevelWithRegex,
    /// Bytes become characters of the byte alphabet.
    ByteLevel,
}

impl Rule {
    pub(super) fn find(pre: Option<&str>) -> Result<&'static Self> {
        let found = RULES.iter().find(|rule| pre.is_some_and(|pre| rule.names.contains(&pre)));
        found.ok_or_else(|| {
            let known: Vec<_> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
            Error::Tokenizer(format!(
                "the GGUF file has tokenizer.ggml.pre {}; known: {}; put the model's own tokenizer.json \
                 beside the file",
                pre.map_or("missing".to_string(), |pre| format!("{pre:?}")),
                known.join(", ")
            ))
        })
    }

    pub(super) fn pre_tokenizer(&self) -> Result<Sequence> {
        self.steps.iter().map(|step| step.build()).collect::<Result<_>>().map(Sequence::new)
    }
}

impl Step {
    fn build(self) -> Result<PreTokenizerWrapper> {
        Ok(match self {
            Self::Split(regex) => {
                let pattern = SplitPattern::Regex(regex.to_string());
                Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?.into()
            }
            Self::EachDigit => Digits::new(true).into(),
            Self::DigitRuns => Digits::new(false).into(),
            Self::PunctuationRuns => Punctuation::new(SplitDelimiterBehavior::Contiguous).into(),
            Self::ByteLevelWithRegex => ByteLevel::new(false, false, true).into(),
            Self::ByteLevel => ByteLevel::new(false, false, false).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    fn pieces(pre: &str, text: &str) -> Vec<String> {
        let rule = Rule::find(Some(pre)).unwrap();
        let text = if rule.raw { text.replace(' ', "▁") } else { text.to_string() };
        let mut cut = PreTokenizedString::from(text.as_str());
        rule.pre_tokenizer().unwrap().pre_tokenize(&mut cut).unwrap();
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| text[start..end].to_string()).collect()
    }

    #[test]
    fn names_are_unique_and_every_rule_covers_a_text() {
        let text = "It's 12345 cafés,\n\n  naïve 中文!  x";
        let mut seen = BTreeSet::new();
        for name in RULES.iter().flat_map(|rule| rule.names) {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(pieces(name, text).concat().replace('▁', " "), text, "{name}");
        }
    }

    #[test]
    fn digits_are_cut_as_each_family_does() {
        for (pre, expected) in [
            ("gpt-2", &["n", " 4829173"][..]),
            ("smollm", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("command-r", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("qwen2", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("tekken", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("deepseek-coder", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("llama-bpe", &["n", " ", "482", "917", "3"]),
            ("dbrx", &["n", " ", "482", "917", "3"]),
            ("gpt-4o", &["n", " ", "482", "917", "3"]),
            ("deepseek-v3", &["n", " ", "482", "917", "3"]),
            ("falcon", &["n", " ", "482", "917", "3"]),
            ("default", &["n", " ", "482", "917", "3"]),
            ("smaug-bpe", &["n", " ", "482", "917", "3"]),
            ("glm4", &["n", " ", "482", "917", "3"]),
            ("minicpm5", &["n", " ", "482", "917", "3"]),
            ("kimi-k2", &["n", " ", "482", "917", "3"]),
            ("tiny_aya", &["n", " ", "4", "829", "173"]),
            ("superbpe", &["n ", "4", "829", "173"]),
            ("afmoe", &["n", " ", "4", "829", "173"]),
            ("deepseek-llm", &["n", " ", "4829173"]),
            ("exaone", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("bailingmoe", &["n", " ", "4", "8", "2", "9", "1", "7", "3"]),
            ("mpt", &["n", " 4829173"]),
            ("gemma4", &["n▁4829173"]),
        ] {
            assert_eq!(pieces(pre, "n 4829173"), expected, "{pre}");
        }
    }

    #[test]
    fn contractions_capitals_and_line_ends_are_cut_as_each_family_does() {
        let text = "I'LL dOn't\n\n x/\n";
        for (pre, expected) in [
            ("smaug-bpe", &["I", "'LL", " dOn", "'t", "\n\n", " x", "/\n"][..]),
            ("ufakzeka", &["I", "'LL", " dOn", "'t", "\n\n", " x", "/\n"]),
            ("gpt-2", &["I", "'", "LL", " dOn", "'t", "\n\n", " x", "/", "\n"]),
            ("gpt-4o", &["I'LL", " d", "On't", "\n\n", " x", "/\n"]),
            ("seed-coder", &["I", "'LL", " dOn", "'t", "\n\n", " x", "/", "\n"]),
            ("laguna", &["I", "'LL", " dOn", "'t", "\n\n", " x", "/", "\n"]),
            ("gemma4", &["I'LL▁dOn't", "\n\n", "▁x/", "\n"]),
        ] {
            assert_eq!(pieces(pre, text), expected, "{pre}");
        }
    }

    #[test]
    fn an_unknown_rule_names_the_known_ones_and_the_remedy() {
        for pre in [Some("mystery"), None] {
            let message = Rule::find(pre).err().unwrap().to_string();
            assert!(message.contains("smollm") && message.contains("tokenizer.json"), "{message}");
        }
    }
}
