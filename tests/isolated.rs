//! Tokenizers and templates made to end the process that reads them end another one, and the message says so.
//!
//! A process of its own, as the program that reads for others is named once a process.
//!
//! What the mutated inputs are and how to see one again is said in `tests/all/common/mutate.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "all/common/mod.rs"]
mod common;
#[path = "all/common/mutate.rs"]
mod mutate;

use std::collections::BTreeMap;
use std::fs;

use niah::error::Result;
use niah::tokenizer::{ChatTemplate, TextTokenizer, Tokenize};
use serde_json::{Value, json};

use mutate::{Mutator, survives};

/// Work goes to the program that users have.
fn isolate() {
    niah::isolation::set_program(env!("CARGO_BIN_EXE_niah").into());
}

fn render(source: &str) -> Result<String> {
    ChatTemplate::isolated(source, BTreeMap::new())?.render(Some("Be brief."), "hi")
}

/// Reads a tokenizer and uses it for all that it is good for.
fn read(json: &[u8]) -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokenizer.json"), json).unwrap();
    let tokenizer = TextTokenizer::isolated_from_directory(directory.path())?;
    for text in
        ["Hello, world 42! été 漢字 <s>a</s>", "", "  a  \n\n\tb", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
    {
        let encoded = tokenizer.encode(text)?;
        for span in &encoded.spans {
            assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
        }
        tokenizer.decode(&encoded.ids)?;
        tokenizer.decode_plain(&encoded.ids)?;
        tokenizer.token_texts(&encoded.ids)?;
    }
    Ok(())
}

#[test]
fn a_template_that_ends_its_process_is_an_error_here() {
    isolate();
    let nested =
        |open: &str, count: usize, close: &str| format!("{}1{}", open.repeat(count), close.repeat(count));
    for (what, source) in [
        ("elif", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(20_000))),
        ("minus", format!("{{{{ {}1 }}}}", "-".repeat(200_000))),
        ("not", format!("{{{{ {}1 }}}}", "not ".repeat(100_000))),
        ("filters", format!("{{{{ 'a'{} }}}}", "|upper".repeat(100_000))),
        ("attributes", format!("{{{{ a{} }}}}", ".b".repeat(200_000))),
        ("plus", format!("{{{{ 1{} }}}}", "+1".repeat(200_000))),
        ("tilde", format!("{{{{ 1{} }}}}", "~1".repeat(200_000))),
        ("brackets", format!("{{{{ {} }}}}", nested("(", 9000, ")"))),
        ("lists", format!("{{{{ {} }}}}", nested("[", 9000, "]"))),
        ("ifs", nested("{% if 1 %}", 9000, "{% endif %}")),
        (
            "doubling",
            "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% \
                      endfor %}"
                .to_string(),
        ),
        ("join", "{{ ('a' * 90000000, 'b' * 90000000, 'c' * 90000000) | join('d' * 90000000) }}".to_string()),
        ("replace", "{{ ('a' * 1000000).replace('a', 'b' * 100000) }}".to_string()),
        (
            "loops",
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor \
                   %}"
            .to_string(),
        ),
        (
            "slow filters",
            "{% set x = range(99999) | list %}{% for i in range(99999) %}{{ x | sort | unique | \
                          length }}{% endfor %}"
                .to_string(),
        ),
    ] {
        let error = render(&source).expect_err(what).to_string();
        // How deep is too deep depends on how the program was compiled.
        let known = ["nested", "memory", "recursion", "more than", "undefined", "system message is left out"];
        assert!(known.iter().any(|word| error.contains(word)), "{what}: {error}");
        assert!(!error.contains("panicked") && error.len() < 300, "{what}: {error}");
    }
    assert_eq!(render("{{ messages[0].content }} {{ messages[1].content }}").unwrap(), "Be brief. hi");
}

#[test]
fn a_tokenizer_that_ends_its_process_is_an_error_here() {
    isolate();
    for (what, part, value, expected) in [
        (
            "map",
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8AAAAA"}),
            "tokenizer.json",
        ),
        ("regex", "pre_tokenizer", split(&format!("{}a", "(".repeat(50_000))), "tokenizer.json"),
        ("counts", "pre_tokenizer", split("((a{1000}){1000}){1000}"), "tokenizer.json"),
        ("backtracking", "pre_tokenizer", split("(x+x+)+(?=y)"), "tokenizer"),
        (
            "doubling",
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![
                json!({"type": "Replace", "pattern": {"Regex": "x"}, "content": "xx"}); 19
            ]}),
            "tokenizer",
        ),
        (
            "prefix",
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![
                json!({"type": "Prepend", "prepend": "y".repeat(250)}); 60
            ]}),
            "tokens",
        ),
    ] {
        let mut tokenizer = seeds().swap_remove(0);
        tokenizer[part] = value;
        if let Err(error) = read(tokenizer.to_string().as_bytes()) {
            let error = error.to_string();
            assert!(error.contains(expected) && !error.contains("panicked"), "{what}: {error}");
        }
    }
    read(seeds()[0].to_string().as_bytes()).unwrap();
}

