//! Measurements of speed as a table for people, as CSV or as JSON.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::style::Style;
use super::{json, table};
use crate::error::{self, Error, Result};
use crate::files;
use crate::registry::Entry;
use crate::report::speed::LengthSpeed;
use crate::store::csv;
use crate::store::directory::replace;

/// What is drawn of a `niah bench`.
pub struct SpeedReport {
    /// What ran, in one line.
    pub title: String,
    /// The speed at each length.
    pub lengths: Vec<LengthSpeed>,
    /// How it was measured, in words.
    pub notes: Vec<String>,
}

/// A report on speed as text.
pub type SpeedExporter = fn(&SpeedReport, &Style) -> Result<String>;

/// The forms that a report on speed takes, by the name that `--output-format` knows.
pub const SPEED_EXPORTERS: &[Entry<SpeedExporter>] = &[
    Entry {
        name: "table",
        about: "medians, each with its range",
        value: |report, style| Ok(page(report, style)),
    },
    Entry { name: "csv", about: "medians as CSV", value: |report, _| csv::speeds(&report.lengths) },
    Entry {
        name: "json",
        about: "medians and ranges as JSON",
        value: |report, _| json::array(&report.lengths),
    },
];

fn page(report: &SpeedReport, style: &Style) -> String {
    let notes: Vec<String> = report.notes.iter().flat_map(|note| style.wrap(note)).collect();
    let title = style.wrap(&report.title).join("\n");
    let (speeds, notes) = (table::speeds(&report.lengths, style), notes.join("\n"));
    style.page(&format!("{title}\n\n{speeds}\n{notes}\n"))
}

/// Name of the file of a measurement.
pub const BENCH_JSON: &str = "bench.json";

/// Writes the file into a directory, in the place of one that is there: the lengths, and what was measured under `about`.
///
/// # Errors
/// [`Error::File`] or [`Error::Output`] when it cannot be written.
pub fn write_speeds(directory: &Path, lengths: &[LengthSpeed], about: &Value) -> Result<()> {
    let path = directory.join(BENCH_JSON);
    let text = format!("{:#}\n", json!({ "about": about, "lengths": lengths }));
    replace(&path, |new| {
        fs::write(new, text).map_err(|error| {
            Error::output(
                &path,
                format!("cannot write: {}; choose another directory with -o", error::reason(&error)),
            )
        })
    })
}

/// Bytes of the file of a measurement, at most.
const MOST_BYTES: u64 = 16 << 20;

/// The lengths of a measurement.
///
/// # Errors
/// [`Error::File`] when the file is missing or damaged.
pub fn read_speeds(directory: &Path) -> Result<Vec<LengthSpeed>> {
    let path = directory.join(BENCH_JSON);
    let damaged = |error: String| Error::file(&path, format!("cannot be read: {error}; measure again"));
    let bytes = files::read(&path, MOST_BYTES).map_err(|error| damaged(error.to_string()))?;
    let mut json: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_value(json["lengths"].take()).map_err(|error| damaged(error.to_string()))
}
