//! A plan that runs into a directory.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::telling::{Telling, stopped};
use crate::cli::TellingArgs;
use crate::error::Result;
use crate::evaluate::{Evaluation, Watch};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::trial::Trial;

/// How a plan is run into a directory.
pub(super) struct Keeping<'a> {
    /// Whether the attention on every token is kept.
    pub(super) tokens: bool,
    /// Trials to run at most.
    pub(super) limit: Option<usize>,
    /// How much is told.
    pub(super) telling: &'a TellingArgs,
    /// Ends the run when it is set.
    pub(super) stop: &'a AtomicBool,
}

/// A directory that holds every trial of a plan, or as many as were wanted.
pub(super) struct Kept {
    pub(super) store: RunDirectory,
    /// Trials that ran just now.
    pub(super) ran: Vec<Trial>,
    /// Trials of the whole plan.
    pub(super) planned: usize,
    pub(super) telling: Telling,
}

/// Runs the trials of a plan that `directory` lacks.
///
/// # Errors
/// When the directory is of another plan or cannot be written, when the weights are damaged, and when the run
/// is stopped, with what to do.
pub(super) fn run_into(
    directory: &Path,
    evaluation: &Evaluation,
    record: &RunRecord,
    keeping: &Keeping<'_>,
) -> Result<Kept> {
    let mut store = RunDirectory::open(directory, record, keeping.tokens)?;
    let planned = evaluation.trials().len();
    let mut telling = Telling::of(&evaluation.plan.settings, store.outcomes(), keeping.telling);
    telling = telling.planning(planned);
    let watch = Watch { progress: &mut telling, stop: keeping.stop };
    let ran = evaluation.go_on(&mut store, keeping.tokens, keeping.limit, watch);
    let ran = ran.map_err(|error| stopped(error, &store, planned, directory))?;
    Ok(Kept { store, ran, planned, telling })
}
