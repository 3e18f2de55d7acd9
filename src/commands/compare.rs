//! `niah compare`: two runs on identical prompts, stored or run for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use candle_core::Device;

use super::shown::{Shown, check};
use super::telling::{Telling, stopped};
use super::{machine_record, prepare, settings, stop_on_interrupt, tell, warn};
use crate::cli::{AttentionArgs, CheckpointArgs, CompareArgs, ModelArgs};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Finished, Prompts, Watch, planned_cells, ran};
use crate::export::style::Style;
use crate::plan::RunPlan;
use crate::report::bound::bounded;
use crate::report::compared::ComparisonReport;
use crate::report::comparison::Comparison;
use crate::report::{Report, latest};
use crate::store::directory::{RUN_JSON, RunDirectory, RunRecord};
use crate::store::stored::StoredRun;

/// Runs the command.
///
/// # Errors
/// When a run cannot be read or a model cannot be run, when the two were not asked the same, and for a flag
/// of `given` (flags and values, [`crate::cli::given_flags`]) that has nothing to run.
pub fn run(args: &CompareArgs, given: &[(String, String)], style: &Style) -> Result<()> {
    check_flags(args, given)?;
    check(&args.form, &["difference"])?;
    let [a, b] = match is_run(args.a()) && is_run(args.b()) {
        true => return page_of_stored(args, style)?.out(),
        false => with_models(args)?,
    };
    Shown::of(&args.form, &Report::from(report(&a, &b)?), None, style)?.out()?;
    warn(&bounds([&a.record, &b.record]));
    [a, b].iter().try_for_each(Finished::check)
}

/// What the command shows of two runs that are stored.
///
/// # Errors
/// When one cannot be read, or they were not asked the same.
pub fn page_of_stored(args: &CompareArgs, style: &Style) -> Result<Shown> {
    let [(a, of_a), (b, of_b)] = [stored(args.a())?, stored(args.b())?];
    let shown = Shown::of(&args.form, &Report::from(report(&a, &b)?), None, style)?;
    Ok(shown.warning([of_a, of_b, bounds([&a.record, &b.record])].concat()))
}

/// A warning for a side whose scores are bounded: what it loses may be owed to that alone.
fn bounds(records: [&RunRecord; 2]) -> Vec<String> {
    let of = |(side, record): (&str, &RunRecord)| {
        // Other rules multiply scores, and some by more the more keys there are.
        let words = bounded(record.largest_score().filter(|_| record.variant == "softmax")?);
        Some(format!("{side} ({}): {words}; whatever it loses may be owed to that alone", record.title()))
    };
    ["A", "B"].into_iter().zip(records).filter_map(of).collect()
}

/// Whether this is the directory of a run. A checkpoint has no run.json.
fn is_run(name: &str) -> bool {
    Path::new(name).join(RUN_JSON).is_file()
}

/// Flags that two stored runs have a use for, or that change nothing of what is shown of them.
const OF_STORED: &[&str] =
    &["--model", "--output-format", "--export", "--figure", "--config", "--device", "--threads"];

/// Refuses flags that say how to run what is stored already.
fn check_flags(args: &CompareArgs, given: &[(String, String)]) -> Result<()> {
    if args.model_is_idle() {
        return Err(Error::invalid("--model", "a third", "no such flag: A and B are named already"));
    }
    for (flag, variant, name) in
        [("--variant-a", &args.variant_a, args.a()), ("--variant-b", &args.variant_b, args.b())]
    {
        if let Some(variant) = variant.as_ref().filter(|_| is_run(name)) {
            return Err(Error::invalid(
                flag,
                variant,
                format!("a model: {name} is a run, which has its variant"),
            ));
        }
    }
    let decided = |variant: &Option<String>, name: &str| variant.is_some() || is_run(name);
    let both_decided = decided(&args.variant_a, args.a()) && decided(&args.variant_b, args.b());
    let of_both = given.iter().find(|(flag, _)| flag == "--variant");
    match of_both.filter(|_| both_decided && !(is_run(args.a()) && is_run(args.b()))) {
        None => {}
        Some((flag, value)) => {
            let expected = "no such flag beside --variant-a and --variant-b, which leave no model for it";
            return Err(Error::invalid(flag, value, expected));
        }
    }
    match given.iter().find(|(flag, _)| !OF_STORED.contains(&flag.as_str())) {
        Some((flag, value)) if is_run(args.a()) && is_run(args.b()) => {
            let expected = "no such flag, or a model to run with it: A and B are stored already";
            Err(Error::invalid(flag, value, expected))
        }
        _ => Ok(()),
    }
}

/// A stored run, and what to warn of.
fn stored(name: &str) -> Result<(Finished, Vec<String>)> {
    let StoredRun { record, outcomes, warnings } = StoredRun::read(Path::new(name))?;
    Ok((Finished { record, outcomes, ran: Vec::new() }, warnings))
}

/// Reads what is stored and runs what is a model, once it is clear that their prompts agree.
fn with_models(args: &CompareArgs) -> Result<[Finished; 2]> {
    let (device, threads) = prepare(&args.machine)?;
    let open = |name: &str, variant| match is_run(name) {
        true => {
            let (run, warnings) = stored(name)?;
            warn(&warnings);
            Ok(Side::Stored(Box::new(run)))
        }
        false => Side::model(args, name, variant, (&device, threads)),
    };
    let sides = [open(args.a(), &args.variant_a)?, open(args.b(), &args.variant_b)?];
    // One grid: what one model is told of its prompts holds for the other.
    if let Some(model) = sides.iter().find_map(Side::evaluation) {
        warn(&model.plan.prompt_warnings);
    }
    let prompts = [sides[0].first_prompts(), sides[1].first_prompts()];
    check_first_prompts(&prompts, [sides[0].record(), sides[1].record()])?;
    let stop = stop_on_interrupt()?;
    let [a, b] = sides;
    let directory = |name: &str| args.output.as_ref().map(|output| output.join(name));
    Ok([a.finish(directory("a"), &stop)?, b.finish(directory("b"), &stop)?])
}

