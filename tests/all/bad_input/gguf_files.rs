//! GGUF files that are cut, altered or of another kind.
use std::fs;

use candle_core::quantized::gguf_file::Value as Gguf;

use super::common;
use super::common::gguf::Metadata;
use super::{DOWNLOAD, Place, USAGE};

#[test]
fn a_gguf_file_cut_anywhere_is_refused_and_never_a_panic() {
    let place = Place::new();
    common::gguf::write(&place.path("whole.gguf"), &common::gguf::metadata());
    place.niah("run -m whole.gguf --context-lengths 400 --depths 50 -o out").works(&["results: out"]);
    let whole = fs::read(place.path("whole.gguf")).unwrap();
    let header: Vec<usize> = (1..36).map(|i| i * i * 7 % 5900).collect();
    let data = (1..25).map(|i| whole.len() * i / 25);
    for end in header.into_iter().chain(data).chain([1, 3, 4, 8, 23, whole.len() - 1]) {
        place.write("cut.gguf", &whole[..end]);
        let words: &[&str] = match end {
            0 => &["empty"],
            1..4 => &["not a GGUF file"],
            _ => &["cut short", "download it again"],
        };
        place.niah("run -m cut.gguf --dry-run").refuses(USAGE, &["cut.gguf"]).says(words);
    }
}

#[test]
fn flipped_bytes_in_a_gguf_header_never_panic() {
    let place = Place::new();
    common::gguf::write(&place.path("flipped.gguf"), &common::gguf::metadata());
    let whole = fs::read(place.path("flipped.gguf")).unwrap();
    let tensors = whole.windows(5).position(|window| window == b"token").unwrap();
    for at in (4..tensors).step_by(97).chain((tensors..tensors + 400).step_by(11)).chain(4..40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xFF;
        place.write("flipped.gguf", &flipped);
        let ran = place.niah("run -m flipped.gguf --dry-run --context-lengths 400 --depths 50");
        assert!(matches!(ran.code, Some(0 | USAGE)), "byte {at}: {:?} {}", ran.code, ran.stderr);
    }
}

#[test]
fn wrong_metadata_of_a_gguf_file_is_refused_by_key() {
    let place = Place::new();
    let run = |edit: &dyn Fn(&mut Metadata)| {
        let mut metadata = common::gguf::metadata();
        edit(&mut metadata);
        common::gguf::write(&place.path("m.gguf"), &metadata);
        place.niah("run -m m.gguf --dry-run --context-lengths 400 --depths 50")
    };
    fn set(key: &'static str, value: Gguf) -> impl Fn(&mut Metadata) {
        move |metadata| {
            metadata.retain(|(name, _)| *name != key);
            metadata.push((key, value.clone()));
        }
    }
    run(&|_| {}).works(&[]);
    for (key, _) in common::gguf::metadata() {
        let ran = run(&|metadata| metadata.retain(|(name, _)| *name != key));
        let optional = ["head_count_kv", "context_length", "freq_base", "token_type", "merges"];
        match optional.iter().any(|name| key.ends_with(name)) {
            // Without the number of key-value heads the tensors have another shape.
            _ if key.ends_with("head_count_kv") => ran.refuses(USAGE, &["m.gguf", "k_proj", "[16, 32]"]),
            true => ran.works(&[]),
            false => ran.refuses(USAGE, &[key]),
        };
    }
    let text = |text: &str| Gguf::String(text.to_string());
    for (key, value, words) in [
        (
            "general.architecture",
            text("mystery"),
            &["m.gguf: general.architecture", "mystery", "known architectures: llama"][..],
        ),
        ("general.architecture", Gguf::U32(1), &["m.gguf", "general.architecture", "a string", "U32"]),
        ("general.alignment", Gguf::U32(0), &["m.gguf", "general.alignment is 0", DOWNLOAD]),
        ("llama.block_count", Gguf::U32(1_000_000_000), &["m.gguf", "num_hidden_layers", "at most 4096"]),
        ("llama.block_count", Gguf::U32(0), &["num_hidden_layers", "found 0"]),
        ("llama.block_count", text("4"), &["llama.block_count", "a whole number"]),
        ("llama.embedding_length", Gguf::U64(u64::MAX), &["hidden_size", "2^31"]),
        ("llama.attention.head_count", Gguf::U32(0), &["num_attention_heads", "found 0"]),
        ("llama.rope.freq_base", Gguf::F32(0.0), &["rope_theta", "above 0"]),
        ("llama.rope.scaling.type", text("spiral"), &["llama.rope.scaling.type", "spiral", "yarn"]),
        ("split.count", Gguf::U16(2), &["m.gguf", "split", "llama-gguf-split --merge"]),
        ("tokenizer.ggml.model", text("bert"), &["m.gguf", "bert", "gpt2, llama", "tokenizer.json beside"]),
        ("tokenizer.ggml.pre", text("mystery"), &["mystery", "llama-bpe", "tokenizer.json beside"]),
        ("tokenizer.ggml.tokens", text("a"), &["tokenizer.ggml.tokens", "a list of strings"]),
        ("tokenizer.ggml.bos_token_id", Gguf::U32(999), &["bos token is 999", "256 tokens"]),
    ] {
        run(&set(key, value)).refuses(USAGE, words);
    }
    let mut words: Vec<Gguf> = common::byte_tokens().into_iter().map(Gguf::String).collect();
    words.push(text("more"));
    run(&|metadata| {
        set("tokenizer.ggml.tokens", Gguf::Array(words.clone()))(metadata);
        metadata.retain(|(name, _)| *name != "tokenizer.ggml.token_type");
    })
    .refuses(USAGE, &["257 tokens", "256 rows"]);
    // The remedy that the message names.
    fs::copy(place.path("model/tokenizer.json"), place.path("tokenizer.json")).unwrap();
    run(&set("tokenizer.ggml.pre", text("mystery"))).works(&[]);
}

