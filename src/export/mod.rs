//! Reports as bytes, one file a format. Nothing here prints: every drawing is a string for the caller to place.

pub mod csv;
pub mod directory;
pub mod json;
pub mod palette;
pub mod shaded;
pub mod style;
pub mod table;
pub mod terminal;

use crate::error::Result;
use crate::registry::Entry;
use crate::report::heatmap::Heatmap;
use crate::report::{CellSummary, Summary};
use style::Style;

/// What is drawn of a run.
pub struct RunReport {
    /// What ran, in one line: model, variant and where its scales come from, task and haystack.
    pub title: String,
    /// Every planned cell.
    pub cells: Vec<CellSummary>,
    /// The run by length and in all.
    pub summary: Summary,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
}

/// A report as text.
pub type Exporter = fn(&RunReport, &Style) -> Result<String>;

/// The forms that a report takes, by the name that `--output-format` knows.
pub const EXPORTERS: &[Entry<Exporter>] = &[
    Entry { name: "table", about: "heatmaps and a summary for the terminal", value: heatmaps },
    Entry { name: "csv", about: "the cell table as CSV", value: |report, _| csv::cells(&report.cells) },
    Entry { name: "json", about: "the cell table as JSON", value: |report, _| json::cells(&report.cells) },
];

fn heatmaps(report: &RunReport, style: &Style) -> Result<String> {
    let accuracy = terminal::draw(&Heatmap::accuracy(&report.cells, report.training_length), style);
    let mass = terminal::draw(&Heatmap::needle_mass(&report.cells, report.training_length), style);
    let title = style.wrap(&report.title).join("\n");
    Ok(format!("{title}\n\n{accuracy}\n{mass}\n{}", table::summary(&report.summary, style)))
}
