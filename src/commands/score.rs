//! `niah score`: stored answers scored again, or those of a server for the first time, without a model.

use std::path::Path;

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use super::{tasks, tell};
use crate::cli::ScoreArgs;
use crate::error::Result;
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::report::Report;
use crate::report::run::RunReport;
use crate::report::tasks::rule_of_means;
use crate::store::page;
use crate::store::rescored::{self, Judged, Rescored, Rescoring};
use crate::store::stored::StoredRun;
use crate::store::tasks::{StoredTasks, TasksRecord};

/// Runs the command.
///
/// # Errors
/// When the directory holds no run or no answers, when the scorer is unknown, and when the new directory
/// holds something or cannot be written.
pub fn run(args: &ScoreArgs, style: &Style) -> Result<()> {
    page(args, style)?.out()?;
    if let Some(directory) = &args.output {
        tell(format_args!("results: {}", directory.display()));
    }
    Ok(())
}

/// What the command shows; the new directory is written.
///
/// # Errors
/// As [`run()`].
pub fn page(args: &ScoreArgs, style: &Style) -> Result<Shown> {
    let rescoring = Rescoring {
        scorer: args.scorer.clone(),
        normalise: args.scoring.normalise,
        correct_from: args.scoring.correct_from,
    };
    if let Some(answers) = &args.answers {
        return super::answers::page(args, answers, &rescoring, style);
    }
    match TasksRecord::is_in(args.directory()) {
        true => of_tasks(args, &rescoring, style),
        false => of_run(args, &rescoring, style),
    }
}

/// Scores one run, and keeps it where that is wanted.
fn of_run(args: &ScoreArgs, rescoring: &Rescoring, style: &Style) -> Result<Shown> {
    check(&args.form, FIGURES)?;
    let stored = StoredRun::read_of_any_version(args.directory())?;
    let Rescored { run, judged } = rescored::score_again(stored, rescoring)?;
    let report = judged_report(&run.outcomes, &run.record, args.rule.length_rule());
    let notes = report.notes.iter().cloned().chain([judged.words()]).collect();
    let report = RunReport { notes, ..report };
    let page = || page::page(args.directory(), &run.record, &run.outcomes, report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?;
    if let Some(directory) = &args.output {
        rescored::write(&run, args.directory(), directory)?;
    }
    Ok(shown.warning(run.warnings))
}

/// The same of every run of several tasks.
fn of_tasks(args: &ScoreArgs, rescoring: &Rescoring, style: &Style) -> Result<Shown> {
    check(&args.form, &[])?;
    let rule = rule_of_means(args.rule.length_rule())?;
    if let Some(directory) = &args.output {
        rescored::make_empty(directory)?;
    }
    let mut all = Judged::default();
    let read = |place: &Path| {
        let Rescored { run, judged } =
            rescored::score_again(StoredRun::read_of_any_version(place)?, rescoring)?;
        all += judged;
        if let (Some(directory), Ok(below)) = (&args.output, place.strip_prefix(args.directory())) {
            rescored::write(&run, place, &directory.join(below))?;
        }
        Ok(run)
    };
    let tasks = StoredTasks::read_by(args.directory(), read)?;
    if let Some(directory) = &args.output {
        TasksRecord { command: std::env::args().collect(), ..tasks.record.clone() }.write(directory)?;
    }
    tasks::shown(tasks, vec![rescoring.words(), all.words()], rule, &args.form, style)
}
