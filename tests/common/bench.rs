//! Where a test runs the binary.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `niah` in the directory, without what its output may depend on outside of it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("cache"));
        for variable in ["NO_COLOR", "COLUMNS", "LANG", "LC_ALL", "LC_CTYPE", "RAYON_NUM_THREADS"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs `niah`; the output whatever comes of it.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `niah` writes to stdout when all goes well.
    pub(crate) fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `niah` says on stderr, with all of `words`, when it refuses to begin.
    pub(crate) fn refused(&self, arguments: &[&str], words: &[&str]) -> String {
        let output = self.output(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        }
        assert!(output.stdout.is_empty(), "{arguments:?}: stdout is for data");
        said
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
