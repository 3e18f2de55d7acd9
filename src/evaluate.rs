//! A plan run to its end: every trial is asked, scored and kept.
//!
//! [`evaluate`] does all of it for another program; [`Evaluation`] is the same in steps.

pub mod served;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use serde_json::{Value, json};

use crate::clock;
use crate::error::{Error, Result};
use crate::grid::{Cell, Grid};
use crate::plan::{DryRun, Estimate, OfShard, RunPlan, Settings, Shard};
use crate::progress::{Progress, Silent};
use crate::report::earlier;
use crate::report::run::{Ran, RunReport};
use crate::report::verdict::Verdict;
use crate::report::{self, CellSummary, Report, Summary, latest};
use crate::runner::{TrialRecord, TrialSink, run_trials};
use crate::stats::LengthRule;
use crate::store::directory::{RunDirectory, RunRecord};
use crate::store::rescored::AnswersOf;
use crate::store::served::server_notes;
use crate::trial::{Outcome, Status, Trial};

/// Runs a grid in silence and keeps its rows in memory.
///
/// # Errors
/// Those of [`RunPlan::resolve`], and when memory is too small, a prompt cannot be built or the weights are
/// damaged. A trial that fails is no error here: its row says so, and [`Finished::check`].
pub fn evaluate(settings: Settings, device: &Device) -> Result<Finished> {
    let evaluation = Evaluation::new(RunPlan::resolve(settings, device)?, true)?;
    let record = evaluation.record(Value::Null)?;
    evaluation.in_memory(record, Watch { progress: &mut Silent, stop: &AtomicBool::new(false) })
}

/// Who looks on while trials run.
pub struct Watch<'a> {
    /// Is told how far it is.
    pub progress: &'a mut dyn Progress,
    /// Ends the run behind the token that is being computed when it is set.
    pub stop: &'a AtomicBool,
}

/// Hashes of prompts by `row_id`.
pub(crate) type Prompts = BTreeMap<String, String>;

/// A plan that fits into memory and whose prompts can be built.
pub struct Evaluation {
    /// The plan.
    pub plan: RunPlan,
    /// What it will cost.
    pub estimate: Estimate,
    sharing: bool,
    /// The part of the plan that runs; all of it when absent.
    shard: Option<Shard>,
    /// Whether what heads copy is kept.
    retrieval: bool,
}

impl Evaluation {
    /// Checks memory and builds the first prompt of every cell; adds to the plan's warnings how often a
    /// haystack that is too short begins again, and what else there is to know of the prompts. `sharing`:
    /// prompts keep what they share with the one before.
    ///
    /// # Errors
    /// When memory is too small, or a prompt cannot be built.
    pub fn new(mut plan: RunPlan, sharing: bool) -> Result<Self> {
        plan.check_memory()?;
        let estimate = Estimate::new(&plan)?;
        plan.prompt_warnings.extend(estimate.repetition(&plan));
        plan.prompt_warnings.extend_from_slice(&estimate.notes);
        Ok(Self { estimate, plan, sharing, shard: None, retrieval: false })
    }

    /// The same of which this part runs, when one is given. Its rows are those of the whole plan.
    #[must_use]
    pub fn part(self, shard: Option<Shard>) -> Self {
        Self { shard, ..self }
    }

