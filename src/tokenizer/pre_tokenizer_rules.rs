//! The table of rules. Where a model's own `tokenizer.json` is known, the rule follows it step by step; the
//! others are what llama.cpp does with a file that has the name (`llama-vocab.cpp`).

use super::pre_tokenizer::{Rule, Step};
use Step::{ByteLevel, ByteLevelWithRegex, DigitRuns, EachDigit, PunctuationRuns, Split};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3, with one digit a piece.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Qwen 2, with combining marks beside letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3, with white space in powers of two.
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Qwen 2 without English contractions.
const UFAKZEKA: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As o200k, with one digit a piece.
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As o200k, with Chinese characters apart.
const KIMI_K2: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
/// Letters of alphabets that have capitals.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+";
const BLOOM: &str = r" ?[^(\s|.,!?\u{2026}\u{3002}\u{ff0c}\u{3001}\u{964}\u{6d4}\u{60c})]+";
/// Chinese and Japanese characters.
const KANJI_AND_KANA: Step = Split(r"[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+");
const HANZI_AND_HANGUL: Step = Split(r"[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+");
/// Lines and the ends between them.
const LINES: Step = Split(r"[^\n]+|[\n]+");

/// What most rules have in common.
const PLAIN: Rule =
    Rule { names: &[], nfc: false, steps: &[], ignore_merges: false, add_bos: false, raw: false };

