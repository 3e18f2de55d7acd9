//! The experiment `ssmax`: the six configurations of the SSMax paper (arXiv 2501.19399) and its learned multipliers p_n, in
//! miniature.

use std::path::PathBuf;

use super::stages::{Stage, Stages};
use crate::checkpoint::shipped_directory;
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::export::experiment::{Measured, read};
use crate::report::experiment::{Claim, Configuration, SeedRun};

/// Share of the steps that a swap during training leaves to the new variant, and that a swap after it is tuned for: an eighth.
const SWAPPED: usize = 8;
/// Learning rate of tuning, in that of training.
const TUNING_LR: &str = "3e-4";

/// How a configuration comes by its weights.
enum Origin {
    /// Trained from scratch with these flags.
    Trained(Vec<String>),
    /// Those of the first configuration, trained further under another variant.
    Tuned(Vec<String>),
    /// Those of the first configuration, as they are.
    Swapped,
}

struct Planned {
    /// Name in the report.
    name: &'static str,
    /// Name of the directory that ships it.
    shipped: &'static str,
    origin: Origin,
    /// What the paper finds of its retrieval.
    claim: Option<Claim>,
    seeds: Vec<u64>,
    /// Whether it runs past its training length.
    evaluated: bool,
}

fn planned(args: &ExperimentArgs) -> Vec<Planned> {
    let flags = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let variant = |name: &str| Origin::Trained(flags(&["--variant", name]));
    let steps = args.steps;
    let late = (steps - steps / SWAPPED).to_string();
    let tuning = (steps / SWAPPED).max(1).to_string();
    let first = vec![args.seeds[0]];
    let one = |name, shipped, origin| Planned {
        name,
        shipped,
        origin,
        claim: None,
        seeds: first.clone(),
        evaluated: true,
    };
    let claimed = |claim, planned| Planned { claim: Some(claim), ..planned };
    let pair = |name, shipped, origin| Planned { seeds: args.seeds.clone(), ..one(name, shipped, origin) };
    vec![
        pair("(a) softmax", "softmax", variant("softmax")),
        pair("(b) ssmax", "ssmax", variant("ssmax")),
        claimed(Claim::Worse, one("(c) ssmax-fixed", "ssmax-fixed", variant("ssmax-fixed"))),
        claimed(Claim::Worse, one("(d) ssmax-bias", "ssmax-bias", variant("ssmax-bias"))),
        claimed(Claim::Partly, one("(e) swapped after training", "softmax", Origin::Swapped)),
        one(
            "(e) swapped and tuned",
            "swapped-after",
            Origin::Tuned(flags(&["--variant", "ssmax", "--steps", &tuning, "--lr", TUNING_LR])),
        ),
        claimed(
            Claim::Partly,
            one(
                "(f) swapped during training",
                "swapped-during",
                Origin::Trained(flags(&["--variant", "ssmax", "--swap-at-step", &late])),
            ),
        ),
        Planned { evaluated: false, ..one("adaptive", "adaptive", variant("adaptive")) },
    ]
}

/// Runs every stage and reads what they made.
///
/// # Errors
/// When a stage fails or its results cannot be read.
pub(super) fn run(args: &ExperimentArgs) -> Result<Vec<Configuration>> {
    let plan = planned(args);
    let stages_of = |planned: &Planned| {
        let training = usize::from(!args.from_fixtures && !matches!(planned.origin, Origin::Swapped));
        let measuring = if planned.evaluated { 2 * planned.seeds.len() + 1 } else { 0 };
        planned.seeds.len() * training + measuring
    };
    let mut stages = Stages::new(&args.output, args.threads, plan.iter().map(stages_of).sum());
    let mut base: Option<PathBuf> = None;
    let mut configurations = Vec::new();
    for planned in &plan {
        let mut runs = Vec::new();
        for &seed in &planned.seeds {
            let Some(checkpoint) = checkpoint(args, planned, seed, base.as_ref(), &mut stages)? else {
                continue;
            };
            base.get_or_insert_with(|| checkpoint.clone());
            runs.push(measure(args, planned, seed, checkpoint, &mut stages)?);
        }
        if !runs.is_empty() {
            configurations.push(Configuration { name: planned.name.to_string(), claim: planned.claim, runs });
        }
    }
    Ok(configurations)
}

/// The weights of a configuration; `None` where they are not shipped.
fn checkpoint(
    args: &ExperimentArgs,
    planned: &Planned,
    seed: u64,
    base: Option<&PathBuf>,
    stages: &mut Stages,
) -> Result<Option<PathBuf>> {
    if args.from_fixtures {
        let name = if seed == args.seeds[0] {
            planned.shipped.to_string()
        } else {
            format!("{}-{seed}", planned.shipped)
        };
        return Ok(shipped_directory(&name).ok());
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
            arguments.extend(["--steps".to_string(), args.steps.to_string()]);
            arguments.extend(flags.clone());
            arguments.extend(args.sizes());
        }
    }
    arguments.extend(args.sequences());
    arguments.extend(["--seed".to_string(), seed.to_string(), "--save-every".to_string(), "50".to_string()]);
    let name = format!("train-{}-{seed}", planned.shipped);
    stages.run(&Stage { name, arguments, reads }).map(Some)
}

/// Runs the grid and the losses of a checkpoint.
fn measure(
    args: &ExperimentArgs,
    planned: &Planned,
    seed: u64,
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
            let name =
                format!("{name}-{}-{seed}", planned.name.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
            stages.run(&Stage { name, arguments, reads: vec![measured.checkpoint.clone()] })
        };
        measured.needles = Some(evaluate("run", "run", args.needles())?);
        measured.losses = Some(evaluate("loss", "loss", args.texts())?);
        if seed == args.seeds[0] {
            measured.key_values = Some(evaluate("key-values", "run", args.key_values())?);
        }
    }
    let mut run = read(&measured)?;
    if matches!(planned.origin, Origin::Swapped) {
        run.steps.clear();
        run.scales.clear();
    }
    Ok(run)
}
