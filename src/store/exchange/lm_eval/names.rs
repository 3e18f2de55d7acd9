//! What the names of its files say: the task, and the time, which the files of one evaluation share.

use std::path::{Path, PathBuf};

use super::super::is_time;
use super::super::listing::{folder_of, whole};
use super::super::theirs::Asked;

/// Whether a file is called as its results or samples are.
pub(in super::super) fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let of_it = (name.starts_with("results_") && name.ends_with(".json"))
        || (name.starts_with("samples_") && name.ends_with(".jsonl"));
    of_it && time_of(path).is_some_and(|time| is_time(&time))
}

/// The task that a file of samples is named after: what stands between `samples_` and the time.
pub(super) fn task_of(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_string_lossy().into_owned();
    let rest = name.strip_prefix("samples_")?;
    match rest.rsplit_once('_') {
        Some((task, time)) if is_time(time) => Some(task.to_string()),
        _ => Some(rest.to_string()),
    }
}

/// The time in the name of one of its files.
pub(super) fn time_of(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_string_lossy().into_owned();
    name.rsplit_once('_').map(|(_, time)| time.to_string())
}

/// The folder of a file and its time: in one folder every evaluation of a model is kept.
pub(super) struct Times {
    folder: PathBuf,
    time: Option<String>,
}

impl Times {
    pub(super) fn of(path: &Path) -> Self {
        let folder = whole(path).parent().map(Path::to_path_buf).unwrap_or_default();
        Self { folder, time: time_of(path).filter(|time| is_time(time)) }
    }

    /// What a row answers. Lengths may have been evaluated one by one.
    pub(super) fn asked(
        &self,
        model: Option<&str>,
        task: Option<&str>,
        length: Option<usize>,
    ) -> Option<Asked> {
        let what = format!("{}\n{model:?}\n{task:?}\n{length:?}", self.folder.display());
        Some(Asked { what, time: self.time.clone()? })
    }
}

/// The files of samples that lie beside a `results_*.json`.
pub(in super::super) fn samples_beside(path: &Path) -> Vec<PathBuf> {
    let Some(time) = time_of(path) else { return Vec::new() };
    let entries = std::fs::read_dir(folder_of(path));
    let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_of_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("samples_") && name.ends_with(&format!("_{time}.jsonl"))
    };
    let mut found: Vec<PathBuf> = paths.filter(is_of_it).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_samples_say_the_task_and_the_time() {
        let path = Path::new("lm/samples_niah_single_1_2025-01-01T00-00-00.000000.jsonl");
        assert_eq!(task_of(path).as_deref(), Some("niah_single_1"));
        assert_eq!(time_of(path).as_deref(), Some("2025-01-01T00-00-00.000000"));
        assert!(is_name(path) && is_name(Path::new("results_2025-01-01T00-00-00.json")));
        assert!(
            !is_name(Path::new("results_all.json")) && !is_name(Path::new("samples_niah_single_1.jsonl"))
        );
        assert_eq!(Times::of(Path::new("samples_niah_single_1.jsonl")).asked(None, None, None), None);
    }
}
