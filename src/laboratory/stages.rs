//! The stages of an experiment: commands of this program, each with a directory of its own that holds what it
//! made.
//!
//! The name of the directory ends in a hash of everything the stage depends on: the version of the program,
//! the command, the checkpoints that it reads, and the recipe of the sequences that a training draws. A stage
//! whose directory says that it is complete is not run again; one that was interrupted goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::cli::ExperimentArgs;
use crate::commands::tell;
use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::process::end_with_parent;
use crate::train::data::RECIPE;

/// Says that a stage is complete.
const COMPLETE: &str = "stage.json";
/// What a training goes on from.
const TRAINING_STATE: &str = "training-state.safetensors";
/// The steps of a training.
const TRAINING_TABLE: &str = "training.csv";

/// A command to be run.
pub(super) struct Stage {
    /// A word for its directory.
    pub(super) name: String,
    /// The subcommand and its flags, without `--output`.
    pub(super) arguments: Vec<String>,
    /// Directories of checkpoints among the arguments.
    pub(super) reads: Vec<PathBuf>,
    /// Whether it is a training that may find its gradient to be no number and is then complete with the
    /// steps before. It must save nothing on the way: a state to go on from tells that it was interrupted,
    /// and it begins anew.
    pub(super) may_end_early: bool,
}

/// Runs stages below a directory.
pub(super) struct Stages {
    root: PathBuf,
    threads: Option<usize>,
    report_only: bool,
    total: usize,
    count: usize,
    /// What was to run and did not.
    left_out: Vec<String>,
}

impl Stages {
    /// Of an experiment with `total` of them.
    pub(super) fn new(args: &ExperimentArgs, total: usize) -> Self {
        Self {
            root: args.output.join("stages"),
            threads: args.threads,
            report_only: args.report_only,
            total,
            count: 0,
            left_out: Vec::new(),
        }
    }

    /// What a report of complete stages alone lacks, a phrase each.
    pub(super) fn left_out(self) -> Vec<String> {
        self.left_out
    }

    /// The same as [`run`](Self::run), but with `--report-only` nothing where the stage is not complete;
    /// `what` then stands in the report.
    ///
    /// # Errors
    /// When the command fails or is interrupted.
    pub(super) fn run_or_leave_out(&mut self, stage: &Stage, what: String) -> Result<Option<PathBuf>> {
        if self.report_only && !self.directory(stage)?.join(COMPLETE).is_file() {
            self.count += 1;
            self.left_out.push(what);
            return Ok(None);
        }
        self.run(stage).map(Some)
    }

    /// Runs a stage unless it is complete, and returns its directory.
    ///
    /// # Errors
    /// When the command fails or is interrupted, and with `--report-only` when it is not complete.
    pub(super) fn run(&mut self, stage: &Stage) -> Result<PathBuf> {
        self.count += 1;
        let directory = self.directory(stage)?;
        let complete = directory.join(COMPLETE);
        if complete.is_file() {
            return Ok(directory);
        }
        if self.report_only {
            let problem = format!("the stage {} is not complete", stage.name);
            return Err(Error::invalid("--report-only", problem, "the same command without it"));
        }
        let command = format!("niah {}", stage.arguments.join(" "));
        tell(format_args!("stage {} of {}: {command}", self.count, self.total));
        self.execute(stage, &directory)?;
        let record = json!({ "command": command, "niah": env!("CARGO_PKG_VERSION") });
        fs::write(&complete, format!("{record:#}\n")).map_err(|error| {
            Error::output(&complete, format!("cannot write: {error}; free some space and run again"))
        })?;
        Ok(directory)
    }

    fn directory(&self, stage: &Stage) -> Result<PathBuf> {
        Ok(self.root.join(format!("{}-{}", stage.name, &stage.key()?[..12])))
    }

    fn execute(&self, stage: &Stage, directory: &Path) -> Result<()> {
        let left = |name: &str| directory.join(name).is_file();
        let failed = |problem: String| Error::Failed(format!("stage {}: {problem}", stage.name));
        let program =
            std::env::current_exe().map_err(|error| failed(format!("cannot find niah: {error}")))?;
        let mut command = Command::new(program);
        command.args(&stage.arguments).arg("--output").arg(directory).stdout(Stdio::null());
        end_with_parent(&mut command);
        if let Some(threads) = self.threads {
            command.arg("--threads").arg(threads.to_string());
        }
        if stage.arguments[0] == "run" {
            command.arg("--fail-on-error");
        }
        if stage.arguments[0] == "train" {
            if left(TRAINING_STATE) && !stage.may_end_early {
                command.arg("--resume");
            } else if directory.exists() {
                // It was interrupted before anything was saved, or saves nothing.
                fs::remove_dir_all(directory).map_err(|error| Error::output(directory, error))?;
            }
        }
        let status = command.status().map_err(|error| failed(format!("cannot run niah: {error}")))?;
        let ended_early = || stage.may_end_early && left(TRAINING_TABLE) && !left(TRAINING_STATE);
        match status.success() || ended_early() {
            true => Ok(()),
            false => Err(failed(format!(
                "ended with {status}; what is done is kept in {}, and the same command goes on",
                self.root.display()
            ))),
        }
    }
}

impl Stage {
    /// A stage that is complete when its command succeeds.
    pub(super) fn new(name: String, arguments: Vec<String>, reads: Vec<PathBuf>) -> Self {
        Self { name, arguments, reads, may_end_early: false }
    }

    /// SHA-256 of what it depends on.
    fn key(&self) -> Result<String> {
        let mut text = format!("niah {}\n", env!("CARGO_PKG_VERSION"));
        for argument in &self.arguments {
            let read = self.reads.iter().find(|directory| *argument == directory.to_string_lossy());
            text += &read.map_or_else(|| Ok(argument.clone()), |directory| content(directory))?;
            text.push('\n');
        }
        if self.arguments[0] == "train" {
            text += &format!("recipe {RECIPE}\n");
        }
        Ok(sha256_hex(text))
    }
}

/// The letters and digits of a name, as a part of the name of a stage.
pub(super) fn word(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "")
}

/// SHA-256 of the files that make a checkpoint.
fn content(directory: &Path) -> Result<String> {
    let mut hashes = String::new();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let path = directory.join(name);
        let bytes = fs::read(&path).map_err(|error| Error::file(&path, format!("cannot read: {error}")))?;
        hashes += &sha256_hex(bytes);
    }
    Ok(sha256_hex(hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_depends_on_its_flags_and_on_what_a_checkpoint_holds_and_not_on_where_it_lies() {
        let [here, there] = [(); 2].map(|()| {
            let place = tempfile::tempdir().unwrap();
            for name in ["config.json", "tokenizer.json", "model.safetensors"] {
                fs::write(place.path().join(name), name).unwrap();
            }
            place
        });
        let key = |place: &Path, seed: &str| {
            let arguments =
                ["run", "--model", &place.to_string_lossy(), "--seed", seed].map(String::from).to_vec();
            Stage::new("grid".to_string(), arguments, vec![place.to_path_buf()]).key().unwrap()
        };
        let before = key(here.path(), "1");
        assert_eq!(before, key(there.path(), "1"));
        assert_ne!(before, key(here.path(), "2"));
        fs::write(here.path().join("model.safetensors"), "trained further").unwrap();
        assert_ne!(before, key(here.path(), "1"));
    }
}
