//! inspect: a log of a task as JSON, with a sample to each answer.
//!
//! Its needle task keeps length and place in the metadata of samples and scores by a model from 1 to 10;
//! other tasks score as their scorers do, `C`, `P` and `I` for right, half and wrong.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields::{Fields, wrong};
use super::reading::document;
use super::theirs::{Asked, Found, Given, Notes, TheirRow};
use super::{Files, Ours, Scale, position};
use crate::error::Result;
use crate::stats;
use crate::store::directory::RunRecord;
use crate::trial::{Outcome, Status};

/// What it is called.
pub(super) const NAME: &str = "inspect";

/// Whether a document is one of its logs.
pub(super) fn is_log(fields: &Fields<'_>) -> bool {
    fields.has("eval") && fields.has("status")
}

/// Whether a file is called as its logs are: the time, the task and a name.
pub(super) fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    super::is_time(&name) && name.contains('_')
}

/// What is read of a log. The rest, such as the messages with whole prompts, takes no memory.
#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    status: Value,
    eval: Value,
    #[serde(default)]
    samples: Option<Vec<Sample>>,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    epoch: Value,
    #[serde(default)]
    target: Value,
    #[serde(default)]
    output: Option<Output>,
    #[serde(default)]
    scores: Option<Map<String, Value>>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    error: Option<Problem>,
    #[serde(default)]
    total_time: Option<f64>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    completion: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Value,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
}

/// The samples of a log.
pub(super) fn log(path: &Path) -> Result<Found> {
    let log: Log = document(path)?;
    let eval = Fields::of(path, "eval", &log.eval)?;
    let (model, task) = (eval.text("model")?, eval.text("task")?);
    let (created, task_id) = (eval.text("created")?, eval.text("task_id")?);
    // The model that grades its needle task says 1 to 10.
    let needles = task.as_deref().is_some_and(|task| task.rsplit('/').next() == Some("niah"));
    let scale = needles.then_some(Scale::Ten);
    let samples = log.samples.unwrap_or_default();
    let name = samples.iter().find_map(|sample| sample.scores.as_ref()?.keys().next().cloned());
    let mut places: Vec<(f64, usize)> = Vec::new();
    let (mut rows, mut missing) = (Vec::new(), 0);
    let mut others = 0;
    for (number, sample) in samples.iter().enumerate() {
        let place = format!("sample {}", number + 1);
        let empty = json!({});
        let metadata = if sample.metadata.is_null() { &empty } else { &sample.metadata };
        let metadata = Fields::of(path, &place, metadata)?;
        let ours = metadata.ours()?;
        let length = metadata.length("target_context_length")?.or(metadata.length("haystack_length")?);
        let Some(length) = ours.context_length.or(length) else {
            missing += 1;
            continue;
        };
        let target = json!({ "target": sample.target });
        let target = Fields::of(path, &place, &target)?;
        let mut score = None;
        for (scorer, given) in sample.scores.iter().flatten() {
            if Some(scorer) == name.as_ref() {
                score = of_score(path, &place, given, scale)?;
            } else {
                others += 1;
            }
        }
        let position = metadata.number("target_position")?;
        places.extend(position.map(|position| (position, rows.len())));
        rows.push(TheirRow {
            model: model.clone(),
            task: task.clone(),
            context_length: Some(length),
            expected: target.texts("target")?,
            response: response(sample),
            score,
            question: metadata.text("needle_question")?,
            prompt_tokens: metadata.tokens("full_context_length")?,
            duration_seconds: sample.total_time,
            failed: sample.error.as_ref().map(|problem| problem.message.clone()),
            timestamp_utc: created.clone(),
            asked: asked(task_id.as_deref(), created.as_deref(), sample),
            ours,
            place,
            ..TheirRow::default()
        });
    }
    let mut notes = depths(&places, &mut rows, path)?;
    if let Some(status @ ("started" | "error" | "cancelled")) = log.status.as_str() {
        notes.say(format!("its log has the status {status}, not success: samples of it may be missing"));
    }
    notes.count(missing, "samples say no length and are left out");
    if others > 0 {
        notes.say(format!("of its scorers the first is taken, {}", name.as_deref().unwrap_or_default()));
    }
    Ok(Found { from: NAME, scorer: name, rows, notes })
}

/// What a sample answers. A log of a retry has the samples again that were there already.
fn asked(task_id: Option<&str>, created: Option<&str>, sample: &Sample) -> Option<Asked> {
    let (task_id, time) = (task_id?, created?.to_string());
    let what = format!("{task_id}\n{}\n{}", sample.id, sample.epoch);
    (!sample.id.is_null()).then_some(Asked { what, time })
}

/// What was answered.
fn response(sample: &Sample) -> Option<String> {
    let output = sample.output.as_ref()?;
    let first = || Some(output.choices.first()?.message.get("content")?.as_str()?.to_string());
    output.completion.clone().or_else(first)
}

