//! `niah run --controls`: a task with everything that tells what its answers are worth, in one table.

use std::path::Path;

use super::kept::{Keeping, Kept, run_into};
use super::shown::{Shown, check};
use super::{machine_record, prepare, settings, stop_on_interrupt, tell, warn};
use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, failures};
use crate::export::style::Style;
use crate::haystack::Order;
use crate::plan::{RunPlan, Settings};
use crate::report::Report;
use crate::report::controls::{ControlRow, ControlsReport, Meaning};
use crate::task::{CONTROLS, Control};

/// Needles about something else that are added.
const DISTRACTORS: usize = 4;

/// The task as it is.
const TASK: &str = "task";

/// Runs the task, and then each of its controls, every one in a directory of its own.
///
/// # Errors
/// When a plan cannot be made, when results cannot be kept, when a trial failed, or when the user stopped it.
pub(super) fn run(args: &RunArgs, style: &Style) -> Result<()> {
    check(&args.form, &[])?;
    let (device, threads) = prepare(&args.machine)?;
    let plain = settings(&args.model, &args.grid)?;
    let stop = stop_on_interrupt()?;
    let keeping = Keeping { tokens: args.tokens, limit: args.limit, telling: &args.telling, stop: &stop };
    let (mut rows, mut notes, mut title, mut failed) = (Vec::new(), Vec::new(), String::new(), Ok(()));
    let mut directory = args.output.clone();
    for (name, meaning, settings) in variants(&plain) {
        let resolved = RunPlan::resolve(settings, &device);
        let evaluation = match resolved.and_then(|plan| Evaluation::new(plan, !args.no_prefix_sharing)) {
            Ok(evaluation) => evaluation,
            // A control that the task cannot be under is left out; the task itself has to run.
            Err(Error::InvalidValue { name: setting, expected, .. })
                if name != TASK && is_control(&setting) =>
            {
                let why = expected.rsplit(": ").next().unwrap_or_default();
                notes.push(format!("{name} is left out: {}", why.replace('`', "")));
                continue;
            }
            Err(error) => return Err(error),
        };
        if name == TASK {
            warn(&evaluation.plan.warnings);
            warn(&evaluation.plan.prompt_warnings);
        }
        let root = directory.get_or_insert_with(|| {
            Path::new("niah-runs").join(format!("{}-controls", super::run::directory_name(&evaluation.plan)))
        });
        let own = root.join(name);
        let record = evaluation.record(machine_record(&args.machine, threads))?;
        let Kept { store, ran, planned, .. } = run_into(&own, &evaluation, &record, &keeping)?;
        if name == TASK {
            title = record.title();
        }
        let control = CONTROLS.iter().find(|entry| entry.name == name);
        notes.extend(control.and_then(|entry| Some(format!("{name}: {}", entry.value.meaning()?))));
        rows.push(ControlRow::of(name, meaning, store.outcomes()));
        failed = failed.and(failures(store.outcomes(), &ran, planned));
    }
    let report = Report::from(ControlsReport { title, rows, notes });
    let shown = Shown::of(&args.form, &report, None, style)?.out();
    if let Some(directory) = directory {
        tell(format_args!("results: {}", directory.display()));
    }
    shown?;
    failed
}

/// The task and its controls: name, what correct answers mean, settings.
fn variants(plain: &Settings) -> Vec<(&'static str, Meaning, Settings)> {
    let right = |name, settings| (name, Meaning::Right, settings);
    let mut variants = vec![
        right(TASK, plain.clone()),
        right("distractors", Settings { distractors: DISTRACTORS, ..plain.clone() }),
        right("shuffled", Settings { haystack_order: Order::Shuffled, ..plain.clone() }),
    ];
    variants.extend(CONTROLS.iter().map(|entry| {
        let meaning = match entry.value {
            Control::NoNeedle => Meaning::Guessed,
            Control::NoneNoNeedle => Meaning::Refused,
            Control::NeedleOnly | Control::None => Meaning::Right,
        };
        (entry.name, meaning, Settings { control: Some(entry.name.to_string()), ..plain.clone() })
    }));
    variants
}

/// Whether a setting is one that [`variants`] changes.
fn is_control(setting: &str) -> bool {
    ["distractors", "haystack order", "control", "task"].contains(&setting)
}
