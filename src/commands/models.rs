//! `niah run` with several checkpoints: each in a directory of its own, and all in one table and one figure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use serde_json::json;

use super::dry::{self, Dry};
use super::kept::{Keeping, Kept, run_into};
use super::run::{ended, masked};
use super::shown::{Shown, check};
use super::{machine_record, prepare, print, stop_on_interrupt, tell, warn};
use crate::cli::{CheckpointArgs, FormArgs, ModelArgs, RunArgs};
use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::export::style::Style;
use crate::files;
use crate::plan::{RunPlan, SharedPrompts};
use crate::printable;
use crate::report::Report;
use crate::report::models::ModelsReport;
use crate::stats::LengthRule;
use crate::store::directory::RunRecord;
use crate::store::models::{ModelEntry, ModelsRecord, StoredModels, directory_names};
use crate::task::groups;

/// The figure of several checkpoints.
pub(super) const FIGURES: &[&str] = &["models"];

/// Bytes of a list of checkpoints, at most.
const MOST_OF_LIST: u64 = 16 << 20;

/// Checkpoints, at most.
const MOST: usize = 10_000;

/// The checkpoints that were named, where they are several, or a list or a training of them.
///
/// # Errors
/// When the list cannot be read or names none.
pub(super) fn named(args: &RunArgs) -> Result<Option<Vec<String>>> {
    let Some(list) = &args.models else {
        let names = args.model.checkpoint.names();
        return Ok((names.len() > 1).then(|| names.to_vec()));
    };
    let names = if list.is_dir() { below(list)? } else { listed(list)? };
    match names.len() {
        0 => {
            let problem =
                "names no checkpoint; write the name of one on each line, or name a directory of them";
            Err(Error::file(list, problem))
        }
        count if count > MOST => {
            Err(Error::file(list, format!("names {count} checkpoints; name at most {MOST}")))
        }
        _ => Ok(Some(names)),
    }
}

/// The lines of a file, but for empty ones and what stands behind `#`.
fn listed(path: &Path) -> Result<Vec<String>> {
    let text =
        files::read_text(path, MOST_OF_LIST).map_err(|error| Error::file(path, files::problem(&error)))?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_string).collect())
}

/// The checkpoints in a directory, in the order of their steps: directories with a `config.json`, and GGUF
/// files.
fn below(directory: &Path) -> Result<Vec<String>> {
    let cannot_read = |error| Error::file(directory, format!("cannot read: {error}; make it readable"));
    let entries =
        fs::read_dir(directory).map_err(cannot_read)?.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    let is_one = |path: &PathBuf| {
        path.join("config.json").is_file()
            || path.is_file() && path.extension().is_some_and(|name| name == "gguf")
    };
    let paths = entries.into_iter().map(|entry| entry.path()).filter(is_one);
    let mut names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    names.sort_by_cached_key(|name| (step_of(name), name.clone()));
    Ok(names)
}

/// The step that the name of a checkpoint ends with, as in `step-100` or `checkpoint-500`.
fn step_of(name: &str) -> Option<u64> {
    let last = name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next()?;
    let last = last.strip_suffix(".gguf").unwrap_or(last);
    let before = last.trim_end_matches(|c: char| c.is_ascii_digit());
    let step = last[before.len()..].parse().ok()?;
    let word = before.trim_end_matches(['-', '_']).to_lowercase();
    ["step", "checkpoint", "ckpt", "iter", "iteration"]
        .iter()
        .any(|known| word.ends_with(known))
        .then_some(step)
}

/// The steps of checkpoints, where all have one and none is the step of two.
fn steps(names: &[String]) -> Vec<Option<u64>> {
    let steps: Vec<Option<u64>> = names.iter().map(|name| step_of(name)).collect();
    let distinct: BTreeSet<u64> = steps.iter().flatten().copied().collect();
    if distinct.len() == names.len() { steps } else { vec![None; names.len()] }
}

