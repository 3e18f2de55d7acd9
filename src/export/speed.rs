//! Measurements of speed as a table for people, as CSV or as JSON.

use super::style::Style;
use super::{csv, json, table};
use crate::error::Result;
use crate::registry::Entry;
use crate::report::speed::LengthSpeed;

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
    format!("{title}\n\n{}\n{}\n", table::speeds(&report.lengths, style), notes.join("\n"))
}
