//! lm-evaluation-harness: `results_<time>.json` with the means of tasks, and `samples_<task>_<time>.jsonl`
//! with their answers, in a folder of the model.
//!
//! Its RULER tasks have a metric for every length, named after it; a length that was not asked is -1. Depths
//! are not kept.

mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::names::{Times, task_of, time_of};
use super::fields::Fields;
use super::reading::{document, each_line};
use super::theirs::{Found, Given, Notes, TheirRow};
use super::{Files, Ours, Scale, in_full, in_path, lines};
use crate::error::{Error, Result};
use crate::grid::LONGEST;
use crate::hash::sha256_hex;
use crate::stats;
use crate::store::directory::RunRecord;
use crate::trial::{Outcome, Status};

pub(super) use self::names::{is_name, samples_beside};

/// What it is called.
pub(super) const NAME: &str = "lm-eval";

/// The metric that stands for lengths of no task of its.
const FILTER: &str = "none";

/// Whether a document is one of its `results_*.json`.
pub(super) fn is_results(fields: &Fields<'_>) -> bool {
    fields.has("results") && (fields.has("configs") || fields.has("versions") || fields.has("n-shot"))
}

/// Whether a line is one of its samples.
pub(super) fn is_sample(fields: &Fields<'_>) -> bool {
    fields.has("doc_id") && (fields.has("resps") || fields.has("filtered_resps"))
}

/// The answers of `samples_*.jsonl`.
pub(super) fn samples(path: &Path) -> Result<Found> {
    let (file_task, model) = (task_of(path), model_beside(path)?);
    let (mut rows, mut missing, mut filters) = (Vec::new(), 0, Vec::<String>::new());
    let mut scorer = None;
    let times = Times::of(path);
    each_line(path, |number, value| {
        let place = format!("line {number}");
        let fields = Fields::of(path, &place, &value)?;
        let filter = fields.text("filter")?.unwrap_or_default();
        if !filters.contains(&filter) {
            filters.push(filter.clone());
        }
        // Every filter has the same answers again.
        if filter != filters[0] {
            return Ok(());
        }
        match row(&fields, place.clone(), &mut scorer)? {
            Some(row) => rows.push(TheirRow {
                model: model.clone(),
                task: file_task.clone(),
                asked: times.asked(model.as_deref(), file_task.as_deref(), row.context_length),
                ..row
            }),
            None => missing += 1,
        }
        Ok(())
    })?;
    let mut notes = Notes::default();
    notes.count(missing, "rows say no length, or -1, and are left out");
    if filters.len() > 1 {
        notes.say(format!("of its filters ({}) the first is taken", filters.join(", ")));
    }
    let scorer = Some(scorer.unwrap_or_else(|| "its metric".to_string()));
    Ok(Found { from: NAME, scorer, rows, notes })
}

/// A row; none where it says no length.
fn row(fields: &Fields<'_>, place: String, scorer: &mut Option<String>) -> Result<Option<TheirRow>> {
    let Some(doc) = fields.object("doc")? else { return Err(fields.wrong("doc", "an object")) };
    let ours = doc.ours()?;
    let scored = lengths(fields).into_iter().find(|(_, score)| *score != -1.0);
    let length = doc.length("max_length")?.or(scored.map(|(length, _)| length));
    let Some(length) = ours.context_length.or(length) else { return Ok(None) };
    let score = match fields.number(&length.to_string())? {
        Some(score) => Some(score).filter(|score| *score != -1.0),
        None => metric(fields, scorer)?,
    };
    if lengths(fields).iter().any(|(of, _)| *of == length) {
        scorer.get_or_insert_with(|| "its metric of each length".to_string());
    }
    let mut outputs = doc.texts("outputs")?;
    if outputs.is_empty() {
        outputs = fields.texts("target")?;
    }
    let response = first_text(fields.value("filtered_resps")).or_else(|| first_text(fields.value("resps")));
    Ok(Some(TheirRow {
        place,
        context_length: Some(length),
        expected: outputs,
        response,
        score: score.map(|score| Given::Number(score, Some(Scale::One))),
        question: doc.text("question")?,
        prompt_tokens: doc.tokens("length")?,
        ours,
        ..TheirRow::default()
    }))
}

/// The lengths that a row has a metric of.
fn lengths(fields: &Fields<'_>) -> Vec<(usize, f64)> {
    let of = |(key, value): (&String, &Value)| {
        let length = key.parse::<usize>().ok().filter(|length| (1..=LONGEST).contains(length))?;
        Some((length, value.as_f64()?))
    };
    fields.keys().filter_map(of).collect()
}

