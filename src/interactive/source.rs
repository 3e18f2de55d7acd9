//! Where the facts of a screen come from.

use std::path::PathBuf;

use crate::error::Result;
use crate::grid::Cell;
use crate::report::document::PromptToken;
use crate::report::heads::HeadSums;
use crate::store::page;
use crate::store::stored::StoredRun;
use crate::trial::Outcome;

/// The tables of a run, which may grow.
pub trait Source {
    /// Its trials so far.
    ///
    /// # Errors
    /// When they cannot be read.
    fn outcomes(&self) -> Result<Vec<Outcome>>;

    /// What the heads did in every cell; `None` where that was not kept.
    ///
    /// # Errors
    /// When it cannot be read.
    fn heads(&self, outcomes: &[Outcome]) -> Result<Option<HeadSums<Cell>>>;

    /// The prompt of a trial with the attention on its tokens; `None` where that was not kept.
    ///
    /// # Errors
    /// When it cannot be read.
    fn prompt(&self, outcome: &Outcome) -> Result<Option<Vec<PromptToken>>>;

    /// Its name on a command line.
    fn name(&self) -> String;
}

/// The directory of a run.
pub struct Stored(pub PathBuf);

impl Source for Stored {
    fn outcomes(&self) -> Result<Vec<Outcome>> {
        Ok(StoredRun::read(&self.0)?.outcomes)
    }

    fn heads(&self, outcomes: &[Outcome]) -> Result<Option<HeadSums<Cell>>> {
        page::head_sums(&self.0, outcomes)
    }

    fn prompt(&self, outcome: &Outcome) -> Result<Option<Vec<PromptToken>>> {
        page::prompt(&self.0, outcome)
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}
