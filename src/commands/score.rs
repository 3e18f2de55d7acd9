//! `niah score`: stored answers scored again, without a model.

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use super::tell;
use crate::cli::ScoreArgs;
use crate::error::Result;
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::report::Report;
use crate::report::run::RunReport;
use crate::store::page;
use crate::store::rescored::{self, Rescored, Rescoring};
use crate::store::stored::StoredRun;

/// Runs the command.
///
/// # Errors
/// When the directory holds no run or no answers, when the scorer is unknown, and when the new directory
/// holds something or cannot be written.
pub fn run(args: &ScoreArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let rescoring = Rescoring {
        scorer: args.scorer.clone(),
        normalise: args.scoring.normalise,
        correct_from: args.scoring.correct_from,
    };
    let stored = StoredRun::read_of_any_version(&args.directory)?;
    let Rescored { run, notes } = rescored::score_again(stored, &rescoring)?;
    let rule = args.rule.length_rule();
    let report = || {
        let report = judged_report(&run.outcomes, &run.record, rule);
        RunReport { notes: report.notes.into_iter().chain(notes.clone()).collect(), ..report }
    };
    let page = || page::page(&args.directory, &run.record, &run.outcomes, report());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report()), page.as_ref(), style)?;
    if let Some(directory) = &args.output {
        rescored::write(&run, &args.directory, directory)?;
    }
    shown.warning(run.warnings).out()?;
    if let Some(directory) = &args.output {
        tell(format_args!("results: {}", directory.display()));
    }
    Ok(())
}
