//! needlehaystack: of version 1 a document to each answer, of version 2 a line.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fields::Fields;
use super::reading::{document, each_line};
use super::theirs::{Found, Given, Notes, TheirRow};
use super::{Files, Ours, Scale, lines};
use crate::error::Result;
use crate::store::directory::RunRecord;
use crate::trial::{Outcome, Status};

/// What its first version is called.
pub(super) const FIRST: &str = "gkamradt 1";
/// What its second version is called.
pub(super) const SECOND: &str = "gkamradt 2";

/// Whether a document is a result of version 1.
pub(super) fn is_first(fields: &Fields<'_>) -> bool {
    ["context_length", "depth_percent", "model_response", "score"].iter().all(|key| fields.has(key))
}

/// Whether a line is one of version 2.
pub(super) fn is_second(fields: &Fields<'_>) -> bool {
    fields.has("schema_version") && fields.has("target_depth_percent")
}

/// Whether a file is called as results of version 1 are.
pub(super) fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains("_len_") && name.contains("_depth_") && name.ends_with("_results.json")
}

/// A result of version 1.
pub(super) fn first(path: &Path) -> Result<Found> {
    let value: Value = document(path)?;
    let fields = &Fields::of(path, "it", &value)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let expected = "the per cent of the depth";
    let row = TheirRow {
        place: "it".to_string(),
        model: fields.text("model")?,
        task: Some("gkamradt".to_string()),
        context_length: fields.length("context_length")?,
        depth_percent: Some(fields.needed("depth_percent", fields.number("depth_percent")?, expected)?),
        needle: needles(fields)?,
        question: fields.text("retrieval_question")?,
        response: fields.text("model_response")?,
        score: fields.number("score")?.map(|score| Given::Number(score, Some(Scale::Ten))),
        // What was asked again has a version of its own.
        number: fields.count("version")?,
        duration_seconds: fields.number("test_duration_seconds")?,
        timestamp_utc: fields.name("test_timestamp_utc")?,
        ..TheirRow::default()
    };
    let (mut rows, mut notes) = (vec![row], Notes::default());
    if rows[0].context_length.is_none() {
        rows.clear();
        notes.say(format!("{name} says no length, or -1, and is left out"));
    }
    Ok(Found { from: FIRST, scorer: Some("its evaluator".to_string()), rows, notes })
}

fn needles(fields: &Fields<'_>) -> Result<Option<String>> {
    let needles = fields.texts("needle")?;
    Ok((!needles.is_empty()).then(|| needles.join(" ")))
}

/// The lines of a file of version 2.
pub(super) fn second(path: &Path) -> Result<Found> {
    let (mut rows, mut missing) = (Vec::new(), 0);
    each_line(path, |number, value| {
        let place = format!("line {number}");
        let fields = Fields::of(path, &place, &value)?;
        if fields.number("schema_version")? != Some(2.0) {
            return Err(fields.wrong("schema_version", "2"));
        }
        let Some(row) = row(&fields, &place)? else {
            missing += 1;
            return Ok(());
        };
        rows.push(row);
        Ok(())
    })?;
    let mut notes = Notes::default();
    notes.count(missing, "rows say no length, or -1, and are left out");
    Ok(Found { from: SECOND, scorer: Some("its scorer".to_string()), rows, notes })
}

fn row(fields: &Fields<'_>, place: &str) -> Result<Option<TheirRow>> {
    let of_needle = fields.object("needle_metadata")?;
    let ours = of_needle.map(|of_needle| of_needle.ours()).transpose()?.unwrap_or_default();
    let Some(length) = ours.context_length.or(fields.length("context_length")?) else { return Ok(None) };
    let score = match fields.value("score") {
        Some(Value::Object(_)) => {
            fields.object("score")?.map(|score| score.number("value")).transpose()?.flatten()
        }
        _ => fields.number("score")?,
    };
    let usage = fields.object("usage")?;
    let failed = match fields.text("status")?.as_deref() {
        Some("error") => {
            let reason = match fields.value("error") {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => "no reason recorded".to_string(),
            };
            Some(reason)
        }
        Some("ok") | None => None,
        Some(_) => return Err(fields.wrong("status", "ok or error")),
    };
    let recipe = fields.object("recipe")?;
    let needle = recipe.and_then(|recipe| first_needle(recipe.value("needle_placements")?));
    Ok(Some(TheirRow {
        place: place.to_string(),
        model: fields.text("model_id")?.or(fields.text("model_request_name")?),
        task: fields.text("task_type")?,
        context_length: Some(length),
        depth_percent: fields.number("target_depth_percent")?,
        needle,
        question: fields.text("prompt_question")?,
        expected: fields.texts("expected_answer")?,
        response: fields.text("response")?,
        score: score.map(|score| Given::Number(score, Some(Scale::One))),
        failed,
        // Of an answer that never came a server may have counted none.
        prompt_tokens: usage.map(|usage| usage.tokens("input_tokens")).transpose()?.flatten(),
        duration_seconds: fields.number("duration_seconds")?,
        timestamp_utc: fields.text("timestamp_utc")?,
        seed: fields.value("seed").and_then(Value::as_u64),
        ours,
        ..TheirRow::default()
    }))
}

fn first_needle(placements: &Value) -> Option<String> {
    Some(placements.get(0)?.get("text")?.as_str()?.to_string())
}

/// A run as lines of version 2.
pub(super) fn write(record: &RunRecord, rows: &[&Outcome]) -> Result<Files> {
    let text = lines(rows.iter().map(|row| line(record, row)))?;
    Ok(vec![(PathBuf::new(), text)])
}

fn line(record: &RunRecord, row: &Outcome) -> Result<Value> {
    let settings = &record.settings;
    let failed = row.status != Status::Ok;
    Ok(json!({
        "schema_version": 2,
        "run_name": record.run_id,
        "model_id": row.model,
        "model_request_name": row.model,
        "task_type": row.task,
        "context_length": row.context_length,
        "target_depth_percent": row.depth_percent,
        "recipe": {
            "haystack": settings.haystack,
            "inserter": "niah",
            "needle_placements": [{
                "text": row.needle,
                "insertion_token_index": row.needle_start,
                "actual_depth_percent": row.actual_depth_percent,
            }],
            "final_context_token_count": row.prompt_tokens,
        },
        "needle_metadata": { "niah": Ours::of(record, row).value()? },
        "expected_answer": row.expected_answer,
        "prompt_question": row.question,
        "response": row.model_response,
        "score": row.score.map(|score| json!({ "value": score, "details": { "scorer": settings.scorer } })),
        "usage": { "input_tokens": row.prompt_tokens, "output_tokens": null },
        "cost_usd": null,
        "duration_seconds": row.duration_seconds,
        "status": if failed { "error" } else { "ok" },
        "error": row.error,
        "timestamp_utc": row.timestamp_utc,
        "seed": row.seed,
    }))
}
