//! A plan run to its end: what `run`, `compare` and `demo` share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::tell;
use crate::clock;
use crate::error::{Error, Result};
use crate::plan::{Estimate, RunPlan};
use crate::progress::{Bar, Progress};
use crate::report::latest;
use crate::runner::{TrialRecord, TrialSink, run_trials};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::trial::{Outcome, Status, Trial};

/// Hashes of prompts by `row_id`.
pub(super) type Prompts = BTreeMap<String, String>;

/// A plan that fits into memory and whose prompts can be built.
pub(super) struct Evaluation {
    pub(super) plan: RunPlan,
    pub(super) estimate: Estimate,
    sharing: bool,
}

impl Evaluation {
    /// Checks memory and builds the first prompt of every cell; adds to the plan's warnings how often a haystack that is too short
    /// begins again. `sharing`: prompts keep what they share with the one before.
    pub(super) fn new(mut plan: RunPlan, sharing: bool) -> Result<Self> {
        plan.check_memory()?;
        let estimate = Estimate::new(&plan)?;
        plan.prompt_warnings.extend(estimate.repetition(&plan));
        Ok(Self { estimate, plan, sharing })
    }

    /// What `run.json` says. Reads all of the weights, for their hash.
    pub(super) fn record(&self, machine: Value) -> Result<RunRecord> {
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
        })
    }

    /// Runs the trials that `store` lacks, at most `limit`, and returns these. What is done stays when `stop` is set.
    pub(super) fn go_on(
        &self,
        (store, directory): (&mut RunDirectory, &Path),
        record: &RunRecord,
        (keep_tokens, limit): (bool, Option<usize>),
        stop: &AtomicBool,
    ) -> Result<Vec<Trial>> {
        let done = store.done();
        let mut todo = self.plan.trials();
        todo.retain(|trial| !done.contains(&trial.row_id()));
        todo.truncate(limit.unwrap_or(usize::MAX));
        self.run(&todo, (record, done.len()), keep_tokens, store, stop).map_err(|error| match error {
            Error::Interrupted => Error::Failed(format!(
                "stopped after {} of {} trials; they are kept in {}. Run the same command again to go on",
                store.done().len(),
                self.plan.trials().len(),
                directory.display()
            )),
            other => other,
        })?;
        Ok(todo)
    }

    /// Runs every trial and keeps the rows in memory alone.
    pub(super) fn in_memory(&self, record: RunRecord, stop: &AtomicBool) -> Result<Finished> {
        let (mut rows, ran) = (Rows(Vec::new()), self.plan.trials());
        self.run(&ran, (&record, 0), false, &mut rows, stop)?;
        Ok(Finished { record, outcomes: rows.0, ran })
    }

    fn run(
        &self,
        todo: &[Trial],
        (record, done): (&RunRecord, usize),
        keep_tokens: bool,
        sink: &mut dyn TrialSink,
        stop: &AtomicBool,
    ) -> Result<()> {
        if todo.is_empty() {
            return Ok(());
        }
        let continued = if done == 0 { String::new() } else { format!(" ({done} already done)") };
        tell(format_args!(
            "{}: {} trials{continued}, {} prompts, variant {} ({})",
            self.plan.settings.model.name,
            todo.len(),
            self.plan.form_name(),
            record.variant,
            record.variant_description
        ));
        let mut model = self.plan.model.load()?;
        if self.sharing {
            model = model.sharing_prefixes(self.estimate.longest_sequence);
        }
        let mut bar = Bar::new(self.estimate.tokens_of(todo));
        let context = self.plan.context(keep_tokens)?;
        let ran = run_trials(&context, todo, &mut model, sink, &mut bar, stop);
        bar.finish();
        ran
    }
}

/// A run with all its rows.
pub(super) struct Finished {
    pub(super) record: RunRecord,
    pub(super) outcomes: Vec<Outcome>,
    /// Trials that ran just now.
    pub(super) ran: Vec<Trial>,
}

impl Finished {
    /// Trials of the whole plan.
    pub(super) fn planned(&self) -> usize {
        self.record.settings.grid.count().saturating_mul(self.record.settings.trials)
    }
}

/// Rows that are gone when the command ends.
struct Rows(Vec<Outcome>);

impl TrialSink for Rows {
    fn record(&mut self, record: TrialRecord) -> Result<()> {
        self.0.push(record.outcome);
        Ok(())
    }
}

/// An error when some of the trials that ran have failed, with the reason of the first. `planned` is the number of all.
pub(super) fn failures(outcomes: &[Outcome], ran: &[Trial], planned: usize) -> Result<()> {
    let ran: std::collections::HashSet<String> = ran.iter().map(Trial::row_id).collect();
    let failed: Vec<_> = latest(outcomes)
        .into_iter()
        .filter(|row| row.status == Status::Error && ran.contains(&row.row_id))
        .collect();
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
