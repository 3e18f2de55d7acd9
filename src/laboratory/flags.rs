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
/// Trials of a cell.
const TRIALS: usize = 20;
/// Texts of the losses by position.
const TEXTS: &str = "8";

/// Trials of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trials {
    /// With the first seed.
    pub(super) first: usize,
    /// With the others.
    pub(super) others: usize,
}

impl ExperimentArgs {
    /// Those that were asked for, or as many as there are by default; of the first seed `first`.
    pub(super) fn trials(&self, first: Option<usize>) -> Trials {
        let others = self.trials.unwrap_or(TRIALS);
        Trials { first: self.trials.or(first).unwrap_or(TRIALS), others }
    }

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
    pub(super) fn needles(&self, trials: usize) -> Vec<String> {
        let mut flags = ["--haystack", "synthetic"].map(String::from).to_vec();
        flags.extend(self.grid(trials));
        flags
    }

    /// A grid of key-value lines, likewise.
    pub(super) fn key_values(&self, trials: usize) -> Vec<String> {
        let mut flags = ["--task", "abcdigits"].map(String::from).to_vec();
        flags.extend(self.grid(trials));
        flags
    }

    /// Lengths from the training length on, doubling; depths and trials.
    fn grid(&self, trials: usize) -> Vec<String> {
        let factors = (0..=self.longest.ilog2()).map(|power| 1 << power);
        let lengths: Vec<String> =
            factors.map(|factor: usize| (factor * self.context_length.0).to_string()).collect();
        let trials = trials.to_string();
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
    pub(super) fn method(&self, training: &str, trials: Trials) -> Vec<String> {
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
        let of_cells = match trials {
            Trials { first, others } if first == others => format!("{first} trials a cell"),
            Trials { first, others } => {
                format!("{first} trials a cell with the first seed and {others} with the others")
            }
        };
        let measuring = format!(
            "Retrieval is measured with the task magic on prose from a grammar whose sentences and values training never draws, at lengths up \
             to {} times the training length, at depths of {} %, {of_cells}, the same prompts for every configuration; and on \
             lines such as A=967892 (the task abcdigits, whose lines are drawn as those of the published generator, with values that \
             training never draws). An answer counts when all its digits are right.",
            self.longest,
            DEPTHS.replace(',', ", ")
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
            " --steps {} --seeds {} --context-length {} --longest {}",
            self.steps,
            seeds.join(","),
            ContextLength(self.context_length.0),
            self.longest
        );
        if let Some(trials) = self.trials {
            command += &format!(" --trials {trials}");
        }
        command
    }
}
