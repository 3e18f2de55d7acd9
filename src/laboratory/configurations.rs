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
pub(super) enum Origin {
    /// Trained from scratch with these flags, sizes among them.
    Trained(Vec<String>),
    /// Those of the first configuration, trained further with these flags.
    Tuned(Vec<String>),
    /// Those of the first configuration, as they are.
    Swapped,
}

/// A configuration before it is trained.
pub(super) struct Planned {
    /// Name in the report.
    pub(super) name: &'static str,
    /// Name of the directory that ships it, and of the stage that trains it.
    pub(super) shipped: &'static str,
    pub(super) origin: Origin,
    /// What the paper finds of its retrieval.
    pub(super) claim: Option<Claim>,
    pub(super) seeds: Vec<u64>,
    /// Whether `--from-fixtures` takes it from there; what serves another section alone is trained even then.
    pub(super) ships: bool,
    /// Whether it runs past its training length.
    pub(super) evaluated: bool,
}

impl Planned {
    /// Trained with the first seed only, and evaluated.
    pub(super) fn once(
        args: &ExperimentArgs,
        name: &'static str,
        shipped: &'static str,
        origin: Origin,
    ) -> Self {
        Self { name, shipped, origin, claim: None, seeds: vec![args.seeds[0]], ships: true, evaluated: true }
    }

    /// A decoder from scratch under a variant: the same stages in every experiment.
    pub(super) fn decoder(args: &ExperimentArgs, name: &'static str, variant: &'static str) -> Self {
        let origin = Origin::Trained(decoder_flags(args, &["--variant", variant]));
        Self::once(args, name, variant, origin)
    }

    /// Trained with every seed instead.
    pub(super) fn with_all_seeds(self, args: &ExperimentArgs) -> Self {
        Self { seeds: args.seeds.clone(), ..self }
    }

    /// Whether its weights are to be those that are shipped.
    fn is_shipped(&self, args: &ExperimentArgs) -> bool {
        args.from_fixtures && self.ships
    }

    /// How many stages it takes.
    fn stages(&self, args: &ExperimentArgs) -> usize {
        let training = usize::from(!self.is_shipped(args) && !matches!(self.origin, Origin::Swapped));
        let measuring = if self.evaluated { 3 } else { 0 };
        self.seeds.len() * (training + measuring)
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

/// Runs every stage of a plan and reads what they made. What is to be measured as it was shipped and is not shipped is left out.
///
/// # Errors
/// When a stage fails or its results cannot be read.
pub(super) fn run(
    args: &ExperimentArgs,
    plan: &[Planned],
    trials: Trials,
    stages: &mut Stages,
) -> Result<Vec<Trained>> {
    let mut base: Option<PathBuf> = None;
    let mut all = Vec::new();
    for planned in plan {
        let (mut runs, mut checkpoints) = (Vec::new(), Vec::new());
        for &seed in &planned.seeds {
            let Some(checkpoint) = checkpoint(args, planned, seed, base.as_ref(), stages)? else {
                continue;
            };
            base.get_or_insert_with(|| checkpoint.clone());
            checkpoints.push(checkpoint.clone());
            let trials = if seed == args.seeds[0] { trials.first } else { trials.others };
            runs.push(measure(args, planned, (seed, trials), checkpoint, stages)?);
        }
        if !runs.is_empty() {
            let configuration = Configuration { name: planned.name.to_string(), claim: planned.claim, runs };
            all.push(Trained { configuration, checkpoints });
        }
    }
    Ok(all)
}

/// The weights of a configuration; `None` where they are not shipped.
fn checkpoint(
    args: &ExperimentArgs,
    planned: &Planned,
    seed: u64,
    base: Option<&PathBuf>,
    stages: &mut Stages,
) -> Result<Option<PathBuf>> {
    if planned.is_shipped(args) {
        let name = if seed == args.seeds[0] {
            planned.shipped.to_string()
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
        Origin::Swapped => return Ok(base.cloned()),
        Origin::Tuned(flags) => {
            let Some(base) = base else { return Ok(None) };
            arguments.extend(["--init".to_string(), base.display().to_string()]);
            arguments.extend(flags.clone());
            reads.push(base.clone());
        }
        Origin::Trained(flags) => {
            let curriculum = args.steps * CURRICULUM.0 / CURRICULUM.1;
            let steps = ["--steps", &args.steps.to_string(), "--curriculum-steps", &curriculum.to_string()];
            arguments.extend(steps.map(String::from));
            arguments.extend(flags.clone());
        }
    }
    arguments.extend(args.sequences());
    arguments.extend(["--seed".to_string(), seed.to_string(), "--save-every".to_string(), "50".to_string()]);
    let name = format!("train-{}-{seed}", planned.shipped);
    stages.run(&Stage::new(name, arguments, reads)).map(Some)
}

/// Runs the grid and the losses of a checkpoint.
fn measure(
    args: &ExperimentArgs,
    planned: &Planned,
    (seed, trials): (u64, usize),
    checkpoint: PathBuf,
    stages: &mut Stages,
) -> Result<SeedRun> {
    let mut measured = Measured { checkpoint, seed, needles: None, key_values: None, losses: None };
    if planned.evaluated {
        let variant = if matches!(planned.origin, Origin::Swapped) { "ssmax" } else { "auto" };
        let mut evaluate = |name: &str, command: &str, flags: Vec<String>| {
            let model = measured.checkpoint.display().to_string();
            let mut arguments = [command, "--model", &model, "--variant", variant, "--split", "held-out"]
                .map(String::from)
                .to_vec();
            arguments.extend(flags);
            let name = format!("{name}-{}-{seed}", word(planned.name));
            stages.run(&Stage::new(name, arguments, vec![measured.checkpoint.clone()]))
        };
        measured.needles = Some(evaluate("run", "run", args.needles(trials))?);
        measured.losses = Some(evaluate("loss", "loss", args.texts())?);
        measured.key_values = Some(evaluate("key-values", "run", args.key_values(trials))?);
    }
    let mut run = read(&measured)?;
    if matches!(planned.origin, Origin::Swapped) {
        run.steps.clear();
        run.scales.clear();
    }
    run.further = matches!(planned.origin, Origin::Tuned(_));
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
        let measured = Planned::decoder(&args, "(a) softmax", "softmax");
        assert_eq!(measured.stages(&args), 3);
        let unmeasured = Planned { evaluated: false, ..measured };
        assert_eq!(unmeasured.stages(&args), 0);
        assert_eq!(Planned { ships: false, ..unmeasured }.stages(&args), 1);
    }
}
