//! `niah compare`: runs on the same prompts, stored or run for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use candle_core::Device;

use super::bounded::bounds;
use super::kept::{Keeping, Kept, run_into};
use super::shown::{Shown, check};
use super::telling::Telling;
use super::{machine_record, prepare, settings, stop_on_interrupt, tell, warn};
use crate::cli::{CheckpointArgs, CompareArgs, ModelArgs, TellingArgs};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Finished, Prompts, Watch, planned_cells, ran};
use crate::export::style::Style;
use crate::grid::Cell;
use crate::plan::RunPlan;
use crate::report::compared::{ComparisonReport, letter, several};
use crate::report::comparison::Comparison;
use crate::report::latest;
use crate::store::directory::{RUN_JSON, RunRecord};
use crate::store::stored::StoredRun;
use crate::store::tasks::TasksRecord;
use crate::trial::Outcome;

/// Runs the command.
///
/// # Errors
/// When a run cannot be read or a model cannot be run, when the two were not asked the same, and for a flag
/// of `given` (flags and values, [`crate::cli::given_flags`]) that has nothing to run.
pub fn run(args: &CompareArgs, given: &[(String, String)], style: &Style) -> Result<()> {
    check_flags(args, given)?;
    check(&args.form, &["difference"])?;
    if args.sides().into_iter().all(is_run) {
        return page_of_stored(args, style)?.out();
    }
    let runs = with_models(args)?;
    Shown::of(&args.form, &several(&reports(&runs)?), None, style)?.out()?;
    warn(&bounds(&runs));
    runs.iter().try_for_each(Finished::check)
}

/// What the command shows of runs that are stored.
///
/// # Errors
/// When one cannot be read, or they were not asked the same.
pub fn page_of_stored(args: &CompareArgs, style: &Style) -> Result<Shown> {
    let read = args.sides().into_iter().map(stored).collect::<Result<Vec<_>>>()?;
    let (runs, mut warnings): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    warnings.push(bounds(&runs));
    let reports = reports(&runs)?;
    // Of large runs the rows take more than all that is drawn of them.
    drop(runs);
    Ok(Shown::of(&args.form, &several(&reports), None, style)?.warning(warnings.concat()))
}

/// The first run against each of the others.
fn reports(runs: &[Finished]) -> Result<Vec<ComparisonReport>> {
    let [a, others @ ..] = runs else { return Err(too_few()) };
    others.iter().zip(1..).map(|(other, place)| any_report(a, other, &letter(place))).collect()
}

/// Whether this is the directory of a run, or of several, one of which has to be named. A checkpoint has no
/// run.json.
fn is_run(name: &str) -> bool {
    Path::new(name).join(RUN_JSON).is_file() || TasksRecord::is_in(Path::new(name))
}

/// The error of a run that is alone.
fn too_few() -> Error {
    Error::invalid("niah compare", "one run", "two or more, or -m for the other")
}

/// Flags that stored runs have a use for, or that change nothing of what is shown of them.
const OF_STORED: &[&str] = &[
    "--model",
    "--output-format",
    "--export",
    "--figure",
    "--config",
    "--device",
    "--threads",
    "--quiet",
    "--verbose",
];

/// Refuses `--variants` that are not several of one checkpoint, and a scale that none of them has.
fn check_variants(args: &CompareArgs, sides: &[&str]) -> Result<()> {
    const FLAG: &str = "--variants";
    let variants = &args.variants;
    if variants.is_empty() {
        return Ok(());
    }
    let refused = |expected: &str| Err(Error::invalid(FLAG, variants.join(","), expected));
    match sides.first() {
        _ if sides.len() > variants.len() => refused("one checkpoint, which each of them runs on"),
        None => refused("a checkpoint to run under them"),
        Some(name) if is_run(name) => refused(&format!("a model: {name} is a run, which has its variant")),
        _ if variants.len() < 2 => refused("two or more, the first to hold the others against"),
        _ => args.attention.check_variants(variants),
    }
}

