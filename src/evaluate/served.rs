//! A plan whose answers a server gives, run to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::Watch;
use crate::clock;
use crate::error::{Error, Result};
use crate::plan::{ServedPlan, Shard, UNSEEN};
use crate::printable;
use crate::report::latest;
use crate::runner::{Asking, LengthCheck, ask_trials, check_lengths};
use crate::server::{Answer, Logprobs, Server};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::store::served::{LENGTHS, SERVER, say, sum_up};
use crate::trial::{Outcome, Status, Trial};

/// How a plan is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asks {
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether it is seen first that prompts are read whole.
    pub check_lengths: bool,
    /// Trials to ask at most.
    pub limit: Option<usize>,
    /// The part of the plan that is asked; all of it when absent.
    pub shard: Option<Shard>,
}

/// What was found out of a server, which holds for every plan that asks it.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, Vec<LengthCheck>>);

impl Known {
    /// Whether the lengths of a plan are read whole. Plans of the same lengths and the same text share the
    /// answer: each length has as many tokens there for all of them, as those of its text are counted anew.
    fn lengths(
        &mut self,
        plan: &ServedPlan,
        server: &mut Server,
        stop: &AtomicBool,
    ) -> Result<Vec<LengthCheck>> {
        let ends = plan.at_both_ends()?;
        let key = json!(ends.settings).to_string();
        if let Some(checks) = self.0.get(&key) {
            return Ok(checks.clone());
        }
        let calibration = ends.uncounted().map(|sample| server.calibrate(&sample, stop)).transpose();
        let checks = match calibration {
            Ok(None) => check_lengths(&ends, server, stop)?,
            Ok(Some(calibration)) => check_lengths(&ends.counted(calibration)?, server, stop)?,
            Err(failure) if failure.is_of_all() => return Err(failure.into()),
            Err(failure) => {
                let shortest = ends.settings.grid.context_lengths().iter().take(1);
                shortest.map(|length| LengthCheck::failed(*length, failure.problem.clone())).collect()
            }
        };
        self.0.insert(key, checks.clone());
        Ok(checks)
    }
}

/// What `run.json` says of a part of a plan, or of all of it; `machine` for the reader.
///
/// # Errors
/// When a prompt cannot be built.
pub fn record(plan: &ServedPlan, shard: Option<Shard>, machine: Value) -> Result<RunRecord> {
    let (identity, served) = (plan.identity(), plan.served());
    let config_hash = identity.hash();
    plan.check_prompts()?;
    Ok(RunRecord {
        niah: env!("CARGO_PKG_VERSION").to_string(),
        run_id: config_hash[..8].to_string(),
        config_hash,
        command: std::env::args().collect(),
        started_utc: clock::now_utc(),
        settings: plan.settings.clone(),
        variant: UNSEEN.to_string(),
        variant_description: format!("answered by {}, no attention was measured", served.endpoint),
        training_length: None,
        model: json!({
            "form": plan.form_name(),
            SERVER: { "endpoint": served.endpoint, "api": served.api, "temperature": 0, "seed": plan.settings.seed },
        }),
        tokens: json!({ "at_most": plan.tokens_of(&plan.trials()) }),
        warnings: plan.warnings.clone(),
        machine,
        identity,
        answers_of: None,
        shard,
        merged: Vec::new(),
        imported: None,
    })
}

