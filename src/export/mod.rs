//! Reports as bytes, one file a format. Nothing here prints: every drawing is a string for the caller to place.

pub mod comparison;
pub mod html;
pub mod inspection;
pub mod json;
pub mod loss;
pub mod markdown;
pub mod palette;
pub mod shaded;
pub mod speed;
pub mod style;
pub mod svg;
pub mod table;
pub mod terminal;

use crate::error::Result;
use crate::grid::Cell;
use crate::registry::Entry;
use crate::report::heatmap::Heatmap;
use crate::report::{CellSummary, HeadSummary, Summary};
use crate::store::csv;
use crate::trial::{Outcome, TokenRow};
use comparison::ComparisonReport;
use style::Style;

/// What is drawn of a run.
pub struct RunReport {
    /// What ran, in one line: model, variant and where its scales come from, task and haystack.
    pub title: String,
    /// What a reader should know of the cells.
    pub note: Option<String>,
    /// Every planned cell.
    pub cells: Vec<CellSummary>,
    /// The run by length and in all.
    pub summary: Summary,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
}

/// What is drawn of one cell of a run.
pub struct CellReport {
    /// Which cell.
    pub cell: Cell,
    /// What its heads did.
    pub heads: Vec<HeadSummary>,
}

/// A form of output: what it makes of each report.
#[derive(Debug, Clone, Copy)]
pub struct Exporter {
    /// A run as text.
    pub run: fn(&RunReport, &Style) -> Result<String>,
    /// A cell as text.
    pub cell: fn(&CellReport, &Style) -> Result<String>,
    /// Two runs as text.
    pub comparison: fn(&ComparisonReport, &Style) -> Result<String>,
    /// The rows of a run as text, for forms that hold rows.
    pub rows: Option<RowExporter>,
}

/// The rows of a run as text.
#[derive(Debug, Clone, Copy)]
pub struct RowExporter {
    /// Those of its trials.
    pub trials: fn(&[Outcome], &Style) -> Result<String>,
    /// Those of its tokens.
    pub tokens: fn(&[TokenRow], &Style) -> Result<String>,
}

/// The forms that a report takes, by the name that `--output-format` knows.
pub const EXPORTERS: &[Entry<Exporter>] = &[
    Entry {
        name: "table",
        about: "heatmaps and a summary for the terminal",
        value: Exporter {
            run: heatmaps,
            cell: |report, style| {
                let map = Heatmap::by_layer(report.cell, &report.heads);
                Ok(style.page(&terminal::draw(&map, style)))
            },
            comparison: |report, style| Ok(comparison::page(report, style)),
            rows: None,
        },
    },
    Entry {
        name: "csv",
        about: "the table of cells, or of the heads of one, as CSV",
        value: Exporter {
            run: |report, _| csv::cells(&report.cells),
            cell: |report, _| csv::heads(&report.heads),
            comparison: |report, _| csv::comparison(&report.comparison.rows()),
            rows: Some(RowExporter { trials: csv::trials, tokens: csv::tokens }),
        },
    },
    Entry {
        name: "json",
        about: "the table of cells, or of the heads of one, as JSON",
        value: Exporter {
            run: |report, _| json::array(&report.cells),
            cell: |report, _| json::array(&report.heads),
            comparison: |report, _| json::array(&report.comparison.rows()),
            rows: Some(RowExporter {
                trials: |rows, _| json::array(rows),
                tokens: |rows, _| json::array(rows),
            }),
        },
    },
];

fn heatmaps(report: &RunReport, style: &Style) -> Result<String> {
    let accuracy = terminal::draw(&Heatmap::accuracy(&report.cells, report.training_length), style);
    let mass = terminal::draw(&Heatmap::needle_mass(&report.cells, report.training_length), style);
    let title = [Some(&report.title), report.note.as_ref()].into_iter().flatten();
    let title = title.flat_map(|line| style.wrap(line)).collect::<Vec<_>>().join("\n");
    let drawn = format!("{title}\n\n{accuracy}\n{mass}\n{}", table::summary(&report.summary, style));
    Ok(style.page(&drawn))
}
