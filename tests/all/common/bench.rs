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
        command.args(last_wins(arguments)).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("cache"));
        for variable in [
            "NO_COLOR",
            "COLUMNS",
            "LANG",
            "LC_ALL",
            "LC_CTYPE",
            "RAYON_NUM_THREADS",
            "NIAH_CPU",
            "NIAH_PALETTE",
            "NIAH_WIDTH",
        ] {
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

/// Of each flag the last, as a test's own stand behind those that it shares with others; of `--needle`,
/// `--export` and `--min-accuracy-at` all.
pub(crate) fn last_wins<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut groups: Vec<(String, Vec<&str>)> = vec![(String::new(), Vec::new())];
    for (place, argument) in arguments.iter().enumerate() {
        if *argument == "--" {
            groups.push((String::new(), arguments[place..].to_vec()));
            break;
        }
        match flag_of(argument) {
            Some(flag) => groups.push((flag, vec![argument])),
            None => groups.last_mut().unwrap().1.push(argument),
        }
    }
    let repeated = |at: usize, flag: &str| groups[at + 1..].iter().any(|(later, _)| later == flag);
    let all = |flag: &str| ["", "--needle", "--export", "--min-accuracy-at"].contains(&flag);
    let kept = groups.iter().enumerate().filter(|(at, (flag, _))| all(flag) || !repeated(*at, flag));
    kept.flat_map(|(_, (_, words))| words.iter().copied()).collect()
}

/// The name of a flag; none of a value.
fn flag_of(argument: &str) -> Option<String> {
    let rest = argument.strip_prefix('-')?;
    if rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c.is_whitespace()) {
        return None;
    }
    let long = rest.strip_prefix('-').map(|name| name.split('=').next().unwrap().replace('_', "-"));
    Some(match (long, &rest[..1]) {
        (Some(long), _) => format!("--{long}"),
        (None, "n") => "--trials".to_string(),
        (None, "o") => "--output".to_string(),
        (None, "m") => "--model".to_string(),
        (None, short) => format!("-{short}"),
    })
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
