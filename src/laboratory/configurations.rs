//! The configurations of an experiment: how each comes by its weights, and what is measured of it.

use std::path::PathBuf;

use super::flags::Trials;
use super::stages::{Stage, Stages, word};
use crate::checkpoint::shipped_directory;
use crate::cli::ExperimentArgs;
use crate::commands::tell;
use crate::error::Result;
use crate::laboratory::measured::{Measured, read};
use crate::laboratory::report::{Claim, Configuration, SeedRun};

/// The part of the steps over which key-value lines grow, as a fraction.
const CURRICULUM: (usize, usize) = (2, 5);

/// The part of the steps over which key-value lines grow, in per cent.
pub(super) fn grown() -> usize {
    100 * CURRICULUM.0 / CURRICULUM.1
}

/// How a configuration comes by its weights.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Trained from scratch with these flags, sizes among them.
    Trained(Vec<String>),
    /// Those of the configuration of this name, trained further with these flags.
    Tuned(String, Vec<String>),
    /// Those of the configuration of this name as they are, evaluated with these flags.
    Of(String, Vec<String>),
}

/// What is measured of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// A grid of needles in prose.
    Needles,
    /// Loss by position.
    Losses,
    /// A grid of key-value lines.
    KeyValues,
    /// Needles further out, few at each length.
    Far,
    /// Another task, on the lengths of the first grid.
    Task(&'static str),
}

/// What every configuration is measured by that runs past its training length.
pub(super) const GRIDS: &[Measure] = &[Measure::Needles, Measure::Losses, Measure::KeyValues];

impl Measure {
    /// A word for its stage, the command and its flags.
    fn stage(self, args: &ExperimentArgs, trials: usize) -> (&'static str, &'static str, Vec<String>) {
        match self {
            Self::Needles => ("run", "run", args.needles(trials)),
            Self::Losses => ("loss", "loss", args.texts()),
            Self::KeyValues => ("key-values", "run", args.task("abcdigits", trials)),
            Self::Far => ("far", "run", args.far()),
            Self::Task(task) => (task, "run", args.task(task, trials)),
        }
    }
}

/// A configuration before it is trained.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// Name in the report.
    pub(super) name: String,
    /// Name of the directory that ships it.
    pub(super) shipped: String,
    /// Its name in the stage that trains it, the same whatever a report calls it.
    pub(super) trained: String,
    /// The part of its experiment that it belongs to; empty for a main one.
    pub(super) part: &'static str,
    pub(super) origin: Origin,
    /// What the paper finds of its retrieval.
    pub(super) claim: Option<Claim>,
    pub(super) seeds: Vec<u64>,
    /// Whether `--from-fixtures` takes it from there; what serves another section alone is trained even then.
    pub(super) ships: bool,
    pub(super) measures: Vec<Measure>,
}

impl Planned {
    /// Trained with the first seed only, and evaluated.
    pub(super) fn once(args: &ExperimentArgs, name: &str, shipped: &str, origin: Origin) -> Self {
        Self {
            name: name.to_string(),
            shipped: shipped.to_string(),
            trained: name.to_string(),
            part: "",
            origin,
            claim: None,
            seeds: vec![args.seeds[0]],
            ships: true,
            measures: GRIDS.to_vec(),
        }
    }

    /// Trained with every seed instead.
    pub(super) fn with_all_seeds(self, args: &ExperimentArgs) -> Self {
        Self { seeds: args.seeds.clone(), ..self }
    }

    /// Whether its weights are those of a configuration before it.
    fn is_of_another(&self) -> bool {
        matches!(self.origin, Origin::Of(..))
    }

    /// Whether its weights are to be those that are shipped.
    fn is_shipped(&self, args: &ExperimentArgs) -> bool {
        args.from_fixtures && self.ships && !self.is_of_another()
    }

    /// How many stages it takes.
    fn stages(&self, args: &ExperimentArgs) -> usize {
        let training = usize::from(!self.is_shipped(args) && !self.is_of_another());
        self.seeds.len() * (training + self.measures.len())
    }
}

/// These flags and the sizes of a decoder.
pub(super) fn decoder_flags(args: &ExperimentArgs, flags: &[&str]) -> Vec<String> {
    flags.iter().map(ToString::to_string).chain(args.sizes()).collect()
}

/// How many stages a plan takes.
pub(super) fn count(args: &ExperimentArgs, plan: &[Planned]) -> usize {
    plan.iter().map(|planned| planned.stages(args)).sum()
}

/// A configuration with its checkpoints, in the order of its runs.
pub(super) struct Trained {
    pub(super) configuration: Configuration,
    pub(super) checkpoints: Vec<PathBuf>,
}

/// Runs every stage of a plan and reads what they made. What is to be measured as it was shipped and is not
/// shipped is left out, and with `--report-only` what is not complete.
///
/// # Errors
/// When a stage fails or its results cannot be read.
pub(super) fn run(
    args: &ExperimentArgs,
    plan: &[Planned],
    trials: Trials,
    stages: &mut Stages,
) -> Result<Vec<Trained>> {
    let mut all: Vec<Trained> = Vec::new();
    for planned in plan {
        let (mut runs, mut checkpoints) = (Vec::new(), Vec::new());
        for &seed in &planned.seeds {
            let Some(checkpoint) = checkpoint(args, planned, seed, &all, stages)? else {
                continue;
            };
            checkpoints.push(checkpoint.clone());
            let trials = if seed == args.seeds[0] { trials.first } else { trials.others };
            runs.push(measure(args, planned, (seed, trials), checkpoint, stages)?);
        }
        if !runs.is_empty() {
            let (name, part, claim) = (planned.name.clone(), planned.part, planned.claim);
            let configuration = Configuration { name, part, claim, runs };
            all.push(Trained { configuration, checkpoints });
        }
    }
    Ok(all)
}

