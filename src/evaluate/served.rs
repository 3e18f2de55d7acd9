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
use crate::runner::{Asking, LengthCheck, ask_trials, check_lengths, suspicion};
use crate::server::{Answer, Logprobs, Server};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::trial::{Outcome, ServedRow, Status, Trial};

/// What stands in `run.json` of the server: the key, and that of the lines that reports repeat.
const SERVER: &str = "server";
const NOTES: &str = "notes";

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
    /// answer.
    fn lengths(&mut self, plan: &ServedPlan, server: &Server, stop: &AtomicBool) -> Result<Vec<LengthCheck>> {
        let ends = plan.at_both_ends()?;
        let mut settings = ends.settings.clone();
        // How the tokens of a plan are counted is no property of the server.
        if let Some(served) = &mut settings.served {
            served.counting = None;
        }
        let key = json!(settings).to_string();
        if let Some(checks) = self.0.get(&key) {
            return Ok(checks.clone());
        }
        let checks = check_lengths(&ends, server, stop)?;
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
    let told = store.served().and_then(|rows| {
        let lines: Vec<String> = notes(plan, &rows, &checks);
        store.tell(|record| {
            sums(&rows, &mut record.tokens);
            record.model[SERVER][NOTES] = json!(lines);
        })
    });
    ran.and(told)?;
    store.settle(&all)?;
    Ok(todo)
}

/// What reports say of the server of a run; nothing of other runs.
pub(super) fn server_notes(record: &RunRecord) -> Vec<String> {
    let notes = record.model[SERVER][NOTES].as_array();
    let note = |note: &Value| Some(printable::shortened(note.as_str()?).into_owned());
    notes.into_iter().flatten().filter_map(note).collect()
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
    let lengths = plan.settings.grid.context_lengths().iter().map(|length| length.0);
    lengths.filter(|length| *length >= from).map(|length| (length, why.clone())).collect()
}

/// Trials that were left out before and have not run since.
fn passed_over(outcomes: &[Outcome]) -> BTreeSet<String> {
    let rows = latest(outcomes).into_iter().filter(|row| row.status == Status::Skipped);
    rows.map(|row| row.row_id.clone()).collect()
}

/// What was found out of the server before the first trial.
fn tell(record: &mut RunRecord, server: &Server, greeting: &Answer, checks: &[LengthCheck]) {
    let told = &mut record.model[SERVER];
    told["model"] = json!(greeting.model);
    told["version"] = json!(greeting.version);
    told["system_fingerprint"] = json!(greeting.fingerprint);
    told["left_out"] = json!(server.dialect().left_out().collect::<Vec<_>>());
    if !checks.is_empty() {
        told["lengths"] = json!(checks);
    }
}

/// Tokens of all answers so far.
fn sums(rows: &[ServedRow], tokens: &mut Value) {
    let sum = |of: &dyn Fn(&ServedRow) -> Option<usize>| -> Option<usize> {
        let known: Vec<usize> = rows.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    };
    tokens["sent"] = json!(sum(&|row| row.prompt_tokens.or(Some(row.prompt_tokens_here))));
    tokens["cached"] = json!(sum(&|row| row.cached_tokens));
    tokens["generated"] = json!(sum(&|row| row.completion_tokens));
    tokens["seconds"] = json!(rows.iter().map(|row| row.seconds).sum::<f64>());
}

/// What reports say of the server.
fn notes(plan: &ServedPlan, rows: &[ServedRow], checks: &[LengthCheck]) -> Vec<String> {
    let cut = checks.iter().find_map(|check| check.problem.clone());
    [work(rows), counts(plan, rows), cut, suspicion(checks)].into_iter().flatten().collect()
}

/// Tokens and seconds.
fn work(rows: &[ServedRow]) -> Option<String> {
    let mut sum = Value::Null;
    sums(rows, &mut sum);
    let sent = sum["sent"].as_u64()?;
    let cached = match sum["cached"].as_u64() {
        Some(cached) => format!("{cached} of them from the server's cache"),
        None => "how many of them were cached is not reported".to_string(),
    };
    let generated = sum["generated"].as_u64().map_or(String::new(), |tokens| format!(", {tokens} generated"));
    let (seconds, count) = (sum["seconds"].as_f64().unwrap_or_default(), rows.len());
    let again = rows.iter().filter(|row| row.attempts > 1).count();
    let again = if again == 0 { String::new() } else { format!("; {again} answers took several attempts") };
    Some(format!(
        "server: {sent} prompt tokens sent, {cached}{generated}, {seconds:.1} s in {count} requests{again}"
    ))
}

/// How the server's counts of prompts differ from those made here.
fn counts(plan: &ServedPlan, rows: &[ServedRow]) -> Option<String> {
    let share =
        |row: &ServedRow| Some(100.0 * row.prompt_tokens? as f64 / row.prompt_tokens_here.max(1) as f64);
    let shares: Vec<f64> = rows.iter().filter_map(share).collect();
    let least = shares.iter().copied().reduce(f64::min);
    let most = shares.iter().copied().reduce(f64::max);
    let measured = least.zip(most);
    let between = |(least, most): (f64, f64)| match least == most {
        true => format!("{least:.1}%"),
        false => format!("{least:.1}% to {most:.1}%"),
    };
    match (plan.is_exact(), measured) {
        (true, None | Some((100.0, 100.0))) => None,
        (true, Some(shares)) => Some(format!(
            "the server counts {} of the prompt tokens that were counted here",
            between(shares)
        )),
        (false, None) => Some(
            "lengths are approximate, as the model's tokenizer is not at hand; the server reports none to hold \
             them against"
                .to_string(),
        ),
        (false, Some(shares)) => Some(format!(
            "lengths are approximate, as the model's tokenizer is not at hand: the server counts {} of the \
             prompt tokens that were aimed at",
            between(shares)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(here: usize, there: Option<usize>, cached: Option<usize>) -> ServedRow {
        ServedRow {
            attempts: 1,
            seconds: 0.5,
            prompt_tokens_here: here,
            prompt_tokens: there,
            cached_tokens: cached,
            completion_tokens: Some(2),
            ..ServedRow::default()
        }
    }

    #[test]
    fn the_report_says_what_was_sent_cached_generated_and_how_long_it_took() {
        let rows = [row(100, Some(101), Some(0)), ServedRow { attempts: 3, ..row(200, Some(202), Some(90)) }];
        assert_eq!(
            work(&rows).unwrap(),
            "server: 303 prompt tokens sent, 90 of them from the server's cache, 4 generated, 1.0 s in 2 \
             requests; 1 answers took several attempts"
        );
        let silent = work(&[ServedRow { completion_tokens: None, ..row(100, None, None) }]).unwrap();
        assert!(
            silent.contains("100 prompt tokens sent, how many of them were cached is not reported, 0.5 s")
        );
        assert_eq!(work(&[]), None);
    }
}
