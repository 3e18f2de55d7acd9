//! Files of neighbouring tools: results of theirs become a run of ours, and a run of ours their files.
//!
//! A neighbour's score stays the neighbour's: it is put on the scale of 0 to 1, said from which, and named
//! after its scorer. What a neighbour's file has no field for stands in a place of its own in ours
//! (`Ours`), so that what is written and read again is the same rows.

mod chosen;
mod fields;
mod gkamradt;
mod imported;
mod inspect;
mod judged;
mod kinds;
mod listing;
mod lm_eval;
mod reading;
mod ruler;
mod theirs;

use std::path::{self, Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::directory::RunRecord;
use crate::error::{Error, Result};
use crate::grid::Depth;
use crate::registry::Entry;
use crate::trial::{Outcome, Status};

pub use imported::{Import, Imported, Importing, import, write};

/// Files with their contents, by their paths below a folder; of a form that is one file its path is empty.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// A form that a neighbour reads.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// What it is called.
    pub name: &'static str,
    /// A run in this form.
    pub write: fn(&RunRecord, &[&Outcome]) -> Result<Files>,
}

/// The forms that a run can be written in for other tools.
pub const EXCHANGES: &[Entry<Exchange>] = &[
    exchange("lm-eval", "a folder for results_*.json and samples_*.jsonl", lm_eval::write),
    exchange("inspect", "a log, as JSON", inspect::write),
    exchange("ruler", "a folder for LENGTH/pred/TASK.jsonl", ruler::write),
    exchange("gkamradt", "the JSONL of needlehaystack 2", gkamradt::write),
];

const fn exchange(
    name: &'static str,
    about: &'static str,
    write: fn(&RunRecord, &[&Outcome]) -> Result<Files>,
) -> Entry<Exchange> {
    Entry { name, about, value: Exchange { name, write } }
}

/// A scale of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// 0 to 1.
    #[serde(rename = "0-1")]
    One,
    /// 1, which is nothing, to 10.
    #[serde(rename = "1-10")]
    Ten,
    /// 0 to 100.
    #[serde(rename = "0-100")]
    Hundred,
}

/// The scales, by name.
pub const SCALES: &[Entry<Scale>] = &[
    Entry { name: "0-1", about: "as it is", value: Scale::One },
    Entry { name: "1-10", about: "1 becomes 0, and 10 becomes 1", value: Scale::Ten },
    Entry { name: "0-100", about: "a hundredth of it", value: Scale::Hundred },
];

impl Scale {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "0-1",
            Self::Ten => "1-10",
            Self::Hundred => "0-100",
        }
    }

    /// A score on the scale of 0 to 1; `None` for one that is not on this scale.
    ///
    /// ```
    /// use niah::store::exchange::Scale;
    /// assert_eq!(Scale::Ten.to_one(7.0), Some(2.0 / 3.0));
    /// assert_eq!(Scale::Hundred.to_one(120.0), None);
    /// ```
    #[must_use]
    pub fn to_one(self, score: f64) -> Option<f64> {
        let one = match self {
            Self::One => score,
            Self::Ten => (score - 1.0) / 9.0,
            Self::Hundred => score / 100.0,
        };
        (0.0..=1.0).contains(&one).then_some(one)
    }
}

/// What a row of ours says that a neighbour's has no field for; the object `niah` in a place that is free.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ours {
    context_length: Option<usize>,
    depth_percent: Option<f64>,
    trial: Option<usize>,
    seed: Option<u64>,
    model: Option<String>,
    task: Option<String>,
    needle: Option<String>,
    question: Option<String>,
    expected: Option<Vec<String>>,
    score: Option<f64>,
    scorer: Option<String>,
    correct: Option<bool>,
    prompt_tokens: Option<usize>,
    duration_seconds: Option<f64>,
    timestamp_utc: Option<String>,
    status: Option<Status>,
    error: Option<String>,
}

impl Ours {
    fn of(record: &RunRecord, row: &Outcome) -> Self {
        let text = |text: &str| Some(text.to_string());
        Self {
            context_length: Some(row.context_length),
            depth_percent: Some(row.depth_percent.percent()),
            trial: Some(row.trial),
            seed: Some(row.seed),
            model: text(&row.model),
            task: text(&row.task),
            needle: text(&row.needle),
            question: text(&row.question),
            expected: Some(record.expected(row)),
            score: row.score,
            scorer: text(&record.settings.scorer),
            correct: row.correct,
            prompt_tokens: row.prompt_tokens,
            duration_seconds: row.duration_seconds,
            timestamp_utc: text(&row.timestamp_utc),
            status: Some(row.status),
            error: row.error.clone().filter(|_| row.status != Status::Ok),
        }
    }

    fn value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| Error::Message(format!("JSON: {error}")))
    }
}

/// What answered, and who wrote the file.
fn writer() -> Value {
    json!({ "name": "niah", "version": env!("CARGO_PKG_VERSION") })
}

/// Where the needle stands in tokens, by the depth that was asked for.
fn position(length: usize, depth: Depth) -> usize {
    (depth.fraction() * length as f64).round() as usize
}

/// A path with all of its folders, as their names say whose a file is, wherever it was named from. Links keep
/// their names.
fn in_full(path: &Path) -> PathBuf {
    let full = path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if !full.components().any(|part| part == Component::ParentDir) {
        return full;
    }
    let folder = full.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(full.file_name()).map(|(folder, name)| folder.join(name)).unwrap_or(full)
}

/// Whether a text begins with a time as tools put it into the names of files, such as `2025-03-01T10-00-00`.
fn is_time(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd".bytes();
    let is = |(found, shape): (u8, u8)| if shape == b'd' { found.is_ascii_digit() } else { found == shape };
    text.len() > shape.len() && text.bytes().zip(shape).all(is)
}

/// Indented JSON with a line end.
fn document(value: &Value) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| Error::Message(format!("JSON: {error}")))?;
    Ok([text, b"\n".to_vec()].concat())
}

/// A line of JSON for each row.
fn lines(rows: impl IntoIterator<Item = Result<Value>>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &row?).map_err(|error| Error::Message(format!("JSON: {error}")))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A name as a part of a path.
fn in_path(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    // No name that leads elsewhere.
    let name = name.trim_matches('.');
    if name.is_empty() { "unnamed".to_string() } else { name.chars().take(100).collect() }
}