/// The weights of the configuration of this name, of this seed.
fn weights_of(name: &str, seed: u64, before: &[Trained]) -> Option<PathBuf> {
    let trained = before.iter().find(|trained| trained.configuration.name == name)?;
    let runs = trained.configuration.runs.iter().zip(&trained.checkpoints);
    runs.into_iter().find(|(run, _)| run.seed == seed).map(|(_, checkpoint)| checkpoint.clone())
}

/// The weights of a configuration; `None` where they are not shipped, or not trained with `--report-only`.
fn checkpoint(
    args: &ExperimentArgs,
    planned: &Planned,
    seed: u64,
    before: &[Trained],
    stages: &mut Stages,
) -> Result<Option<PathBuf>> {
    if planned.is_shipped(args) {
        let name = if seed == args.seeds[0] {
            planned.shipped.clone()
        } else {
            format!("{}-{seed}", planned.shipped)
        };
        let shipped = shipped_directory(&name);
        if shipped.is_err() {
            tell(format_args!(
                "{} with seed {seed} is left out: no checkpoint {name} is shipped",
                planned.name
            ));
        }
        return Ok(shipped.ok());
    }
    let mut arguments = vec!["train".to_string()];
    let mut reads = Vec::new();
    match &planned.origin {
        Origin::Of(name, _) => return Ok(weights_of(name, seed, before)),
        Origin::Tuned(name, flags) => {
            let Some(base) = weights_of(name, seed, before) else { return Ok(None) };
            arguments.extend(["--init".to_string(), base.display().to_string()]);
            arguments.extend(flags.clone());
            reads.push(base);
        }
        Origin::Trained(flags) => {
            let curriculum = args.steps * CURRICULUM.0 / CURRICULUM.1;
            arguments.extend(lacking(flags, &[("--steps", args.steps), ("--curriculum-steps", curriculum)]));
            arguments.extend(flags.iter().cloned());
        }
    }
    arguments.extend(lacking(&arguments, &[("--context-length", args.context_length.0)]));
    arguments.extend(args.batches());
    arguments.extend(["--seed".to_string(), seed.to_string(), "--save-every".to_string(), "50".to_string()]);
    let stage = Stage::new(training_stage(&planned.trained, seed), arguments, reads);
    stages.run_or_leave_out(&stage, format!("{} with seed {seed}", planned.name))
}

/// The stage that trains the configuration of this name.
pub(super) fn training_stage(name: &str, seed: u64) -> String {
    format!("train-{}-{seed}", word(name))
}

/// Those of `defaults` that `flags` do not give themselves.
fn lacking(flags: &[String], defaults: &[(&str, usize)]) -> Vec<String> {
    let lacks = |(name, _): &&(&str, usize)| !flags.iter().any(|flag| flag == name);
    defaults.iter().filter(lacks).flat_map(|(name, value)| [(*name).to_string(), value.to_string()]).collect()
}

/// Runs what is to be measured of a checkpoint.
fn measure(
    args: &ExperimentArgs,
    planned: &Planned,
    (seed, trials): (u64, usize),
    checkpoint: PathBuf,
    stages: &mut Stages,
) -> Result<SeedRun> {
    let model = checkpoint.display().to_string();
    let mut measured = Measured { checkpoint: checkpoint.clone(), seed, ..Measured::default() };
    for &measure in &planned.measures {
        let (word_of_it, command, flags) = measure.stage(args, trials);
        let mut arguments = [command, "--model", &model, "--split", "held-out"].map(String::from).to_vec();
        match &planned.origin {
            Origin::Of(_, further) => arguments.extend(further.iter().cloned()),
            _ => arguments.extend(["--variant", "auto"].map(String::from)),
        }
        arguments.extend(flags);
        let name = format!("{word_of_it}-{}-{seed}", word(&planned.name));
        let stage = Stage::new(name, arguments, vec![checkpoint.clone()]);
        let what = format!("{word_of_it} of {} with seed {seed}", planned.name);
        let Some(directory) = stages.run_or_leave_out(&stage, what)? else { continue };
        match measure {
            Measure::Needles | Measure::Far => measured.needles.push(directory),
            Measure::Losses => measured.losses = Some(directory),
            Measure::KeyValues => measured.key_values = Some(directory),
            Measure::Task(task) => measured.others.push((task, directory)),
        }
    }
    let mut run = read(&measured)?;
    if planned.is_of_another() {
        run.steps.clear();
        run.scales.clear();
    }
    run.further = matches!(planned.origin, Origin::Tuned(..));
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parsed};

    #[test]
    fn what_does_not_ship_is_trained_beside_shipped_checkpoints() {
        let command = ["niah", "experiment", "multiscreen", "-o", "out", "--from-fixtures"];
        let Command::Experiment(args) = parsed(&command).command else { panic!("another command") };
        let measured = Planned::once(&args, "softmax", "softmax", Origin::Trained(vec![]));
        assert_eq!(measured.stages(&args), 3);
        let unmeasured = Planned { measures: vec![], ..measured };
        assert_eq!(unmeasured.stages(&args), 0);
        assert_eq!(Planned { ships: false, ..unmeasured }.stages(&args), 1);
    }
}
