//! `tojson` as transformers defines it: Python's `json.dumps`, without Jinja's escaping for HTML.

use std::io;

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// The filter `tojson(ensure_ascii=false, indent=none, sort_keys=false)`.
pub(super) fn tojson(value: &Value, args: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = args.get("indent")?;
    let ensure_ascii: Option<bool> = args.get("ensure_ascii")?;
    let sort_keys: Option<bool> = args.get("sort_keys")?;
    args.assert_all_used()?;

    let mut json = serde_json::to_value(value).map_err(cannot)?;
    if sort_keys == Some(true) {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    match indent {
        Some(width) => {
            let indent = vec![b' '; width];
            let formatter = PrettyFormatter::with_indent(&indent);
            json.serialize(&mut Serializer::with_formatter(&mut bytes, formatter)).map_err(cannot)?;
        }
        None => json.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)).map_err(cannot)?,
    }
    let text = String::from_utf8(bytes).map_err(cannot)?;
    Ok(Value::from(if ensure_ascii == Some(true) { ascii(&text) } else { text }))
}

fn cannot(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::InvalidOperation, "cannot be written as JSON").with_source(error)
}

/// Characters beyond ASCII occur in strings only, where an escape means the same.
fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            escaped.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// Python's separators on one line: a space after every comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
