//! The rows of a table with the bytes that they stand in, to be copied as they are.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::saved_again::Layout;
use super::{Row, Versions, bad_row, columns, header, is_changed, layout, row, unreadable, whole_records};
use crate::error::{Error, Result};
use crate::files;
use crate::store::directory::replace;

/// The rows of a table, each with its bytes, its line end among them; a torn last record is passed over.
///
/// # Errors
/// As [`super::rows`], and [`Error::File`] for a table that another program has saved, whose bytes are not
/// those that are written here.
pub(in crate::store) fn spanned<R: Row>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(R, Range<u64>)>> + use<R>> {
    check_bytes::<R>(path)?;
    let path = path.to_path_buf();
    let cannot_read = |error: io::Error| unreadable(&path, &error);
    let file = files::open(&path).map_err(cannot_read)?;
    let len = whole_records(BufReader::new(&file)).map_err(cannot_read)?;
    let (layout, mut reader) = layout::<R, _>(&path, file, len, Versions::Own)?;
    let columns = StringRecord::from(columns::<R>());
    let mut record = StringRecord::new();
    Ok(std::iter::from_fn(move || {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(bad_row(&path, &error))),
        }
        let start = record.position().map_or(0, csv::Position::byte);
        let line = record.position().map_or(0, csv::Position::line);
        let end = reader.position().byte();
        let row = row::<R>(&layout, &record, &columns);
        let row = row.map_err(|problem| Error::file(&path, format!("line {line}: {problem}")));
        Some(row.map(|row| (row, start..end)))
    }))
}

/// Refuses a table whose bytes are not those that are written here.
///
/// # Errors
/// [`Error::File`] for one that another program or an earlier version has saved, and as [`super::rows`].
pub(in crate::store) fn check_bytes<R: Row>(path: &Path) -> Result<()> {
    match is_changed::<R>(path)? {
        false => Ok(()),
        true => {
            let problem = "another program, or an earlier version, has saved it; run the same niah run command \
                           again, which writes it anew";
            Err(Error::file(path, problem))
        }
    }
}

/// One row's text, of the bytes that [`spanned`] gave.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub(in crate::store) fn text_of(path: &Path, bytes: &Range<u64>) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = files::open(path)?;
        file.seek(SeekFrom::Start(bytes.start))?;
        let mut text = Vec::new();
        file.take(bytes.end - bytes.start).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| Error::file(path, format!("cannot read: {error}")))
}

/// The row of a text that [`text_of`] gave.
///
/// # Errors
/// [`Error::File`] when it is none.
pub(in crate::store) fn row_of_text<R: Row>(path: &Path, text: &[u8]) -> Result<R> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let mut record = StringRecord::new();
    reader.read_record(&mut record).map_err(|error| bad_row(path, &error))?;
    let columns = columns::<R>();
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let layout = Layout::of(&names, R::ADDED, &names)
        .map_err(|difference| Error::Columns { path: path.to_path_buf(), difference })?;
    row::<R>(&layout, &record, &StringRecord::from(columns.clone()))
        .map_err(|problem| Error::file(path, problem))
}

/// Writes a table of these pieces of others, in their order: each the number of a table and its bytes.
///
/// # Errors
/// [`Error::File`] when a table cannot be read, or the new one not be written.
pub(in crate::store) fn joined<R: Row>(
    to: &Path,
    from: &[PathBuf],
    pieces: impl IntoIterator<Item = (usize, Range<u64>)>,
) -> Result<()> {
    let cannot = |path: &Path, error: io::Error| Error::file(path, format!("cannot be joined: {error}"));
    let mut open: Vec<Option<BufReader<File>>> = from.iter().map(|_| None).collect();
    replace(to, |new| {
        let mut table = BufWriter::new(File::create(new).map_err(|error| cannot(to, error))?);
        table.write_all(header::<R>().as_bytes()).map_err(|error| cannot(to, error))?;
        let mut copy = |(number, bytes): (usize, Range<u64>)| -> Result<()> {
            let path = &from[number];
            let reader = match &mut open[number] {
                Some(reader) => reader,
                none => none.insert(BufReader::new(files::open(path).map_err(|error| cannot(path, error))?)),
            };
            // Relative: what is read behind one another stays in the buffer.
            let here = reader.stream_position().map_err(|error| cannot(path, error))?;
            let way = bytes.start.cast_signed() - here.cast_signed();
            reader.seek_relative(way).map_err(|error| cannot(path, error))?;
            let len = bytes.end - bytes.start;
            let copied = io::copy(&mut reader.take(len), &mut table).map_err(|error| cannot(path, error))?;
            match copied == len {
                true => Ok(()),
                false => Err(Error::file(path, "became shorter while it was read; join the runs again")),
            }
        };
        let mut waiting: Option<(usize, Range<u64>)> = None;
        for (number, bytes) in pieces {
            match &mut waiting {
                Some((last, range)) if *last == number && range.end == bytes.start => range.end = bytes.end,
                other => other.replace((number, bytes)).map_or(Ok(()), &mut copy)?,
            }
        }
        waiting.map_or(Ok(()), &mut copy)?;
        table.flush().map_err(|error| cannot(to, error))
    })
}