#[test]
fn the_same_tokens_and_facts_come_from_the_other_process() {
    isolate();
    let directory = tempfile::tempdir().unwrap();
    for json in seeds() {
        fs::write(directory.path().join("tokenizer.json"), json.to_string()).unwrap();
        let here = TextTokenizer::from_directory(directory.path()).unwrap();
        let there = TextTokenizer::isolated_from_directory(directory.path()).unwrap();
        for text in ["Hello, a b ab <s>", "", "été\n\n x"] {
            let ids = here.encode(text).unwrap();
            assert_eq!(there.encode(text).unwrap(), ids);
            assert_eq!(there.decode(&ids.ids).unwrap(), here.decode(&ids.ids).unwrap());
            assert_eq!(there.token_texts(&ids.ids).unwrap(), here.token_texts(&ids.ids).unwrap());
        }
        assert_eq!(
            there.token_text(9999).unwrap_err().to_string(),
            here.token_text(9999).unwrap_err().to_string()
        );
        assert_eq!((there.vocab_size(), there.hash()), (here.vocab_size(), here.hash()));
        assert_eq!(
            (there.special_ids(), there.eos_ids(), there.bos()),
            (here.special_ids(), here.eos_ids(), here.bos())
        );
    }
}

fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

/// Tokenizers of every kind, with steps of every kind.
fn seeds() -> Vec<Value> {
    let added = |id: usize, content: &str, special: bool| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": special
        })
    };
    let tokens = common::byte_tokens();
    let mut vocab: serde_json::Map<String, Value> =
        tokens.iter().cloned().zip((0..).map(Value::from)).collect();
    for (id, token) in ["ab", "Ġa", "he", "ll"].into_iter().enumerate() {
        vocab.insert(token.to_string(), json!(256 + id));
    }
    let bpe = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab,
        "merges": ["a b", "Ġ a", "h e", "l l"]
    });
    let mut pieces: Vec<Value> =
        vec![json!(["<unk>", 0.0]), json!(["▁", -3.0]), json!(["a", -4.0]), json!(["▁a", -2.5])];
    pieces.extend((0..256).map(|byte| json!([format!("<0x{byte:02X}>"), -9.0])));
    let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": pieces});
    let words = json!({"[UNK]": 0, "hello": 1, "a": 2, "##b": 3, "##a": 4, ",": 5});
    let word_piece = json!({
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": words
    });
    let word_level = json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": words});
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [300], "tokens": ["<s>"]}}
    });
    let sequence = |name: &str, steps: Value| json!({"type": "Sequence", name: steps});
    let whole = |model: &Value,
                 normalizer: Value,
                 pre_tokenizer: Value,
                 post_processor: Value,
                 decoder: Value| {
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [added(300, "<s>", true), added(301, "</s>", true), added(302, "tool", false)],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
            "decoder": decoder, "model": model
        })
    };
    let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
    // A table that replaces nothing.
    let charsmap =
        json!({"type": "Precompiled", "precompiled_charsmap": format!("AAQA{}AAA=", "A".repeat(1364))});
    vec![
        whole(&bpe, Value::Null, bytes.clone(), template.clone(), bytes.clone()),
        whole(
            &bpe,
            sequence(
                "normalizers",
                json!([{"type": "NFC"}, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]),
            ),
            sequence(
                "pretokenizers",
                json!([{"type": "Digits", "individual_digits": true}, split(r"\p{L}+|\s+(?!\S)"), bytes]),
            ),
            sequence("processors", json!([bytes, template])),
            bytes.clone(),
        ),
        whole(
            &unigram,
            sequence(
                "normalizers",
                json!([{"type": "Prepend", "prepend": "▁"}, space, {"type": "Strip", "strip_left": true, "strip_right": true}]),
            ),
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
            template.clone(),
            sequence(
                "decoders",
                json!([space, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]),
            ),
        ),
        whole(
            &unigram,
            charsmap,
            json!({"type": "WhitespaceSplit"}),
            Value::Null,
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}),
        ),
        whole(
            &word_piece,
            bert,
            json!({"type": "BertPreTokenizer"}),
            json!({"type": "BertProcessing", "sep": ["</s>", 301], "cls": ["<s>", 300]}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        ),
        whole(
            &word_level,
            json!({"type": "Nmt"}),
            sequence(
                "pretokenizers",
                json!([{"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "UnicodeScripts"}, {"type": "CharDelimiterSplit", "delimiter": "-"}]),
            ),
            json!({"type": "RobertaProcessing", "sep": ["</s>", 301], "cls": ["<s>", 300], "trim_offsets": true, "add_prefix_space": true}),
            json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}),
        ),
        whole(
            &word_level,
            json!({"type": "ByteLevel"}),
            json!({"type": "FixedLength", "length": 3}),
            Value::Null,
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
        ),
    ]
}

