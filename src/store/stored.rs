//! A run that is read to be shown: `run.json` and `results.csv` as data of somebody else, which may say
//! anything.

use std::collections::BTreeSet;
use std::path::Path;

use super::csv;
use super::directory::{RESULTS_CSV, RunRecord};
use crate::error::{Error, Result};
use crate::grid::ContextLength;
use crate::trial::Outcome;

/// A run as its directory has it.
pub struct StoredRun {
    /// What ran.
    pub record: RunRecord,
    /// Its rows. Numbers that are not finite are missing in them.
    pub outcomes: Vec<Outcome>,
    /// What does not fit together, and is shown all the same.
    pub warnings: Vec<String>,
}

impl StoredRun {
    /// Reads a run's directory.
    ///
    /// # Errors
    /// [`Error::File`] when it holds no run, is damaged, or mixes rows of several runs, and
    /// [`Error::Columns`] for a table with other columns.
    pub fn read(directory: &Path) -> Result<Self> {
        let record = RunRecord::read(directory)?;
        let path = directory.join(RESULTS_CSV);
        Self::of(record, &path, csv::read(&path)?)
    }

    /// Reads a run's directory to hold it against another one: what its prompts and answers say in words, and
    /// when they ended, is empty, which takes two fifths of the memory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_without_words(directory: &Path) -> Result<Self> {
        let record = RunRecord::read(directory)?;
        let path = directory.join(RESULTS_CSV);
        Self::of(record, &path, csv::read_as(&path, without_words)?)
    }

    /// Reads the directory of a run of any version, as far as its rows say what was expected and answered.
    ///
    /// # Errors
    /// As [`Self::read`], with [`Error::Columns`] only where a column is missing that is needed for this.
    pub fn read_of_any_version(directory: &Path) -> Result<Self> {
        let record = RunRecord::read(directory)?;
        let path = directory.join(RESULTS_CSV);
        let (outcomes, unknown) = csv::read_of_any_version(&path)?;
        let mut run = Self::of(record, &path, outcomes)?;
        if !unknown.is_empty() {
            let names = crate::printable::listed(unknown);
            run.warnings.push(format!("{}: not known to this version: {names}", path.display()));
        }
        Ok(run)
    }

    fn of(record: RunRecord, path: &Path, mut outcomes: Vec<Outcome>) -> Result<Self> {
        outcomes.iter_mut().for_each(without_infinite_numbers);
        let warnings = warnings(path, &record, &outcomes)?;
        Ok(Self { record, outcomes, warnings })
    }
}

/// The row without what is the same in all rows, but for the hash of their plan, and without what only a
/// reader makes use of.
fn without_words(row: Outcome) -> Outcome {
    Outcome {
        run_id: String::new(),
        model: String::new(),
        variant: String::new(),
        task: String::new(),
        needle: String::new(),
        question: String::new(),
        model_response: None,
        error: None,
        timestamp_utc: String::new(),
        answered: None,
        looked_at: None,
        ..row
    }
}

fn without_infinite_numbers(row: &mut Outcome) {
    let numbers = [
        &mut row.actual_depth_percent,
        &mut row.score,
        &mut row.answer_logprob,
        &mut row.needle_mass_top,
        &mut row.needle_mass_mean,
        &mut row.duration_seconds,
        &mut row.total_mass_top,
        &mut row.control_mass_top,
        &mut row.needle_excess_top,
        &mut row.control_excess_top,
    ];
    for number in numbers {
        *number = number.filter(|number| number.is_finite());
    }
}

/// Refuses rows that are no trial or of several runs; says what else does not belong to the run.
fn warnings(path: &Path, record: &RunRecord, outcomes: &[Outcome]) -> Result<Vec<String>> {
    let hashes: BTreeSet<&str> = outcomes.iter().map(|row| row.config_hash.as_str()).collect();
    if hashes.len() > 1 {
        let problem = format!(
            "holds rows of {} runs, with config_hash {}; keep those of one run in a directory",
            hashes.len(),
            crate::printable::listed(hashes)
        );
        return Err(Error::file(path, problem));
    }
    let mut warnings = Vec::new();
    if let Some(hash) = hashes.first().filter(|hash| **hash != record.config_hash) {
        warnings.push(format!(
            "{}: its rows are of another run than run.json tells of (config_hash {hash}, there {})",
            path.display(),
            record.config_hash
        ));
    }
    let mut strangers = 0;
    for row in outcomes {
        ContextLength::try_from(row.context_length).map_err(|error| {
            Error::file(
                path,
                format!("row {}: {error}; delete the line to have its trial run again", row.row_id),
            )
        })?;
        strangers +=
            usize::from(!record.settings.grid.contains(&row.cell()) || row.trial >= record.settings.trials);
    }
    if strangers > 0 {
        let all = outcomes.len();
        warnings
            .push(format!("{}: {strangers} of {all} rows are of no trial that was planned", path.display()));
    }
    Ok(warnings)
}
