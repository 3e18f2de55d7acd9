//! In which forms a report is wanted, and where: on stdout, and in files.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::values::choice;
use crate::error::{Error, Result};
use crate::export::figures::FIGURES;
use crate::export::{EXPORTERS, Exporter, by_extension};
use crate::store::exchange::{EXCHANGES, Exchange};

/// The forms of a report.
#[derive(Debug, Clone, Args)]
pub struct FormArgs {
    /// What goes to stdout
    #[arg(
        long,
        value_name = "FORM",
        value_parser = choice("form of output", EXPORTERS),
        default_value = EXPORTERS[0].name,
        help_heading = "Output"
    )]
    pub output_format: Exporter,
    /// Also write it to a file, in the form of its extension
    ///
    /// txt, csv, json, md, html, svg or png; may be given several times. - is stdout, in the form of
    /// --output-format.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = parse,
        action = ArgAction::Append,
        help_heading = "Output"
    )]
    pub export: Vec<Export>,
    /// Draw this figure alone into svg and png: for a paper, without a title
    #[arg(long, value_name = "NAME", value_parser = choice("figure", FIGURES), help_heading = "Output")]
    pub figure: Option<&'static str>,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Default, Args)]
pub struct TellingArgs {
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", hide_short_help = true, help_heading = "Output")]
    pub quiet: bool,
    /// Say of every trial on stderr what became of it
    #[arg(short, long, hide_short_help = true, help_heading = "Output")]
    pub verbose: bool,
}

/// A place for a report.
#[derive(Debug, Clone)]
pub enum Export {
    /// Where everything goes anyway.
    Stdout,
    /// A file, and the form that its extension stands for.
    File(PathBuf, Exporter),
    /// A file or folder for another tool.
    Theirs(PathBuf, Exchange),
}

pub(super) fn parse(text: &str) -> Result<Export> {
    if text == "-" {
        return Ok(Export::Stdout);
    }
    if let Some((name, path)) = text.split_once('=')
        && !path.is_empty()
        && let Some(entry) = EXCHANGES.iter().find(|entry| entry.name == name)
    {
        return Ok(Export::Theirs(PathBuf::from(path), entry.value));
    }
    let path = PathBuf::from(text);
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("png") if !cfg!(feature = "png") => Err(Error::invalid(
            "--export",
            format!("{text:?}"),
            "another extension, such as svg: png takes a build with --features png",
        )),
        extension => Ok(Export::File(path.clone(), by_extension(extension.unwrap_or_default())?)),
    }
}

impl FormArgs {
    /// The files that are wanted, each with its form.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, Exporter)> {
        self.export.iter().filter_map(|export| match export {
            Export::Stdout | Export::Theirs(..) => None,
            Export::File(path, exporter) => Some((path, *exporter)),
        })
    }

    /// The places for other tools, each with its form.
    pub(crate) fn theirs(&self) -> impl Iterator<Item = (&PathBuf, Exchange)> {
        self.export.iter().filter_map(|export| match export {
            Export::Stdout | Export::File(..) => None,
            Export::Theirs(path, exchange) => Some((path, *exchange)),
        })
    }

    /// Every form that is wanted, that of stdout first.
    pub(crate) fn forms(&self) -> impl Iterator<Item = Exporter> {
        std::iter::once(self.output_format).chain(self.files().map(|(_, exporter)| exporter))
    }

    /// Whether what no terminal has room for is wanted: a page, or one of these figures.
    #[must_use]
    pub fn wants(&self, figures: &[&str]) -> bool {
        self.forms().any(|form| form.name == "html")
            || self.figure.is_some_and(|name| figures.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_the_form() {
        for (file, form) in [
            ("report.html", "html"),
            ("a/b.HTM", "html"),
            ("cells.csv", "csv"),
            ("rows.json", "json"),
            ("page.md", "markdown"),
            ("fig.v2.svg", "svg"),
            ("out.txt", "table"),
        ] {
            let Ok(Export::File(path, exporter)) = parse(file) else { panic!("{file} is no file") };
            assert_eq!((path, exporter.name), (PathBuf::from(file), form));
        }
        assert!(matches!(parse("-"), Ok(Export::Stdout)));
    }

    #[test]
    fn an_extension_that_stands_for_no_form_is_refused_with_those_that_do() {
        for (file, words) in [
            ("report.htlm", "unknown extension \"htlm\" (did you mean html?); known: txt, csv, json, md"),
            ("report", "unknown extension \"\"; known: "),
            ("report.pdf", "unknown extension \"pdf\""),
        ] {
            let said = parse(file).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        #[cfg(not(feature = "png"))]
        assert!(parse("a.png").unwrap_err().to_string().contains("--features png"));
    }
}
