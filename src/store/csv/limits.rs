//! How much of a table is read, and so how much is written: a row that nobody could read again would take all
//! rows of its table with it.

use std::fs;
use std::io::{self, BufRead, ErrorKind};
use std::path::Path;

use csv::StringRecord;

use super::{Row, bad_row, columns};
use crate::error::{Error, Result};
use crate::files;

/// Bytes of a record, at most: a whole one is in memory at a time.
pub(super) const LONGEST_RECORD: u64 = 16 << 20;

/// Bytes of a table that is read into memory, at most: half a million trials.
pub(super) const MOST_IN_MEMORY: u64 = 512 << 20;

/// Refuses a table that does not fit into memory.
///
/// # Errors
/// [`Error::File`] for such a table.
pub(super) fn check_size(path: &Path) -> Result<()> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size <= MOST_IN_MEMORY {
        return Ok(());
    }
    let remedy = "delete lines of it, or run the plan in parts, each in a directory of its own";
    Err(Error::file(path, format!("{}; {remedy}", too_large(size))))
}

/// Refuses to write so large a table of rows that are read into memory again.
///
/// # Errors
/// [`Error::Output`] for a table that would be too large.
pub(in crate::store) fn check_growth<R: Row>(path: &Path, size: u64) -> Result<()> {
    if !R::IN_MEMORY || size <= MOST_IN_MEMORY {
        return Ok(());
    }
    let remedy = "what is there stays as it is; put the rest into another directory with -o";
    Err(Error::output(path, format!("it would have {}; {remedy}", too_large(size))))
}

fn too_large(size: u64) -> String {
    let (found, most) = (size.div_ceil(1 << 20), MOST_IN_MEMORY >> 20);
    format!("{found} MiB, more than the {most} MiB that are read")
}

/// Refuses rows of which one is too long, as they are to be written: each a line.
///
/// # Errors
/// [`Error::Output`] that names the row and its longest column.
pub(super) fn check_records<R: Row>(path: &Path, lines: &[u8]) -> Result<()> {
    let is_long = |line: &&[u8]| line.len() as u64 > LONGEST_RECORD;
    let Some(long) = lines.split_inclusive(|&byte| byte == b'\n').find(is_long) else { return Ok(()) };
    let mut record = StringRecord::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(long);
    reader.read_record(&mut record).map_err(|error| bad_row(path, &error))?;
    let columns = columns::<R>();
    let fields = || columns.iter().zip(&record);
    let row_id = fields().find(|(name, _)| *name == "row_id").map_or("", |(_, row_id)| row_id);
    let (name, field) = fields().max_by_key(|(_, field)| field.len()).map_or(("", ""), |(n, f)| (n, f));
    Err(Error::output(
        path,
        format!(
            "row {row_id}: column {name} has {} MiB, and no row of more than {} MiB is read again, so that it is \
             not written; shorten it",
            (field.len() as u64).div_ceil(1 << 20),
            LONGEST_RECORD >> 20
        ),
    ))
}

/// Bytes up to and including the last line end outside quotes. A quote inside a quoted field is doubled, so
/// counting quotes tells where a field ends.
pub(super) fn whole_records(mut reader: impl BufRead) -> io::Result<u64> {
    let (mut position, mut whole, mut quoted) = (0, 0, false);
    // Line ends so far, and up to the last whole record.
    let (mut lines, mut whole_lines) = (0, 0);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(whole);
        }
        for (offset, byte) in (1u64..).zip(chunk) {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' => {
                    lines += 1;
                    if !quoted {
                        (whole, whole_lines) = (position + offset, lines);
                    }
                }
                _ => {}
            }
        }
        let length = chunk.len();
        position += length as u64;
        if position - whole > LONGEST_RECORD {
            let (line, mib) = (whole_lines + 1, LONGEST_RECORD >> 20);
            let problem = format!(
                "line {line}: a row of more than {mib} MiB; delete the line to have its trial run again"
            );
            return Err(io::Error::new(ErrorKind::InvalidData, problem));
        }
        reader.consume(length);
    }
}

/// A table that cannot be read, with what to do about it.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::NotFound => {
            format!("cannot read: {error}; run the same niah run or niah merge command again to write it")
        }
        // It says itself what to do.
        ErrorKind::InvalidData => format!("cannot read: {error}"),
        _ => files::problem(error),
    };
    Error::file(path, problem)
}
