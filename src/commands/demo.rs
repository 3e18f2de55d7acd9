//! `niah demo`: Softmax and Scalable-Softmax on the same prompts, to sixteen times the length that both were trained on.

use super::compare::{check_first_prompts, report};
use super::evaluation::{Evaluation, failures};
use super::{machine_record, prepare, print, run_report, stop_on_interrupt};
use crate::checkpoint::{Checkpoint, RopeOverride};
use crate::cli::DemoArgs;
use crate::error::{Error, Result};
use crate::export::comparison;
use crate::export::style::Style;
use crate::generate::DEFAULT_CHUNK;
use crate::grid::{ContextLength, DepthSpacing, Grid, spaced_depths};
use crate::model::dtype::Dtype;
use crate::plan::{ChatChoice, RunPlan, Settings};
use crate::prompt::Snap;
use crate::split::Split;

/// Lengths of the grid, in training lengths.
const TIMES: [usize; 5] = [1, 2, 4, 8, 16];
/// Depths of the grid.
const DEPTHS: usize = 5;

/// Runs the command.
///
/// # Errors
/// When a checkpoint is missing or cannot be run, when the two do not share a training length or a tokenizer, and when a trial failed.
pub fn run(args: &DemoArgs, style: &Style) -> Result<()> {
    let (device, threads) = prepare(&args.machine)?;
    let checkpoints = [&args.softmax, &args.ssmax].map(String::as_str);
    let trained = training_length(checkpoints)?;
    let grid = Grid::new(
        TIMES.map(|times| ContextLength(times * trained)).to_vec(),
        spaced_depths(DEPTHS, DepthSpacing::Linear),
    )?;
    let open = |checkpoint: &str| -> Result<_> {
        let evaluation = Evaluation::new(RunPlan::resolve(settings(checkpoint, &grid, args))?, true)?;
        let record = evaluation.record(&device, machine_record(&args.machine, threads))?;
        Ok((evaluation, record))
    };
    let sides = [open(checkpoints[0])?, open(checkpoints[1])?];
    let prompts = [0, 1].map(|side: usize| sides[side].0.estimate.prompt_hashes.clone());
    check_first_prompts(&prompts, [&sides[0].1, &sides[1].1])?;
    let stop = stop_on_interrupt()?;
    let [a, b] = sides.map(|(evaluation, record)| evaluation.in_memory(record, &device, &stop));
    let (a, b) = (a?, b?);
    let runs = [&a, &b].map(|run| run_report(&run.outcomes, &run.record));
    let names = [&a, &b].map(|run| run.record.variant.as_str());
    print(&comparison::side_by_side(&runs, names, &report(&a, &b)?, style))?;
    [a, b].iter().try_for_each(|run| failures(&run.outcomes, &run.ran, run.planned()))
}

/// The training length that both checkpoints declare.
fn training_length(checkpoints: [&str; 2]) -> Result<usize> {
    let of = |checkpoint: &str| -> Result<usize> {
        let opened = Checkpoint::open(checkpoint, RopeOverride::default())?;
        opened.spec.training_length().ok_or_else(|| {
            Error::file(checkpoint, "config.json says no training length; set max_position_embeddings")
        })
    };
    let (softmax, ssmax) = (of(checkpoints[0])?, of(checkpoints[1])?);
    if softmax != ssmax {
        let expected = format!("a checkpoint trained on {softmax} tokens, as the other one");
        return Err(Error::invalid("--ssmax", format!("one trained on {ssmax} tokens"), expected));
    }
    Ok(softmax)
}

/// Prompts that `niah train` never saw, in prose that never repeats however long it is.
fn settings(checkpoint: &str, grid: &Grid, args: &DemoArgs) -> Settings {
    Settings {
        model: checkpoint.to_string(),
        variant: "auto".to_string(),
        dtype: Dtype::F32,
        kv_dtype: None,
        ssmax_scale: None,
        chunk_size: DEFAULT_CHUNK,
        rope_theta: None,
        rope_theta_scale: None,
        grid: grid.clone(),
        trials: args.trials,
        seed: args.seed,
        task: "magic".to_string(),
        needle: None,
        question: None,
        answer: None,
        haystack: Some("synthetic".to_string()),
        split: Split::HeldOut,
        snap: Snap::Sentence,
        apply_chat_template: ChatChoice::Never,
        system_instruction: None,
        scorer: "match".to_string(),
        max_new_tokens: None,
    }
}
