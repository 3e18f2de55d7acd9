//! The directory of several checkpoints that ran on one plan: `models.json` says which, and below it each has
//! the directory of an ordinary run.
//!
//! Such a directory grows by checkpoints, as one of several tasks does by tasks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{RUN_JSON, make};
use super::holding::Holding;
use super::record_file;
use super::stored::StoredRun;
use crate::error::{Error, Result};
use crate::report::models::ModelResult;

/// Name of the file that says which checkpoints ran.
pub const MODELS_JSON: &str = "models.json";

/// Bytes of `models.json`, at most.
const MOST_OF_RECORD: u64 = 16 << 20;

/// `models.json`: what the runs below do not say themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelsRecord {
    /// Version of niah.
    pub niah: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// What ran, in one line.
    pub title: String,
    /// The checkpoints, in their order.
    pub models: Vec<ModelEntry>,
}

/// One of the checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// As it was named.
    pub model: String,
    /// The step of a training that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Its directory below.
    pub directory: String,
    /// Why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

impl ModelsRecord {
    /// Whether a directory is one of several checkpoints.
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(MODELS_JSON).exists() && !directory.join(RUN_JSON).exists()
    }

    /// Reads `models.json`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, or names a directory that is none below.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(MODELS_JSON);
        let record: Self = record_file::read(&path, MOST_OF_RECORD)?;
        let mut seen = BTreeSet::new();
        for entry in &record.models {
            if !is_one_name(&entry.directory) || !seen.insert(&entry.directory) {
                return Err(record_file::damaged(&path, &format!("directory {:?}", entry.directory)));
            }
        }
        Ok(record)
    }

    /// Begins in a directory, or goes on in it: checkpoints that lie there keep their directories.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] when it holds checkpoints that this record has not, and [`Error::File`] when it
    /// holds a run of its own or several tasks, or cannot be written.
    pub fn open(&mut self, directory: &Path) -> Result<()> {
        self.take_places(directory)?;
        make(directory)?;
        self.write(directory)
    }

    /// Gives checkpoints that lie in a directory already the directories that they have there.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing is written.
    pub fn take_places(&mut self, directory: &Path) -> Result<()> {
        Holding::Models.check(directory)?;
        if directory.join(MODELS_JSON).exists() {
            let old = Self::read(directory)?;
            for before in &old.models {
                let Some(entry) = self.models.iter_mut().find(|entry| entry.model == before.model) else {
                    let names = |record: &Self| {
                        record.models.iter().map(|entry| entry.model.as_str()).collect::<Vec<_>>().join(",")
                    };
                    let difference = format!("models: {} -> {}", names(&old), names(self));
                    return Err(Error::PlanChanged { path: directory.to_path_buf(), difference });
                };
                entry.directory.clone_from(&before.directory);
            }
        }
        let mut seen = BTreeSet::new();
        if !self.models.iter().all(|entry| seen.insert(&entry.directory)) {
            let problem = "two models would have one directory below; choose another directory with -o";
            return Err(Error::file(directory, problem));
        }
        Ok(())
    }

    /// Writes `models.json`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        record_file::write(&directory.join(MODELS_JSON), self, MOST_OF_RECORD)
    }
}

/// Whether a name leads to no other place.
fn is_one_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
}

/// Names of directories for checkpoints, each once: what is last in the name of a checkpoint, with a number
/// behind it where that is taken.
#[must_use]
pub fn directory_names(models: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |model: &String| {
        let last = model.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or_default();
        let last = last.strip_suffix(".gguf").unwrap_or(last);
        let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let last: String = last.chars().map(plain).take(100).collect();
        let last = last.trim_matches('.');
        let last = if last.is_empty() { "model" } else { last }.to_string();
        let names = (2..).map(|number| format!("{last}-{number}"));
        let free = std::iter::once(last.clone()).chain(names).find(|name| !taken.contains(name));
        let free = free.unwrap_or(last);
        taken.insert(free.clone());
        free
    };
    models.iter().map(name).collect()
}

/// Several checkpoints with all of their rows.
pub struct StoredModels {
    /// What ran.
    pub record: ModelsRecord,
    /// What came of every checkpoint.
    pub results: Vec<ModelResult>,
    /// What does not fit together, and is shown all the same.
    pub warnings: Vec<String>,
}

impl StoredModels {
    /// Reads the directory of several checkpoints.
    ///
    /// # Errors
    /// As [`ModelsRecord::read`] and [`StoredRun::read`].
    pub fn read(directory: &Path) -> Result<Self> {
        let record = ModelsRecord::read(directory)?;
        let (mut results, mut warnings) = (Vec::new(), Vec::new());
        for entry in &record.models {
            let mut result = ModelResult {
                model: entry.model.clone(),
                step: entry.step,
                left_out: entry.left_out.clone(),
                ..ModelResult::default()
            };
            let place: PathBuf = directory.join(&entry.directory);
            if place.join(RUN_JSON).exists() {
                let StoredRun { record: run, outcomes, warnings: wrong } = StoredRun::read(&place)?;
                warnings.extend(wrong);
                result.planned = run.settings.planned();
                result.outcomes = outcomes;
            }
            results.push(result);
        }
        Ok(Self { record, results, warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_the_last_names_of_checkpoints_each_once() {
        let models = ["a/step-100", "b/step-100/", "x.gguf", "org/x", "..", "shipped:ssmax", "c\\d e"];
        let names = directory_names(&models.map(str::to_string));
        assert_eq!(names, ["step-100", "step-100-2", "x", "x-2", "model", "shipped-ssmax", "d-e"]);
        assert!(names.iter().all(|name| is_one_name(name)));
        for name in ["", ".", "..", "a/b", "/a", "../a", "a/"] {
            assert!(!is_one_name(name), "{name}");
        }
    }
}
