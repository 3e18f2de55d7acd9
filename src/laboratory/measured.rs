//! What the stages of an experiment left on disk, read for its report.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::{Checkpoint, RopeOverride};
use crate::error::{Error, Result};
use crate::files;
use crate::laboratory::report::rates::RateRun;
use crate::laboratory::report::sizes::SizedModel;
use crate::laboratory::report::{SeedRun, Settings, StepLoss};
use crate::report::loss::{BucketLoss, mean_within};
use crate::report::speed::LengthSpeed;
use crate::store::bench::{BENCH_JSON, read_speeds};
use crate::store::csv;
use crate::store::directory::{ATTENTION_CSV, RESULTS_CSV, SPANS_CSV};
use crate::store::loss::{LOSS_CSV, LOSS_JSON};
use crate::store::training::{TRAINING_JSON, step_reports};
use crate::train::StepReport;

/// Where the results of one training are.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Directory of its checkpoint.
    pub checkpoint: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// Directories of its grids of needles in prose, of different lengths.
    pub needles: Vec<PathBuf>,
    /// Directory of its grid of key-value lines.
    pub key_values: Option<PathBuf>,
    /// Directory of its losses.
    pub losses: Option<PathBuf>,
    /// Directories of grids of other tasks, by the task.
    pub others: Vec<(&'static str, PathBuf)>,
}

/// Reads all of them.
///
/// # Errors
/// When a table or the checkpoint cannot be read.
pub fn read(measured: &Measured) -> Result<SeedRun> {
    let opened = Checkpoint::open(&measured.checkpoint.to_string_lossy(), RopeOverride::default())?;
    let own = &opened.own_variant;
    let scales =
        own.scales.iter().flatten().map(|layer| layer.as_ref().map_or(vec![], |layer| layer.scale.clone()));
    let sizes = own.adaptive.iter().flat_map(|adaptive| &adaptive.sizes).map(|&p| f64::from(p));
    let (mut outcomes, mut attention, mut key_values, mut positions) = (vec![], vec![], vec![], vec![]);
    for grid in &measured.needles {
        outcomes.extend(csv::read(grid.join(RESULTS_CSV))?);
        attention.extend(csv::read(grid.join(ATTENTION_CSV))?);
    }
    let of = |(task, grid): &(&'static str, PathBuf)| Ok((*task, csv::read(grid.join(RESULTS_CSV))?));
    // Key-value lines name one part alone, whose mass the other tables have.
    let named = measured.others.iter().filter(|(task, _)| !task.starts_with("abcdigits"));
    let spans_of = |(task, grid): &(&'static str, PathBuf)| Ok((*task, csv::read(grid.join(SPANS_CSV))?));
    if let Some(grid) = &measured.key_values {
        key_values = csv::read(grid.join(RESULTS_CSV))?;
    }
    if let Some(losses) = &measured.losses {
        positions = csv::read(losses.join(LOSS_CSV))?;
    }
    Ok(SeedRun {
        seed: measured.seed,
        further: false,
        steps: steps(&measured.checkpoint)?,
        positions,
        outcomes,
        attention,
        key_values,
        others: measured.others.iter().map(of).collect::<Result<_>>()?,
        spans: named.map(spans_of).collect::<Result<_>>()?,
        scales: scales.collect(),
        sizes: sizes.collect(),
        settings: settings(&measured.checkpoint)?,
    })
}

/// Everything that its `config.json` and `training.json` say, each with its path there; of the second only
/// where it was trained here.
fn settings(checkpoint: &Path) -> Result<Settings> {
    let mut settings = Settings::new();
    let config = checkpoint.join("config.json");
    flatten("", &json(&config)?, &mut settings);
    let training = checkpoint.join(TRAINING_JSON);
    if training.is_file() {
        flatten("", &json(&training)?, &mut settings);
    }
    Ok(settings)
}

/// Adds every value below `value`, lists as one.
fn flatten(path: &str, value: &Value, settings: &mut Settings) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                flatten(
                    &if path.is_empty() { name.clone() } else { format!("{path}.{name}") },
                    value,
                    settings,
                );
            }
        }
        other => {
            settings
                .insert(path.to_string(), other.as_str().map_or_else(|| other.to_string(), str::to_string));
        }
    }
}

