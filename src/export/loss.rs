//! Losses by position as a table for people, as CSV or as JSON, and the directory of a measurement.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::style::Style;
use super::{json, table};
use crate::error::{self, Error, Result};
use crate::registry::Entry;
use crate::report::loss::BucketLoss;
use crate::store::csv;
use crate::store::directory::replace;

/// What is drawn of a `niah loss`.
pub struct LossReport {
    /// What ran, in one line.
    pub title: String,
    /// The loss by position, ascending.
    pub buckets: Vec<BucketLoss>,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
    /// How it was measured, in words.
    pub notes: Vec<String>,
}

/// A report on losses as text.
pub type LossExporter = fn(&LossReport, &Style) -> Result<String>;

/// The forms that a report on losses takes, by the name that `--output-format` knows.
pub const LOSS_EXPORTERS: &[Entry<LossExporter>] = &[
    Entry {
        name: "table",
        about: "means with intervals and bars, the training length marked",
        value: |report, style| Ok(page(report, style)),
    },
    Entry {
        name: "csv",
        about: "the table of buckets as CSV",
        value: |report, _| csv::losses(&report.buckets),
    },
    Entry {
        name: "json",
        about: "the table of buckets as JSON",
        value: |report, _| json::array(&report.buckets),
    },
];

fn page(report: &LossReport, style: &Style) -> String {
    let notes: Vec<String> = report.notes.iter().flat_map(|note| style.wrap(note)).collect();
    let title = style.wrap(&report.title).join("\n");
    let losses = table::losses(&report.buckets, report.training_length, style);
    style.page(&format!("{title}\n\n{losses}\n{}\n", notes.join("\n")))
}

/// Name of the table of buckets.
pub const LOSS_CSV: &str = "loss.csv";
/// Name of the file that says what was measured.
pub const LOSS_JSON: &str = "loss.json";

/// Writes `loss.csv` and `loss.json` into a directory, in the place of those that are there.
///
/// # Errors
/// [`Error::File`] or [`Error::Output`] when they cannot be written.
pub fn write_losses(directory: &Path, buckets: &[BucketLoss], record: &Value) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        replace(&path, |new| {
            fs::write(new, text).map_err(|error| {
                Error::output(
                    &path,
                    format!("cannot write: {}; choose another directory with -o", error::reason(&error)),
                )
            })
        })
    };
    write(LOSS_CSV, csv::losses(buckets)?)?;
    write(LOSS_JSON, format!("{record:#}\n"))
}
