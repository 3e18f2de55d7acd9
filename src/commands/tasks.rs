//! `niah run` with several tasks: each in a directory of its own, and all in one table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;

use super::answering::{Answering, Planned};
use super::controls::{Variant, variants};
use super::dry::{self, AnyDry};
use super::kept::{Keeping, Kept};
use super::masking::masking;
use super::run::ended;
use super::shown::{Shown, check};
use super::{print, settings, stop_on_interrupt, tell, warn};
use crate::cli::{FormArgs, GridArgs, RunArgs};
use crate::error::{Error, Result};
use crate::export::style::Style;
use crate::grid::Grid;
use crate::plan::Settings;
use crate::printable;
use crate::report::Report;
use crate::report::tasks::{AS_IT_IS, TasksReport, rule_of_means};
use crate::stats::LengthRule;
use crate::store::directory::RunRecord;
use crate::store::tasks::{LeftOut, StoredTasks, TasksRecord};
use crate::task::groups;

/// Runs the command.
///
/// # Errors
/// When none of the tasks can run, when results cannot be kept, when every trial of a run failed or, where
/// that is wanted, any trial, or when the user stopped it.
pub(super) fn run(args: &RunArgs, style: &Style) -> Result<()> {
    check(&args.form, &[])?;
    let rule = rule_of_means(args.rule.length_rule())?;
    if args.dry_run {
        let tasks = groups::selected(&args.grid.task)?;
        return Group::new(args, &tasks)?.dry_run(&tasks);
    }
    let (directory, ended) = ran(args)?;
    let shown = page(&directory, rule, &args.form, style)?.out();
    if !args.telling.quiet {
        tell(format_args!("results: {}", directory.display()));
    }
    shown?;
    ended
}

/// Runs every task without a report: the directory that holds them, and what came of trials that failed.
///
/// # Errors
/// As [`run()`].
pub(super) fn ran(args: &RunArgs) -> Result<(PathBuf, Result<()>)> {
    let tasks = groups::selected(&args.grid.task)?;
    let mut group = Group::new(args, &tasks)?;
    let stop = stop_on_interrupt()?;
    for (place, task) in tasks.iter().enumerate() {
        if !args.telling.quiet {
            tell(format_args!("task {} of {}: {task}", place + 1, tasks.len()));
        }
        group.task(task, &stop)?;
    }
    let Group { directory, begun, ended, nothing, .. } = group;
    match (directory, nothing) {
        (Some(directory), _) if begun => Ok((directory, ended)),
        (_, Some(error)) => Err(error),
        (_, None) => Err(Error::Failed("no task has run".to_string())),
    }
}

/// What is shown of a directory of several tasks.
///
/// # Errors
/// When it cannot be read, or the rule is none for means over tasks.
pub(super) fn page(directory: &Path, rule: LengthRule, form: &FormArgs, style: &Style) -> Result<Shown> {
    shown(StoredTasks::read(directory)?, Vec::new(), rule_of_means(rule)?, form, style)
}

/// What is shown of several tasks, with `notes` before those of their record.
///
/// # Errors
/// When the form is none of a report's.
pub(super) fn shown(
    tasks: StoredTasks,
    notes: Vec<String>,
    rule: LengthRule,
    form: &FormArgs,
    style: &Style,
) -> Result<Shown> {
    let StoredTasks { record, results, warnings } = tasks;
    let notes = notes.into_iter().chain(record.notes()).collect();
    let report = TasksReport { title: record.title, results, controls: record.controls, notes, rule };
    Ok(Shown::of(form, &Report::from(report), None, style)?.warning(warnings))
}

/// The tasks of one command, as they run.
struct Group<'a> {
    args: &'a RunArgs,
    answering: Answering<'a>,
    /// Where results go; known with the first plan where the user names no place.
    directory: Option<PathBuf>,
    record: TasksRecord,
    /// Whether a task has run, and the record lies in the directory.
    begun: bool,
    /// Warnings that have been given: many are the same for every task.
    warned: BTreeSet<String>,
    /// Trials that may still run.
    limit: Option<usize>,
    /// What becomes of the command for trials that failed.
    ended: Result<()>,
    /// Why the first task that could not run did not.
    nothing: Option<Error>,
}