/// The first metric that a row names, of another task than RULER's.
fn metric(fields: &Fields<'_>, scorer: &mut Option<String>) -> Result<Option<f64>> {
    for name in fields.texts("metrics")? {
        if let Some(score) = fields.number(&name)? {
            scorer.get_or_insert(name);
            return Ok(Some(score));
        }
    }
    Ok(None)
}

/// The first text within lists.
fn first_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => first_text(values.first()),
        _ => None,
    }
}

/// The model of the `results_*.json` of the same time, or that of the folder.
fn model_beside(path: &Path) -> Result<Option<String>> {
    let beside = time_of(path).map(|time| path.with_file_name(format!("results_{time}.json")));
    if let Some(results) = beside.filter(|results| results.is_file()) {
        let value: Value = document(&results)?;
        return model(&Fields::of(&results, "it", &value)?);
    }
    let path = in_full(path);
    let folder = path.parent().and_then(Path::file_name);
    Ok(folder.map(|folder| folder.to_string_lossy().replace("__", "/")))
}

fn model(fields: &Fields<'_>) -> Result<Option<String>> {
    if let Some(name) = fields.text("model_name")? {
        return Ok(Some(name));
    }
    let Some(config) = fields.object("config")? else { return Ok(None) };
    let arguments = match config.value("model_args") {
        Some(Value::String(text)) => text.split(',').find_map(|pair| pair.strip_prefix("pretrained=")),
        Some(Value::Object(object)) => object.get("pretrained").and_then(Value::as_str),
        _ => None,
    };
    Ok(arguments.map(str::to_string).or(config.text("model")?))
}

/// The means of `results_*.json`. Where all of a mean is right or wrong answers, there is a row to each; else
/// a length has one row, whose score is the mean.
pub(super) fn means(path: &Path) -> Result<Found> {
    let value: Value = document(path)?;
    let fields = Fields::of(path, "it", &value)?;
    let times = Times::of(path);
    let results = fields.needed("results", fields.object("results")?, "an object of tasks")?;
    let samples = fields.object("n-samples")?;
    let model = model(&fields)?;
    let (mut rows, mut missing) = (Vec::new(), 0);
    for (task, _) in results.keys() {
        let place = format!("results of {task}");
        let Some(of_task) = results.value(task) else { continue };
        let of_task = Fields::of(path, &place, of_task)?;
        let mut lengths: BTreeMap<usize, f64> = BTreeMap::new();
        for (key, _) in of_task.keys() {
            let Some(length) = key.split(',').next().and_then(|length| length.parse::<usize>().ok()) else {
                continue;
            };
            if !(1..=LONGEST).contains(&length) {
                return Err(of_task.wrong(key, &format!("the mean of a length of 1 to {LONGEST} tokens")));
            }
            match of_task.number(key)? {
                Some(-1.0) | None => missing += 1,
                Some(mean) => drop(lengths.insert(length, mean)),
            }
        }
        let all = match samples.as_ref().map(|samples| samples.object(task)).transpose()?.flatten() {
            Some(samples) => samples.count("effective")?,
            None => None,
        };
        let each =
            all.filter(|all| !lengths.is_empty() && all % lengths.len() == 0).map(|all| all / lengths.len());
        for (length, mean) in lengths {
            let blank = || TheirRow {
                place: place.clone(),
                model: model.clone(),
                task: Some(task.clone()),
                context_length: Some(length),
                asked: times.asked(model.as_deref(), Some(task.as_str()), Some(length)),
                ..TheirRow::default()
            };
            let given = |score: f64| Some(Given::Number(score, Some(Scale::One)));
            match each.and_then(|each| Some((each, right_of(mean, each)?))) {
                Some((each, right)) => {
                    rows.extend((0..each).map(|number| TheirRow {
                        score: given(f64::from(u8::from(number < right))),
                        ..blank()
                    }))
                }
                None => rows.push(TheirRow { score: given(mean), is_mean: true, ..blank() }),
            }
        }
    }
    let mut notes = Notes::default();
    notes.say("the file holds means alone: its rows have no answers");
    notes.count(missing, "means are -1, of lengths that were not asked, and are left out");
    let scorer = Some("its metric of each length".to_string());
    Ok(Found { from: NAME, scorer, rows, notes })
}

