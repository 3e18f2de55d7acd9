//! Rows of a table with commas between its columns, the names of the columns in the first line (RFC 4180).

use std::collections::BTreeSet;

use csv::{ReaderBuilder, StringRecord};

use super::file::{Place, TextFile};
use super::rows::Row;
use crate::error::{Error, Result};

/// The rows behind the first line.
///
/// # Errors
/// When a quotation mark is not closed, a column is named twice, or a row has another number of fields.
pub(super) fn rows(file: &TextFile) -> Result<Vec<Row>> {
    let text = file.text.replace("\r\n", "\n");
    if text.matches('"').count() % 2 == 1 {
        let last = text.rfind('"').map_or(0, |at| text[..at].matches('\n').count()) + 1;
        let found = "an odd number of quotation marks, the last of them here";
        let expected = "every one closed; put a text with commas or quotation marks in \"...\", with \"\" for \
                        each of its own";
        return Err(file.wrong(&Place::line(last), found, expected));
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let mut next = || -> Result<Option<(usize, StringRecord)>> {
        match records.next() {
            None => Ok(None),
            Some(Ok(record)) => Ok(Some((line_of(&record), record))),
            Some(Err(error)) => Err(Error::file(&file.path, format!("no table with commas: {error}"))),
        }
    };
    let names: Vec<String> = match next()? {
        Some((_, record)) => record.iter().map(|name| name.trim().to_string()).collect(),
        None => Vec::new(),
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        let found = format!("the columns {}", names.join(", "));
        return Err(file.wrong(&Place::line(1), &found, "each of them once"));
    }
    let mut rows = Vec::new();
    while let Some((line, record)) = next()? {
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if record.len() != names.len() {
            let found = format!("{} fields", record.len());
            let expected = format!(
                "{} as in the first line ({}); put a text with commas in quotation marks",
                names.len(),
                names.join(", ")
            );
            return Err(file.wrong(&Place::line(line), &found, &expected));
        }
        let fields = names.iter().cloned().zip(record.iter().map(str::to_string)).collect();
        rows.push(Row { line, fields });
    }
    Ok(rows)
}

fn line_of(record: &StringRecord) -> usize {
    record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or(usize::MAX))
}