impl<'a> Group<'a> {
    fn new(args: &'a RunArgs, tasks: &[&str]) -> Result<Self> {
        Ok(Self {
            args,
            answering: Answering::of(args)?,
            directory: args.output.clone(),
            record: TasksRecord {
                niah: env!("CARGO_PKG_VERSION").to_string(),
                command: std::env::args().collect(),
                title: String::new(),
                tasks: tasks.iter().map(ToString::to_string).collect(),
                controls: !args.controls.is_empty(),
                left_out: Vec::new(),
            },
            begun: false,
            warned: BTreeSet::new(),
            limit: args.limit,
            ended: Ok(()),
            nothing: None,
        })
    }

    /// Runs a task and, where that is wanted, its controls.
    fn task(&mut self, task: &str, stop: &Arc<AtomicBool>) -> Result<()> {
        let Some(plain) = self.settings(task)? else { return Ok(()) };
        let own = plain.make_task()?;
        let variants = variants(&plain, &self.args.controls)?;
        for Variant { name, change, settings, .. } in variants {
            if change.is_some_and(|change| change.refused_by(own.as_ref()).is_some()) {
                continue;
            }
            let control = change.map(|_| name);
            let Some(planned) = self.planned((task, control), settings)? else {
                // Its controls have no room or no tokens either.
                if control.is_none() {
                    break;
                }
                continue;
            };
            self.run_below((task, control, name), &planned, stop)?;
        }
        Ok(())
    }