/// How many of `n` answers are right, where the mean says so exactly.
fn right_of(mean: f64, n: usize) -> Option<usize> {
    /// Rows that are made of one mean, at most.
    const MOST: usize = 100_000;
    let right = mean * n as f64;
    let whole =
        n > 0 && n <= MOST && (0.0..=1.0).contains(&mean) && (right - right.round()).abs() < 1e-6 * n as f64;
    whole.then(|| right.round() as usize)
}

/// A run as lm-eval would have kept it.
pub(super) fn write(record: &RunRecord, rows: &[&Outcome]) -> Result<Files> {
    let task = record.settings.task_name();
    // A part of names, whatever an import has called its time.
    let time = in_path(&record.started_utc.trim_end_matches('Z').replace(':', "-")).replace('_', "-");
    let lengths = record.settings.grid.context_lengths();
    let mut of_task = Map::from_iter([("alias".to_string(), json!(task))]);
    for length in lengths {
        let scores = rows.iter().filter(|row| row.context_length == length.0 && row.status == Status::Ok);
        let scores: Vec<f64> = scores.filter_map(|row| row.score).collect();
        let error = stats::sample_sd(&scores).map(|sd| sd / (scores.len() as f64).sqrt());
        of_task.insert(format!("{},{FILTER}", length.0), json!(stats::mean(&scores).unwrap_or(-1.0)));
        let error = error.map_or(json!("N/A"), |error| json!(error));
        of_task.insert(format!("{}_stderr,{FILTER}", length.0), error);
    }
    // Of them alone the means are.
    let scored = rows.iter().filter(|row| row.status == Status::Ok && row.score.is_some()).count();
    let better: Map<String, Value> =
        lengths.iter().map(|length| (length.0.to_string(), json!(true))).collect();
    let settings = &record.settings;
    let by_task = |value: Value| json!({ task: value });
    let results = json!({
        "results": by_task(Value::Object(of_task)),
        "group_subtasks": by_task(json!([])),
        "configs": by_task(json!({
            "task": task,
            "output_type": "generate_until",
            "num_fewshot": 0,
            "metadata": { "max_seq_lengths": lengths, "niah": super::writer() },
        })),
        "versions": by_task(json!(record.niah)),
        "n-shot": by_task(json!(0)),
        "higher_is_better": by_task(Value::Object(better)),
        "n-samples": by_task(json!({ "original": rows.len(), "effective": scored })),
        "config": {
            "model": "niah",
            "model_args": { "pretrained": settings.model.name },
            "random_seed": settings.seed,
            "gen_kwargs": { "do_sample": false, "max_gen_toks": settings.max_new_tokens },
        },
        "git_hash": null,
        "date": record.started_utc,
        "model_source": "niah",
        "model_name": settings.model.name,
        "model_name_sanitized": in_path(&settings.model.name),
        "lm_eval_version": null,
    });
    let folder = PathBuf::from(in_path(&settings.model.name));
    let samples = lines(rows.iter().enumerate().map(|(number, row)| sample(record, number, row)))?;
    Ok(vec![
        (folder.join(format!("results_{time}.json")), super::document(&results)?),
        (folder.join(format!("samples_{}_{time}.jsonl", in_path(task))), samples),
    ])
}

fn sample(record: &RunRecord, number: usize, row: &Outcome) -> Result<Value> {
    let outputs = record.expected(row);
    let doc = json!({
        "index": number,
        "question": row.question,
        "outputs": outputs,
        "length": row.prompt_tokens,
        "max_length": row.context_length,
        "niah": Ours::of(record, row).value()?,
    });
    let response = row.model_response.clone().unwrap_or_default();
    let target = json!(outputs);
    let hash = |value: &Value| sha256_hex(value.to_string());
    let mut sample = json!({
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": { "gen_args_0": { "arg_0": row.question, "arg_1": { "do_sample": false } } },
        "resps": [[response]],
        "filtered_resps": [response],
        "filter": FILTER,
        "metrics": [row.context_length.to_string()],
        "doc_hash": hash(&doc),
        "prompt_hash": row.prompt_hash,
        "target_hash": hash(&target),
    });
    let object = sample.as_object_mut().ok_or_else(|| Error::Message("JSON: no object".to_string()))?;
    object.insert(row.context_length.to_string(), json!(row.score.unwrap_or(-1.0)));
    Ok(sample)
}