/// The value of a score: a number is on `scale`, unless it says its own.
fn of_score(path: &Path, place: &str, given: &Value, scale: Option<Scale>) -> Result<Option<Given>> {
    let fields = Fields::of(path, place, given)?;
    let mut scale = scale;
    if let Some(metadata) = fields.object("metadata")? {
        match metadata.text("scale")?.as_deref() {
            None => {}
            Some("0-1") => scale = Some(Scale::One),
            Some("1-10") => scale = Some(Scale::Ten),
            Some(_) => return Err(metadata.wrong("scale", "0-1 or 1-10")),
        }
    }
    let expected = "a number, true, false, or C, P, I or N";
    match fields.value("value") {
        None => Ok(None),
        Some(Value::String(text)) => {
            let given = match text.as_str() {
                // What its scorer left without a score.
                "NaN" => return Ok(None),
                "C" => Given::Settled(1.0),
                "P" => Given::Settled(0.5),
                "I" | "N" => Given::Settled(0.0),
                number => {
                    let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
                    Given::Number(number.ok_or_else(|| fields.wrong("value", expected))?, scale)
                }
            };
            Ok(Some(given))
        }
        Some(Value::Bool(right)) => Ok(Some(Given::Settled(f64::from(u8::from(*right))))),
        Some(Value::Number(_)) => Ok(fields.number("value")?.map(|number| Given::Number(number, scale))),
        Some(other) => Err(wrong(path, place, "value", other, expected)),
    }
}

/// Puts the depths into rows that say none themselves: places are tokens where one is beyond 100, and else
/// per cent.
fn depths(places: &[(f64, usize)], rows: &mut [TheirRow], path: &Path) -> Result<Notes> {
    let tokens = places.iter().any(|(place, _)| *place > 100.0);
    for (place, row) in places {
        let row = &mut rows[*row];
        let length = row.context_length.unwrap_or(1) as f64;
        let percent = if tokens { (100.0 * place / length).round() } else { *place };
        if !(0.0..=100.0).contains(&percent) {
            let expected = "a place within the context, in tokens or per cent";
            return Err(wrong(path, &row.place, "target_position", &json!(place), expected));
        }
        row.depth_percent = Some(percent);
    }
    let told = tokens && rows.iter().any(|row| row.ours.depth_percent.is_none());
    let mut notes = Notes::default();
    if told {
        notes.say("depth is target_position over target_context_length, in whole per cent");
    }
    Ok(notes)
}

/// A run as a log of inspect.
pub(super) fn write(record: &RunRecord, rows: &[&Outcome]) -> Result<Files> {
    let settings = &record.settings;
    let (task, scorer) = (settings.task_name(), &settings.scorer);
    let scores: Vec<f64> = rows.iter().filter_map(|row| row.score).collect();
    let completed = rows.iter().filter(|row| row.status == Status::Ok).count();
    let ids: Vec<&str> = rows.iter().map(|row| row.row_id.as_str()).collect();
    let ended = rows.iter().map(|row| row.timestamp_utc.as_str()).max().unwrap_or(&record.started_utc);
    let samples: Result<Vec<Value>> = rows.iter().map(|row| sample(record, row)).collect();
    let log = json!({
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": record.config_hash,
            "run_id": record.run_id,
            "created": record.started_utc,
            "task": task,
            "task_id": record.config_hash,
            "task_version": 0,
            "task_attribs": {},
            "task_args": {},
            "model": settings.model.name,
            "model_args": {},
            "model_generate_config": {},
            "dataset": { "name": task, "samples": rows.len(), "sample_ids": ids, "shuffled": false },
            "config": { "epochs": 1 },
            "packages": { "niah": record.niah },
            "scorers": [{ "name": scorer, "options": {}, "metrics": [{ "name": "mean", "options": {} }], "metadata": {} }],
        },
        "plan": { "name": "plan", "steps": [], "config": {} },
        "results": {
            "total_samples": rows.len(),
            "completed_samples": completed,
            "scores": [{
                "name": scorer,
                "scorer": scorer,
                "params": {},
                "metrics": { "mean": { "name": "mean", "value": stats::mean(&scores).unwrap_or(0.0), "params": {} } },
            }],
        },
        "stats": { "started_at": record.started_utc, "completed_at": ended, "model_usage": {} },
        "samples": samples?,
    });
    Ok(vec![(std::path::PathBuf::new(), super::document(&log)?)])
}

fn sample(record: &RunRecord, row: &Outcome) -> Result<Value> {
    let response = row.model_response.clone().unwrap_or_default();
    let mut sample = json!({
        "id": row.row_id,
        "epoch": 1,
        "input": row.question,
        "target": record.expected(row),
        "messages": [
            { "role": "user", "content": row.question },
            { "role": "assistant", "content": response, "source": "generate" },
        ],
        "output": {
            "model": row.model,
            "choices": [{
                "message": { "role": "assistant", "content": response, "source": "generate" },
                "stop_reason": "stop",
            }],
            "completion": response,
        },
        "scores": {},
        "metadata": {
            "needle_question": row.question,
            "target_context_length": row.context_length,
            "haystack_length": null,
            "full_context_length": row.prompt_tokens,
            "target_position": position(row.context_length, row.depth_percent),
            "position": row.needle_start,
            "niah": Ours::of(record, row).value()?,
        },
        "store": {},
        "events": [],
        "model_usage": {},
        "total_time": row.duration_seconds,
        "working_time": row.duration_seconds,
    });
    if let Some(score) = row.score {
        sample["scores"][&record.settings.scorer] = json!({
            "value": score,
            "answer": response,
            "explanation": null,
            "metadata": { "scale": "0-1" },
        });
    }
    if row.status != Status::Ok {
        let message = row.error.clone().unwrap_or_default();
        sample["error"] = json!({ "message": message, "traceback": "", "traceback_ansi": "" });
    }
    Ok(sample)
}
