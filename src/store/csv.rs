//! The tables of a run as CSV: `results.csv`, `attention.csv` and `tokens.csv` grow while the run lasts and
//! are read again later.
//!
//! The format is RFC 4180 with `\n` line ends: fields with commas or quotes stand in quotes, line ends in a
//! text are escapes ([`crate::escape`]), so that a row is a line, a missing value is an empty field, and
//! floats have as many digits as it takes to read the same number again.
//!
//! A table that another program has saved again is read where nothing was lost.
//!
//! A crash can tear the last record. A record is whole when its line end stands outside quotes, as another
//! program may have written a line end within them; what follows
//! the last whole record is dropped when the table is opened to continue it, and passed over when it is read.

mod limits;
mod relabelled;
mod saved_again;
mod spanned;

use std::borrow::Cow;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{self, Error, Result};
use crate::escape::{escaped, unescaped};
use crate::files;
use crate::report::data::columns;
use crate::report::loss::BucketLoss;
use crate::trial::{AttentionRow, KindRow, Outcome, RetrievalRow, ServedRow, SpanRow, TokenRow};

pub(super) use limits::check_growth;
use limits::{check_records, check_size, unreadable, whole_records};
pub(super) use relabelled::relabelled;
pub(super) use spanned::{check_bytes, joined, row_of_text, spanned, text_of};

/// A row of a table on disk. Its columns are its fields, in their order.
pub trait Row: Serialize + DeserializeOwned + Default {
    /// Columns of text, which no other program's spelling of a number, a truth value or a missing value is
    /// looked for in.
    const TEXT: &'static [&'static str];

    /// Columns that tables of earlier versions lack. They are missing in the rows of such a table, and empty
    /// once it is continued.
    const ADDED: &'static [&'static str] = &[];

    /// Columns without which a table says nothing, whatever version wrote it.
    const NEEDED: &'static [&'static str] = &[];

    /// Whether its table is read whole, so that it may not grow beyond what fits into memory.
    const IN_MEMORY: bool = false;

    /// The row as it was before an empty text became an empty field.
    #[must_use]
    fn restored(self) -> Self {
        self
    }

    /// What another program has changed in the row so that it cannot be what was written; `None` where
    /// nothing shows.
    fn problem(&self) -> Option<String> {
        None
    }
}

#[rustfmt::skip]
impl Row for Outcome {
    const TEXT: &'static [&'static str] = &[
        "run_id", "model", "variant", "task", "needle", "question", "expected_answer", "model_response", "error",
        "timestamp_utc", "config_hash", "row_id", "prompt_hash", "answered", "looked_at",
    ];

    const ADDED: &'static [&'static str] =
        &["needle_excess_top", "control_excess_top", "thinking_tokens", "thinking_cut", "changed_word", "answered_word", "answered", "looked_at",
          "earlier_values", "earlier_age", "noise_floor"];

    const NEEDED: &'static [&'static str] = &[
        "context_length", "depth_percent", "trial", "seed", "expected_answer", "model_response", "status", "row_id",
    ];

    const IN_MEMORY: bool = true;

    /// A trial that was scored had an answer, so its empty field is an empty answer and not a missing one.
    fn restored(mut self) -> Self {
        if self.score.is_some() {
            self.model_response.get_or_insert_default();
        }
        self
    }

    fn problem(&self) -> Option<String> {
        /// Characters of a SHA-256 in hex.
        const HASH: usize = 64;
        let cell = format!("{}:", self.context_length);
        let trial = format!(":{}", self.trial);
        let other_cell = || !self.row_id.starts_with(&cell) || !self.row_id.ends_with(&trial);
        saved_again::key_problem(&self.row_id)
            .or_else(|| other_cell().then(|| format!("row_id {:?} is not that of its length and trial", self.row_id)))
            .or_else(|| {
                // Of prompts without a needle nothing says what the digits were.
                let needle = Some(&self.needle).filter(|needle| !needle.is_empty())?;
                saved_again::digits_problem("expected_answer", &self.expected_answer, needle)
            })
            .or_else(|| {
                let lost = self.config_hash.len() == HASH && !self.config_hash.starts_with(&self.run_id);
                lost.then(|| format!("run_id {:?} does not begin config_hash: it was taken for a \
                                      number", self.run_id))
            })
    }
}

