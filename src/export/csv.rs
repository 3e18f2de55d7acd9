//! The rows of a report as CSV: RFC 4180 with `\n` line ends, missing values as empty fields, and floats with
//! as many digits as it takes to read the same number again.
//!
//! Cells hold exactly what a model or a text says, with line ends as escapes ([`crate::escape`]), so that a
//! row is a line. A spreadsheet may take one that begins with `=` for a formula. [`Style::csv_safe`] marks
//! such cells.

use std::borrow::Cow;

use serde_json::Value;

use super::style::Style;
use crate::error::{Error, Result};
use crate::escape::escaped;
use crate::report::Report;

/// The table of the report, its header first, also where there is no row.
///
/// # Errors
/// When a row cannot be written.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    let failed = |error: String| Error::Message(format!("a row cannot be written as CSV: {error}"));
    let table = &report.data.table;
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(table.columns()).map_err(|error| failed(error.to_string()))?;
    table.each(&mut |row| {
        let fields: Vec<Cow<'_, Value>> = row.values().map(|value| field(value, style.csv_safe)).collect();
        writer.serialize(fields).map_err(|error| failed(error.to_string()))
    })?;
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// The value, a text in one line; with `safe` a single quote stands before a text that a spreadsheet would
/// take for a formula.
fn field(value: &Value, safe: bool) -> Cow<'_, Value> {
    let Value::String(text) = value else { return Cow::Borrowed(value) };
    match escaped(text) {
        line if safe && line.starts_with(['=', '+', '-', '@', '\t']) => {
            Cow::Owned(Value::String(format!("'{line}")))
        }
        Cow::Owned(line) => Cow::Owned(Value::String(line)),
        Cow::Borrowed(_) => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_begins_like_a_formula_is_marked_and_numbers_are_not() {
        let shown = |text: &str, safe| field(&Value::from(text), safe).into_owned();
        for text in ["+1", "-1", "=1+1", "@A1", "\t=1"] {
            assert_eq!(shown(text, true), format!("'{text}"));
            assert_eq!(shown(text, false), text);
        }
        for text in ["", "1", "'=1", "a=b", " =1"] {
            assert_eq!(shown(text, true), text);
        }
        assert_eq!(field(&Value::from(-0.5), true).into_owned(), -0.5);
    }

    #[test]
    fn a_text_with_line_ends_is_a_field_of_one_line_and_no_formula() {
        for safe in [true, false] {
            assert_eq!(field(&Value::from("\r=1\n\\"), safe).into_owned(), "\\r=1\\n\\\\");
        }
    }
}
