//! A table under the name of another run.

use std::fs::OpenOptions;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::{bad_row, unreadable, whole_records};
use crate::error::{self, Error, Result};
use crate::files;

/// Copies a table to a new file with `run_id` in the column of this name. All other columns, also those that
/// this version does not know, stay as they are; a torn last record is left out.
///
/// # Errors
/// [`Error::File`] when it cannot be read, and when the new file is there already or cannot be written.
pub(in crate::store) fn relabelled(from: &Path, to: &Path, run_id: &str) -> Result<()> {
    let cannot_read = |e: io::Error| unreadable(from, &e);
    let cannot_write = |e: &io::Error| {
        let reason = error::reason(e);
        Error::file(to, format!("cannot write: {reason}; choose another directory with -o"))
    };
    let failed = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(e) => cannot_write(&e),
        other => Error::file(to, format!("cannot write: {other:?}")),
    };
    let mut file = files::open(from).map_err(cannot_read)?;
    let len = whole_records(BufReader::new(&file)).map_err(cannot_read)?;
    file.rewind().map_err(cannot_read)?;
    let mut reader = csv::Reader::from_reader(BufReader::new(file.take(len)));
    let header = reader.headers().map_err(|e| bad_row(from, &e))?.clone();
    let place = header.iter().position(|name| name.trim_start_matches('\u{feff}') == "run_id");
    let new = OpenOptions::new().write(true).create_new(true).open(to).map_err(|e| cannot_write(&e))?;
    let mut writer = csv::Writer::from_writer(&new);
    writer.write_record(&header).map_err(failed)?;
    for record in reader.records() {
        let record = record.map_err(|e| bad_row(from, &e))?;
        let named = |(at, field)| if Some(at) == place { run_id } else { field };
        writer.write_record(record.iter().enumerate().map(named)).map_err(failed)?;
    }
    writer.flush().map_err(|e| cannot_write(&e))?;
    new.sync_all().map_err(|e| cannot_write(&e))
}
