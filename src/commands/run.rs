//! `niah run`: a grid on a checkpoint.

use std::path::{Path, PathBuf};

use super::dry::{Dry, json};
use super::kept::{Keeping, Kept, run_into};
use super::masking::masking;
use super::models;
use super::shown::{Shown, check};
use super::watching::{self, OnScreen};
use super::{machine_record, prepare, print, settings, stop_on_interrupt, warn};
use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, failed, failures, judged_report};
use crate::export::style::Style;
use crate::plan::{RunPlan, Settings, Shard};
use crate::printable;
use crate::report::Report;
use crate::store::page;
use crate::task::groups;
use crate::trial::{Outcome, Trial};

/// Figures of a run.
pub(super) const FIGURES: &[&str] = &["accuracy", "needle-mass", "outcome", "heads", "margins"];

/// Those that take more than the rows of its trials.
pub(super) const OF_PAGE: &[&str] = &["outcome", "heads", "margins"];

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, when results cannot be kept, when every trial failed or, where that is
/// wanted, any of them, or when the user stopped it.
pub fn run(args: &RunArgs, style: &Style) -> Result<()> {
    let several = models::named(args)?;
    let served = args.endpoint.endpoint.is_some();
    match several {
        Some(models) if served => {
            let expected = "one model of the server";
            return Err(Error::invalid("--model", models.join(", "), expected));
        }
        Some(models) => return models::run(args, &models, style),
        None => {}
    }
    if groups::is_several(&args.grid.task) {
        if args.interactive {
            let expected = "one task beside it: a screen shows one run";
            return Err(Error::invalid("--interactive", args.grid.task.as_str(), expected));
        }
        return super::tasks::run(args, style);
    }
    if !args.controls.is_empty() {
        return super::controls::run(args, style);
    }
    if served {
        return super::served::run(args, style);
    }
    check(&args.form, FIGURES)?;
    if args.interactive {
        watching::check_terminal()?;
    }
    let (device, threads) = prepare(&args.machine)?;
    let plan = RunPlan::resolve(masked(args)?, &device)?;
    warn(&plan.warnings);
    let sharing = !args.no_prefix_sharing;
    let evaluation = Evaluation::new(plan, sharing)?.part(args.shard).keeping_retrieval(args.retrieval)?;
    warn(&evaluation.plan.prompt_warnings);
    let plan = &evaluation.plan;
    if args.dry_run {
        let place = args.output.clone().unwrap_or_else(|| default_directory(plan, args.shard));
        let dry = evaluation.dry_run(args.limit)?;
        let dry = Dry::of(dry, args.precision, &plan.settings, Some(&place))?;
        return match args.form.output_format.name {
            "table" => print(&printable::lines(&dry.to_string())),
            "json" => print(&json(&dry)?),
            other => Err(Error::invalid("--output-format", other, "table or json beside --dry-run")),
        };
    }

    let directory = args.output.clone().unwrap_or_else(|| default_directory(plan, args.shard));
    let record = evaluation.record(machine_record(&args.machine, threads))?;
    let stop = stop_on_interrupt()?;
    let keeping = Keeping { tokens: args.tokens, limit: args.limit, telling: &args.telling, stop: &stop };
    let on_screen = OnScreen { style, rule: args.rule.length_rule() };
    let Kept { store, ran, planned, mut telling } = match args.interactive {
        true => watching::run_into(&directory, &evaluation, &record, &keeping, on_screen)?,
        false => run_into(&directory, &evaluation, &record, &keeping)?,
    };
    let report = judged_report(store.outcomes(), store.run_record(), args.rule.length_rule());
    let page = || page::page(&directory, store.run_record(), store.outcomes(), report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?.out();
    telling.note(&format!("results: {}", directory.display()));
    shown?;
    ended(store.outcomes(), &ran, planned, args.fail_on_error)
}

/// Runs the grid of one task without a report: the directory that holds it, and what came of trials that
/// failed.
///
/// # Errors
/// When the plan cannot be made, when results cannot be kept, or when the user stopped it.
pub(super) fn ran(args: &RunArgs) -> Result<(PathBuf, Result<()>)> {
    let (device, threads) = prepare(&args.machine)?;
    let plan = RunPlan::resolve(masked(args)?, &device)?;
    warn(&plan.warnings);
    let evaluation = Evaluation::new(plan, !args.no_prefix_sharing)?;
    let evaluation = evaluation.part(args.shard).keeping_retrieval(args.retrieval)?;
    warn(&evaluation.plan.prompt_warnings);
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&evaluation.plan, args.shard));
    let record = evaluation.record(machine_record(&args.machine, threads))?;
    let stop = stop_on_interrupt()?;
    let keeping = Keeping { tokens: args.tokens, limit: args.limit, telling: &args.telling, stop: &stop };
    let Kept { store, ran, planned, .. } = run_into(&directory, &evaluation, &record, &keeping)?;
    Ok((directory, ended(store.outcomes(), &ran, planned, args.fail_on_error)))
}

/// An error when all of the trials that ran have failed or, with `any`, some of them; a warning where some
/// have without it. `planned` is the number of all.
pub(super) fn ended(outcomes: &[Outcome], ran: &[Trial], planned: usize, any: bool) -> Result<()> {
    let all_failed = !ran.is_empty() && failed(outcomes, ran).len() == ran.len();
    match failures(outcomes, ran, planned) {
        Err(error) if !any && !all_failed => {
            warn(&[error.to_string()]);
            Ok(())
        }
        ended => ended,
    }
}

/// What was typed, as settings.
pub(super) fn masked(args: &RunArgs) -> Result<Settings> {
    Ok(Settings { masking: masking(&args.masking)?, ..settings(&args.model, &args.grid)? })
}

/// `niah-runs/MODEL-VARIANT-TASK`, for a part of the plan with its number; see
/// [`crate::plan::OpenModel::file_name`].
fn default_directory(plan: &RunPlan, shard: Option<Shard>) -> PathBuf {
    let part = shard.map_or(String::new(), |shard| format!("-{}-of-{}", shard.number(), shard.count()));
    Path::new("niah-runs").join(directory_name(plan) + &part)
}

/// `MODEL-VARIANT-TASK`, and what is masked.
fn directory_name(plan: &RunPlan) -> String {
    let masked = plan.settings.masking.file_name();
    format!("{}-{}{masked}", plan.model.file_name(), plan.prompts.task.name())
}
