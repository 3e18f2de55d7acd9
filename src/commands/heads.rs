//! `niah heads`: which heads retrieve, in a stored run or by a run of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::shown::{Shown, check};
use super::{tasks, tell, write_file};
use crate::cli::HeadsArgs;
use crate::error::{self, Error, Result};
use crate::export::style::Style;
use crate::report::Report;
use crate::report::retrieval::RetrievalReport;
use crate::store::retrieval::{StoredHeads, is_stored, read};
use crate::task::groups;

/// Figures of the command.
const FIGURES: &[&str] = &["retrieval"];

/// Runs the command.
///
/// # Errors
/// When there is neither a run nor a checkpoint, when the run cannot be made, or when nothing of it says what heads
/// copy.
pub fn run(args: &HeadsArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let stored = Path::new(args.model.checkpoint.name());
    let (directory, ended) = match is_stored(stored) {
        true => (stored.to_path_buf(), Ok(())),
        false => measured(args)?,
    };
    page(args, &directory, style)?.out()?;
    ended
}

/// Runs the grid on a checkpoint; also returns what came of trials that failed.
fn measured(args: &HeadsArgs) -> Result<(PathBuf, Result<()>)> {
    let run_args = args.run();
    let (directory, ended) = match groups::is_several(&args.grid.task) {
        true => tasks::ran(&run_args)?,
        false => super::run::ran(&run_args)?,
    };
    if !args.telling.quiet {
        tell(format_args!("results: {}", directory.display()));
    }
    Ok((directory, ended))
}

/// What the command shows of a directory; the file of scores is written.
///
/// # Errors
/// As [`run()`].
pub fn page(args: &HeadsArgs, directory: &Path, style: &Style) -> Result<Shown> {
    let StoredHeads { title, trials, unknown, warnings } = read(directory)?;
    let (all, tasks) = (trials.trials.len(), trials.tasks.len());
    let trials = trials.counted(args.all_answers);
    let counted = trials.trials.len();
    if counted == 0 {
        let problem = format!(
            "none of {all} answers is right, and a head that copies a wrong one retrieves nothing; count every answer \
             with --all-answers, or measure shorter contexts"
        );
        return Err(Error::file(directory, problem));
    }
    let mut notes = vec![match args.all_answers {
        true => format!("all {all} answers count, of {tasks} tasks"),
        false => format!("the {counted} of {all} answers that are right count, of {tasks} tasks"),
    }];
    notes.extend((unknown > 0).then(|| format!("{unknown} trials ran without --retrieval and are left out")));
    if let Some(path) = &args.scores_to {
        write_scores(path, &trials.json(args.score))?;
    }
    let report = RetrievalReport { title, notes, trials, score: args.score, threshold: args.threshold };
    Ok(Shown::of(&args.form, &Report::from(report), None, style)?.warning(warnings))
}

fn write_scores(path: &Path, json: &str) -> Result<()> {
    write_file(path, |mut file| {
        let written = file.write_all(json.as_bytes());
        written.map_err(|error| Error::output(path, format!("cannot write: {}", error::reason(&error))))
    })
}
