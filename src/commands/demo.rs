//! `niah demo`: Softmax with a learned sharpness, Scalable-Softmax and Multiscreen on the same prompts, to 32
//! times the length that all were trained on.

use std::sync::atomic::AtomicBool;

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
use crate::report::compared::{SideBySide, side_by_side};
use crate::spec::Dtype;
use crate::split::Split;
use crate::store::directory::RunRecord;

/// What stands beside the shipped pair.
const MULTISCREEN: &str = "shipped:multiscreen";

/// A title, a task and its haystack.
type Part = (&'static str, &'static str, Option<&'static str>);

/// What is asked, one after the other. Prose of the synthetic haystack never repeats however long it is.
const PARTS: &[Part] = &[
    ("One needle in prose", "magic", Some("synthetic")),
    ("A line among key-value lines", "abcdigits", None),
];
/// Lengths of the grids, in training lengths.
const TIMES: [usize; 3] = [1, 4, 32];
/// Depths of the grids.
const DEPTHS: usize = 3;

/// Runs the command.
///
/// # Errors
/// When a checkpoint is missing or cannot be run, when they do not share a training length or a tokenizer,
/// and when a trial failed.
pub fn run(args: &DemoArgs, style: &Style) -> Result<()> {
    check(&args.form, &["accuracy", "needle-mass"])?;
    let (device, threads) = prepare(&args.machine)?;
    let checkpoints = checkpoints(args);
    let trained = training_length(&checkpoints)?;
    let grid = Grid::new(
        TIMES.map(|times| ContextLength(times * trained)).to_vec(),
        spaced_depths(DEPTHS, DepthSpacing::Linear),
    )?;
    // Every part is planned before the first one runs: what is refused is refused at once.
    let planned = PARTS.iter().enumerate().map(|(number, part)| {
        let settings = |checkpoint: &str| settings(checkpoint, part, &grid, args);
        let sides = checkpoints.iter().map(|(_, checkpoint)| {
            let plan = RunPlan::resolve(settings(checkpoint), &device)?;
            if number == 0 {
                // That its lengths are beyond those of the training is what the demo shows.
                warn(&plan.model.checkpoint.warnings);
            }
            let evaluation = Evaluation::new(plan, true)?;
            let record = evaluation.record(machine_record(&args.machine, threads))?;
            Ok((evaluation, record))
        });
        let sides = sides.collect::<Result<Vec<Side>>>()?;
        for pair in sides.windows(2) {
            let prompts = [0, 1].map(|side| pair[side].0.estimate.prompt_hashes.clone());
            check_first_prompts(&prompts, [&pair[0].1, &pair[1].1], "B")?;
        }
        Ok(sides)
    });
    let planned = planned.collect::<Result<Vec<_>>>()?;
    let stop = stop_on_interrupt()?;
    let (mut parts, mut all) = (Vec::new(), Vec::new());
    for (sides, (title, task, _)) in planned.into_iter().zip(PARTS) {
        let finished = sides.into_iter().map(|side| finish(side, &stop)).collect::<Result<Vec<_>>>()?;
        parts.push(beside_each_other(title, task, &finished)?);
        all.extend(finished);
    }
    Shown::of(&args.form, &side_by_side(parts), None, style)?.out()?;
    all.iter().try_for_each(Finished::check)
}

/// A checkpoint that is to be asked.
type Side = (Evaluation, RunRecord);

/// The checkpoints, each with its flag; the last is held against every other one.
fn checkpoints(args: &DemoArgs) -> Vec<(&'static str, &str)> {
    let pair = [&args.softmax, &args.ssmax];
    let shipped = pair.iter().all(|checkpoint| checkpoint.starts_with(SHIPPED_PREFIX));
    let multiscreen = args.multiscreen.as_deref().or(shipped.then_some(MULTISCREEN));
    let all = [
        ("--softmax", Some(args.softmax.as_str())),
        ("--multiscreen", multiscreen),
        ("--ssmax", Some(args.ssmax.as_str())),
    ];
    all.into_iter().filter_map(|(flag, checkpoint)| Some((flag, checkpoint?))).collect()
}

fn finish((evaluation, record): Side, stop: &AtomicBool) -> Result<Finished> {
    let mut telling = Telling::of(&evaluation.plan.settings, &[], &TellingArgs::default());
    evaluation.in_memory(record, Watch { progress: &mut telling, stop })
}

/// The runs of a part, the last of them held against every other one.
fn beside_each_other(title: &str, task: &str, finished: &[Finished]) -> Result<SideBySide> {
    let (last, others) = finished.split_last().ok_or_else(|| Error::Message("no checkpoint".to_string()))?;
    let name = |run: &Finished| run.record.variant.clone();
    let pair = |other: &Finished| Ok(([name(other), name(last)], report(other, last, "B")?));
    Ok(SideBySide {
        title: title.to_string(),
        task: task.to_string(),
        runs: finished.iter().map(|run| (name(run), run_report(&run.outcomes, &run.record))).collect(),
        pairs: others.iter().map(pair).collect::<Result<_>>()?,
    })
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

/// Prompts that `niah train` never saw.
fn settings(checkpoint: &str, (_, task, haystack): &Part, grid: &Grid, args: &DemoArgs) -> Settings {
    Settings {
        model: ModelChoice { dtype: Some(Dtype::F32), ..ModelChoice::of(checkpoint) },
        task: (*task).to_string(),
        grid: grid.clone(),
        trials: args.trials,
        seed: args.seed,
        haystack: haystack.map(ToString::to_string),
        split: Split::HeldOut,
        apply_chat_template: ChatChoice::Never,
        ..Settings::default()
    }
}
