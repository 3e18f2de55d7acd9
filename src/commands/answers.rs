//! `niah score --answers`: answers of a server, put to their prompts and scored.

use std::path::Path;

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use crate::cli::ScoreArgs;
use crate::error::{Error, Result};
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::report::Report;
use crate::store::answered::{Answered, answered, write};
use crate::store::page;
use crate::store::rescored::Rescoring;
use crate::task::{Answers, Prompts};

/// Makes a run of the answers in its directory.
///
/// # Errors
/// When a file cannot be read or has a wrong row, when answers and prompts do not match, and when the
/// directory holds another run or cannot be written.
pub(super) fn page(args: &ScoreArgs, answers: &Path, rescoring: &Rescoring, style: &Style) -> Result<Shown> {
    check(&args.form, FIGURES)?;
    let wanted = |name: &str, expected: &str| Error::invalid(name, "nothing", expected);
    let prompts = args.prompts.as_deref();
    let prompts = prompts.ok_or_else(|| wanted("prompts", "the file of the prompts that were answered"))?;
    let directory = args.output.as_deref();
    let directory = directory.ok_or_else(|| wanted("output", "a directory for the run of these answers"))?;
    let (given, answers) = (Prompts::read(prompts)?, Answers::read(answers)?);
    let run: Answered = answered(prompts, &given, &answers, args.model.as_deref(), rescoring)?;
    let store = write(&run, directory)?;
    let report = judged_report(store.outcomes(), store.run_record(), args.rule.length_rule());
    let page = || page::page(directory, store.run_record(), store.outcomes(), report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    Shown::of(&args.form, &Report::from(report), page.as_ref(), style)
}
