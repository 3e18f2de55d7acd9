//! What the flags of an experiment mean for its stages.

use crate::cli::ExperimentArgs;
use crate::error::{Error, Result};
use crate::grid::ContextLength;

/// A model and batches so small that a training is a matter of seconds.
const SMALL: &[&str] = &[
    "--hidden-size",
    "64",
    "--intermediate-size",
    "96",
    "--num-attention-heads",
    "2",
    "--num-hidden-layers",
    "2",
    "--vocab-size",
    "512",
];
const SMALL_BATCH: &str = "8";
/// Depths of the grid, in per cent.
const DEPTHS: &str = "0,25,50,75,100";
/// Texts of the losses by position.
const TEXTS: &str = "8";

impl ExperimentArgs {
    /// Refuses what no stage can do.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the flag.
    pub(super) fn check(&self) -> Result<()> {
        if !self.longest.is_power_of_two() {
            return Err(Error::invalid("--longest", self.longest, "a power of two, such as 32"));
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.len() != self.seeds.len() || seeds.is_empty() {
            return Err(Error::invalid(
                "--seeds",
                format!("{:?}", self.seeds),
                "different numbers, at least one",
            ));
        }
        Ok(())
    }

    /// Sizes of a decoder from scratch, as flags of `niah train`.
    pub(super) fn sizes(&self) -> Vec<String> {
        let small: &[&str] = if self.small { SMALL } else { &[] };
        small.iter().map(ToString::to_string).collect()
    }

    /// Lengths and batches of sequences, as flags of `niah train`.
    pub(super) fn sequences(&self) -> Vec<String> {
        let mut flags = vec!["--context-length".to_string(), self.context_length.0.to_string()];
        if self.small {
            flags.extend(["--batch-size".to_string(), SMALL_BATCH.to_string()]);
        }
        flags
    }

    /// A grid of needles in prose, as flags of `niah run`.
    pub(super) fn needles(&self) -> Vec<String> {
        let mut flags = ["--haystack", "synthetic"].map(String::from).to_vec();
        flags.extend(self.grid());
        flags
    }

    /// A grid of key-value lines, likewise.
    pub(super) fn key_values(&self) -> Vec<String> {
        let mut flags = ["--task", "abcdigits"].map(String::from).to_vec();
        flags.extend(self.grid());
        flags
    }

    /// Lengths from the training length on, doubling; depths and trials.
    fn grid(&self) -> Vec<String> {
        let factors = (0..=self.longest.ilog2()).map(|power| 1 << power);
        let lengths: Vec<String> =
            factors.map(|factor: usize| (factor * self.context_length.0).to_string()).collect();
        let trials = self.trials.to_string();
        ["--context-lengths", &lengths.join(","), "--depths", DEPTHS, "--trials", &trials]
            .map(String::from)
            .to_vec()
    }

    /// The text whose loss is measured, as flags of `niah loss`.
    pub(super) fn texts(&self) -> Vec<String> {
        let length = (self.longest * self.context_length.0).to_string();
        ["--context-length", &length, "--trials", TEXTS].map(String::from).to_vec()
    }

    /// How the experiment is made, in words. `training` says what the trainings have in common.
    pub(super) fn method(&self, training: &str) -> Vec<String> {
        let length = self.context_length;
        let trained = match (self.from_fixtures, self.small) {
            (true, _) => "The checkpoints that niah ships are measured here; fixtures/README.md says how each was trained.".to_string(),
            (false, true) => format!(
                "Each configuration is trained for {} steps on sequences of {length} tokens, with a model and batches so small that the \
                 numbers show that the experiment runs and nothing else.",
                self.steps
            ),
            (false, false) => format!(
                "Each configuration is trained for {} steps on sequences of {length} tokens. {training}",
                self.steps
            ),
        };
        let measuring = format!(
            "Retrieval is measured with the task magic on prose from a grammar whose sentences and values training never draws, at lengths up \
             to {} times the training length, five depths, {} trials a cell, the same prompts for every configuration; and on lines \
             such as A=967892 (the task abcdigits). An answer counts when all its digits are right.",
            self.longest, self.trials
        );
        vec![trained, measuring]
    }

    /// The command that makes the report again.
    pub(super) fn command_line(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let mut command = format!("niah experiment {} -o DIR", self.name);
        if self.from_fixtures {
            command += " --from-fixtures";
        }
        if self.small {
            command += " --small";
        }
        command += &format!(
            " --steps {} --seeds {} --context-length {} --trials {} --longest {}",
            self.steps,
            seeds.join(","),
            ContextLength(self.context_length.0),
            self.trials,
            self.longest
        );
        command
    }
}
