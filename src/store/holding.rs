//! What a directory of results is: that of one run, or of the runs of several models or tasks below it. It is
//! one of them alone, as each would hide the others.

use std::path::{Path, PathBuf};

use super::directory::RUN_JSON;
use super::models::{MODELS_JSON, ModelsRecord};
use super::tasks::{TASKS_JSON, TasksRecord};
use crate::error::{Error, Result};
use crate::plan::Settings;
use crate::report::tasks::AS_IT_IS;

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// One run.
    Run,
    /// A run of each of several models.
    Models,
    /// Runs of each of several tasks.
    Tasks,
}

impl Holding {
    /// What a directory holds by its own record; `None` where it has none.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        let all = [(Self::Run, RUN_JSON), (Self::Models, MODELS_JSON), (Self::Tasks, TASKS_JSON)];
        all.into_iter().find_map(|(holding, name)| directory.join(name).exists().then_some(holding))
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Run => "a single run",
            Self::Models => "several models",
            Self::Tasks => "several tasks",
        }
    }

    /// Refuses a directory that holds something else.
    ///
    /// # Errors
    /// [`Error::File`] for such a directory.
    pub fn check(self, directory: &Path) -> Result<()> {
        match Self::of(directory) {
            Some(found) if found != self => {
                let problem =
                    format!("holds {}; choose another directory for {} with -o", found.words(), self.words());
                Err(Error::file(directory, problem))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a directory of several models or tasks for a single run of these settings, and names the one below
/// that is of their model or task.
///
/// # Errors
/// [`Error::File`] for such a directory.
pub(super) fn check_single(directory: &Path, settings: &Settings) -> Result<()> {
    Holding::Run.check(directory).map_err(|error| match (error, place_of(directory, settings)) {
        (Error::File { path, problem }, Some(place)) => {
            Error::File { path, problem: format!("{problem}, or name the one below it: {}", place.display()) }
        }
        (error, _) => error,
    })
}

/// The directory below one of several models or tasks that is of these settings.
fn place_of(directory: &Path, settings: &Settings) -> Option<PathBuf> {
    match Holding::of(directory)? {
        Holding::Run => None,
        Holding::Models => {
            let record = ModelsRecord::read(directory).ok()?;
            let entry = record.models.iter().find(|entry| entry.model == settings.model.name)?;
            Some(directory.join(&entry.directory))
        }
        Holding::Tasks => {
            let record = TasksRecord::read(directory).ok()?;
            let task = record.tasks.iter().find(|task| *task == settings.task_name())?;
            Some(record.place(directory, task, settings.control.as_deref().unwrap_or(AS_IT_IS)))
        }
    }
}