pub(super) const RULES: &[Rule] = &[
    Rule {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        steps: &[ByteLevelWithRegex],
        ..PLAIN
    },
    Rule { names: &["olmo", "mpt", "modern-bert"], nfc: true, steps: &[ByteLevelWithRegex], ..PLAIN },
    Rule {
        names: &["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        steps: &[EachDigit, ByteLevelWithRegex],
        ..PLAIN
    },
    Rule { names: &["command-r"], nfc: true, steps: &[EachDigit, ByteLevelWithRegex], ..PLAIN },
    Rule {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        steps: &[Split(LLAMA3), ByteLevel],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rule { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], steps: &[Split(LLAMA3), ByteLevel], ..PLAIN },
    Rule { names: &["glm4", "glm5"], steps: &[Split(LLAMA3), ByteLevel], ignore_merges: true, ..PLAIN },
    Rule { names: &["jais-2"], steps: &[Split(JAIS2), ByteLevel], ..PLAIN },
    Rule {
        names: &["minicpm5"],
        steps: &[Split(r"\p{N}{1,3}"), Split(MINICPM5), ByteLevel],
        ignore_merges: true,
        ..PLAIN
    },
    Rule {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2", "f2llmv2"],
        nfc: true,
        steps: &[Split(QWEN2), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["kormo", "megrez", "hunyuan", "solar-open", "grok-2"],
        steps: &[Split(QWEN2), ByteLevel],
        ..PLAIN
    },
    Rule { names: &["qwen35"], steps: &[Split(QWEN35), ByteLevel], ..PLAIN },
    Rule { names: &["ufakzeka"], steps: &[Split(UFAKZEKA), ByteLevel], ..PLAIN },
    Rule { names: &["laguna"], steps: &[LINES, Split(QWEN2), ByteLevel], ..PLAIN },
    Rule { names: &["bailingmoe", "bailingmoe2", "llada-moe"], steps: &[Split(BAILING), ByteLevel], ..PLAIN },
    Rule { names: &["seed-coder"], steps: &[Split(SEED_CODER), ByteLevel], ..PLAIN },
    Rule { names: &["exaone-moe"], steps: &[Split(EXAONE_MOE), ByteLevel], ..PLAIN },
    Rule {
        names: &["tekken"],
        steps: &[Split(TEKKEN), ByteLevel],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rule {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        steps: &[Split(O200K), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["granite-embed-multi-97m"],
        steps: &[Split(O200K), ByteLevel],
        ignore_merges: true,
        ..PLAIN
    },
    Rule {
        names: &["tiny_aya", "cohere2moe"],
        steps: &[Split(r"\d{1,3}(?=(?:\d{3})*\b)"), Split(O200K), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["youtu"],
        steps: &[
            Split(
                r"[\u{ac00}-\u{d7a3}\u{3131}-\u{318e}]+|[\u{ff01}\u{2026}\u{201c}\u{201d}\u{2018}\u{2019}\u{2014}\u{ff1a}\u{ff1b}\u{ff0c}\u{3001}-\u{303f}\u{fe30}-\u{fe4f}]+|[\u{3105}-\u{312f}]+|[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+",
            ),
            Split(YOUTU),
            ByteLevel,
        ],
        ignore_merges: true,
        ..PLAIN
    },
    Rule { names: &["kimi-k2"], steps: &[Split(KIMI_K2), ByteLevel], ..PLAIN },
    Rule {
        names: &["superbpe"],
        steps: &[Split(r"\p{N}+"), Split(r"(?=(\d{3})+(?!\d))"), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-llm"],
        steps: &[
            Split(r"[\r\n]"),
            Split(DEEPSEEK_LETTERS),
            Split(r"\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+"),
            Split(r"\s+$"),
            HANZI_AND_HANGUL,
            Split(r"\p{N}+"),
            ByteLevel,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-coder"],
        steps: &[
            Split(r"[\r\n]"),
            Split(r"\s?\p{L}+"),
            Split(r"\s?\p{P}+"),
            HANZI_AND_HANGUL,
            EachDigit,
            ByteLevel,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        steps: &[Split(r"\p{N}{1,3}"), KANJI_AND_KANA, Split(DEEPSEEK_V3), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["spark2_5"],
        steps: &[Split(r"\p{N}{1,3}"), KANJI_AND_KANA, Split(SPARK), Split(r"\p{N}"), ByteLevel],
        ..PLAIN
    },
    Rule {
        names: &["afmoe"],
        steps: &[
            // Groups of three from the right.
            Split(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"),
            Split(
                r"[\u{4e00}-\u{9fff}\u{3400}-\u{4dbf}\u{8c48}-\u{faff}\u{3040}-\u{309f}\u{30a0}-\u{30ff}\u{ff65}-\u{ff9f}\u{2f00}-\u{2fdf}\u{e40}-\u{e7f}\u{e80}-\u{eff}\u{1780}-\u{17ff}\u{1000}-\u{109f}\u{aa60}-\u{aa7f}\u{a9e0}-\u{a9ff}\u{ac00}-\u{d7af}\u{1100}-\u{11ff}]+",
            ),
            Split(DEEPSEEK_V3),
            ByteLevel,
        ],
        ..PLAIN
    },
    Rule { names: &["bloom", "poro-chat", "gpt3-finnish"], steps: &[Split(BLOOM), ByteLevel], ..PLAIN },
    Rule { names: &["viking"], steps: &[Split(BLOOM), Split(r"\p{N}"), ByteLevel], ..PLAIN },
    Rule {
        names: &["chameleon"],
        steps: &[
            Split("<sentinel:[0-9]+>"),
            Split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
            Split(r"([\t\n]|    |  )"),
            EachDigit,
            Split(r"[\p{P}!-/:-@\[-`{-~]"),
            ByteLevelWithRegex,
        ],
        add_bos: true,
        ..PLAIN
    },
    Rule {
        names: &["falcon"],
        steps: &[PunctuationRuns, ByteLevelWithRegex, DigitRuns, Split("[0-9][0-9][0-9]")],
        ..PLAIN
    },
    Rule {
        names: &["gemma4", "granite-embed-multi-311m", "sarvam-moe"],
        steps: &[LINES],
        raw: true,
        ..PLAIN
    },
    // What llama.cpp does with a file that says "default".
    Rule {
        names: &["default"],
        steps: &[Split(r"[\p{P}\$\+<=>\^~\|]+"), Split(GPT2), DigitRuns, Split("[0-9][0-9][0-9]"), ByteLevel],
        ..PLAIN
    },
];
