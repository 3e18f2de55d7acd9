//! `niah demo`: Softmax, Scalable-Softmax and Multiscreen on the same prompts, to sixteen times the length
//! that all were trained on.

use super::compare::{check_first_prompts, report};
use super::shown::{Shown, check};
use super::telling::Telling;
use super::{machine_record, prepare, stop_on_interrupt, warn};
use crate::checkpoint::{Checkpoint, RopeOverride, SHIPPED_PREFIX};
use crate::cli::{DemoArgs, TellingArgs};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Finished, Watch, run_report};
use crate::export::style::Style;
use crate::grid::{ContextLength, DepthSpacing, Grid, spaced_depths};
use crate::plan::{ChatChoice, ModelChoice, RunPlan, Settings};
use crate::report::compared::side_by_side;
use crate::spec::Dtype;
use crate::split::Split;
use crate::store::directory::RunRecord;

/// What stands beside the shipped pair.
const MULTISCREEN: &str = "shipped:multiscreen";

/// Lengths of the grid, in training lengths.
const TIMES: [usize; 5] = [1, 2, 4, 8, 16];
/// Depths of the grid.
const DEPTHS: usize = 5;

/// Runs the command.
///
/// # Errors
/// When a checkpoint is missing or cannot be run, when the two do not share a training length or a tokenizer,
/// and when a trial failed.
pub fn run(args: &DemoArgs, style: &Style) -> Result<()> {
    check(&args.form, &["accuracy", "needle-mass"])?;
    let (device, threads) = prepare(&args.machine)?;
    let mut checkpoints = vec![("--softmax", args.softmax.as_str()), ("--ssmax", args.ssmax.as_str())];
    let shipped = checkpoints.iter().all(|(_, checkpoint)| checkpoint.starts_with(SHIPPED_PREFIX));
    let multiscreen = args.multiscreen.as_deref().or(shipped.then_some(MULTISCREEN));
    checkpoints.extend(multiscreen.map(|checkpoint| ("--multiscreen", checkpoint)));
    let trained = training_length(&checkpoints)?;
    let grid = Grid::new(
        TIMES.map(|times| ContextLength(times * trained)).to_vec(),
        spaced_depths(DEPTHS, DepthSpacing::Linear),
    )?;
    let open = |(_, checkpoint): &(&str, &str)| -> Result<_> {
        let plan = RunPlan::resolve(settings(checkpoint, &grid, args), &device)?;
        // That its lengths are beyond those of the training is what the demo shows.
        warn(&plan.model.checkpoint.warnings);
        let evaluation = Evaluation::new(plan, true)?;
        let record = evaluation.record(machine_record(&args.machine, threads))?;
        Ok((evaluation, record))
    };
    let sides = checkpoints.iter().map(open).collect::<Result<Vec<_>>>()?;
    let (first, others) = sides.split_first().ok_or_else(|| Error::Message("no checkpoint".to_string()))?;
    for other in others {
        let prompts =
            [first, other].map(|side: &(Evaluation, RunRecord)| side.0.estimate.prompt_hashes.clone());
        check_first_prompts(&prompts, [&first.1, &other.1], "B")?;
    }
    let stop = stop_on_interrupt()?;
    let run = |(evaluation, record): (Evaluation, RunRecord)| {
        let mut telling = Telling::of(&evaluation.plan.settings, &[], &TellingArgs::default());
        evaluation.in_memory(record, Watch { progress: &mut telling, stop: &stop })
    };
    let finished = sides.into_iter().map(run);
    let finished = finished.collect::<Result<Vec<_>>>()?;
    let reports = finished[1..].iter().map(|other| report(&finished[0], other, "B"));
    let reports = reports.collect::<Result<Vec<_>>>()?;
    let runs: Vec<_> = finished.iter().map(|run| run_report(&run.outcomes, &run.record)).collect();
    let names: Vec<_> = finished.iter().map(|run| run.record.variant.as_str()).collect();
    Shown::of(&args.form, &side_by_side(&runs, &names, &reports), None, style)?.out()?;
    finished.iter().try_for_each(Finished::check)
}

/// The training length that all checkpoints declare; each comes with its flag.
fn training_length(checkpoints: &[(&str, &str)]) -> Result<usize> {
    let mut common = None;
    for (flag, checkpoint) in checkpoints {
        let opened = Checkpoint::open(checkpoint, RopeOverride::default())?;
        let length = opened.spec.training_length().ok_or_else(|| {
            Error::file(*checkpoint, "config.json says no training length; set max_position_embeddings")
        })?;
        let expected = *common.get_or_insert(length);
        if length != expected {
            let found = format!("one trained on {length} tokens");
            return Err(Error::invalid(
                *flag,
                found,
                format!("a checkpoint trained on {expected} tokens, as the first one"),
            ));
        }
    }
    common.ok_or_else(|| Error::Message("no checkpoint".to_string()))
}

/// Prompts that `niah train` never saw, in prose that never repeats however long it is.
fn settings(checkpoint: &str, grid: &Grid, args: &DemoArgs) -> Settings {
    Settings {
        model: ModelChoice { dtype: Some(Dtype::F32), ..ModelChoice::of(checkpoint) },
        grid: grid.clone(),
        trials: args.trials,
        seed: args.seed,
        haystack: Some("synthetic".to_string()),
        split: Split::HeldOut,
        apply_chat_template: ChatChoice::Never,
        ..Settings::default()
    }
}
