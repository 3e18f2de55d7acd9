//! The rows of a table in the order of a plan, whatever the order that its trials ran in.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::csv::{self, Row};
use super::directory::replace;
use crate::error::{Error, Result};
use crate::files;

/// Writes a table anew with its trials sorted by `place`, which takes a `row_id`. The rows of a trial stay in
/// the order that they have.
///
/// # Errors
/// As [`csv::rows`], and when the new table cannot be written.
pub(super) fn sort<R: Row>(path: &Path, place: impl Fn(&str) -> usize) -> Result<()> {
    let cannot = |error: io::Error| Error::file(path, format!("cannot be put in order: {error}"));
    let mut spans = csv::spans::<R>(path)?;
    spans.sort_by_key(|(row_id, _)| place(row_id));
    let mut from = BufReader::new(files::open(path).map_err(cannot)?);
    replace(path, |new| {
        let mut to = BufWriter::new(File::create(new).map_err(cannot)?);
        let mut copy = || {
            to.write_all(csv::header::<R>().as_bytes())?;
            for (_, bytes) in &spans {
                from.seek(SeekFrom::Start(bytes.start))?;
                io::copy(&mut from.by_ref().take(bytes.end - bytes.start), &mut to)?;
            }
            to.flush()
        };
        copy().map_err(cannot)
    })
}