#[test]
fn mutated_tokenizers_survive() {
    isolate();
    let seeds: Vec<Vec<u8>> = seeds().iter().map(|json| json.to_string().into_bytes()).collect();
    survives("tokenizers", 250, |mutator| mutator.json_text(&seeds), |bytes| drop(read(bytes)));
}

/// What templates are made of, each with a place for more.
const PIECES: &[&str] = &[
    "{% for x in @ %}@{% endfor %}",
    "{% if @ %}@{% elif @ %}@{% else %}@{% endif %}",
    "{{ @ }}",
    "{% set x = @ %}",
    "{% set ns = namespace(x=@) %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}@",
    "{% macro m(a=@) %}@{{ m(a) }}{% endmacro %}{{ m(@) }}",
    "{% set x %}@{% endset %}",
    "{% filter upper %}@{% endfilter %}",
    "(@)",
    "[@, @]",
    "{'a': @}",
    "-@",
    "not @",
    "@ + @",
    "@ ~ @",
    "@ * 1000",
    "@ ** @",
    "@ // @",
    "@ % @",
    "@[@:@:@]",
    "@.a",
    "@['a']",
    "@ | upper",
    "@ | indent(@)",
    "@ | join(@)",
    "@ | tojson(indent=@)",
    "@ | replace(@, @)",
    "@ | batch(@)",
    "@ | slice(@)",
    "@ | format(@)",
    "@ | list",
    "@ | sort",
    "@ | map('upper')",
    "@ | groupby('role')",
    "@ | round(@)",
    "range(@, @, @)",
    "@.split(@)",
    "@.format(@)",
    "@.ljust(@)",
    "@.zfill(@)",
    "@.replace(@, @)",
    "@ if @ else @",
    "@ is divisibleby @",
    "messages",
    "messages[0].content",
    "x",
    "'a'",
    "'%99d'",
    "'{:>9}'",
    "0",
    "1",
    "7",
    "99999",
    "-1",
    "9223372036854775807",
    "1e308",
    "none",
    "true",
    "nothing",
    "''",
    "'é漢'",
    "strftime_now(@)",
    "raise_exception(@)",
    "dict(a=@)",
    "loop.index",
    "@ in @",
];

/// Pieces within pieces, now and then one of them thousands of times.
fn grow(mutator: &mut Mutator) -> String {
    let mut template = (*mutator.pick(PIECES)).to_string();
    for _ in 0..mutator.below(40) {
        let piece: &&str = mutator.pick(PIECES);
        template = template.replacen('@', piece, 1);
    }
    if mutator.once_in(8) {
        let piece = *mutator.pick(PIECES);
        for _ in 0..mutator.below(12) {
            template = template.replacen('@', piece, 1);
        }
        let times = 1 << mutator.below(16);
        template = template.replacen(
            '@',
            &["-", "not ", "(", "[", "'a'~", "1+", "{% if 1 %}", "{% elif 0 %}"][mutator.below(8)]
                .repeat(times),
            1,
        );
    }
    let text = template.replace('@', "messages[0].content");
    if text.contains("{{") || text.contains("{%") { text } else { format!("{{{{ {text} }}}}") }
}

#[test]
fn mutated_templates_survive() {
    isolate();
    let cases: Vec<Value> =
        serde_json::from_slice(&fs::read(common::fixture("chat_templates.json")).unwrap()).unwrap();
    let mut seeds: Vec<Vec<u8>> =
        cases.iter().map(|case| case["template"].as_str().unwrap().into()).collect();
    seeds.dedup();
    survives(
        "templates",
        250,
        |mutator| if mutator.once_in(2) { mutator.bytes(&seeds) } else { grow(mutator).into_bytes() },
        |bytes| drop(render(&String::from_utf8_lossy(bytes))),
    );
}
