//! `niah import`: results of a neighbouring tool as a run.

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use super::tell;
use crate::cli::ImportArgs;
use crate::error::Result;
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::report::Report;
use crate::store::exchange::{Importing, import, write};
use crate::store::page;

/// Runs the command.
///
/// # Errors
/// When files cannot be read or hold no results, when nobody says which model, task or scale it is, and when
/// the directory holds something or cannot be written.
pub fn run(args: &ImportArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let importing = Importing {
        model: args.model.clone(),
        task: args.task.clone(),
        scale: args.scale,
        correct_from: args.correct_from,
    };
    let run = import(&args.paths, &importing)?;
    write(&run, &args.output)?;
    let report = judged_report(&run.outcomes, &run.record, args.rule.length_rule());
    let page = || page::page(&args.output, &run.record, &run.outcomes, report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?;
    shown.warning(run.record.warnings.clone()).out()?;
    tell(format_args!("results: {}", args.output.display()));
    Ok(())
}
