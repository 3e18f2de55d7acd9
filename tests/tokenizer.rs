//! The tokenizer of a real GGUF file gives the ids of the reference (`fixtures/tokenizer_smollm2.json`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};
use niah::tokenizer::{GgufVocabulary, TextTokenizer, Tokenize};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The model's vocabulary, or nothing when the model has not been fetched.
fn vocabulary() -> Option<GgufVocabulary> {
    let folder = std::env::var_os("NIAH_MODELS").map_or_else(|| fixtures().join("models"), PathBuf::from);
    let path = folder.join(MODEL);
    let Ok(mut file) = File::open(&path) else {
        println!("skipped: no {}; fetch it with fixtures/fetch_models.py", path.display());
        return None;
    };
    let content = Content::read(&mut file).unwrap();
    let get = |key: &str| content.metadata.get(key);
    let string = |key: &str| get(key).map(|value| value.to_string().unwrap().clone());
    let list = |key: &str| get(key).map_or(&[][..], |value| value.to_vec().unwrap());
    let strings = |key: &str| list(key).iter().map(|item| item.to_string().unwrap().clone()).collect();
    let id =
        |name: &str| get(&format!("tokenizer.ggml.{name}_token_id")).map(|value| value.to_u32().unwrap());
    let flag = |name: &str| get(&format!("tokenizer.ggml.{name}")).map(|value| value.to_bool().unwrap());
    Some(GgufVocabulary {
        model: string("tokenizer.ggml.model").unwrap(),
        pre: string("tokenizer.ggml.pre"),
        tokens: strings("tokenizer.ggml.tokens"),
        scores: None,
        token_types: Some(list("tokenizer.ggml.token_type").iter().map(|item| i32_of(item)).collect()),
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
    })
}

fn i32_of(value: &Value) -> i32 {
    value.to_i32().unwrap()
}

/// The strings of the reference with their ids.
fn reference() -> Option<Vec<(String, Vec<u32>)>> {
    let read = |name: &str| {
        let path = fixtures().join(name);
        let bytes = fs::read(&path).inspect_err(|_| println!("skipped: no {}", path.display())).ok()?;
        Some(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap())
    };
    let strings: Vec<String> = serde_json::from_value(read("tokenizer_strings.json")?).unwrap();
    let ids: Vec<Vec<u32>> = serde_json::from_value(read("tokenizer_smollm2.json")?["ids"].take()).unwrap();
    assert_eq!(strings.len(), ids.len());
    Some(strings.into_iter().zip(ids).collect())
}

/// Bytes that the vocabulary has no token for.
fn unknown_to_the_model(text: &str) -> bool {
    let missing = [0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2];
    text.bytes().any(|byte| missing.contains(&byte) || byte >= 0xF5)
}

#[test]
fn a_gguf_vocabulary_gives_the_ids_of_the_reference() {
    let (Some(vocabulary), Some(reference)) = (vocabulary(), reference()) else { return };
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
fn the_special_tokens_of_the_file_are_known() {
    let Some(vocabulary) = vocabulary() else { return };
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