    /// What was typed, for this task; `None` where the task does not take it.
    fn settings(&mut self, task: &str) -> Result<Option<Settings>> {
        let grid = GridArgs { task: task.to_string(), ..self.args.grid.clone() };
        match settings(&self.args.model, &grid) {
            Ok(settings) => Ok(Some(Settings { masking: masking(&self.args.masking)?, ..settings })),
            Err(error) if is_of_the_task(&error) => self.leave_out((task, None), error).map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// The plan at those lengths that the task has room for; `None` where it has none, or cannot be asked
    /// of this checkpoint.
    fn planned(
        &mut self,
        (task, control): (&str, Option<&str>),
        mut settings: Settings,
    ) -> Result<Option<Planned<'a>>> {
        let mut short = Vec::new();
        let before = self.directory.as_ref().map(|directory| self.record.place(directory, task, AS_IT_IS));
        loop {
            let error = match self.answering.plan(settings.clone(), before.as_deref()) {
                Ok(planned) => {
                    self.record.left_out.extend(short);
                    return Ok(Some(planned));
                }
                Err(error) => error,
            };
            match without_length(&settings.grid, &error) {
                Some((grid, length)) => {
                    settings.grid = grid;
                    short.push(left_out((task, control), Some(length), &error));
                }
                None if is_of_the_task(&error) => {
                    return self.leave_out((task, control), error).map(|()| None);
                }
                None => return Err(error),
            }
        }
    }

    fn leave_out(&mut self, what: (&str, Option<&str>), error: Error) -> Result<()> {
        let left_out = left_out(what, None, &error);
        if !self.args.telling.quiet && !self.args.dry_run {
            tell(left_out.words());
        }
        self.record.left_out.push(left_out);
        self.nothing.get_or_insert(error);
        match &self.directory {
            Some(directory) if self.begun => self.record.write(directory),
            _ => Ok(()),
        }
    }

    /// Runs what a directory below that of the command lacks.
    fn run_below(
        &mut self,
        (task, control, name): (&str, Option<&str>, &str),
        planned: &Planned<'_>,
        stop: &Arc<AtomicBool>,
    ) -> Result<()> {
        let record = planned.record()?;
        if !self.begun {
            self.record.title = title(&record, self.record.tasks.len());
        }
        if control.is_none() {
            let mut new = planned.warnings();
            new.retain(|line| self.warned.insert(line.clone()));
            warn(&new);
        }
        let tasks = &self.args.grid.task;
        let directory = self.directory.get_or_insert_with(|| default_directory(planned, tasks));
        match self.begun {
            false => self.record.open(directory)?,
            true => self.record.write(directory)?,
        }
        self.begun = true;
        let keeping =
            Keeping { tokens: self.args.tokens, limit: self.limit, telling: &self.args.telling, stop };
        let place = self.record.place(directory, task, name);
        let Kept { store, ran, planned, .. } = planned.run_into(&place, &record, &keeping)?;
        self.limit = self.limit.map(|limit| limit.saturating_sub(ran.len()));
        let end = ended(store.outcomes(), &ran, planned, self.args.fail_on_error);
        let end = end.map_err(|error| Error::Failed(format!("{}: {error}", place.display())));
        if self.ended.is_ok() {
            self.ended = end;
        }
        Ok(())
    }

    /// Says what each task takes, and all of them.
    fn dry_run(&mut self, tasks: &[&str]) -> Result<()> {
        let mut runs: Vec<AnyDry> = Vec::new();
        for task in tasks {
            let Some(settings) = self.settings(task)? else { continue };
            if let Some(planned) = self.planned((task, None), settings)? {
                let place =
                    self.directory.as_ref().map(|directory| self.record.place(directory, task, AS_IT_IS));
                runs.push(planned.dry(self.limit, place.as_deref())?);
            }
        }
        if runs.is_empty() {
            return Err(self.nothing.take().unwrap_or_else(|| Error::Failed("no task can run".to_string())));
        }
        let left_out: Vec<String> = self.record.left_out.iter().map(LeftOut::words).collect();
        match self.args.form.output_format.name {
            "table" => {
                let mut text: String = runs.iter().map(|run| format!("{run}\n")).collect();
                left_out.iter().for_each(|line| text += &format!("{line}\n"));
                text += &format!("in all     {}\n", AnyDry::sum(&runs));
                print(&printable::lines(&text))
            }
            "json" => print(&dry::json(&json!({ "tasks": runs, "left_out": left_out }))?),
            other => Err(Error::invalid("--output-format", other, "table or json beside --dry-run")),
        }
    }
}

/// Whether an error says that the task cannot be asked so, or of this checkpoint; all others end the command.
fn is_of_the_task(error: &Error) -> bool {
    matches!(error, Error::Prompt { .. } | Error::Tokenizer(_) | Error::InvalidValue { .. })
}

/// The grid without the length that a prompt cannot have, where others are left.
fn without_length(grid: &Grid, error: &Error) -> Option<(Grid, String)> {
    let Error::Prompt { context_length, .. } = error else { return None };
    let mut lengths = grid.context_lengths().to_vec();
    let place = lengths.iter().position(|length| length.to_string() == *context_length)?;
    lengths.remove(place);
    Some((Grid::new(lengths, grid.depths().to_vec()).ok()?, context_length.clone()))
}

fn left_out((task, control): (&str, Option<&str>), length: Option<String>, error: &Error) -> LeftOut {
    let reason = match error {
        Error::Prompt { problem, .. } => problem.clone(),
        other => other.to_string(),
    };
    LeftOut {
        task: task.to_string(),
        control: control.map(ToString::to_string),
        context_length: length,
        reason: printable::shortened(&reason.replace('`', "")).into_owned(),
    }
}

/// What ran, in one line, without the task of the run that says so.
fn title(record: &RunRecord, tasks: usize) -> String {
    let tasks = format!(", {tasks} tasks");
    record.title().replacen(&format!(", task {}", record.settings.task_name()), &tasks, 1)
}

/// `niah-runs/MODEL-VARIANT-TASKS`, with the group or the names; of many names their number.
fn default_directory(planned: &Planned<'_>, tasks: &str) -> PathBuf {
    const LONGEST: usize = 80;
    let names = tasks.split(',').map(|name| name.trim().to_lowercase()).collect::<Vec<_>>();
    let joined = names.join("+");
    let joined = if joined.len() > LONGEST { format!("{}-tasks", names.len()) } else { joined };
    Path::new("niah-runs").join(planned.directory_name(&joined))
}
