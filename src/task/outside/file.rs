//! Reading a file of rows, and what is said of one that is wrong.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::hash::sha256_hex;
use crate::printable;

/// A file of the user's own as text.
pub(super) struct TextFile {
    pub(super) path: PathBuf,
    /// What it says, without a byte order mark.
    pub(super) text: String,
    /// SHA-256 of its bytes, in hex.
    pub(super) hash: String,
}

impl TextFile {
    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, is no UTF-8 text, or says nothing.
    pub(super) fn read(path: &Path, limit: u64) -> Result<Self> {
        let bytes = files::read(path, limit).map_err(|error| Error::file(path, files::problem(&error)))?;
        let hash = sha256_hex(&bytes);
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(Error::file(path, "found UTF-16, expected UTF-8; save it as UTF-8"));
        }
        let line = |at: usize| bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
            let problem =
                format!("line {}: found a zero byte, expected UTF-8 text; take it out of the file", line(at));
            return Err(Error::file(path, problem));
        }
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text.strip_prefix('\u{FEFF}').unwrap_or(text).to_string(),
            Err(error) => {
                let line = line(error.valid_up_to());
                let problem =
                    format!("line {line}: found a byte that is not UTF-8, expected UTF-8; save it as UTF-8");
                return Err(Error::file(path, problem));
            }
        };
        if text.trim().is_empty() {
            return Err(Error::file(path, "found no rows, expected at least one; write them into it"));
        }
        Ok(Self { path: path.to_path_buf(), text, hash })
    }

    /// What is wrong with a part of a row.
    pub(super) fn wrong(&self, at: &Place<'_>, found: &str, expected: &str) -> Error {
        let Place { line, column } = at;
        let column = column.map_or(String::new(), |column| format!(", {column}"));
        let found = printable::shortened(found);
        Error::file(&self.path, format!("line {line}{column}: found {found}, expected {expected}"))
    }

    /// The same for an error of something else that a value of the row is for.
    pub(super) fn wrong_value(&self, at: &Place<'_>, error: Error) -> Error {
        match error {
            Error::InvalidValue { found, expected, .. } => self.wrong(at, &found, &expected),
            other => other,
        }
    }
}

/// Where in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column, or key.
    pub(super) column: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(super) fn of(line: usize, column: &'a str) -> Self {
        Self { line, column: Some(column) }
    }

    pub(super) fn line(line: usize) -> Self {
        Self { line, column: None }
    }
}