/// The steps of a training; none where their table does not stand beside the checkpoint.
///
/// # Errors
/// When the table cannot be read.
pub fn steps(checkpoint: &Path) -> Result<Vec<StepLoss>> {
    let loss = |row: StepReport| StepLoss {
        step: row.step,
        loss: row.loss,
        answer_loss: row.answer_loss,
        learning_rate: row.learning_rate,
        gradient_norm: row.gradient_norm,
        scale: row.s_mean,
        largest_window: row.window_max,
        windows_beyond: row.windows_beyond,
    };
    Ok(step_reports(checkpoint)?.into_iter().map(loss).collect())
}

/// The parameters of a model of this seed and its mean loss, from the directory of its losses.
///
/// # Errors
/// When a table cannot be read or says nothing.
pub fn sized(losses: &Path, seed: u64) -> Result<SizedModel> {
    let buckets: Vec<BucketLoss> = csv::read(losses.join(LOSS_CSV))?;
    let loss = mean_within(&buckets, usize::MAX)
        .ok_or_else(|| Error::file(losses.join(LOSS_CSV), "holds no loss; measure again"))?;
    Ok(SizedModel { seed, parameters: number(&losses.join(LOSS_JSON), "/model/parameters")?, loss })
}

/// The mean loss of each text, from the directory of its losses.
///
/// # Errors
/// When a table cannot be read or the two do not fit together.
pub fn text_losses(losses: &Path) -> Result<Vec<f64>> {
    let buckets: Vec<BucketLoss> = csv::read(losses.join(LOSS_CSV))?;
    let path = losses.join(LOSS_JSON);
    let texts = json(&path)?.pointer("/texts").and_then(Value::as_array).cloned().unwrap_or_default();
    let mean = |text: &Value| {
        let means: Vec<f64> = serde_json::from_value(text["loss_mean_by_bucket"].clone()).ok()?;
        let widths = buckets.iter().map(|bucket| (bucket.position_end + 1 - bucket.position_start) as f64);
        let sum: f64 = widths.clone().zip(&means).map(|(width, mean)| width * mean).sum();
        (means.len() == buckets.len()).then(|| sum / widths.sum::<f64>())
    };
    let means: Option<Vec<f64>> = texts.iter().map(mean).collect();
    means.ok_or_else(|| damaged(&path, "its texts are not those of loss.csv"))
}

/// A training at the rate `2^exponent` of which `planned` steps were wanted.
///
/// # Errors
/// When its table cannot be read.
pub fn rate_run(training: &Path, exponent: i32, planned: usize) -> Result<RateRun> {
    Ok(RateRun { exponent, planned, steps: steps(training)? })
}

/// Entries of the vocabulary of a checkpoint.
///
/// # Errors
/// When its configuration cannot be read or does not say.
pub fn vocabulary(checkpoint: &Path) -> Result<usize> {
    number(&checkpoint.join("config.json"), "/vocab_size")
}

/// Seconds of a prompt by its length, from the directory of a `niah bench`.
///
/// # Errors
/// When it cannot be read.
pub fn seconds(bench: &Path) -> Result<Vec<(usize, f64)>> {
    let time = |length: LengthSpeed| {
        let rate = length.prefill_tokens_per_second?;
        Some((length.context_length, length.context_length as f64 / rate.median))
    };
    Ok(read_speeds(bench)?.into_iter().filter_map(time).collect())
}

/// The processor and the number of threads of a `niah bench`.
///
/// # Errors
/// When its record cannot be read.
pub fn machine(bench: &Path) -> Result<String> {
    let record = json(&bench.join(BENCH_JSON))?;
    let machine = &record["about"]["machine"];
    Ok(format!(
        "{}, threads: {}",
        machine["cpu"].as_str().unwrap_or("an unknown processor"),
        machine["threads"]
    ))
}

/// Bytes of a JSON file of a stage, at most.
const MOST_BYTES: u64 = 64 << 20;

/// A count of a JSON file.
fn number(path: &Path, pointer: &str) -> Result<usize> {
    let json = json(path)?;
    let number =
        json.pointer(pointer).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| damaged(path, format!("no count at {pointer}")))
}

fn json(path: &Path) -> Result<Value> {
    let bytes = files::read(path, MOST_BYTES).map_err(|error| damaged(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(path, error))
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::file(path, format!("cannot be read: {problem}; run again"))
}