#[rustfmt::skip]
impl Row for AttentionRow {
    const TEXT: &'static [&'static str] = &["run_id", "row_id"];

    const ADDED: &'static [&'static str] = &[
        "output_gate", "gated_needle_mass", "needle_score", "score_margin", "score_margin_mean", "inverse_scale",
        "answer_needle_score", "answer_score_margin", "answer_score_margin_mean",
    ];

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

#[rustfmt::skip]
impl Row for BucketLoss {
    const TEXT: &'static [&'static str] = &[];
}

impl Row for SpanRow {
    const TEXT: &'static [&'static str] = &["run_id", "row_id", "kind", "text"];

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

impl Row for KindRow {
    const TEXT: &'static [&'static str] = &["run_id", "row_id", "kind"];

    const ADDED: &'static [&'static str] = &["score", "score_margin", "score_margin_mean"];

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

impl Row for RetrievalRow {
    const TEXT: &'static [&'static str] = &["run_id", "row_id"];

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

#[rustfmt::skip]
impl Row for ServedRow {
    const TEXT: &'static [&'static str] =
        &["run_id", "row_id", "finish_reason", "served_model", "system_fingerprint"];

    const IN_MEMORY: bool = true;

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

impl Row for TokenRow {
    const TEXT: &'static [&'static str] = &["run_id", "row_id", "token"];

    fn problem(&self) -> Option<String> {
        saved_again::key_problem(&self.row_id)
    }
}

/// A table that grows: rows reach the disk before [`Self::append`] returns, and an interrupted write never
/// spoils those before it. The file is locked against a second writer while this lives.
#[derive(Debug)]
pub struct Appender<R> {
    path: PathBuf,
    file: File,
    /// Bytes of whole records, header included: where the file must end.
    len: u64,
    dropped_bytes: u64,
    rows: PhantomData<R>,
}

impl<R: Row> Appender<R> {
    /// Opens the table to continue it, or begins it. A record torn by a crash is cut off (see
    /// [`Self::dropped_bytes`]).
    ///
    /// # Errors
    /// [`Error::Columns`] when the table has other columns; [`Error::File`] when it cannot be read or
    /// written, or another process is writing to it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let cannot = |what: &str| {
            let (path, what) = (path.clone(), what.to_string());
            move |e: io::Error| Error::file(&path, format!("cannot {what}: {e}"))
        };
        check_place(&path)?;
        let file =
            OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(cannot("open"))?;
        // A file system without locks is no reason to stop.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::file(
                &path,
                "another run is writing to it; wait for its end or use another -o",
            ));
        }
        let len = whole_records(BufReader::new(&file)).map_err(|e| unreadable(&path, &e))?;
        let dropped_bytes = file.metadata().map_err(cannot("read"))?.len().saturating_sub(len);
        layout::<R, _>(&path, &file, len, Versions::Own)?;
        if len > 0 && !is_written_here::<R>(&file).map_err(cannot("read"))? {
            let difference = format!("not {} in this order", columns::<R>().join(", "));
            return Err(Error::Columns { path, difference });
        }
        if dropped_bytes > 0 {
            file.set_len(len).map_err(cannot("cut off the torn last record"))?;
        }
        let mut table = Self { path, file, len, dropped_bytes, rows: PhantomData };
        if len == 0 {
            table.write(header::<R>().as_bytes())?;
        }
        Ok(table)
    }

    /// Bytes of a torn last record that were cut off when the table was opened.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file still stands under its name. One that was removed or replaced takes rows that nobody
    /// will find.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.file
            .metadata()
            .and_then(|open| Ok(is_same(&open, &fs::symlink_metadata(&self.path)?)))
            .unwrap_or(false)
    }

    /// Writes all rows so far to a new file, also when the table is no longer in its place.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn copy_to(&self, path: &Path) -> io::Result<()> {
        let mut from = &self.file;
        from.rewind()?;
        let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
        io::copy(&mut from.take(self.len), &mut copy)?;
        copy.sync_all()
    }

    /// Appends `rows` with one write and one sync.
    ///
    /// # Errors
    /// [`Error::Output`] when they would not be read again, as one is too long or the table would be too
    /// large, or cannot be written, as on a full disk; the table then ends with the row before them.
    pub fn append(&mut self, rows: &[R]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let bytes = to_csv(rows)?;
        check_records::<R>(&self.path, &bytes)?;
        check_growth::<R>(&self.path, self.len + bytes.len() as u64)?;
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        write_whole(&mut self.file, &mut self.len, bytes).map_err(|e| {
            let remedy = "everything before it is kept; make room or mend the disk, then run the same \
                          command again to go on";
            Error::output(&self.path, format!("cannot append: {}; {remedy}", error::reason(&e)))
        })
    }
}

