//! Reports as bytes: one file a format, and one line of [`EXPORTERS`]. Nothing here prints or touches the
//! disk.

pub mod csv;
pub mod figures;
pub mod html;
pub mod json;
pub mod junit;
mod kinds;
pub mod markdown;
pub mod palette;
#[cfg(feature = "png")]
pub mod png;
pub mod style;
pub mod svg;
pub mod terminal;

use crate::error::Result;
use crate::registry::{Entry, unknown};
use crate::report::Report;
use crate::report::document::Figure;
use style::Style;

type Write = fn(&Report, &Style) -> Result<Vec<u8>>;
type Draw = fn(&Figure, &Style) -> Result<Vec<u8>>;

/// A form of output.
#[derive(Debug, Clone, Copy)]
pub struct Exporter {
    /// What it is called.
    pub name: &'static str,
    /// Any report in this form.
    pub write: Write,
    /// Whether it holds the rows of a report rather than its pages.
    pub rows: bool,
    /// What the names of its files end with; the first is the usual one.
    pub extensions: &'static [&'static str],
    /// A figure alone, as a paper takes it, where the form is a picture.
    pub figure: Option<Draw>,
}

/// The forms that a report takes, by the name that `--output-format` knows; the first is the default.
pub const EXPORTERS: &[Entry<Exporter>] = &[
    pages("table", "heatmaps, tables and words for the terminal", terminal::write, &["txt"]),
    rows("csv", "the rows of the report", csv::write, &["csv"]),
    rows("json", "an object of what ran, totals and the rows of the report", json::write, &["json"]),
    pages("markdown", "a document, with heatmaps as tables", markdown::write, &["md", "markdown"]),
    pages("html", "a page that needs no other file, with pictures", html::write, &["html", "htm"]),
    picture("svg", "the pictures of the report in one", svg::write, svg::alone, &["svg"]),
    #[cfg(feature = "png")]
    picture("png", "the same as pixels", png::write, png::alone, &["png"]),
];

const fn pages(
    name: &'static str,
    about: &'static str,
    write: Write,
    extensions: &'static [&'static str],
) -> Entry<Exporter> {
    Entry { name, about, value: Exporter { name, write, rows: false, extensions, figure: None } }
}

const fn rows(
    name: &'static str,
    about: &'static str,
    write: Write,
    extensions: &'static [&'static str],
) -> Entry<Exporter> {
    Entry { name, about, value: Exporter { name, write, rows: true, extensions, figure: None } }
}

const fn picture(
    name: &'static str,
    about: &'static str,
    write: Write,
    figure: Draw,
    extensions: &'static [&'static str],
) -> Entry<Exporter> {
    Entry { name, about, value: Exporter { name, write, rows: false, extensions, figure: Some(figure) } }
}

/// The form of files whose names end so.
///
/// # Errors
/// [`crate::error::Error::UnknownChoice`] with every extension that is known.
pub fn by_extension(extension: &str) -> Result<Exporter> {
    let has = |entry: &&Entry<Exporter>| entry.value.extensions.contains(&extension);
    let found = EXPORTERS.iter().find(has).map(|entry| entry.value);
    found.ok_or_else(|| {
        let known: Vec<&str> = EXPORTERS.iter().flat_map(|entry| entry.value.extensions).copied().collect();
        unknown("extension", extension, &known)
    })
}

#[cfg(test)]
mod tests;
