//! The directory of several tasks that ran as one: `tasks.json` says which, and below it every task has the
//! directory of an ordinary run, or one for each control.
//!
//! As a run grows by trials, such a directory grows by tasks: a command that names all of its tasks and more
//! goes on in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::csv;
use super::directory::{KINDS_CSV, RUN_JSON, make};
use super::holding::Holding;
use super::record_file;
use super::stored::StoredRun;
use crate::error::{Error, Result};
use crate::registry;
use crate::report::controls::Meaning;
use crate::report::tasks::{AS_IT_IS, KindMass, TaskResult, TaskRun};
use crate::task::TASKS;
use crate::trial::KindRow;

/// Name of the file that says which tasks ran.
pub const TASKS_JSON: &str = "tasks.json";

/// `tasks.json`: what the runs below do not say themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TasksRecord {
    /// Version of niah.
    pub niah: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// What ran, in one line.
    pub title: String,
    /// The tasks, in their order.
    pub tasks: Vec<String>,
    /// Whether each ran with its controls.
    pub controls: bool,
    /// What of it could not run.
    pub left_out: Vec<LeftOut>,
}

/// A task, a control of it or a length of it that could not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The task.
    pub task: String,
    /// The control; missing for the task as it is.
    pub control: Option<String>,
    /// The length; missing where all are left out.
    pub context_length: Option<String>,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// Whether the task did not run at all.
    fn is_whole(&self) -> bool {
        self.control.is_none() && self.context_length.is_none()
    }

    /// In a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let control = self.control.iter().map(|control| format!(" under {control}"));
        let length = self.context_length.iter().map(|length| format!(" at {length}"));
        let what: String = control.chain(length).collect();
        format!("{}{what} is left out: {}", self.task, self.reason)
    }
}

/// Bytes of `tasks.json`, at most.
const MOST_OF_RECORD: u64 = 4 << 20;

impl TasksRecord {
    /// Whether a directory is one of several tasks.
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(TASKS_JSON).exists() && !directory.join(RUN_JSON).exists()
    }

    /// Reads `tasks.json`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, or names what is no task.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(TASKS_JSON);
        let record: Self = record_file::read(&path, MOST_OF_RECORD)?;
        // Names are parts of paths below.
        for name in &record.tasks {
            registry::find("task", TASKS, name)
                .map_err(|error| record_file::damaged(&path, &error.to_string()))?;
        }
        Ok(record)
    }

    /// What could not run, a sentence each: of a length that the task itself has no room for its controls say
    /// nothing more.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let said = |left: &LeftOut| {
            let mut others = self.left_out.iter().filter(|other| other.control.is_none());
            left.control.is_some()
                && others.any(|other| other.task == left.task && other.context_length == left.context_length)
        };
        self.left_out.iter().filter(|left| !said(left)).map(LeftOut::words).collect()
    }

    /// Begins in a directory, or goes on in it.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] when it holds tasks that this record has not, or none with the same controls,
    /// and [`Error::File`] when it holds a run of its own or several models, or cannot be written.
    pub fn open(&self, directory: &Path) -> Result<()> {
        self.check(directory)?;
        make(directory)?;
        self.write(directory)
    }

    /// Whether it can go on in a directory.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing is written.
    pub fn check(&self, directory: &Path) -> Result<()> {
        Holding::Tasks.check(directory)?;
        if directory.join(TASKS_JSON).exists() {
            let old = Self::read(directory)?;
            let grows = old.tasks.iter().all(|task| self.tasks.contains(task));
            let changed = |what: &str, old: String, new: String| Error::PlanChanged {
                path: directory.to_path_buf(),
                difference: format!("{what}: {old} -> {new}"),
            };
            if !grows {
                return Err(changed("tasks", old.tasks.join(","), self.tasks.join(",")));
            }
            if old.controls != self.controls {
                return Err(changed("controls", old.controls.to_string(), self.controls.to_string()));
            }
        }
        Ok(())
    }

    /// Writes `tasks.json`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        record_file::write(&directory.join(TASKS_JSON), self, MOST_OF_RECORD)
    }

    /// The directory of a task, or of one of its controls.
    #[must_use]
    pub fn place(&self, directory: &Path, task: &str, control: &str) -> PathBuf {
        let own = directory.join(task);
        if self.controls { own.join(control) } else { own }
    }
}

/// Several tasks with all of their rows.
pub struct StoredTasks {
    /// What ran.
    pub record: TasksRecord,
    /// What came of every task.
    pub results: Vec<TaskResult>,
    /// What does not fit together, and is shown all the same.
    pub warnings: Vec<String>,
}

impl StoredTasks {
    /// Reads the directory of several tasks.
    ///
    /// # Errors
    /// As [`TasksRecord::read`] and [`StoredRun::read`].
    pub fn read(directory: &Path) -> Result<Self> {
        Self::read_by(directory, StoredRun::read)
    }

    /// The same with every run as `read` gives it, which is told its directory.
    ///
    /// # Errors
    /// As [`TasksRecord::read`], and those of `read`.
    pub fn read_by(directory: &Path, mut read: impl FnMut(&Path) -> Result<StoredRun>) -> Result<Self> {
        let record = TasksRecord::read(directory)?;
        let (mut results, mut warnings) = (Vec::new(), Vec::new());
        let names: Vec<&str> = match record.controls {
            true => std::iter::once(AS_IT_IS).chain(Meaning::names()).collect(),
            false => vec![AS_IT_IS],
        };
        for task in &record.tasks {
            let left_out = record.left_out.iter().find(|left| left.task == *task && left.is_whole());
            let mut result = TaskResult {
                task: task.clone(),
                runs: Vec::new(),
                left_out: left_out.map(|left| left.reason.clone()),
            };
            for control in &names {
                let place = record.place(directory, task, control);
                if !place.join(RUN_JSON).exists() {
                    continue;
                }
                let StoredRun { record: run, outcomes, warnings: wrong } = read(&place)?;
                warnings.extend(wrong);
                result.runs.push(TaskRun {
                    control: control.to_string(),
                    planned: run.settings.grid.count().saturating_mul(run.settings.trials),
                    kinds: kinds(&place.join(KINDS_CSV))?,
                    outcomes,
                });
            }
            results.push(result);
        }
        Ok(Self { record, results, warnings })
    }
}

/// The largest mass of any head on each kind of span, trial by trial.
fn kinds(path: &Path) -> Result<Vec<KindMass>> {
    let mut masses: BTreeMap<(String, String), f64> = BTreeMap::new();
    if path.exists() {
        for row in csv::rows::<KindRow>(path)? {
            let row = row?;
            if row.mass.is_finite() {
                let mass = masses.entry((row.row_id, row.kind)).or_default();
                *mass = mass.max(row.mass);
            }
        }
    }
    Ok(masses.into_iter().map(|((row_id, kind), mass)| KindMass { row_id, kind, mass }).collect())
}