/// Refuses flags that say how to run what is stored already.
fn check_flags(args: &CompareArgs, given: &[(String, String)]) -> Result<()> {
    let sides = args.sides();
    check_variants(args, &sides)?;
    if sides.len() < 2 {
        return Err(too_few());
    }
    if args.model_is_idle() {
        return Err(Error::invalid("--model", "a third", "no such flag: A and B are named already"));
    }
    for (place, name) in sides.iter().enumerate().filter(|(_, name)| is_run(name)) {
        if let Some((flag, value)) = args.of_side(place).into_iter().next() {
            let expected = format!("a model: {name} is a run, which has its variant and its cache");
            return Err(Error::invalid(flag, value, expected));
        }
    }
    let stored = sides.iter().all(|name| is_run(name));
    let decided = |(place, name): (usize, &&str)| args.variant(place).is_some() || is_run(name);
    let all_decided = sides.iter().enumerate().all(decided);
    let of_all = given.iter().find(|(flag, _)| flag == "--variant");
    if let Some((flag, value)) = of_all.filter(|_| all_decided && !stored) {
        let expected = "no such flag beside --variant-a and --variant-b, which leave no model for it";
        return Err(Error::invalid(flag, value, expected));
    }
    match given.iter().find(|(flag, _)| !OF_STORED.contains(&flag.as_str())) {
        Some((flag, value)) if stored => {
            let expected = "no such flag, or a model to run with it: A and B are stored already";
            Err(Error::invalid(flag, value, expected))
        }
        _ => Ok(()),
    }
}

/// A stored run, and what to warn of.
fn stored(name: &str) -> Result<(Finished, Vec<String>)> {
    let StoredRun { record, outcomes, warnings } = StoredRun::read_without_words(Path::new(name))?;
    Ok((Finished { record, outcomes, ran: Vec::new() }, warnings))
}

/// Reads what is stored and runs what is a model, once it is clear that they are asked the same.
fn with_models(args: &CompareArgs) -> Result<Vec<Finished>> {
    let (device, threads) = prepare(&args.machine)?;
    let open = |(place, name): (usize, &str)| match is_run(name) {
        true => {
            let (run, warnings) = stored(name)?;
            warn(&warnings);
            Ok(Side::Stored(Box::new(run)))
        }
        false => Side::model(args, name, place, (&device, threads)),
    };
    let sides = args.sides().into_iter().enumerate().map(open).collect::<Result<Vec<_>>>()?;
    // One grid: what one model is told of its prompts holds for the others.
    if let Some(model) = sides.iter().find_map(Side::evaluation) {
        warn(&model.plan.prompt_warnings);
    }
    for (place, side) in sides.iter().enumerate().skip(1) {
        let records = [sides[0].record(), side.record()];
        let b = letter(place);
        if imported(records).is_some() {
            continue;
        }
        match check_first_prompts(&[sides[0].first_prompts(), side.first_prompts()], records, &b) {
            Err(Error::PromptsDiffer { .. })
                if records[0].identity.difference_of_form(&records[1].identity).is_some() =>
            {
                tell(format_args!("warning: the prompts of A and {b} differ: they are compared unpaired"));
            }
            checked => checked?,
        }
    }
    let stop = stop_on_interrupt()?;
    let directory = |place: usize| args.output.as_ref().map(|output| output.join(args.directory_name(place)));
    let finish = |(place, side): (usize, Side)| side.finish(directory(place), &stop, &args.telling);
    sides.into_iter().enumerate().map(finish).collect()
}

/// Refuses sides whose first prompts or rules of scoring differ, before any of them runs; `b` is the letter
/// of the second.
pub(super) fn check_first_prompts(prompts: &[Prompts; 2], records: [&RunRecord; 2], b: &str) -> Result<()> {
    check_rules(records, b)?;
    let [of_a, of_b] = prompts;
    let shared: Vec<_> = of_a.iter().filter_map(|(row, hash)| Some((row, hash, of_b.get(row)?))).collect();
    let differing: Vec<&str> =
        shared.iter().filter(|(_, a, b)| a != b).map(|(row, ..)| row.as_str()).collect();
    match differing.is_empty() {
        true => Ok(()),
        false => Err(explained(Error::prompts_differ(&differing, shared.len()), records, b)),
    }
}

/// Refuses answers that were scored by other rules.
fn check_rules(records: [&RunRecord; 2], b: &str) -> Result<()> {
    let [of_a, of_b] = records.map(|record| {
        let tokens = record.settings.max_new_tokens;
        let tokens = tokens.map_or("of the task".to_string(), |tokens| tokens.to_string());
        let settings = &record.settings;
        let from = settings.correct_from.map(|from| format!(", --correct-from {from}"));
        let numbers = (!settings.normalise.is_nothing()).then(|| ", --normalise numbers".to_string());
        let others: String = [from, numbers].into_iter().flatten().collect();
        format!("--scorer {}, --max-new-tokens {tokens}{others}", settings.scorer)
    });
    match of_a == of_b {
        true => Ok(()),
        false => Err(Error::invalid(b, of_b, format!("answers scored as those of A: {of_a}"))),
    }
}

