//! The tokenizers of real GGUF files give the ids of the references.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, and so do its helpers")]

use crate::common;

use std::fs::{self, File};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use niah::tokenizer::{GgufVocabulary, TextTokenizer, Tokenize};
use serde_json::json;

const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const GEMMA3: &str = "gemma-3-270m-q4_k_m.gguf";

/// The model's vocabulary, or nothing when the model has not been fetched.
fn vocabulary(model: &str) -> Option<GgufVocabulary> {
    Some(vocabulary_of(&common::model_file(model)?))
}

/// The vocabulary of a GGUF file.
fn vocabulary_of(path: &Path) -> GgufVocabulary {
    let mut file = File::open(path).unwrap();
    let content = Content::read(&mut file).unwrap();
    let get = |key: &str| content.metadata.get(key);
    let string = |key: &str| get(key).map(|value| value.to_string().unwrap().clone());
    let list = |key: &str| get(key).map_or(&[][..], |value| value.to_vec().unwrap());
    let strings = |key: &str| list(key).iter().map(|item| item.to_string().unwrap().clone()).collect();
    let id =
        |name: &str| get(&format!("tokenizer.ggml.{name}_token_id")).map(|value| value.to_u32().unwrap());
    let flag = |name: &str| get(&format!("tokenizer.ggml.{name}")).map(|value| value.to_bool().unwrap());
    GgufVocabulary {
        model: string("tokenizer.ggml.model").unwrap(),
        pre: string("tokenizer.ggml.pre"),
        tokens: strings("tokenizer.ggml.tokens"),
        scores: get("tokenizer.ggml.scores")
            .map(|scores| scores.to_vec().unwrap().iter().map(|score| score.to_f32().unwrap()).collect()),
        token_types: Some(list("tokenizer.ggml.token_type").iter().map(i32_of).collect()),
        merges: strings("tokenizer.ggml.merges"),
        bos: id("bos"),
        eos: id("eos"),
        unk: id("unknown"),
        pad: id("padding"),
        eot: id("eot"),
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_space_prefix: flag("add_space_prefix"),
        chat_template: string("tokenizer.chat_template"),
    }
}