/// Asks the trials that `store` lacks, at most as many as are wanted, and returns these. What is done stays
/// when the run is stopped; what is `known` of the server is not asked again, and what is found out is added.
///
/// # Errors
/// When the server does not answer as it is asked, when results cannot be kept, and
/// [`crate::Error::Interrupted`] when the run is stopped.
pub fn go_on(
    plan: &ServedPlan,
    server: &mut Server,
    known: &mut Known,
    store: &mut RunDirectory,
    asks: Asks,
    watch: Watch<'_>,
) -> Result<Vec<Trial>> {
    let (done, all) = (store.done(), plan.part(asks.shard));
    let mut todo = all.clone();
    todo.retain(|trial| !done.contains(&trial.row_id()));
    if todo.is_empty() {
        return Ok(todo);
    }
    let greeting = server.greet(watch.stop)?;
    let forces = plan.served().logprobs == Logprobs::Expected;
    if forces && server.forced("One, two, three,", " four", watch.stop)?.is_none() {
        let expected =
            "written: this server tells nothing of a text that it is given (echo, prompt_logprobs)";
        return Err(Error::invalid("logprobs", "expected", expected));
    }
    let checks = match asks.check_lengths {
        true => known.lengths(plan, server, watch.stop)?,
        false => Vec::new(),
    };
    let skipped = skipped(plan, &checks);
    let passed_over = passed_over(store.outcomes());
    let is_known = |trial: &Trial| {
        skipped.contains_key(&trial.cell.context_length.0) && passed_over.contains(&trial.row_id())
    };
    todo.retain(|trial| !is_known(trial));
    todo.truncate(asks.limit.unwrap_or(usize::MAX));
    store.tell(|record| tell(record, server, &greeting, &checks))?;
    watch.progress.begins(&begins(plan, &todo, done.len(), asks.concurrency));
    let asked = |trial: &&Trial| !skipped.contains_key(&trial.cell.context_length.0);
    watch.progress.expects(plan.tokens_of(&todo.iter().filter(asked).copied().collect::<Vec<_>>()));
    let mut context = plan.context();
    // A run that has grown keeps the name that it began with.
    context.labels.run_id.clone_from(&store.run_record().run_id);
    context.labels.config_hash.clone_from(&store.run_record().config_hash);
    let asking = Asking {
        context: &context,
        server,
        concurrency: asks.concurrency,
        exact: plan.is_exact(),
        thought_budget: plan.thought_budget(),
        forces,
        skipped: &skipped,
    };
    let ran = ask_trials(&asking, &todo, store, watch.progress, watch.stop);
    watch.progress.finish();
    // Also of a run that was stopped.
    let told = store.served().and_then(|rows| store.tell(|record| sum_up(record, &rows)));
    ran.and(told)?;
    store.settle(&all)?;
    Ok(todo)
}

fn begins(plan: &ServedPlan, todo: &[Trial], done: usize, concurrency: usize) -> String {
    let continued = if done == 0 { String::new() } else { format!(" ({done} already done)") };
    format!(
        "{} at {}: {} trials{continued}, {} prompts, {concurrency} at a time",
        plan.settings.model.name,
        plan.served().endpoint,
        todo.len(),
        plan.form_name()
    )
}

/// Lengths that the server does not read whole, each with the reason.
fn skipped(plan: &ServedPlan, checks: &[LengthCheck]) -> BTreeMap<usize, String> {
    let Some((from, why)) =
        checks.iter().find_map(|check| Some((check.context_length, check.problem.as_ref()?)))
    else {
        return BTreeMap::new();
    };
    let lengths = plan.settings.grid.context_lengths().iter();
    lengths
        .filter(|length| plan.longest_at(**length).0 >= from)
        .map(|length| (length.0, why.clone()))
        .collect()
}

/// Trials that were left out before and have not run since.
fn passed_over(outcomes: &[Outcome]) -> BTreeSet<String> {
    let rows = latest(outcomes).into_iter().filter(|row| row.status == Status::Skipped);
    rows.map(|row| row.row_id.clone()).collect()
}

/// What was found out of the server before the first trial.
fn tell(record: &mut RunRecord, server: &Server, greeting: &Answer, checks: &[LengthCheck]) {
    // A record that is too long would not be read again.
    let short = |name: &Option<String>| json!(name.as_deref().map(printable::shortened));
    let said = [
        ("model", short(&greeting.model)),
        ("version", short(&greeting.version)),
        ("system_fingerprint", short(&greeting.fingerprint)),
        ("left_out", json!(server.dialect().left_out().collect::<Vec<_>>())),
    ];
    let lengths = (!checks.is_empty()).then(|| (LENGTHS, json!(checks)));
    say(record, said.into_iter().chain(lengths));
}
