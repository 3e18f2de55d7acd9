//! What the flags of an experiment mean for its stages.

use crate::cli::ExperimentArgs;
use crate::commands::check_threads;
use crate::error::{Error, Result};
use crate::grid::{ContextLength, LONGEST};
use crate::kernel::cpu;
use crate::plan::MOST_PROMPTS;
use crate::task::TASKS;

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
/// Depths and trials of the farthest lengths.
const FAR_DEPTHS: &str = "10,50,90";
const FAR_TRIALS: &str = "4";
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

    /// Refuses what no stage can do, or the last one would refuse after hours.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the flag.
    pub(super) fn check(&self) -> Result<()> {
        cpu::check()?;
        self.threads.map_or(Ok(()), check_threads)?;
        for (flag, factor) in [("--longest", self.longest), ("--farthest", self.farthest)] {
            if !factor.is_power_of_two() {
                return Err(Error::invalid(flag, factor, "a power of two, such as 32"));
            }
            if factor.checked_mul(self.context_length.0).is_none_or(|tokens| tokens > LONGEST) {
                let expected = format!("at most {LONGEST} tokens, of {} each", self.context_length.0);
                return Err(Error::invalid(flag, factor, expected));
            }
        }
        let cells = DEPTHS.split(',').count() * (self.longest.ilog2() as usize + 1);
        let most = MOST_PROMPTS / cells;
        if let Some(trials) = self.trials.filter(|trials| !(1..=most).contains(trials)) {
            return Err(Error::invalid("--trials", trials, format!("1 to {most}, in each of {cells} cells")));
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
        let length = ["--context-length".to_string(), self.context_length.0.to_string()];
        length.into_iter().chain(self.batches()).collect()
    }

    /// Batches of sequences, likewise.
    pub(super) fn batches(&self) -> Vec<String> {
        let small = [("--batch-size", SMALL_BATCH)].into_iter().filter(|_| self.small);
        small.flat_map(|(flag, value)| [flag.to_string(), value.to_string()]).collect()
    }

    /// A grid of needles in prose, as flags of `niah run`.
    pub(super) fn needles(&self, trials: usize) -> Vec<String> {
        let mut flags = ["--haystack", "synthetic"].map(String::from).to_vec();
        flags.extend(self.grid(0, trials));
        flags
    }

    /// A grid of another task, likewise; of prose where it has a haystack.
    pub(super) fn task(&self, task: &str, trials: usize) -> Vec<String> {
        let mut flags = ["--task", task].map(String::from).to_vec();
        let preset = TASKS.iter().find(|entry| entry.name == task).map(|entry| (entry.value)());
        if preset.as_ref().is_none_or(|preset| preset.listing().is_none()) {
            flags.extend(["--haystack", "synthetic"].map(String::from));
        }
        let rows = DEPTHS.split(',').count();
        let has_rows = preset.as_ref().is_none_or(|preset| preset.without_depth().is_none());
        // A grid of one row has as many prompts of a length as one of all depths.
        let trials = if has_rows { trials } else { trials * rows };
        // Needles and distractors leave little room at the training length.
        flags.extend(self.grid(u32::from(!task.starts_with("abcdigits")), trials));
        flags
    }

    /// Needles in prose from beyond the first grid to the farthest length, doubling: few at each, since a
    /// prompt takes minutes there.
    pub(super) fn far(&self) -> Vec<String> {
        let mut flags = ["--haystack", "synthetic"].map(String::from).to_vec();
        flags.extend(self.lengths(self.longest.ilog2() + 1..=self.farthest.ilog2()));
        flags.extend(["--depths", FAR_DEPTHS, "--trials", FAR_TRIALS].map(String::from));
        flags
    }

    /// Whether there is anything beyond the first grid.
    pub(super) fn has_far(&self) -> bool {
        self.farthest > self.longest
    }

    /// Lengths from the training length times this power of two on, doubling; depths and trials.
    fn grid(&self, first: u32, trials: usize) -> Vec<String> {
        let mut flags = self.lengths(first..=self.longest.ilog2().max(first));
        flags.extend(["--depths", DEPTHS, "--trials", &trials.to_string()].map(String::from));
        flags
    }

    /// The training length times these powers of two.
    fn lengths(&self, powers: impl Iterator<Item = u32>) -> Vec<String> {
        let lengths: Vec<String> =
            powers.map(|power| ((1 << power) * self.context_length.0).to_string()).collect();
        vec!["--context-lengths".to_string(), lengths.join(",")]
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
            (true, _) => {
                "The checkpoints that niah ships are measured here; fixtures/README.md says how each \
                          was trained."
                    .to_string()
            }
            (false, true) => format!(
                "Each configuration is trained for {} steps on sequences of {length} tokens, with a model and \
                 batches so small that the numbers show that the experiment runs and nothing else.",
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
            "Retrieval is measured with the task magic on prose from a grammar whose sentences and values \
             training never draws, at lengths up to {} times the training length, at depths of {} %, \
             {of_cells}, the same prompts for every configuration; and on lines such as A=967892 (the task \
             abcdigits, whose lines are drawn as those of the published generator, with values that training \
             never draws). An answer counts when all its digits are right.{}",
            self.longest,
            DEPTHS.replace(',', ", "),
            if self.name == "ssmax" && self.has_far() {
                format!(
                    "Main configurations go on to {} times the training length, at depths of {} %, \
                     {FAR_TRIALS} trials a cell.",
                    self.farthest,
                    FAR_DEPTHS.replace(',', ", ")
                )
            } else {
                String::new()
            }
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
            " --steps {} --seeds {} --context-length {} --longest {} --farthest {}",
            self.steps,
            seeds.join(","),
            ContextLength(self.context_length.0),
            self.longest,
            self.farthest
        );
        if !self.parts.is_empty() {
            command += &format!(" --parts {}", self.parts.join(","));
        }
        if self.searches.is_some() {
            command += " --searches FILE";
        }
        if let Some(trials) = self.trials {
            command += &format!(" --trials {trials}");
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ExperimentArgs);

    fn check(change: impl FnOnce(&mut ExperimentArgs)) -> Result<()> {
        let mut args = ExperimentArgs {
            name: "ssmax".to_string(),
            output: "out".into(),
            report_only: false,
            from_fixtures: false,
            steps: 2000,
            seeds: vec![42, 43],
            context_length: ContextLength(256),
            small: false,
            trials: None,
            longest: 32,
            farthest: 512,
            parts: Vec::new(),
            searches: None,
            threads: None,
        };
        change(&mut args);
        args.check()
    }

    #[test]
    fn regression_what_only_a_late_stage_would_refuse_is_refused_before_the_first() {
        check(|_| {}).unwrap();
        check(|args| (args.trials, args.threads) = (Some(100), Some(2))).unwrap();
        let refused: [(Change, &str); 8] = [
            (|args| args.trials = Some(0), "--trials: found 0"),
            (|args| args.trials = Some(MOST_PROMPTS), "--trials: found 10000000"),
            (|args| args.longest = 0, "--longest: found 0"),
            (|args| args.longest = 3, "--longest: found 3"),
            (|args| args.longest = 1 << 62, "--longest: found 4611686018427387904"),
            (|args| args.farthest = 1 << 62, "--farthest: found 4611686018427387904"),
            (|args| args.threads = Some(0), "--threads: found 0"),
            (|args| args.seeds = vec![42, 42], "--seeds: found"),
        ];
        for (change, named) in refused {
            let error = check(change).unwrap_err().to_string();
            assert!(error.starts_with(named), "{named}: {error}");
        }
    }
}
