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

use super::text::failed;
use crate::error::{Error, Result};

/// One rule, under every name that GGUF files give it.
pub(super) struct Rule {
    names: &'static [&'static str],
    /// The text is put into Unicode normal form C first.
    pub(super) nfc: bool,
    steps: &'static [Step],
    /// A piece that is a token as a whole is taken as it is, even where merges would not build it.
    pub(super) ignore_merges: bool,
    /// A BOS token is added unless the file says otherwise.
    pub(super) add_bos: bool,
}

#[derive(Clone, Copy)]
enum Step {
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

use Step::{ByteLevelWithRegex, DigitRuns, EachDigit, PunctuationRuns};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3, with one digit a piece.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

/// What most rules have in common.
const PLAIN: Rule = Rule { names: &[], nfc: false, steps: &[], ignore_merges: false, add_bos: false };

const RULES: &[Rule] = &[
    Rule { names: &["gpt-2", "phi-2"], steps: &[ByteLevelWithRegex], ..PLAIN },
    Rule { names: &["olmo"], nfc: true, steps: &[ByteLevelWithRegex], ..PLAIN },
    Rule { names: &["smollm", "starcoder", "refact"], steps: &[EachDigit, ByteLevelWithRegex], ..PLAIN },
    Rule { names: &["command-r"], nfc: true, steps: &[EachDigit, ByteLevelWithRegex], ..PLAIN },
    Rule {
        names: &["llama-bpe", "llama3", "llama-v3"],
        steps: &[Step::Split(LLAMA3), Step::ByteLevel],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rule { names: &["dbrx"], steps: &[Step::Split(LLAMA3), Step::ByteLevel], ..PLAIN },
    Rule {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2"],
        nfc: true,
        steps: &[Step::Split(QWEN2), Step::ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["tekken"],
        steps: &[Step::Split(TEKKEN), Step::ByteLevel],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rule { names: &["gpt-4o", "llama4"], steps: &[Step::Split(O200K), Step::ByteLevel], ..PLAIN },
    Rule {
        names: &["deepseek-coder"],
        steps: &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(r"[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+"),
            EachDigit,
            Step::ByteLevel,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-v3"],
        steps: &[
            Step::Split(r"\p{N}{1,3}"),
            Step::Split(r"[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+"),
            Step::Split(DEEPSEEK_V3),
            Step::ByteLevel,
        ],
        ..PLAIN
    },
    Rule {
        names: &["falcon"],
        steps: &[PunctuationRuns, ByteLevelWithRegex, DigitRuns, Step::Split("[0-9][0-9][0-9]")],
        ..PLAIN
    },
    // What llama.cpp does with a file that says "default".
    Rule {
        names: &["default"],
        steps: &[
            Step::Split(r"[\p{P}\$\+<=>\^~\|]+"),
            Step::Split(GPT2),
            DigitRuns,
            Step::Split("[0-9][0-9][0-9]"),
            Step::ByteLevel,
        ],
        ..PLAIN
    },
];

impl Rule {
    pub(super) fn find(pre: Option<&str>) -> Result<&'static Self> {
        let found = RULES.iter().find(|rule| pre.is_some_and(|pre| rule.names.contains(&pre)));
        found.ok_or_else(|| {
            let known: Vec<_> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
            Error::Tokenizer(format!(
                "the GGUF file has tokenizer.ggml.pre {}; known: {}; put the model's own tokenizer.json beside \
                 the file",
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
        let mut cut = PreTokenizedString::from(text);
        Rule::find(Some(pre)).unwrap().pre_tokenizer().unwrap().pre_tokenize(&mut cut).unwrap();
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| text[start..end].to_string()).collect()
    }

    #[test]
    fn names_are_unique_and_every_rule_covers_a_text() {
        let text = "It's 12345 cafés,\n\n  naïve 中文!  x";
        let mut seen = BTreeSet::new();
        for name in RULES.iter().flat_map(|rule| rule.names) {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(pieces(name, text).concat(), text, "{name}");
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
        ] {
            assert_eq!(pieces(pre, "n 4829173"), expected, "{pre}");
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
