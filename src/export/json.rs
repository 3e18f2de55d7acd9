//! The data of a report as JSON: an array of objects with the columns of the CSV, or more where the flat
//! table cannot hold all; missing is `null`.

use serde::ser::{SerializeSeq, Serializer as _};
use serde_json::Serializer;

use super::style::Style;
use crate::error::{Error, Result};
use crate::report::Report;
use crate::report::data::{Rows, Whole};

/// Indented JSON with a line end.
///
/// # Errors
/// When a value cannot be written.
pub fn write(report: &Report, _: &Style) -> Result<Vec<u8>> {
    let mut text = match &report.data.whole {
        None => array(&report.data.table)?,
        Some(Whole::Rows(rows)) => array(rows)?,
        Some(Whole::Object(text)) => text().map_err(|error| failed(&error))?.into_bytes(),
    };
    text.push(b'\n');
    Ok(text)
}

fn array(rows: &Rows) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut serializer = Serializer::pretty(&mut text);
    let mut array = serializer.serialize_seq(None).map_err(|error| failed(&error))?;
    rows.each(&mut |row| array.serialize_element(row).map_err(|error| failed(&error)))?;
    array.end().map_err(|error| failed(&error))?;
    Ok(text)
}

fn failed(error: &serde_json::Error) -> Error {
    Error::Message(format!("JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::Data;
    use crate::report::document::Document;
    use crate::report::tests::failed;

    #[test]
    fn missing_is_null_and_not_zero() {
        let cells = crate::report::cells(&[failed(1024, 50.0, 0)], &[]);
        let expected = serde_json::to_string_pretty(&cells).unwrap() + "\n";
        let report = Report { document: Document::default(), data: Data::rows(cells) };
        let text = String::from_utf8(write(&report, &Style::plain(80)).unwrap()).unwrap();
        assert_eq!(text, expected);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["context_length"], 1024);
        assert_eq!(value[0]["n"], 0);
        assert_eq!(value[0]["accuracy"], serde_json::Value::Null);
    }

    #[test]
    fn no_rows_are_an_empty_array() {
        let data = Data::rows(Vec::<crate::report::CellSummary>::new());
        let report = Report { document: Document::default(), data };
        assert_eq!(write(&report, &Style::plain(80)).unwrap(), b"[]\n");
    }
}
