//! `niah experiment`: a paper's claims in miniature, trained, measured and reported.

mod configurations;
mod flags;
pub mod measured;
mod multiscreen;
pub mod published;
pub mod report;
mod ssmax;
mod stages;

use std::fs;
use std::path::Path;

use self::flags::Trials;
pub(crate) use self::ssmax::PARTS;
use crate::cli::ExperimentArgs;
use crate::commands::tell;
use crate::error::{Error, Result};
use crate::export::palette::VIRIDIS;
use crate::export::{html, markdown, svg};
use crate::laboratory::report::{Configuration, Experiment, Paper, document};
use crate::registry::{self, Entry};
use crate::report::document::{Block, Document};
use crate::store::directory::{make, replace};

/// An experiment.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What it is called in the report.
    title: &'static str,
    /// How many configurations, from the first, are told of in sentences.
    main: usize,
    paper: Paper,
    /// The published numbers that it is held against.
    numbers: &'static [published::Published],
    run: fn(&ExperimentArgs) -> Result<Made>,
    /// The sections of this experiment alone that come first.
    first: fn(&Experiment) -> Vec<Block>,
}

/// What the stages of an experiment made.
struct Made {
    configurations: Vec<Configuration>,
    /// What the trainings have in common and what not, in words.
    training: String,
    trials: Trials,
    /// Sections of this experiment alone that come last.
    further: Vec<Block>,
    /// What is planned and not complete, a phrase each.
    left_out: Vec<String>,
}

/// The experiments, by name.
pub(crate) const EXPERIMENTS: &[Entry<Kind>] = &[
    Entry { name: "ssmax", about: "Scalable-Softmax against Softmax (arXiv 2501.19399)", value: ssmax::KIND },
    Entry {
        name: "multiscreen",
        about: "Multiscreen (arXiv 2604.01178) beside Softmax and Scalable-Softmax",
        value: multiscreen::KIND,
    },
];

/// Runs the command.
///
/// # Errors
/// When a stage fails, or the report cannot be written.
pub fn run(args: &ExperimentArgs) -> Result<()> {
    let kind = registry::find("experiment", EXPERIMENTS, &args.name)?.value;
    args.check()?;
    let made = (kind.run)(args)?;
    if made.configurations.is_empty() {
        return Err(match args.report_only {
            true => Error::invalid("--report-only", "nothing is complete", "the same command without it"),
            false => Error::invalid(
                "--from-fixtures",
                "no checkpoint",
                "checkpoints in fixtures/checkpoints; without it they are trained",
            ),
        });
    }
    let further = made.further.into_iter().chain(published::section(kind.numbers)).collect();
    let experiment = Experiment {
        title: kind.title.to_string(),
        method: args.method(&made.training, made.trials).into_iter().chain(not_yet(&made.left_out)).collect(),
        command: args.command_line(),
        training_length: args.context_length.0,
        main: kind.main,
        paper: kind.paper,
        configurations: made.configurations,
    };
    write(&args.output.join(&args.name), &document(&experiment, (kind.first)(&experiment), further))
}

/// The paragraph of a report that was written before its experiment was done.
fn not_yet(left_out: &[String]) -> Option<String> {
    (!left_out.is_empty())
        .then(|| format!("This report is not of all that was planned. It lacks: {}.", left_out.join("; ")))
}

/// Writes `report.md`, `report.html` and `figures/*.svg`.
fn write(directory: &Path, document: &Document) -> Result<()> {
    let figures = directory.join("figures");
    make(&figures)?;
    let write = |path: &Path, text: String| {
        replace(path, |new| {
            fs::write(new, text)
                .map_err(|error| Error::output(path, format!("cannot write: {error}; run again")))
        })
    };
    for block in &document.blocks {
        if let Block::Figure(figure) = block {
            write(&figures.join(format!("{}.svg", figure.name)), svg::draw(figure, VIRIDIS))?;
        }
    }
    write(&directory.join("report.md"), markdown::text(document))?;
    let page = directory.join("report.html");
    write(&page, html::page(document, VIRIDIS))?;
    tell(format_args!("report: {} and report.md", page.display()));
    Ok(())
}