/// Runs the command.
///
/// # Errors
/// When none of the checkpoints can run, when results cannot be kept, when every trial of a run failed or,
/// where that is wanted, any trial or checkpoint, or when the user stopped it.
pub(super) fn run(args: &RunArgs, names: &[String], style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let one = |flag: &str, found: &str| {
        let expected = "no such flag beside several models: each of these runs has many parts of its own";
        Err(Error::invalid(flag, found, expected))
    };
    if groups::is_several(&args.grid.task) {
        return one("--task", &args.grid.task);
    }
    if !args.controls.is_empty() {
        return one("--controls", &args.controls.join(","));
    }
    if args.interactive {
        return one("--interactive", "it");
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(Error::invalid("--model", twice, "each model once"));
    }
    let (device, threads) = prepare(&args.machine)?;
    let mut set = Set::new(args, names, device, threads);
    if args.dry_run {
        return set.dry_run();
    }
    let stop = stop_on_interrupt()?;
    for (place, name) in names.iter().enumerate() {
        if !args.telling.quiet {
            tell(format_args!("model {} of {}: {}", place + 1, names.len(), printable::line(name)));
        }
        set.model(place, &stop)?;
    }
    let left_out = set.record.models.iter().filter(|entry| entry.left_out.is_some()).count();
    let Set { directory, begun, mut ended, nothing, .. } = set;
    let directory = match (directory, nothing) {
        (Some(directory), _) if begun => directory,
        (_, Some(error)) => return Err(error),
        (_, None) => return Err(Error::Failed("no model has run".to_string())),
    };
    let shown = page(&directory, args.rule.length_rule(), &args.form, style)?.out();
    if !args.telling.quiet {
        tell(format_args!("results: {}", directory.display()));
    }
    shown?;
    if args.fail_on_error && left_out > 0 && ended.is_ok() {
        let all = names.len();
        ended = Err(Error::Failed(format!("{left_out} of {all} models are left out, for the reasons above")));
    }
    ended
}

/// What is shown of a directory of several checkpoints.
///
/// # Errors
/// When it cannot be read.
pub(super) fn page(directory: &Path, rule: LengthRule, form: &FormArgs, style: &Style) -> Result<Shown> {
    let StoredModels { record, results, warnings } = StoredModels::read(directory)?;
    let report = ModelsReport { title: record.title, results, rule };
    Ok(Shown::of(form, &Report::from(report), None, style)?.warning(warnings))
}

/// The checkpoints of one command, as they run.
struct Set<'a> {
    args: &'a RunArgs,
    device: Device,
    threads: usize,
    /// Where results go; known with the first plan where the user names no place.
    directory: Option<PathBuf>,
    record: ModelsRecord,
    /// Whether a checkpoint has run, and the record lies in the directory.
    begun: bool,
    /// Prompts of those that have run.
    prompts: SharedPrompts,
    /// Warnings that have been given: many are the same for every checkpoint.
    warned: BTreeSet<String>,
    /// Trials that may still run.
    limit: Option<usize>,
    /// What becomes of the command for trials that failed.
    ended: Result<()>,
    /// Why the first checkpoint that could not run did not.
    nothing: Option<Error>,
}

impl<'a> Set<'a> {
    fn new(args: &'a RunArgs, names: &[String], device: Device, threads: usize) -> Self {
        let places = names.iter().zip(directory_names(names)).zip(steps(names));
        let models = places.map(|((model, directory), step)| ModelEntry {
            model: model.clone(),
            step,
            directory,
            left_out: None,
        });
        Self {
            args,
            device,
            threads,
            directory: args.output.clone(),
            record: ModelsRecord {
                niah: env!("CARGO_PKG_VERSION").to_string(),
                command: std::env::args().collect(),
                title: String::new(),
                models: models.collect(),
            },
            begun: false,
            prompts: SharedPrompts::default(),
            warned: BTreeSet::new(),
            limit: args.limit,
            ended: Ok(()),
            nothing: None,
        }
    }

    /// The plan of a checkpoint; `None` where it cannot be asked.
    fn evaluation(&mut self, place: usize) -> Result<Option<Evaluation>> {
        let name = self.record.models[place].model.clone();
        let model = ModelArgs { checkpoint: CheckpointArgs::of(&name), ..self.args.model.clone() };
        let own = RunArgs { model, models: None, ..self.args.clone() };
        let plan = masked(&own).and_then(|settings| RunPlan::resolve(settings, &self.device));
        let evaluation = plan.and_then(|mut plan| {
            plan.share_prompts(&mut self.prompts)?;
            let evaluation = Evaluation::new(plan, !self.args.no_prefix_sharing)?;
            evaluation.part(self.args.shard).keeping_retrieval(self.args.retrieval)
        });
        match evaluation {
            Ok(evaluation) => {
                let plan = &evaluation.plan;
                let all = plan.warnings.iter().map(|line| format!("{name}: {line}"));
                let all = all.chain(plan.prompt_warnings.iter().cloned());
                let new: Vec<String> = all.filter(|line| self.warned.insert(line.clone())).collect();
                warn(&new);
                self.record.models[place].left_out = None;
                Ok(Some(evaluation))
            }
            Err(error @ (Error::Interrupted | Error::Stopped(_))) => Err(error),
            Err(error) => {
                let reason = crate::cli::with_flags(error.clone()).one_line();
                if !self.args.telling.quiet {
                    tell(format_args!("{} is left out: {reason}", printable::line(&name)));
                }
                self.record.models[place].left_out = Some(reason);
                self.nothing.get_or_insert(error);
                if let Some(directory) = self.directory.as_ref().filter(|_| self.begun) {
                    self.record.write(directory)?;
                }
                Ok(None)
            }
        }
    }

