//! What a run that is going on and its screen tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A run that is going on, on another thread than its screen.
#[derive(Debug)]
pub struct Going<'a> {
    /// Ends the run when it is set.
    stop: &'a AtomicBool,
    status: Mutex<Status>,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// In a line.
    pub(super) line: String,
    /// Trials that ended, so that a change is seen.
    pub(super) ended: usize,
    pub(super) end: Option<End>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All that was to run has.
    Whole,
    /// It was stopped, or failed.
    Broken,
}

impl<'a> Going<'a> {
    /// A run that ends when `stop` is set.
    #[must_use]
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self { stop, status: Mutex::default() }
    }

    /// So many trials ended; `line` says how far the run is.
    pub fn say(&self, line: String, ended: usize) {
        let mut status = self.locked();
        (status.line, status.ended) = (line, ended);
    }

    /// The run is over. A screen stays to be looked at where all that was to run has, `whole`, and ends else.
    pub fn over(&self, whole: bool) {
        self.locked().end.get_or_insert(if whole { End::Whole } else { End::Broken });
    }

    /// What was said last.
    #[must_use]
    pub fn line(&self) -> String {
        self.locked().line.clone()
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.locked().end.is_some()
    }

    pub(super) fn status(&self) -> Status {
        self.locked().clone()
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn locked(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
