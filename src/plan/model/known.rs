//! What has been measured on this machine, kept in a folder of the user's cache: a file for each processor,
//! set of instructions, number of threads and kind of checkpoint. A folder that cannot be written keeps
//! nothing, and what cannot be read is measured again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Precision;
use crate::error::{Error, Result, reason};
use crate::files;
use crate::hash;
use crate::kernel::cpu;
use crate::model::form_speed::FormSpeeds;
use crate::process::processor;

/// Bytes of a file at most.
const MOST_BYTES: u64 = 1 << 16;

/// How the names of files end.
const ENDING: &str = ".json";

/// A machine and a kind of checkpoint.
pub(super) struct Of {
    file: Option<PathBuf>,
    machine: Value,
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    machine: Value,
    nanoseconds: FormSpeeds,
}

impl Of {
    /// This machine, and checkpoints of such matrices in this precision.
    pub(super) fn new(matrices: &[(String, [usize; 2])], precision: Precision) -> Self {
        Self::below(folder(), matrices, precision)
    }

    fn below(folder: Option<PathBuf>, matrices: &[(String, [usize; 2])], precision: Precision) -> Self {
        let machine = json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "arch": std::env::consts::ARCH,
            "cpu": processor(),
            "instructions": cpu::used().0,
            "threads": rayon::current_num_threads(),
        });
        let kept = precision.kept.map(|kept| kept.bytes);
        let all = json!([machine, precision.dtype, precision.weights(), kept, matrices]);
        let name = &hash::hex(hash::sha256(all.to_string()))[..32];
        Self { file: folder.map(|folder| folder.join(format!("{name}{ENDING}"))), machine }
    }

    /// What was measured before.
    pub(super) fn known(&self) -> Option<FormSpeeds> {
        let text = files::read(self.file.as_ref()?, MOST_BYTES).ok()?;
        let FormSpeeds { expanded, kept } = serde_json::from_slice::<Kept>(&text).ok()?.nanoseconds;
        let sound = |x: f64| x.is_finite() && x > 0.0;
        let all = [expanded.prefill, expanded.decode, kept.prefill, kept.decode];
        all.into_iter().all(sound).then_some(FormSpeeds { expanded, kept })
    }

    /// Keeps what has been measured, where that is possible.
    pub(super) fn keep(&self, speeds: &FormSpeeds) {
        let Some((file, folder)) = self.file.as_ref().and_then(|file| Some((file, file.parent()?))) else {
            return;
        };
        let text =
            serde_json::to_string_pretty(&Kept { machine: self.machine.clone(), nanoseconds: *speeds });
        // Put in place whole: another process may read it now.
        let new = file.with_extension(format!("{}.new", std::process::id()));
        let write = |text: String| {
            fs::create_dir_all(folder)?;
            fs::write(&new, text + "\n")?;
            fs::rename(&new, file)
        };
        if text.is_ok_and(|text| write(text).is_err()) {
            let _ = fs::remove_file(&new);
        }
    }
}

/// Forgets what has been measured on this machine.
///
/// # Errors
/// [`Error::File`] when a file cannot be removed.
pub fn forget_speeds() -> Result<()> {
    folder().map_or(Ok(()), |folder| forget_in(&folder))
}

fn forget_in(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for file in files.filter(|file| file.to_string_lossy().ends_with(ENDING)) {
        fs::remove_file(&file).map_err(|error| {
            Error::file(&file, format!("cannot remove: {}; remove it by hand", reason(&error)))
        })?;
    }
    Ok(())
}

/// The folder: `niah/forms` in the cache of the user, where there is one.
fn folder() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let cache = set.filter(|cache| cache.is_absolute()).or_else(home)?;
    cache.is_absolute().then(|| cache.join("niah").join("forms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::form_speed::FormSpeed;
    use crate::spec::Dtype;

    fn of(folder: &Path, rows: usize) -> Of {
        let precision = Precision { dtype: Dtype::F32, kv_dtype: None, kept: None };
        Of::below(Some(folder.to_path_buf()), &[("a".to_string(), [rows, 8])], precision)
    }

    fn speeds(prefill: f64) -> FormSpeeds {
        let speed = FormSpeed { prefill, decode: 0.25 };
        FormSpeeds { expanded: speed, kept: speed }
    }

    #[test]
    fn what_was_measured_is_known_until_it_is_forgotten_and_of_its_own_kind_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        assert_eq!(of(&folder, 4).known(), None);
        of(&folder, 4).keep(&speeds(0.5));
        of(&folder, 4).keep(&speeds(0.75));
        assert_eq!((of(&folder, 4).known(), of(&folder, 5).known()), (Some(speeds(0.75)), None));
        fs::write(folder.join("other"), "stays").unwrap();
        forget_in(&folder).unwrap();
        assert_eq!(of(&folder, 4).known(), None);
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["other"]);
        forget_in(&place.path().join("nowhere")).unwrap();
    }

    #[test]
    fn what_is_damaged_is_not_known_and_what_cannot_be_written_is_not_kept() {
        let place = tempfile::tempdir().unwrap();
        let entry = of(place.path(), 4);
        entry.keep(&speeds(0.5));
        let file = entry.file.clone().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"threads\""), "{text}");
        for damaged in ["", "{", &text.replace("0.5", "-0.5"), &text.replace("prefill", "pre")] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(entry.known(), None, "{damaged}");
        }
        // A file stands where the folder would be.
        let blocked = of(&file, 4);
        blocked.keep(&speeds(0.5));
        assert_eq!(blocked.known(), None);
        let nowhere = Of { file: None, machine: Value::Null };
        nowhere.keep(&speeds(0.5));
        assert_eq!(nowhere.known(), None);
    }
}
