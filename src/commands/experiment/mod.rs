//! `niah experiment`: a paper's claims in miniature, trained, measured and reported.

mod flags;
mod ssmax;
mod stages;

use std::fs;
use std::path::Path;

use super::tell;
use crate::cli::ExperimentArgs;
use crate::error::{Error, Result};
use crate::export::directory::replace;
use crate::export::{html, markdown, svg};
use crate::registry::{self, Entry};
use crate::report::document::{Block, Document};
use crate::report::experiment::{Configuration, Experiment, document};

/// An experiment: what it is called in the report, and what runs it.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    title: &'static str,
    run: fn(&ExperimentArgs) -> Result<Vec<Configuration>>,
}

/// The experiments, by name.
pub(super) const EXPERIMENTS: &[Entry<Kind>] = &[Entry {
    name: "ssmax",
    about: "Scalable-Softmax against Softmax (arXiv 2501.19399)",
    value: Kind { title: "Scalable-Softmax against Softmax, in miniature", run: ssmax::run },
}];

/// Runs the command.
///
/// # Errors
/// When a stage fails, or the report cannot be written.
pub fn run(args: &ExperimentArgs) -> Result<()> {
    let kind = registry::find("experiment", EXPERIMENTS, &args.name)?.value;
    args.check()?;
    let configurations = (kind.run)(args)?;
    if configurations.is_empty() {
        return Err(Error::invalid(
            "--from-fixtures",
            "no checkpoint",
            "checkpoints in fixtures/checkpoints; without it they are trained",
        ));
    }
    let experiment = Experiment {
        title: kind.title.to_string(),
        method: args.method(),
        command: args.command_line(),
        training_length: args.context_length.0,
        configurations,
    };
    write(&args.output, &document(&experiment))
}

/// Writes `report.md`, `report.html` and `figures/*.svg`.
fn write(directory: &Path, document: &Document) -> Result<()> {
    let figures = directory.join("figures");
    fs::create_dir_all(&figures).map_err(|error| {
        Error::file(&figures, format!("cannot be made: {error}; choose another --output"))
    })?;
    let write = |path: &Path, text: String| {
        replace(path, |new| {
            fs::write(new, text)
                .map_err(|error| Error::output(path, format!("cannot write: {error}; run again")))
        })
    };
    for block in &document.blocks {
        if let Block::Figure(figure) = block {
            write(&figures.join(format!("{}.svg", figure.name)), svg::draw(figure))?;
        }
    }
    write(&directory.join("report.md"), markdown::text(document))?;
    let page = directory.join("report.html");
    write(&page, html::page(document))?;
    tell(format_args!("report: {} and report.md", page.display()));
    Ok(())
}
