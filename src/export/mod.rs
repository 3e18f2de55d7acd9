//! Reports as bytes: one file a format, and one line of [`EXPORTERS`]. Nothing here prints or touches the
//! disk.

pub mod csv;
pub mod html;
pub mod json;
pub mod markdown;
pub mod palette;
#[cfg(feature = "png")]
pub mod png;
pub mod style;
pub mod svg;
pub mod terminal;

use crate::error::Result;
use crate::registry::Entry;
use crate::report::Report;
use style::Style;

/// A form of output.
#[derive(Debug, Clone, Copy)]
pub struct Exporter {
    /// What it is called.
    pub name: &'static str,
    /// Any report in this form.
    pub write: fn(&Report, &Style) -> Result<Vec<u8>>,
    /// Whether it holds the rows of a report rather than its pages.
    pub rows: bool,
}

/// The forms that a report takes, by the name that `--output-format` knows; the first is the default.
pub const EXPORTERS: &[Entry<Exporter>] = &[
    entry("table", "heatmaps, tables and words for the terminal", terminal::write, false),
    entry("csv", "the rows of the report", csv::write, true),
    entry(
        "json",
        "the rows of the report, or all that there is to say where a table cannot hold it",
        json::write,
        true,
    ),
    entry("markdown", "a document, with heatmaps as tables", markdown::write, false),
    entry("html", "a page that needs no other file, with pictures", html::write, false),
    entry("svg", "the pictures of the report in one", svg::write, false),
    #[cfg(feature = "png")]
    entry("png", "the same as pixels", png::write, false),
];

const fn entry(
    name: &'static str,
    about: &'static str,
    write: fn(&Report, &Style) -> Result<Vec<u8>>,
    rows: bool,
) -> Entry<Exporter> {
    Entry { name, about, value: Exporter { name, write, rows } }
}

#[cfg(test)]
mod tests;
