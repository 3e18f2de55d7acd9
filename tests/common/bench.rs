//! Where a test runs the binary.

use std::fs;
use std::path::PathBuf;

/// A directory with a checkpoint in `tiny/`, where commands run.
pub(crate) struct Bench(pub(crate) tempfile::TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.path("tiny")).unwrap();
        super::tiny_checkpoint(&bench.path("tiny"));
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
