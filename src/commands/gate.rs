//! `niah gate`: whether a stored run meets what is asked of it, for a job that has to pass or fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::shown::{Shown, check};
use super::{compare, warn, write_file};
use crate::cli::GateArgs;
use crate::error::{self, Error, Result};
use crate::evaluate::{Finished, ran};
use crate::export::style::Style;
use crate::export::{junit, markdown};
use crate::report::gate::{Criterion, Gate, Judged};
use crate::store::stored::StoredRun;

/// Runs the command.
///
/// # Errors
/// [`Error::Failed`] when a criterion is not met. Any other when that cannot be said: no run, no criterion,
/// or too few trials to decide one.
pub fn run(args: &GateArgs, style: &Style) -> Result<()> {
    check(&args.form, &[])?;
    let criteria = args.criteria();
    if criteria.is_empty() {
        let expected = "a criterion, such as --min-accuracy 0.9 or --min-effective-length 8k";
        return Err(Error::invalid("niah gate", "none", expected));
    }
    let (run, gate) = judge(args, &criteria)?;
    let report = gate.report(ran(&run.record));
    if let Some(path) = &args.junit {
        let text = junit::write(&gate, &run.record.title());
        let write = |mut file: File| file.write_all(text.as_bytes()).map_err(|error| unwritten(path, &error));
        write_file(path, write).map_err(|error| match error {
            // There is no -o here.
            Error::File { path, problem } => {
                Error::file(path, problem.replace("; choose another file with -o", ""))
            }
            other => other,
        })?;
    }
    if let Some(path) = &args.markdown {
        append(path, &markdown::write(&report, style)?)?;
    }
    Shown::of(&args.form, &report, None, style)?.out()?;
    if gate.passed() { Ok(()) } else { Err(Error::Failed(gate.sentence())) }
}

/// The run and what became of the criteria.
fn judge(args: &GateArgs, criteria: &[Criterion]) -> Result<(Finished, Gate)> {
    let read = |directory: &Path| -> Result<Finished> {
        let StoredRun { record, outcomes, warnings } = StoredRun::read(directory)?;
        warn(&warnings);
        Ok(Finished { record, outcomes, ran: Vec::new() })
    };
    let run = read(&args.directory)?;
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    let compared = baseline.map(|baseline| compare::report(&baseline, &run, "B")).transpose()?;
    let judged = Judged {
        outcomes: &run.outcomes,
        planned: run.planned(),
        baseline: compared.as_ref().map(|compared| &compared.comparison.all),
        rule: args.rule.length_rule(),
    };
    let gate = Gate::of(&judged, criteria)?;
    Ok((run, gate))
}

/// Puts `text` behind what the file holds: the steps of a job share one summary.
fn append(path: &Path, text: &[u8]) -> Result<()> {
    let wrong = |error: io::Error| unwritten(path, &error);
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(wrong)?;
    let behind = file.metadata().is_ok_and(|file| file.len() > 0);
    file.write_all(if behind { b"\n" } else { b"" }).and_then(|()| file.write_all(text)).map_err(wrong)
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    Error::file(path, format!("cannot write: {}", error::reason(error)))
}