/// Refuses a name under which no table may be written: through a link rows would go to a file outside of the
/// directory.
fn check_place(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let found = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => "a link to another place",
        kind if kind.is_dir() => "a directory",
        _ => "a device, a pipe or a socket",
    };
    Err(Error::file(path, format!("{found}, not a table; remove it, or use another directory with -o")))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Where files have no numbers, an open one cannot be removed.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// What [`write_whole`] needs of a file.
trait Storage: Write {
    fn cut(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends all of `bytes` to a file of `len` bytes, or cuts off what was written of them.
fn write_whole(storage: &mut impl Storage, len: &mut u64, bytes: &[u8]) -> io::Result<()> {
    let written = storage.write_all(bytes).and_then(|()| storage.sync());
    match written {
        Ok(()) => *len += bytes.len() as u64,
        // Where even this fails, the torn record is cut off when the table is opened next.
        Err(_) => storage.cut(*len).unwrap_or(()),
    }
    written
}

/// Reads a whole table; a torn last record is passed over.
///
/// # Errors
/// As [`rows`], and [`Error::File`] for a table that does not fit into memory.
pub fn read<R: Row>(path: impl AsRef<Path>) -> Result<Vec<R>> {
    read_as(path, |row| row)
}

/// Reads a whole table, of each row what `of` makes of it.
///
/// # Errors
/// As [`read`].
pub fn read_as<R: Row>(path: impl AsRef<Path>, of: impl Fn(R) -> R) -> Result<Vec<R>> {
    check_size(path.as_ref())?;
    rows(path)?.map(|row| row.map(&of)).collect()
}

/// Reads a whole table of any version: columns that this one does not know are passed over and returned, and
/// those that it lacks are empty where a row says something without them.
///
/// # Errors
/// As [`read`], with [`Error::Columns`] only for a column that is needed.
pub fn read_of_any_version<R: Row>(path: impl AsRef<Path>) -> Result<(Vec<R>, Vec<String>)> {
    check_size(path.as_ref())?;
    let (unknown, rows) = rows_of(path.as_ref(), Versions::Any)?;
    Ok((rows.collect::<Result<_>>()?, unknown))
}

/// Reads a table row by row, for those that do not fit into memory; a torn last record is passed over.
///
/// # Errors
/// [`Error::Columns`] when the table has other columns; [`Error::File`] when it cannot be read, and with the
/// line when a row cannot be understood.
pub fn rows<R: Row>(path: impl AsRef<Path>) -> Result<impl Iterator<Item = Result<R>>> {
    Ok(rows_of(path.as_ref(), Versions::Own)?.1)
}

/// The rows, and the columns that are passed over.
fn rows_of<R: Row>(
    path: &Path,
    versions: Versions,
) -> Result<(Vec<String>, impl Iterator<Item = Result<R>> + use<R>)> {
    let path = path.to_path_buf();
    let cannot_read = |e: io::Error| unreadable(&path, &e);
    let file = files::open(&path).map_err(cannot_read)?;
    let len = whole_records(BufReader::new(&file)).map_err(cannot_read)?;
    let (layout, mut reader) = layout::<R, _>(&path, file, len, versions)?;
    let columns = StringRecord::from(columns::<R>());
    let unknown = match versions {
        Versions::Own => Vec::new(),
        Versions::Any => {
            let header = reader.headers().map_err(|e| bad_row(&path, &e))?;
            let found = header.iter().map(|name| name.trim_start_matches('\u{feff}'));
            let unknown =
                found.filter(|name| !name.is_empty() && !columns.iter().any(|known| known == *name));
            unknown.map(str::to_string).collect()
        }
    };
    let rows = reader
        .into_records()
        .filter(|record| !record.as_ref().is_ok_and(|record| record.iter().all(str::is_empty)));
    let rows = rows.map(move |record| {
        let record = record.map_err(|e| bad_row(&path, &e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = row::<R>(&layout, &record, &columns);
        row.map_err(|problem| {
            Error::file(&path, format!("line {line}: {problem}; delete the line to have its trial run again"))
        })
    });
    Ok((unknown, rows))
}

/// Which versions of this program a table may be of.
#[derive(Clone, Copy)]
enum Versions {
    /// This one, and earlier ones that lack [`Row::ADDED`].
    Own,
    /// Any that has [`Row::NEEDED`].
    Any,
}

/// The rows that are wanted of a table that may not fit into memory.
///
/// # Errors
/// As [`rows`], and [`Error::File`] for more than `most` of them.
pub fn selected<R: Row>(path: impl AsRef<Path>, most: usize, wanted: impl Fn(&R) -> bool) -> Result<Vec<R>> {
    let path = path.as_ref();
    let mut selected = Vec::new();
    for row in rows::<R>(path)? {
        let row = row?;
        if wanted(&row) {
            selected.push(row);
        }
        if selected.len() > most {
            return Err(Error::file(path, format!("holds more than {most} rows of what was asked for")));
        }
    }
    Ok(selected)
}

/// The bytes of the rows that stand together and are of one trial, with its `row_id`, in the order of the
/// file. A row ends with a line end.
///
/// # Errors
/// As [`rows`].
pub(super) fn spans<R: Row>(path: &Path) -> Result<Vec<(String, Range<u64>)>> {
    let cannot_read = |e: io::Error| unreadable(path, &e);
    let file = files::open(path).map_err(cannot_read)?;
    let len = whole_records(BufReader::new(&file)).map_err(cannot_read)?;
    let (layout, reader) = layout::<R, _>(path, file, len, Versions::Own)?;
    let columns = columns::<R>();
    let mut spans: Vec<(String, Range<u64>)> = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(|e| bad_row(path, &e))?;
        let start = record.position().map_or(0, csv::Position::byte);
        let fields = layout.fields(&record.iter().collect::<Vec<_>>());
        let key = columns.iter().zip(fields).find(|(name, _)| *name == "row_id").map_or("", |(_, key)| key);
        if spans.last().is_none_or(|(last, _)| last != key) {
            spans.iter_mut().next_back().iter_mut().for_each(|(_, bytes)| bytes.end = start);
            spans.push((key.to_string(), start..len));
        }
    }
    Ok(spans)
}

/// One row of a file whose columns lie as `layout` says.
fn row<R: Row>(
    layout: &saved_again::Layout,
    record: &StringRecord,
    columns: &StringRecord,
) -> Result<R, String> {
    let found: Vec<&str> = record.iter().collect();
    let plain = |(name, field)| match R::TEXT.contains(&name) {
        true => unescaped(field),
        false => saved_again::plain(field),
    };
    let mut fields: Vec<Cow<'_, str>> = columns.iter().zip(layout.fields(&found)).map(plain).collect();
    let numbers = columns.iter().zip(&fields).filter(|(name, _)| !R::TEXT.contains(name));
    if let Some((name, field)) = numbers.into_iter().find(|(_, field)| saved_again::is_rounded(field)) {
        return Err(format!(
            "column {name}: found {field:?}: numbers were rounded when the table was saved; restore it"
        ));
    }
    loop {
        let record: StringRecord = fields.iter().map(AsRef::as_ref).collect();
        let error = match record.deserialize::<R>(Some(columns)).map(R::restored) {
            Ok(row) => return row.problem().map_or(Ok(row), Err),
            Err(error) => error,
        };
        let csv::ErrorKind::Deserialize { err, .. } = error.kind() else { return Err(error.to_string()) };
        let place = err.field().and_then(|place| usize::try_from(place).ok());
        let field = place.and_then(|place| Some((columns.get(place)?, fields.get_mut(place)?)));
        let Some((name, field)) = field else { return Err(err.kind().to_string()) };
        match saved_again::whole(field) {
            Some(whole) if !R::TEXT.contains(&name) => *field = Cow::Owned(whole.to_string()),
            _ => return Err(format!("column {name}: found {field:?}: {}", err.kind())),
        }
    }
}

/// Whether a table must be written anew before it is continued: another program has saved it.
///
/// # Errors
/// As [`rows`].
pub fn is_changed<R: Row>(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    let cannot_read = |e: io::Error| unreadable(path, &e);
    let file = files::open(path).map_err(cannot_read)?;
    let len = whole_records(BufReader::new(&file)).map_err(cannot_read)?;
    layout::<R, _>(path, &file, len, Versions::Own)?;
    Ok(len > 0 && !is_written_here::<R>(&file).map_err(cannot_read)?)
}

/// Whether the file begins with the line that this program writes.
fn is_written_here<R: Row>(mut file: &File) -> io::Result<bool> {
    let header = header::<R>();
    let mut found = Vec::new();
    file.rewind()?;
    file.take(header.len() as u64).read_to_end(&mut found)?;
    Ok(found == header.as_bytes())
}

/// A reader over the first `len` bytes and where its columns stand; a table that a crash left without a
/// header has no rows.
fn layout<R: Row, F: Read + Seek>(
    path: &Path,
    mut file: F,
    len: u64,
    versions: Versions,
) -> Result<(saved_again::Layout, csv::Reader<io::Take<F>>)> {
    let cannot_read = |e: io::Error| unreadable(path, &e);
    file.rewind().map_err(cannot_read)?;
    let mut start = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut start).map_err(cannot_read)?;
    if let Some(problem) = saved_again::encoding_problem(&start) {
        return Err(Error::file(path, problem));
    }
    file.rewind().map_err(cannot_read)?;
    let mut reader = csv::Reader::from_reader(file.take(len));
    let header = reader.headers().map_err(|e| bad_row(path, &e))?;
    let columns = columns::<R>();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let header: Vec<&str> = if len == 0 { columns.clone() } else { header.iter().collect() };
    let layout = match versions {
        Versions::Own => saved_again::Layout::of(&columns, R::ADDED, &header),
        Versions::Any => saved_again::Layout::of_any(&columns, R::NEEDED, &header),
    };
    let layout = layout.map_err(|difference| Error::Columns { path: path.to_path_buf(), difference })?;
    Ok((layout, reader))
}

fn bad_row(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(String::new(), |position| format!("line {}: ", position.line()));
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields instead of {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("column {}: not UTF-8", err.field() + 1),
        _ => error.to_string(),
    };
    Error::file(path, format!("{line}{problem}; delete the line to have its trial run again"))
}

fn to_csv<R: Row>(rows: &[R]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Message(format!("a row cannot be written as CSV: {e}"));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| failed(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    in_lines(bytes, rows.len()).map_err(|e| failed(e.to_string()))
}

/// The same `rows` with line ends and backslashes in their fields as escapes. Most rows have neither.
fn in_lines(bytes: Vec<u8>, rows: usize) -> csv::Result<Vec<u8>> {
    let line_ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
    if line_ends == rows && !bytes.iter().any(|byte| matches!(byte, b'\\' | b'\r')) {
        return Ok(bytes);
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(bytes.len()));
    for record in reader.records() {
        writer.write_record(record?.iter().map(|field| escaped(field).into_owned()))?;
    }
    writer.into_inner().map_err(|e| e.into_error().into())
}

/// A whole table as text.
///
/// # Errors
/// When serialisation fails.
pub fn text<R: Row>(rows: &[R]) -> Result<String> {
    let body = String::from_utf8(to_csv(rows)?).map_err(|e| Error::Message(e.to_string()))?;
    Ok(header::<R>() + &body)
}

/// The line of the names of the columns.
pub(super) fn header<R: Row>() -> String {
    format!("{}\n", columns::<R>().join(","))
}

#[cfg(test)]
mod tests;
