//! Files of JSON of any tool, read within limits: whole documents, and objects a line.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::{files, json};

/// Bytes of a document, at most: it is in memory at once.
const MOST_OF_DOCUMENT: u64 = 1 << 30;

/// Values in a document, at most.
const MOST_VALUES: usize = 20_000_000;

/// Bytes of a line, at most: a prompt of a million tokens stands in one.
const LONGEST_LINE: usize = 64 << 20;

/// Values in a line, at most.
const MOST_IN_LINE: usize = 2_000_000;

/// Rows of a file, at most.
pub(super) const MOST_ROWS: usize = 2_000_000;

/// The whole document.
///
/// # Errors
/// [`Error::File`] when it cannot be read, is too large, or is not of this form.
pub(super) fn document<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes =
        files::read(path, MOST_OF_DOCUMENT).map_err(|error| Error::file(path, files::problem(&error)))?;
    json::parse(&bytes, MOST_VALUES).map_err(|problem| {
        Error::file(path, format!("no results of a known form ({problem}); name another file"))
    })
}

/// The same where nobody has said that it is one.
///
/// # Errors
/// What is wrong, without a remedy.
pub(super) fn tried<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = files::read(path, MOST_OF_DOCUMENT).map_err(|error| error.to_string())?;
    json::parse(&bytes, MOST_VALUES)
}

/// Calls `each` with the number of every line, from 1, and its value. Empty lines are passed over.
///
/// # Errors
/// [`Error::File`] when the file cannot be read or a line is no JSON, and those of `each`.
pub(super) fn each_line(path: &Path, mut each: impl FnMut(usize, Value) -> Result<()>) -> Result<()> {
    let cannot_read = |error: std::io::Error| Error::file(path, files::problem(&error));
    let mut reader = BufReader::new(files::open(path).map_err(cannot_read)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let limit = LONGEST_LINE as u64 + 1;
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(cannot_read)?;
        let wrong = |problem: String| {
            Error::file(path, format!("line {number}: {problem}; mend the line, or leave it out"))
        };
        if read == 0 {
            return Ok(());
        }
        if line.len() > LONGEST_LINE {
            return Err(wrong(format!("more than {} MiB", LONGEST_LINE >> 20)));
        }
        if number > MOST_ROWS {
            return Err(wrong(format!("more than {MOST_ROWS} lines")));
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            each(number, json::parse(&line, MOST_IN_LINE).map_err(wrong)?)?;
        }
    }
    Ok(())
}

/// The first value of a file, of which no more than a line or a document is read.
///
/// # Errors
/// As [`each_line`].
pub(super) fn first_line(path: &Path) -> Result<Option<Value>> {
    let cannot_read = |error: std::io::Error| Error::file(path, files::problem(&error));
    let reader = BufReader::new(files::open(path).map_err(cannot_read)?);
    let mut line = Vec::new();
    let mut reader = reader.take(LONGEST_LINE as u64);
    while line.iter().all(u8::is_ascii_whitespace) {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(cannot_read)? == 0 {
            return Ok(None);
        }
    }
    Ok(json::parse(&line, MOST_IN_LINE).ok())
}

/// The keys of the objects at the beginning of a file, also of one that is cut short.
///
/// # Errors
/// [`Error::File`] when the file cannot be read.
pub(super) fn first_keys(path: &Path) -> Result<Vec<String>> {
    /// Bytes that are looked at.
    const START: u64 = 1 << 16;
    let cannot_read = |error: std::io::Error| Error::file(path, files::problem(&error));
    let mut bytes = Vec::new();
    files::open(path).map_err(cannot_read)?.take(START).read_to_end(&mut bytes).map_err(cannot_read)?;
    let (mut keys, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                at = json::end_of_text(&bytes, start);
                let next = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace());
                if depth == 1 && next == Some(&b':') {
                    keys.push(String::from_utf8_lossy(&bytes[start + 1..at - 1]).into_owned());
                }
            }
            _ => {}
        }
    }
    Ok(keys)
}
