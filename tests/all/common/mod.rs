//! Where tests find their files, and a checkpoint small enough for any test.

#![allow(dead_code, reason = "each test binary uses some of these")]

pub(crate) mod bench;
pub(crate) mod browser;
pub(crate) mod gguf;
pub(crate) mod grid;
pub(crate) mod real_model;
pub(crate) mod server;

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of `fixtures/models/` (or of the folder that `NIAH_MODELS` names); `None`, with a word on stderr,
/// when it is missing.
pub(crate) fn model_file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NIAH_MODELS").map_or_else(|| fixture("models"), PathBuf::from);
    found(folder.join(name), "python3 fixtures/fetch_models.py")
}

/// A golden checkpoint as a GGUF file, and the golden checkpoint itself.
pub(crate) fn vector_as_gguf(file: &str, name: &str) -> Option<(PathBuf, PathBuf)> {
    let folder = vector(name)?;
    let models = std::env::var_os("NIAH_MODELS").map_or_else(|| fixture("models"), PathBuf::from);
    let file = models.join("gguf").join(format!("{file}.gguf"));
    Some((found(file, "python3 fixtures/make_gguf.py")?, folder))
}

/// A golden checkpoint: of `fixtures/vectors/`, or of the larger collection beside the repository.
pub(crate) fn vector(name: &str) -> Option<PathBuf> {
    let shipped = fixture("vectors").join(name);
    let collection = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(name);
    if shipped.exists() { Some(shipped) } else { found(collection, "the collection of golden vectors") }
}

/// A path below `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Writes a checkpoint of four layers and 256 tokens: the golden llama with a tokenizer of single bytes.
pub(crate) fn tiny_checkpoint(directory: &Path) {
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("vectors/llama").join(file), directory.join(file)).unwrap();
    }
    std::fs::write(directory.join("tokenizer.json"), byte_tokenizer().to_string()).unwrap();
}

/// A byte-level BPE tokenizer without merges: the id of a token is its byte.
pub(crate) fn byte_tokenizer() -> serde_json::Value {
    let vocab: serde_json::Map<_, _> =
        byte_tokens().into_iter().zip(0..).map(|(t, id)| (t, id.into())).collect();
    let byte_level = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false
    });
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    })
}

/// The 256 bytes as GPT-2 writes them: bytes that are no visible character stand from U+0100 on.
pub(crate) fn byte_tokens() -> Vec<String> {
    let visible = |byte: &u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut hidden = 0x100..;
    let character = |byte| if visible(&byte) { byte } else { hidden.next().unwrap() };
    (0..256).map(character).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

fn found(path: PathBuf, source: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let missing = format!("skipped: {} is missing; it comes from: {source}", path.display());
    // The models can be fetched; the collection of vectors is not part of a clone.
    let required = std::env::var_os("NIAH_NO_SKIP").is_some() && !source.contains("collection");
    assert!(!required, "{missing}");
    // Straight to stderr: the test harness would hide it.
    let _ = writeln!(std::io::stderr(), "{missing}");
    None
}