/// What is drawn of two runs on the same prompts; `letter` is that of the second.
///
/// # Errors
/// When their prompts differ, or answers were scored by other rules.
pub(super) fn report(a: &Finished, b: &Finished, letter: &str) -> Result<ComparisonReport> {
    compared(a, b, letter, Comparison::of)
}

/// What is drawn of two runs, unpaired where they were asked the same in other words.
fn any_report(a: &Finished, b: &Finished, letter: &str) -> Result<ComparisonReport> {
    if let Some(form) = imported([&a.record, &b.record]) {
        return Ok(ComparisonReport {
            form: Some(form),
            ..compared_rows(a, b, letter, Comparison::unpaired)?
        });
    }
    match (report(a, b, letter), a.record.identity.difference_of_form(&b.record.identity)) {
        (Err(Error::PromptsDiffer { .. }), Some(form)) => {
            let form = Some(format!("it was asked the same in other words than A ({form})"));
            Ok(ComparisonReport { form, ..compared(a, b, letter, Comparison::unpaired)? })
        }
        (report, _) => report,
    }
}

/// A way to compare the rows of two runs: those of both, the cells of both, and their training length.
type Compare = fn(&[Outcome], &[Outcome], &[Cell], Option<usize>) -> Result<Comparison>;

fn compared(a: &Finished, b: &Finished, letter: &str, compare: Compare) -> Result<ComparisonReport> {
    check_rules([&a.record, &b.record], letter)?;
    compared_rows(a, b, letter, compare)
}

/// Whose results A or B are and how each was scored, where a side was imported: other prompts, and other
/// scores.
fn imported([a, b]: [&RunRecord; 2]) -> Option<String> {
    let whose = |record: &RunRecord| record.imported.as_ref().map(|imported| imported.from.clone());
    let scores = |record: &RunRecord| match (&record.imported, &record.answers_of) {
        (Some(imported), None) => imported.scorer.clone(),
        _ => format!("--scorer {}", record.settings.scorer),
    };
    let words = match (whose(a), whose(b)) {
        (None, None) => return None,
        (None, Some(of_b)) => format!("its results were imported from {of_b}"),
        (Some(of_a), None) => format!("the results of A were imported from {of_a}"),
        (Some(of_a), Some(of_b)) => {
            format!("the results were imported, of A from {of_a}, its own from {of_b}")
        }
    };
    Some(format!("{words} (scores of A: {}; its own: {})", scores(a), scores(b)))
}

fn compared_rows(a: &Finished, b: &Finished, letter: &str, compare: Compare) -> Result<ComparisonReport> {
    let records = [&a.record, &b.record];
    let [(mut cells, note), (of_b, _)] = [a, b].map(|run| planned_cells(&run.record.settings.grid));
    cells.extend(of_b);
    let trained = records.map(|record| record.training_length);
    let shared = trained[0].filter(|_| trained[0] == trained[1]);
    let comparison = compare(&a.outcomes, &b.outcomes, &cells, shared)
        .map_err(|error| explained(error, records, letter))?;
    Ok(ComparisonReport { ran: records.map(ran), note, comparison, form: None })
}

/// A refusal for different prompts with the settings that make them so.
fn explained(error: Error, [a, b]: [&RunRecord; 2], letter: &str) -> Error {
    match error {
        Error::PromptsDiffer { differing, compared, first, .. } => Error::PromptsDiffer {
            b: letter.to_string(),
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
        place: usize,
        (device, threads): (&Device, usize),
    ) -> Result<Self> {
        let model = ModelArgs {
            checkpoint: CheckpointArgs::of(name),
            attention: args.attention(place),
            chat: args.chat.clone(),
        };
        let plan = RunPlan::resolve(settings(&model, &args.grid)?, device);
        let plan = plan.map_err(|error| error.renamed(|setting| args.flag_of_side(place, setting)))?;
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
    fn finish(
        self,
        directory: Option<PathBuf>,
        stop: &AtomicBool,
        telling: &TellingArgs,
    ) -> Result<Finished> {
        let (evaluation, record) = match self {
            Self::Stored(run) => return Ok(*run),
            Self::Model(model) => *model,
        };
        match directory {
            None => {
                let mut telling = Telling::of(&evaluation.plan.settings, &[], telling);
                evaluation.in_memory(record, Watch { progress: &mut telling, stop })
            }
            Some(directory) => {
                let keeping = Keeping { tokens: false, limit: None, telling, stop };
                let Kept { store, ran, .. } = run_into(&directory, &evaluation, &record, &keeping)?;
                Ok(Finished { outcomes: store.outcomes().to_vec(), record: store.run_record().clone(), ran })
            }
        }
    }
}
