//! A report as JSON: an object of what ran, totals, and rows with the columns of the CSV; missing is `null`.
//!
//! `docs/schema/report.schema.json` describes it. [`SCHEMA_VERSION`] counts changes that a program may not
//! understand; what is added does not change it.

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::style::Style;
use crate::error::{Error, Result};
use crate::report::Report;
use crate::report::data::Rows;

/// The version of the form.
pub const SCHEMA_VERSION: u32 = 1;

/// Indented JSON with a line end.
///
/// # Errors
/// When a value cannot be written.
pub fn write(report: &Report, _: &Style) -> Result<Vec<u8>> {
    let data = &report.data;
    let (ran, totals) = (data.ran()?, data.totals()?);
    let rows = Array(data.nested.as_ref().unwrap_or(&data.table));
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut text);
    let mut object = || {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("schema_version", &SCHEMA_VERSION)?;
        object.serialize_entry("report", data.kind)?;
        object.serialize_entry("niah", env!("CARGO_PKG_VERSION"))?;
        object.serialize_entry("ran", &ran)?;
        object.serialize_entry("totals", &totals)?;
        object.serialize_entry("rows", &rows)?;
        SerializeMap::end(object)
    };
    object().map_err(|error| Error::Message(format!("JSON: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

/// Rows that are made of their values when they are written.
struct Array<'a>(&'a Rows);

impl Serialize for Array<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(None)?;
        let written = self
            .0
            .each(&mut |row| array.serialize_element(row).map_err(|error| Error::Message(error.to_string())));
        written.map_err(S::Error::custom)?;
        array.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::report::data::Data;
    use crate::report::document::Document;
    use crate::report::tests::failed;

    fn written(data: Data) -> Value {
        let report = Report { document: Document::default(), data };
        let text = String::from_utf8(write(&report, &Style::plain(80)).unwrap()).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn missing_is_null_and_not_zero() {
        let cells = crate::report::cells(&[failed(1024, 50.0, 0)], &[]);
        let expected = serde_json::to_value(&cells).unwrap();
        let found = written(Data::rows("run", cells));
        assert_eq!(found["rows"], expected);
        assert_eq!((&found["rows"][0]["n"], &found["rows"][0]["accuracy"]), (&json!(0), &Value::Null));
    }

    #[test]
    fn a_report_is_an_object_of_what_ran_totals_and_rows() {
        let data = Data::rows("run", Vec::<crate::report::CellSummary>::new());
        let data = data.of(BTreeMap::from([("model", "tiny")])).with_totals(BTreeMap::from([("n", 3)]));
        let expected = json!({
            "schema_version": 1, "report": "run", "niah": env!("CARGO_PKG_VERSION"),
            "ran": {"model": "tiny"}, "totals": {"n": 3}, "rows": [],
        });
        assert_eq!(written(data), expected);
    }
}
