//! Where tests find their files.

#![allow(dead_code, reason = "each test binary uses some of these")]

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of `fixtures/models/` (or of the folder that `NIAH_MODELS` names); `None`, with a word on stderr, when it is missing.
pub(crate) fn model_file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NIAH_MODELS").map_or_else(|| fixture("models"), PathBuf::from);
    found(folder.join(name), "python3 fixtures/fetch_models.py")
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