    /// The trials that run, in their order: those of the plan, or of the part of it.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let all = self.plan.trials();
        match self.shard {
            None => all,
            Some(shard) => all[shard.of(&self.estimate.costs(&self.plan, self.sharing))].to_vec(),
        }
    }

    /// What a run takes, of which at most `limit` trials run now.
    ///
    /// # Errors
    /// When the device fails.
    pub fn dry_run(&self, limit: Option<usize>) -> Result<DryRun> {
        let dry = self.estimate.dry_run(&self.plan, self.sharing, limit)?;
        let Some(shard) = self.shard else { return Ok(dry) };
        let costs = self.estimate.costs(&self.plan, self.sharing);
        let (prompts, share) = (shard.of(&costs).len(), shard.share(&costs));
        let shard = Some(OfShard { shard, prompts, share });
        Ok(DryRun { shard, prompts_now: limit.unwrap_or(prompts).min(prompts), ..dry })
    }

    /// The same, which keeps what every head copies as well, where that is `wanted`.
    ///
    /// # Errors
    /// [`Error::Message`] where the model has no heads to keep it of.
    pub fn keeping_retrieval(self, wanted: bool) -> Result<Self> {
        if wanted {
            self.plan.model.spec().check_attends()?;
        }
        Ok(Self { retrieval: wanted, ..self })
    }

    /// What `run.json` says, `machine` for the reader. Reads all of the weights, for their hash.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn record(&self, machine: Value) -> Result<RunRecord> {
        let plan = &self.plan;
        let identity = plan.identity()?;
        let config_hash = identity.hash();
        let (prompt, computed) = self.estimate.shared(plan);
        let computed = if self.sharing { computed } else { prompt };
        Ok(RunRecord {
            niah: env!("CARGO_PKG_VERSION").to_string(),
            run_id: config_hash[..8].to_string(),
            config_hash,
            command: std::env::args().collect(),
            started_utc: clock::now_utc(),
            settings: plan.settings.clone(),
            variant: plan.model.variant.name().to_string(),
            variant_description: plan.model.variant.description(),
            training_length: plan.model.spec().training_length(),
            model: plan.model.in_run(plan.form_name()),
            tokens: json!({
                "prompt": prompt,
                "computed": computed,
                "haystack_loops": self.estimate.haystack_loops,
            }),
            warnings: [&plan.warnings[..], &plan.prompt_warnings].concat(),
            machine,
            identity,
            answers_of: None,
            shard: self.shard,
            merged: Vec::new(),
            imported: None,
        })
    }

    /// Runs the trials that `store` lacks, at most `limit`, and returns these. What is done stays when the
    /// run is stopped.
    ///
    /// # Errors
    /// When results cannot be kept or the weights are damaged, and [`Error::Interrupted`] when the run is
    /// stopped.
    pub fn go_on(
        &self,
        store: &mut RunDirectory,
        keep_tokens: bool,
        limit: Option<usize>,
        watch: Watch<'_>,
    ) -> Result<Vec<Trial>> {
        let done = store.done();
        let (plan, record) = (self.trials(), store.run_record().clone());
        let mut todo = plan.clone();
        todo.retain(|trial| !done.contains(&trial.row_id()));
        todo.truncate(limit.unwrap_or(usize::MAX));
        self.run(&todo, &record, Rows { kept: keep_tokens, done: done.len() }, store, watch)?;
        store.settle(&plan)?;
        Ok(todo)
    }

    /// Runs every trial and keeps the rows in memory alone.
    ///
    /// # Errors
    /// When the weights are damaged, and [`Error::Interrupted`] when the run is stopped.
    pub fn in_memory(&self, record: RunRecord, watch: Watch<'_>) -> Result<Finished> {
        let (mut outcomes, ran) = (Outcomes(Vec::new()), self.trials());
        self.run(&ran, &record, Rows { kept: false, done: 0 }, &mut outcomes, watch)?;
        Ok(Finished { record, outcomes: outcomes.0, ran })
    }

    fn run(
        &self,
        todo: &[Trial],
        record: &RunRecord,
        rows: Rows,
        sink: &mut dyn TrialSink,
        watch: Watch<'_>,
    ) -> Result<()> {
        if todo.is_empty() {
            return Ok(());
        }
        let continued = if rows.done == 0 { String::new() } else { format!(" ({} already done)", rows.done) };
        watch.progress.begins(&format!(
            "{}: {} trials{continued}, {} prompts, variant {} ({})",
            self.plan.settings.model.name,
            todo.len(),
            self.plan.form_name(),
            record.variant,
            record.variant_description
        ));
        let mut model = self.plan.load()?;
        if self.sharing {
            model = model.sharing_prefixes(self.estimate.longest_sequence);
        }
        watch.progress.expects(self.estimate.tokens_of(todo));
        let mut context = self.plan.context(rows.kept)?;
        context.keep_retrieval = self.retrieval;
        // A run that has grown keeps the name that it began with.
        context.labels.run_id.clone_from(&record.run_id);
        context.labels.config_hash.clone_from(&record.config_hash);
        let ran = run_trials(&context, todo, &mut model, sink, watch.progress, watch.stop);
        watch.progress.finish();
        ran
    }
}

