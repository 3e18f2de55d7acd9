//! `niah merge`: the runs of the parts of a plan, joined into one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use super::{tell, warn};
use crate::cli::MergeArgs;
use crate::error::{Error, Result};
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::printable::listed;
use crate::report::Report;
use crate::store::holding::Holding;
use crate::store::merged::{Merged, merge, places};
use crate::store::models::{ModelEntry, ModelsRecord};
use crate::store::page;
use crate::store::stored::StoredRun;
use crate::store::tasks::TasksRecord;

/// Runs the command.
///
/// # Errors
/// When a directory holds no run, when the runs are of several plans or a trial has two results, and when the
/// joined run cannot be written.
pub fn run(args: &MergeArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let out = &args.output;
    let mut sources: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for directory in &args.directories {
        for place in places(directory)? {
            // Nothing is joined to a path.
            let run = if place.as_os_str().is_empty() { directory.clone() } else { directory.join(&place) };
            sources.entry(place).or_default().push(run);
        }
    }
    let (several, models) = match one_kind(&args.directories)? {
        Some(Holding::Tasks) => (several_tasks(&args.directories, out)?, None),
        Some(Holding::Models) => (None, several_models(&args.directories, out)?),
        Some(Holding::Run) | None => (None, None),
    };
    for (place, directories) in &sources {
        let to = if place.as_os_str().is_empty() { out.clone() } else { out.join(place) };
        let merged = merge(directories, &to)?;
        tell(said(&merged, &to));
        if !merged.missing.is_empty() {
            let parts = listed(&merged.missing);
            warn(&[format!("no directory is of shard {parts}: run what is missing, and merge again")]);
        }
    }
    if let Some(record) = &several {
        record.write(out)?;
    }
    if let Some(record) = &models {
        record.write(out)?;
    }
    shown(args, &sources, style)?.map_or(Ok(()), Shown::out)
}

/// What the directories hold, which is the same of all; `None` for directories of runs that nothing names.
fn one_kind(directories: &[PathBuf]) -> Result<Option<Holding>> {
    let Some((first, others)) = directories.split_first() else { return Ok(None) };
    let kind = Holding::of(first);
    let Some(other) = others.iter().find(|other| Holding::of(other) != kind) else { return Ok(kind) };
    let words = |kind: Option<Holding>| kind.map_or("runs without a record of their own", Holding::words);
    let difference = format!("{} -> {}", words(kind), words(Holding::of(other)));
    Err(Error::PlansDiffer { path: other.clone(), first: first.clone(), difference })
}

/// What became of the rows, in a line.
fn said(merged: &Merged, to: &Path) -> String {
    let Merged { ran, failed, planned, twice, .. } = merged;
    let failed = if *failed > 0 { format!(", {failed} failed") } else { String::new() };
    let twice = if *twice > 0 { format!(", {twice} ran twice with the same result") } else { String::new() };
    format!("{}: {ran} of {planned} trials have run{failed}{twice}", to.display())
}

/// What is shown of the joined run, where it is one that `niah view` draws.
fn shown(
    args: &MergeArgs,
    sources: &BTreeMap<PathBuf, Vec<PathBuf>>,
    style: &Style,
) -> Result<Option<Shown>> {
    let (out, rule) = (&args.output, args.rule.length_rule());
    if ModelsRecord::is_in(out) {
        return super::models::page(out, rule, &args.form, style).map(Some);
    }
    if TasksRecord::is_in(out) {
        return super::tasks::page(out, rule, &args.form, style).map(Some);
    }
    if !sources.keys().all(|place| place.as_os_str().is_empty()) {
        return Ok(None);
    }
    let StoredRun { record, outcomes, warnings } = StoredRun::read(out)?;
    let report = judged_report(&outcomes, &record, rule);
    let page = || page::page(out, &record, &outcomes, report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    Ok(Some(Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?.warning(warnings)))
}

/// The record of several tasks: that of the first directory, with what all of them have left out.
fn several_tasks(directories: &[PathBuf], out: &Path) -> Result<Option<TasksRecord>> {
    let Some(first) = directories.first() else { return Ok(None) };
    let mut record = TasksRecord::read(first)?;
    for place in directories {
        let other = TasksRecord::read(place)?;
        if (&other.tasks, other.controls) != (&record.tasks, record.controls) {
            let names = |record: &TasksRecord| {
                format!("tasks {}, controls {}", record.tasks.join(","), record.controls)
            };
            let difference = format!("{} -> {}", names(&record), names(&other));
            return Err(Error::PlansDiffer { path: place.clone(), first: first.clone(), difference });
        }
        for left in other.left_out {
            if !record.left_out.contains(&left) {
                record.left_out.push(left);
            }
        }
    }
    record.check(out)?;
    record.command = std::env::args().collect();
    Ok(Some(record))
}

/// The record of several checkpoints: that of the first directory.
fn several_models(directories: &[PathBuf], out: &Path) -> Result<Option<ModelsRecord>> {
    let Some(first) = directories.first() else { return Ok(None) };
    let mut record = ModelsRecord::read(first)?;
    let names = |record: &ModelsRecord| {
        let pair = |entry: &ModelEntry| format!("{} in {}", entry.model, entry.directory);
        record.models.iter().map(pair).collect::<Vec<_>>().join(", ")
    };
    for place in directories {
        let other = ModelsRecord::read(place)?;
        if names(&other) != names(&record) {
            let difference = format!("models: {} -> {}", names(&record), names(&other));
            return Err(Error::PlansDiffer { path: place.clone(), first: first.clone(), difference });
        }
    }
    let before = record.clone();
    record.take_places(out)?;
    if names(&record) != names(&before) {
        let difference = format!("models: {} -> {}", names(&record), names(&before));
        return Err(Error::PlanChanged { path: out.to_path_buf(), difference });
    }
    record.command = std::env::args().collect();
    Ok(Some(record))
}
