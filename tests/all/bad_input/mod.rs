//! Bad input gets one line that says what is wrong and what to do, and nothing that was computed is lost.

mod checkpoints;
use crate::common;
mod flags;
mod gguf_files;
mod kinds;
mod limits;
mod results;
mod special_files;
mod unread;
mod weights;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use serde_json::Value;
use tempfile::TempDir;

/// The exit code of a usage or configuration error.
const USAGE: i32 = 2;
/// The exit code of a run that failed.
const FAILED: i32 = 1;
/// The remedy for a file that is not whole.
const DOWNLOAD: &str = "download";

/// A directory with a tiny checkpoint in `model`, in which commands run.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("model")).unwrap();
        common::tiny_checkpoint(&place.path("model"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let cache = self.path("cache");
        // With backtraces on, so that none can reach a message.
        let variables = [("HF_HUB_OFFLINE", "1"), ("RUST_BACKTRACE", "1"), ("NO_COLOR", "1")];
        command.current_dir(self.0.path()).envs(variables).env("HF_HOME", cache);
        command
    }

    /// Runs `niah` with these arguments, separated by spaces.
    fn niah(&self, arguments: &str) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_niah"));
        Ran::of(arguments, command.args(arguments.split_whitespace()).output().unwrap())
    }

    /// Runs one small cell on the checkpoint, with more arguments.
    fn run(&self, arguments: &str) -> Ran {
        let line = format!("run -m model --context-lengths 400 --depths 50 -o out {arguments}");
        let words: Vec<_> = line.split_whitespace().collect();
        self.niah(&common::bench::last_wins(&words).join(" "))
    }

    fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        edit(&mut value);
        self.write(name, value.to_string());
    }

    fn edit_weights(&self, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let path = self.path("model/model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        edit(&mut tensors);
        candle_core::safetensors::save(&tensors, &path).unwrap();
    }

    /// The trials that `results.csv` holds.
    fn rows(&self) -> usize {
        fs::read_to_string(self.path("out/results.csv")).unwrap().lines().count() - 1
    }
}

/// How a command ended.
struct Ran {
    what: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(what: &str, output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Self {
            what: what.to_string(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for noise in ["panicked", "Os {", "stack backtrace", "RUST_BACKTRACE", "Some(", "Err("] {
            assert!(!ran.stderr.contains(noise), "niah {}: {}", ran.what, ran.stderr);
        }
        ran
    }

    /// It worked, and said these words on stderr.
    #[track_caller]
    fn works(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(0), "niah {}: {}", self.what, self.stderr);
        self.says(words)
    }

    /// It ended with this code and a message of one line that holds these words.
    #[track_caller]
    fn refuses(self, code: i32, words: &[&str]) -> Self {
        let messages: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("niah: ")).collect();
        assert_eq!(messages.len(), 1, "niah {}: {}", self.what, self.stderr);
        assert_eq!(self.stderr.lines().last(), messages.first().copied(), "niah {}", self.what);
        if std::env::var_os("NIAH_SHOW_MESSAGES").is_some() {
            eprintln!("{}", messages[0]);
        }
        self.ends(code, words)
    }

    /// Clap refused it: the message goes on with a usage line.
    #[track_caller]
    fn misuses(self, words: &[&str]) -> Self {
        assert!(self.stderr.starts_with("error: "), "niah {}: {}", self.what, self.stderr);
        self.ends(USAGE, words)
    }

    #[track_caller]
    fn ends(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "niah {}: {}", self.what, self.stderr);
        self.says(words)
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "niah {} does not say {word:?}: {}", self.what, self.stderr);
        }
        self
    }
}
