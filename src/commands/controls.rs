//! `niah run --controls`: a task with everything that tells what its answers are worth, in one table.

use std::path::{Path, PathBuf};

use super::answering::Answering;
use super::kept::{Keeping, Kept};
use super::run::{ended, masked};
use super::shown::{Shown, check};
use super::{stop_on_interrupt, tell, warn};
use crate::cli::RunArgs;
use crate::error::Result;
use crate::export::style::Style;
use crate::haystack::Order;
use crate::plan::Settings;
use crate::registry::unknown;
use crate::report::Report;
use crate::report::controls::{ControlRow, ControlsReport, Meaning};
use crate::report::tasks::AS_IT_IS;
use crate::store::directory::RunDirectory;
use crate::task::{CONTROLS, Change};
use crate::trial::Trial;

/// Needles about something else that are added.
const DISTRACTORS: usize = 4;

/// Runs the task, and then each of its controls, every one in a directory of its own.
///
/// # Errors
/// When a plan cannot be made, when results cannot be kept, when every trial of one of them failed or, where
/// that is wanted, any trial, or when the user stopped it.
pub(super) fn run(args: &RunArgs, style: &Style) -> Result<()> {
    check(&args.form, &[])?;
    let answering = Answering::of(args)?;
    let plain = masked(args)?;
    let stop = stop_on_interrupt()?;
    let keeping = Keeping { tokens: args.tokens, limit: args.limit, telling: &args.telling, stop: &stop };
    let task = plain.make_task()?;
    let (mut rows, mut notes, mut title, mut ends) = (Vec::new(), Vec::new(), String::new(), Vec::new());
    let mut directory = args.output.clone();
    for Variant { name, meaning, change, settings } in variants(&plain, &args.controls)? {
        if let Some(why) = change.and_then(|change| change.refused_by(task.as_ref())) {
            notes.push(format!("{name} is left out: task {} {why}", task.name()));
            continue;
        }
        let before = directory.as_ref().map(|root: &PathBuf| root.join(AS_IT_IS));
        let run = answering.plan(settings, before.as_deref())?;
        if name == AS_IT_IS {
            warn(&run.warnings());
        }
        let root = directory.get_or_insert_with(|| {
            Path::new("niah-runs").join(format!("{}-controls", run.directory_name(run.task())))
        });
        let own = root.join(name);
        let record = run.record()?;
        let Kept { store, ran, planned, .. } = run.run_into(&own, &record, &keeping)?;
        if name == AS_IT_IS {
            title = record.title();
        }
        let control = CONTROLS.iter().find(|entry| entry.name == name);
        notes.extend(control.and_then(|entry| Some(format!("{name}: {}", entry.value.meaning()?))));
        rows.push(ControlRow::of(name, meaning, store.outcomes()));
        ends.push((store, ran, planned));
    }
    let report = Report::from(ControlsReport { title, rows, notes });
    let shown = Shown::of(&args.form, &report, None, style)?.out();
    if let Some(directory) = directory.filter(|_| !args.telling.quiet) {
        tell(format_args!("results: {}", directory.display()));
    }
    shown?;
    let ended = |(store, ran, planned): &(RunDirectory, Vec<Trial>, usize)| {
        ended(store.outcomes(), ran, *planned, args.fail_on_error)
    };
    // Each is looked at, so that none fails in silence behind the first.
    ends.iter().map(ended).fold(Ok(()), Result::and)
}

/// The task, or the task under one of its controls.
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// What correct answers mean.
    meaning: Meaning,
    /// What is changed about the task.
    pub(super) change: Option<Change>,
    pub(super) settings: Settings,
}

/// All controls, by one name.
const ALL: &str = "all";

/// The task and those of its controls that are named.
///
/// # Errors
/// [`crate::Error::UnknownChoice`] for a name that is none.
pub(super) fn variants(plain: &Settings, named: &[String]) -> Result<Vec<Variant>> {
    let mut variants = all(plain);
    let known: Vec<&str> = std::iter::once(ALL).chain(variants[1..].iter().map(|of| of.name)).collect();
    let read = |name: &String| name.trim().to_lowercase().replace('_', "-");
    let wanted: Vec<String> = named.iter().map(read).collect();
    if let Some(name) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown("control", name, &known));
    }
    let is_wanted = |name: &str| wanted.iter().any(|wanted| [ALL, name].contains(&wanted.as_str()));
    variants.retain(|variant| variant.name == AS_IT_IS || is_wanted(variant.name));
    Ok(variants)
}

/// The task and all of its controls, the task as it is first.
fn all(plain: &Settings) -> Vec<Variant> {
    let right =
        |name, change, settings| Variant { name, meaning: Meaning::Right, change: Some(change), settings };
    let mut variants = vec![
        Variant { name: AS_IT_IS, meaning: Meaning::Right, change: None, settings: plain.clone() },
        right("distractors", Change::Distractors, Settings { distractors: DISTRACTORS, ..plain.clone() }),
        right("shuffled", Change::Shuffled, Settings { haystack_order: Order::Shuffled, ..plain.clone() }),
    ];
    variants.extend(CONTROLS.iter().map(|entry| Variant {
        name: entry.name,
        meaning: Meaning::of(entry.name),
        change: Some(Change::Control(entry.value)),
        settings: Settings { control: Some(entry.name.to_string()), ..plain.clone() },
    }));
    variants
}
