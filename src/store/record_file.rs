//! The files of JSON that say what lies in a directory of results: `run.json`, `tasks.json`, `models.json`.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::directory::replace;
use crate::error::{self, Error, Result};
use crate::files;

/// Reads a record of at most so many bytes.
///
/// # Errors
/// [`Error::File`] when it cannot be read, or is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path, most: u64) -> Result<T> {
    let text = files::read(path, most).map_err(|error| unreadable(path, &error))?;
    parsed(path, &text)
}

/// The record in the text of a file.
///
/// # Errors
/// [`damaged`] when it is none.
pub(super) fn parsed<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| damaged(path, &error.to_string()))
}

/// A file that the system does not give.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::file(path, format!("cannot read: {error}"))
}

/// A record that cannot be what this program wrote.
pub(super) fn damaged(path: &Path, problem: &str) -> Error {
    let remedy = "restore the file, or run again into another directory with -o";
    Error::file(path, format!("damaged, or of another version of niah ({problem}); {remedy}"))
}

/// Writes a record whole, in the place of what stood there.
///
/// # Errors
/// [`Error::Output`] for one of more than so many bytes, as it would not be read again, and [`Error::File`]
/// when it cannot be written.
pub(super) fn write(path: &Path, record: &impl Serialize, most: u64) -> Result<()> {
    let text = serde_json::to_string_pretty(record).map_err(|error| Error::file(path, error))?;
    if text.len() as u64 >= most {
        let (found, most) = (text.len().div_ceil(1 << 20), most >> 20);
        let remedy = "shorten what the settings say, or join fewer runs";
        let problem = format!("it would have {found} MiB, and less than {most} MiB are read; {remedy}");
        return Err(Error::output(path, problem));
    }
    replace(path, |new| {
        fs::write(new, text + "\n").map_err(|error| {
            let reason = error::reason(&error);
            Error::file(path, format!("cannot write: {reason}; choose another directory with -o"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_would_not_be_read_again_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.json");
        let text = |bytes: usize| "x".repeat(bytes);
        // Two quotation marks and a line end are added.
        write(&path, &text(1021), 1024).unwrap();
        assert_eq!(read::<String>(&path, 1024).unwrap(), text(1021));
        let error = write(&path, &text(1022), 1024).unwrap_err().to_string();
        assert!(error.contains("run.json: it would have 1 MiB"), "{error}");
        assert_eq!(read::<String>(&path, 1024).unwrap(), text(1021), "what stood there stays");
    }
}
