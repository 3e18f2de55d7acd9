//! `tojson` as transformers defines it: Python's `json.dumps`, without Jinja's escaping for HTML.

use std::io;

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// The deepest indent that is written, in columns.
const WIDEST: usize = 100;

/// The filter `tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
pub(super) fn tojson(
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<usize>,
    args: Kwargs,
) -> Result<Value, Error> {
    let ensure_ascii = ensure_ascii.map_or_else(|| args.get("ensure_ascii"), |given| Ok(Some(given)))?;
    let indent = indent.map_or_else(|| args.get("indent"), |given| Ok(Some(given)))?;
    let separators: Option<Vec<String>> = args.get("separators")?;
    let sort_keys: Option<bool> = args.get("sort_keys")?;
    args.assert_all_used()?;
    let indent = match indent {
        Some(width) if width > WIDEST => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("an indent of more than {WIDEST} columns"),
            ));
        }
        indent => indent.map(|width| " ".repeat(width)),
    };
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "separators are two texts")),
        None => [if indent.is_some() { "," } else { ", " }, ": "].map(str::to_string),
    };

    let mut json = serde_json::to_value(value).map_err(cannot)?;
    if sort_keys == Some(true) {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let formatter = Python { item, key, indent, depth: 0, empty: true };
    json.serialize(&mut Serializer::with_formatter(&mut bytes, formatter)).map_err(cannot)?;
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

/// Python's separators, and its indents where there are any.
struct Python {
    /// Between two items.
    item: String,
    /// Between a key and its value.
    key: String,
    indent: Option<String>,
    depth: usize,
    /// Whether nothing has been written since the last bracket was opened.
    empty: bool,
}

impl Python {
    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.new_line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.empty = false;
        self.new_line(writer)
    }

    fn new_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}