/// Refuses sides whose first prompts or rules of scoring differ, before any of them runs.
pub(super) fn check_first_prompts(prompts: &[Prompts; 2], records: [&RunRecord; 2]) -> Result<()> {
    check_rules(records)?;
    let [a, b] = prompts;
    let shared: Vec<_> = a.iter().filter_map(|(row, hash)| Some((row, hash, b.get(row)?))).collect();
    let differing: Vec<&str> =
        shared.iter().filter(|(_, a, b)| a != b).map(|(row, ..)| row.as_str()).collect();
    match differing.is_empty() {
        true => Ok(()),
        false => Err(explained(Error::prompts_differ(&differing, shared.len()), records[0], records[1])),
    }
}

/// Refuses answers that were scored by other rules.
fn check_rules(records: [&RunRecord; 2]) -> Result<()> {
    let [a, b] = records.map(|record| {
        let tokens = record.settings.max_new_tokens;
        let tokens = tokens.map_or("of the task".to_string(), |tokens| tokens.to_string());
        format!("--scorer {}, --max-new-tokens {tokens}", record.settings.scorer)
    });
    if a == b { Ok(()) } else { Err(Error::invalid("B", b, format!("answers scored as those of A: {a}"))) }
}

/// What is drawn of two runs.
///
/// # Errors
/// When their prompts differ, or answers were scored by other rules.
pub(super) fn report(a: &Finished, b: &Finished) -> Result<ComparisonReport> {
    check_rules([&a.record, &b.record])?;
    let [(mut cells, note), (of_b, _)] = [a, b].map(|run| planned_cells(&run.record.settings.grid));
    cells.extend(of_b);
    let trained = [a, b].map(|run| run.record.training_length);
    let shared = trained[0].filter(|_| trained[0] == trained[1]);
    let comparison = Comparison::of(&a.outcomes, &b.outcomes, &cells, shared)
        .map_err(|error| explained(error, &a.record, &b.record))?;
    Ok(ComparisonReport { ran: [a, b].map(|run| ran(&run.record)), note, comparison })
}

/// A refusal for different prompts with the settings that make them so.
fn explained(error: Error, a: &RunRecord, b: &RunRecord) -> Error {
    match error {
        Error::PromptsDiffer { differing, compared, first, .. } => Error::PromptsDiffer {
            differing,
            compared,
            first,
            settings: a.identity.prompt_difference(&b.identity),
        },
        other => other,
    }
}

/// A run to read, or a model to run.
enum Side {
    Stored(Box<Finished>),
    Model(Box<(Evaluation, RunRecord)>),
}

impl Side {
    fn model(
        args: &CompareArgs,
        name: &str,
        variant: &Option<String>,
        (device, threads): (&Device, usize),
    ) -> Result<Self> {
        let variant = variant.as_ref().unwrap_or(&args.attention.variant).clone();
        let model = ModelArgs {
            checkpoint: CheckpointArgs::of(name),
            attention: AttentionArgs { variant, ..args.attention.clone() },
            chat: args.chat.clone(),
        };
        let plan = RunPlan::resolve(settings(&model, &args.grid)?, device)?;
        for warning in &plan.warnings {
            tell(format_args!("warning: {name}: {warning}"));
        }
        let evaluation = Evaluation::new(plan, true)?;
        let record = evaluation.record(machine_record(&args.machine, threads))?;
        Ok(Self::Model(Box::new((evaluation, record))))
    }

    fn evaluation(&self) -> Option<&Evaluation> {
        match self {
            Self::Stored(_) => None,
            Self::Model(model) => Some(&model.0),
        }
    }

    fn record(&self) -> &RunRecord {
        match self {
            Self::Stored(run) => &run.record,
            Self::Model(model) => &model.1,
        }
    }

    fn first_prompts(&self) -> Prompts {
        match self {
            Self::Stored(run) => {
                let first = latest(&run.outcomes).into_iter().filter(|row| row.trial == 0);
                first.filter_map(|row| Some((row.row_id.clone(), row.prompt_hash.clone()?))).collect()
            }
            Self::Model(model) => model.0.estimate.prompt_hashes.clone(),
        }
    }

    /// All rows; a model runs for them, into `directory` if there is one.
    fn finish(self, directory: Option<PathBuf>, stop: &AtomicBool) -> Result<Finished> {
        let (evaluation, record) = match self {
            Self::Stored(run) => return Ok(*run),
            Self::Model(model) => *model,
        };
        let watch = Watch { progress: &mut Telling::default(), stop };
        match directory {
            None => evaluation.in_memory(record, watch),
            Some(directory) => {
                let mut store = RunDirectory::open(&directory, &record, false)?;
                let ran = evaluation.go_on(&mut store, false, None, watch);
                let planned = evaluation.plan.trials().len();
                let ran = ran.map_err(|error| stopped(error, &store, planned, &directory))?;
                Ok(Finished { outcomes: store.outcomes().to_vec(), record: store.run_record().clone(), ran })
            }
        }
    }
}
