//! Rows of a file as names and texts: a table with commas, or a JSON object on each line.

use serde_json::{Map, Value};

use super::csv;
use super::file::{Place, TextFile};
use crate::error::Result;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    /// Its columns, each with its text.
    pub(super) fields: Vec<(String, String)>,
}

impl Row {
    /// What a column says; nothing where it is blank or missing.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        let (_, text) = self.fields.iter().find(|(name, _)| name == column)?;
        Some(text.as_str()).filter(|text| !text.trim().is_empty())
    }
}

/// Bytes of a text of a row, at most.
const LONGEST_TEXT: usize = 1 << 20;

/// The rows of a table by the extension of the file, or else by how it begins.
///
/// # Errors
/// When a row cannot be read, or a text of it is too long.
pub(super) fn read(file: &TextFile) -> Result<Vec<Row>> {
    let extension = file.path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let is_json = match extension.as_deref() {
        Some("csv") => false,
        Some("jsonl" | "ndjson" | "json") => true,
        _ => file.text.trim_start().starts_with(['{', '[']),
    };
    let rows = if is_json { of_objects(file)? } else { csv::rows(file)? };
    for row in &rows {
        if let Some((name, text)) = row.fields.iter().find(|(_, text)| text.len() > LONGEST_TEXT) {
            let found = format!("{} bytes", text.len());
            let expected = format!("at most {LONGEST_TEXT}; is a quotation mark not closed?");
            return Err(file.wrong(&Place::of(row.line, name), &found, &expected));
        }
    }
    Ok(rows)
}

/// The objects of the lines that are not blank, with the number of each line.
pub(super) fn objects(file: &TextFile) -> impl Iterator<Item = Result<(usize, Map<String, Value>)>> {
    let lines = file.text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| {
        let place = Place::line(number + 1);
        let expected = "a JSON object on each line (JSONL)";
        match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Ok((number + 1, object)),
            Ok(Value::Array(_)) => {
                let expected = format!("{expected}; jq -c '.[]' makes one of a list");
                Err(file.wrong(&place, "a list", &expected))
            }
            Ok(_) => Err(file.wrong(&place, "no object", expected)),
            Err(_) if line.trim() == "[" || line.trim() == "{" => {
                let expected = format!("{expected}; jq -c . makes one of a file of several lines");
                Err(file.wrong(&place, "the beginning of a longer JSON text", &expected))
            }
            Err(error) => {
                // The line of the file is said already, and of its text there is one alone.
                let found =
                    format!("no JSON ({})", error.to_string().replace(" at line 1 column ", " at column "));
                Err(file.wrong(&place, &found, expected))
            }
        }
    })
}

fn of_objects(file: &TextFile) -> Result<Vec<Row>> {
    let row = |(line, object): (usize, Map<String, Value>)| {
        let mut fields = Vec::with_capacity(object.len());
        for (name, value) in object {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Null => String::new(),
                _ => return Err(file.wrong(&Place::of(line, &name), "no text", "a text or a number")),
            };
            fields.push((name, text));
        }
        Ok(Row { line, fields })
    };
    objects(file).map(|object| object.and_then(row)).collect()
}