/// What is kept of trials, and how many are.
struct Rows {
    /// Whether per-token masses are.
    kept: bool,
    /// Trials that are done.
    done: usize,
}

/// A run with all its rows.
pub struct Finished {
    /// What ran.
    pub record: RunRecord,
    /// One row a trial.
    pub outcomes: Vec<Outcome>,
    /// Trials that ran just now.
    pub ran: Vec<Trial>,
}

impl Finished {
    /// Trials of the whole plan.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.record.settings.planned()
    }

    /// The cells of the grid, each with its accuracy and the attention on its needles.
    #[must_use]
    pub fn cells(&self) -> Vec<CellSummary> {
        report::cells(&self.outcomes, &planned_cells(&self.record.settings.grid).0)
    }

    /// What there is to say of the run, for any of [`crate::export::EXPORTERS`].
    #[must_use]
    pub fn report(&self) -> Report {
        Report::from(run_report(&self.outcomes, &self.record))
    }

    /// Refuses a run of whose trials some have failed.
    ///
    /// # Errors
    /// [`Error::Failed`] with the reason of the first.
    pub fn check(&self) -> Result<()> {
        failures(&self.outcomes, &self.ran, self.planned())
    }
}

/// Rows that are gone with their holder.
struct Outcomes(Vec<Outcome>);

impl TrialSink for Outcomes {
    fn record(&mut self, record: TrialRecord) -> Result<()> {
        self.0.push(record.outcome);
        Ok(())
    }
}

/// The rows of those of the trials that ran which have failed.
pub(crate) fn failed<'a>(outcomes: &'a [Outcome], ran: &[Trial]) -> Vec<&'a Outcome> {
    let ran: HashSet<String> = ran.iter().map(Trial::row_id).collect();
    let rows = latest(outcomes).into_iter();
    rows.filter(|row| row.status == Status::Error && ran.contains(&row.row_id)).collect()
}

/// An error when some of the trials that ran have failed, with the reason of the first. `planned` is the
/// number of all.
pub(crate) fn failures(outcomes: &[Outcome], ran: &[Trial], planned: usize) -> Result<()> {
    let failed = failed(outcomes, ran);
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Error::Failed(format!(
            "{} of {planned} trials failed; the first ({}): {}",
            failed.len(),
            first.row_id,
            first.error.as_deref().unwrap_or("no reason recorded")
        ))),
    }
}

/// What a report says ran.
pub(crate) fn ran(record: &RunRecord) -> Ran {
    let settings = &record.settings;
    Ran {
        title: record.title(),
        run_id: record.run_id.clone(),
        config_hash: record.config_hash.clone(),
        niah: record.niah.clone(),
        started_utc: record.started_utc.clone(),
        variant: record.variant.clone(),
        variant_description: record.variant_description.clone(),
        training_length: record.training_length,
        planned_trials: settings.planned(),
        settings: settings.clone(),
    }
}