    /// Runs what the directory of a checkpoint lacks.
    fn model(&mut self, place: usize, stop: &Arc<AtomicBool>) -> Result<()> {
        let Some(evaluation) = self.evaluation(place)? else { return Ok(()) };
        let record = evaluation.record(machine_record(&self.args.machine, self.threads))?;
        if !self.begun {
            self.record.title = title(&record, self.record.models.len());
        }
        let directory = self.directory.get_or_insert_with(|| default_directory(&evaluation.plan));
        match self.begun {
            false => self.record.open(directory)?,
            true => self.record.write(directory)?,
        }
        self.begun = true;
        let own = directory.join(&self.record.models[place].directory);
        let keeping =
            Keeping { tokens: self.args.tokens, limit: self.limit, telling: &self.args.telling, stop };
        let Kept { store, ran, planned, .. } = run_into(&own, &evaluation, &record, &keeping)?;
        self.limit = self.limit.map(|limit| limit.saturating_sub(ran.len()));
        let end = ended(store.outcomes(), &ran, planned, self.args.fail_on_error);
        let end = end.map_err(|error| Error::Failed(format!("{}: {error}", own.display())));
        if self.ended.is_ok() {
            self.ended = end;
        }
        Ok(())
    }

    /// Says what each checkpoint takes.
    fn dry_run(&mut self) -> Result<()> {
        let mut runs: Vec<Dry> = Vec::new();
        for place in 0..self.record.models.len() {
            let Some(evaluation) = self.evaluation(place)? else { continue };
            let run = evaluation.dry_run(self.limit)?;
            let own = self.record.models[place].directory.clone();
            let own = self.directory.as_ref().map(|directory| directory.join(own));
            runs.push(Dry::of(run, self.args.precision, &evaluation.plan.settings, own.as_deref())?);
        }
        if runs.is_empty() {
            return Err(self.nothing.take().unwrap_or_else(|| Error::Failed("no model can run".to_string())));
        }
        match self.args.form.output_format.name {
            "table" => {
                let text: String = runs.iter().map(|run| format!("{run}\n")).collect();
                print(&printable::lines(text.trim_end()))?;
                print("\n")
            }
            "json" => {
                let left_out = self.record.models.iter().filter_map(|entry| entry.left_out.as_ref());
                print(&dry::json(&json!({ "models": runs, "left_out": left_out.collect::<Vec<_>>() }))?)
            }
            other => Err(Error::invalid("--output-format", other, "table or json beside --dry-run")),
        }
    }
}

/// What ran, in one line, without the checkpoint of the run that says so.
fn title(record: &RunRecord, models: usize) -> String {
    let settings = &record.settings;
    let title = format!(
        "{models} models, task {}{}{}",
        settings.task_name(),
        settings.variations(),
        settings.model.rounding()
    );
    printable::shortened(&title).into_owned()
}

/// `niah-runs/models-TASK`.
fn default_directory(plan: &RunPlan) -> PathBuf {
    Path::new("niah-runs").join(format!("models-{}", plan.prompts.task.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_trainings_end_with_their_step_and_two_of_one_step_have_none() {
        for (name, step) in [
            ("out/step-100", Some(100)),
            ("out/checkpoint-500/", Some(500)),
            ("global_step1000", Some(1000)),
            ("m-step_000020.gguf", Some(20)),
            ("llama-2", None),
            ("shipped:ssmax", None),
            ("step-", None),
            ("step-99999999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(step_of(name), step, "{name}");
        }
        let names = |names: [&str; 2]| steps(&names.map(str::to_string));
        assert_eq!(names(["a/step-1", "a/step-20"]), [Some(1), Some(20)]);
        assert_eq!(names(["a/step-1", "b/step-1"]), [None, None]);
        assert_eq!(names(["a/step-1", "b"]), [None, None]);
    }
}