/// For vocabularies that are not part of the repository: `NIAH_VOCABULARIES` names a folder of GGUF files as
/// llama.cpp keeps them for its tests, each with texts (`.inp`) and the ids that the model's own tokenizer
/// gives them (`.out`).
#[test]
fn further_vocabularies_give_the_ids_of_the_models_own_tokenizers() {
    let Some(folder) = std::env::var_os("NIAH_VOCABULARIES") else { return };
    niah::isolation::set_program(env!("CARGO_BIN_EXE_niah").into());
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let beside = |suffix: &str| fs::read_to_string(format!("{}.{suffix}", path.display()));
        let (true, Ok(texts), Ok(ids)) =
            (path.extension().is_some_and(|extension| extension == "gguf"), beside("inp"), beside("out"))
        else {
            continue;
        };
        let tokenizer = match TextTokenizer::isolated_from_gguf(&vocabulary_of(&path)) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let texts = texts.split("\n__ggml_vocab_test__\n");
        for (text, ids) in texts.zip(ids.lines()) {
            let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let found = tokenizer.encode(text).unwrap().ids;
            if found != ids {
                wrong.push(format!("{}: {text:?}: {found:?} instead of {ids:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn i32_of(value: &Value) -> i32 {
    value.to_i32().unwrap()
}

/// The strings of the reference with their ids in `file`.
fn reference(file: &str) -> Vec<(String, Vec<u32>)> {
    let read = |name: &str| {
        serde_json::from_slice::<serde_json::Value>(&fs::read(common::fixture(name)).unwrap()).unwrap()
    };
    let strings: Vec<String> = serde_json::from_value(read("tokenizer_strings.json")).unwrap();
    let ids: Vec<Vec<u32>> = serde_json::from_value(read(file)["ids"].take()).unwrap();
    assert_eq!(strings.len(), ids.len());
    strings.into_iter().zip(ids).collect()
}

/// Bytes that the vocabulary has no token for.
fn unknown_to_the_model(text: &str) -> bool {
    let missing = [0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2];
    text.bytes().any(|byte| missing.contains(&byte) || byte >= 0xF5)
}

#[test]
fn a_gguf_vocabulary_gives_the_ids_of_the_reference() {
    let Some(vocabulary) = vocabulary(SMOLLM2) else { return };
    let reference = reference("tokenizer_smollm2.json");
    let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
    let mut round_trips = 0;
    for (text, ids) in &reference {
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(&encoded.ids, ids, "{text:?}");
        assert_eq!(encoded.spans.len(), ids.len());
        let mut covered = 0;
        for (before, after) in encoded.spans.iter().zip(encoded.spans.iter().skip(1)) {
            assert!(before.start <= after.start && before.end <= after.end, "{text:?}: {:?}", encoded.spans);
        }
        if unknown_to_the_model(text) {
            continue;
        }
        for span in &encoded.spans {
            assert!(
                span.start <= covered && text.get(span.clone()).is_some(),
                "{text:?}: {:?}",
                encoded.spans
            );
            covered = span.end;
        }
        assert_eq!(covered, text.len(), "{text:?}");
        assert_eq!(&tokenizer.decode(ids).unwrap(), text);
        round_trips += 1;
    }
    assert!(round_trips > 190, "{round_trips}");
}

#[test]
fn a_directory_gives_the_same_ids_as_the_gguf_file() {
    let Some(vocabulary) = vocabulary(SMOLLM2) else { return };
    let reference = reference("tokenizer_smollm2.json");
    let added: Vec<_> = (0..17)
        .map(|id| {
            json!({
                "id": id, "content": vocabulary.tokens[id], "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();
    let ids: serde_json::Map<_, _> =
        vocabulary.tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let digits = json!({"type": "Digits", "individual_digits": true});
    let file = json!({
        "version": "1.0", "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "decoder": byte_level, "post_processor": byte_level,
        "model": {"type": "BPE", "vocab": ids, "merges": vocabulary.merges}
    });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokenizer.json"), file.to_string()).unwrap();
    let tokenizer = TextTokenizer::from_directory(directory.path()).unwrap();
    let from_gguf = TextTokenizer::from_gguf(&vocabulary).unwrap();
    for (text, ids) in &reference {
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(&encoded.ids, ids, "{text:?}");
        assert_eq!(encoded, from_gguf.encode(text).unwrap());
    }
    assert_eq!(tokenizer.bos(), None);
    assert_eq!(tokenizer.vocab_size(), from_gguf.vocab_size());
}

#[test]
fn the_special_tokens_of_the_file_are_known() {
    let Some(vocabulary) = vocabulary(SMOLLM2) else { return };
    let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
    assert_eq!(tokenizer.bos(), None, "the file says add_bos_token = false");
    assert_eq!(tokenizer.special_ids().len(), 17);
    assert_eq!(tokenizer.eos_ids().iter().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(tokenizer.vocab_size(), 49_152);
    assert_eq!(tokenizer.token_text(504).unwrap(), "The");
    let prompt = tokenizer.chat_template().unwrap().unwrap().render(Some("Be brief."), "Hi").unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    let response = tokenizer.encode("42<|im_end|>").unwrap();
    assert_eq!(tokenizer.decode_plain(&response.ids).unwrap(), "42");
}

/// The ids are those of the sentencepiece library, given the file's pieces, scores and types.
#[test]
fn a_sentencepiece_vocabulary_gives_the_ids_of_sentencepiece() {
    let Some(vocabulary) = vocabulary(GEMMA3) else { return };
    let reference = reference("tokenizer_gemma3.json");
    let tokenizer = TextTokenizer::from_gguf(&vocabulary).unwrap();
    for (text, ids) in &reference {
        assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{text:?}");
        assert_eq!(&tokenizer.decode(ids).unwrap(), text);
    }
    assert_eq!(tokenizer.bos(), Some(2));
    let ends: Vec<_> = tokenizer.eos_ids().iter().map(|id| tokenizer.token_text(*id).unwrap()).collect();
    assert_eq!(ends, ["<eos>", "<end_of_turn>"]);
}
