//! What `run.json` says of the server that answers a run: what it is, which lengths it reads whole, and what
//! its answers took.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::directory::RunRecord;
use crate::printable;
use crate::report::served::{notes, sums};
use crate::runner::LengthCheck;
use crate::trial::ServedRow;

/// The key of all of it within the model.
pub(crate) const SERVER: &str = "server";
/// The key of the lengths that were checked.
pub(crate) const LENGTHS: &str = "lengths";
/// The key of the lines that reports repeat.
const NOTES: &str = "notes";

/// What reports say of the server of a run; nothing of other runs.
pub(crate) fn server_notes(record: &RunRecord) -> Vec<String> {
    let notes = record.model[SERVER][NOTES].as_array();
    let note = |note: &Value| Some(printable::shortened(note.as_str()?).into_owned());
    notes.into_iter().flatten().filter_map(note).collect()
}

/// Puts what is known of the server in the place of what was known.
pub(crate) fn say(record: &mut RunRecord, known: impl IntoIterator<Item = (&'static str, Value)>) {
    let known = known.into_iter().map(|(key, value)| (key.to_string(), value));
    let server = extended(&record.model[SERVER], known);
    record.model = extended(&record.model, [(SERVER.to_string(), server)]);
}

/// Sums all answers of a run up.
pub(crate) fn sum_up(record: &mut RunRecord, rows: &[ServedRow]) {
    let served = record.settings.served.as_ref();
    let exact = served.is_some_and(|served| served.tokenizer.is_some());
    let notes = notes(exact, rows, &checks(record));
    record.tokens = extended(&record.tokens, sums(rows));
    say(record, [(NOTES, json!(notes))]);
}

/// Adds what other runs of the plan know of their server. Of a length the check that found a problem stays,
/// as that run has left the length out, and else one that did not fail.
pub(super) fn unite<'a>(record: &mut RunRecord, others: impl Iterator<Item = &'a RunRecord>) {
    let mut server = record.model[SERVER].as_object().cloned().unwrap_or_default();
    let mut lengths: BTreeMap<usize, LengthCheck> =
        checks(record).into_iter().map(|check| (check.context_length, check)).collect();
    for other in others {
        for (key, value) in other.model[SERVER].as_object().into_iter().flatten() {
            server.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for check in checks(other) {
            let kept = lengths.entry(check.context_length).or_insert_with(|| check.clone());
            let knows_more = check.problem.is_some() || kept.failure.is_some() && check.failure.is_none();
            if kept.problem.is_none() && knows_more {
                *kept = check;
            }
        }
    }
    if !lengths.is_empty() {
        server.insert(LENGTHS.to_string(), json!(lengths.into_values().collect::<Vec<_>>()));
    }
    record.model = extended(&record.model, [(SERVER.to_string(), Value::Object(server))]);
}

/// The lengths that were checked, as far as they can be read.
fn checks(record: &RunRecord) -> Vec<LengthCheck> {
    let checks = record.model[SERVER][LENGTHS].as_array().into_iter().flatten();
    checks.filter_map(|check| serde_json::from_value(check.clone()).ok()).collect()
}

/// An object with these pairs in the place of its own; a new one where a damaged record has none.
fn extended(value: &Value, pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut object = value.as_object().cloned().unwrap_or_default();
    object.extend(pairs);
    Value::Object(object)
}