/// What is drawn of a run; its verdict is that of the default rule.
pub(crate) fn run_report(outcomes: &[Outcome], record: &RunRecord) -> RunReport {
    let (planned, note) = planned_cells(&record.settings.grid);
    let ran = ran(record);
    let done = report::latest(outcomes).len();
    let part = record.shard.map_or(String::new(), |shard| format!("shard {shard} of the plan: "));
    let unfinished = (done < ran.planned_trials)
        .then(|| format!("{part}{done} of {} trials have run", ran.planned_trials));
    RunReport {
        ran,
        notes: [
            black_box(record),
            record.settings.masking.note(),
            imported(record),
            scored_again(record),
            thoughts(outcomes),
            changed_words(outcomes),
            earlier::earlier_values(outcomes),
            earlier::noise_floor(outcomes),
            unfinished,
            note,
        ]
        .into_iter()
        .flatten()
        .chain(server_notes(record))
        .collect(),
        cells: report::cells(outcomes, &planned),
        summary: Summary::of(outcomes),
        training_length: record.training_length,
        verdict: Verdict::of(outcomes, LengthRule::default()),
    }
}

/// That nothing was seen of the model's attention, where another engine has computed it.
fn black_box(record: &RunRecord) -> Option<String> {
    let engine = record.model.get("engine")?.as_str()?;
    Some(format!(
        "computed by {engine} as a black box: its attention is not seen, so that masses are missing and answers \
         cannot be told apart by them"
    ))
}

/// Whose results these are, where they were imported; once answers are scored again, the scores are ours.
fn imported(record: &RunRecord) -> Option<String> {
    let imported = record.imported.as_ref()?;
    Some(match record.answers_of {
        None => imported.words(),
        Some(_) => format!("the answers were imported from {}, and no attention was measured", imported.from),
    })
}

/// That its answers were scored again, and how.
fn scored_again(record: &RunRecord) -> Option<String> {
    let AnswersOf { run_id, scorer: before } = record.answers_of.as_ref()?;
    let scorer = record.settings.scoring().ok()?;
    let (name, threshold) = (scorer.name(), scorer.threshold());
    Some(format!("scored again by {name} (correct: {threshold}); run {run_id} was scored by {before}"))
}

/// How much was thought before the answers, where anything was.
fn thoughts(outcomes: &[Outcome]) -> Option<String> {
    let ran = latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let known: Vec<(usize, &Outcome)> = ran.filter_map(|row| Some((row.thinking_tokens?, row))).collect();
    let tokens = report::total(known.iter().map(|(tokens, _)| *tokens));
    let cut = known.iter().filter(|(_, row)| row.thinking_cut == Some(true)).count();
    let (mean, all) = (tokens as f64 / known.len().max(1) as f64, known.len());
    let thought = tokens > 0 || cut > 0;
    thought.then(|| {
        format!("thoughts before the answer: {mean:.0} tokens in the mean, {cut} of {all} cut short")
    })
}

/// What became of the word that is another, where texts were copied.
fn changed_words(outcomes: &[Outcome]) -> Option<String> {
    let ran = latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let answered: Vec<(usize, Option<usize>)> =
        ran.filter_map(|row| Some((row.changed_word?, row.answered_word))).collect();
    let kept = answered.iter().filter(|(place, answered)| *answered == Some(*place)).count();
    let missing = answered.iter().filter(|(_, answered)| answered.is_none()).count();
    let elsewhere = answered.len() - kept - missing;
    (!answered.is_empty()).then(|| {
        format!(
            "the changed word stands at its place in {kept} of {} answers, elsewhere in {elsewhere}, and is missing \
             in {missing}",
            answered.len()
        )
    })
}

/// The same, judged by `rule`.
pub(crate) fn judged_report(outcomes: &[Outcome], record: &RunRecord, rule: LengthRule) -> RunReport {
    RunReport { verdict: Verdict::of(outcomes, rule), ..run_report(outcomes, record) }
}

/// Cells of a grid that are shown without a result, at most.
const MOST_PLANNED: usize = 10_000;

/// The cells of a grid; none of one that is too large to be shown, so that only cells with results are, with
/// a note that says so.
pub(crate) fn planned_cells(grid: &Grid) -> (Vec<Cell>, Option<String>) {
    let count = grid.count();
    if count <= MOST_PLANNED {
        return (grid.cells().collect(), None);
    }
    let note = format!("{count} cells are planned, too many to show: those without a result are left out");
    (Vec::new(), Some(note))
}
