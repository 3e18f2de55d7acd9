//! What is told on stderr while trials run, a line and then a bar, and when they are stopped.

use std::path::Path;

use super::tell;
use crate::error::Error;
use crate::progress::{Bar, Progress};
use crate::store::directory::RunDirectory;

/// The error of a run of so many trials with what to do, where it was stopped.
pub(super) fn stopped(error: Error, store: &RunDirectory, planned: usize, directory: &Path) -> Error {
    match error {
        Error::Interrupted => Error::Stopped(format!(
            "stopped after {} of {planned} trials; they are kept in {}. Run the same command again to go on",
            store.done().len(),
            directory.display()
        )),
        other => other,
    }
}

/// Tells of trials.
#[derive(Default)]
pub(super) struct Telling(Option<Bar>);

impl Progress for Telling {
    fn begins(&mut self, what: &str) {
        tell(what);
    }

    fn expects(&mut self, tokens: usize) {
        self.0 = Some(Bar::new(tokens));
    }

    fn advance(&mut self, tokens: usize) {
        self.0.iter_mut().for_each(|bar| bar.advance(tokens));
    }

    fn at(&mut self, what: &str) {
        self.0.iter_mut().for_each(|bar| bar.at(what));
    }

    fn finish(&mut self) {
        self.0.iter_mut().for_each(Progress::finish);
    }
}