#[test]
fn a_tensor_of_an_unknown_type_is_looked_at_and_not_run() {
    let place = Place::new();
    common::gguf::write(&place.path("m.gguf"), &common::gguf::metadata());
    let mut bytes = fs::read(place.path("m.gguf")).unwrap();
    let name = b"blk.2.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    // After the name: the number of dimensions, two of them, and the type.
    let kind = at + 4 + 16;
    for (number, word) in [(99, "type 99"), (31, "Q4_0_4_4")] {
        bytes[kind] = number;
        place.write("m.gguf", &bytes);
        let words = ["m.gguf", "tensor blk.2.ffn_up.weight", word, "NVFP4", "quantise the model again"];
        place.niah("run -m m.gguf --dry-run").refuses(USAGE, &words);
        place.niah("run -m m.gguf --context-lengths 400 --depths 50 -o out").refuses(USAGE, &words);
        let looked_at = place.niah("inspect m.gguf").works(&[]).stdout;
        assert!(looked_at.contains(word) && looked_at.contains("blk.2.ffn_up.weight"), "{looked_at}");
    }
    // Of a layer that is not there, it keeps nothing from running.
    bytes[kind] = 99;
    bytes[at - name.len() + 4] = b'9';
    place.write("m.gguf", &bytes);
    place.niah("run -m m.gguf --dry-run").refuses(USAGE, &["up_proj", "no such tensor"]);
}

#[test]
fn a_tensor_that_the_file_cannot_hold_is_refused() {
    let place = Place::new();
    common::gguf::write(&place.path("m.gguf"), &common::gguf::metadata());
    let whole = fs::read(place.path("m.gguf")).unwrap();
    let name = b"token_embd.weight";
    let at = whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let changed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        edit(&mut bytes);
        place.write("m.gguf", &bytes);
        place.niah("run -m m.gguf --dry-run")
    };
    changed(&|bytes| bytes[at + 4..at + 12].copy_from_slice(&(1u64 << 62).to_le_bytes()))
        .refuses(USAGE, &["m.gguf", "token_embd.weight", "overlap", DOWNLOAD]);
    changed(&|bytes| bytes[at + 20] = 12).refuses(USAGE, &["m.gguf", "token_embd.weight", "Q4_K", DOWNLOAD]);
    changed(&|bytes| bytes[at + 24] = 1).refuses(USAGE, &["m.gguf", "token_embd.weight", "multiple of 32"]);
    changed(&|bytes| bytes[at + 31] = 0xFF).refuses(USAGE, &["m.gguf", "cut short", "token_embd.weight"]);
}
