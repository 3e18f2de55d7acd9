//! A report for the formats that a program reads: what ran, totals, and rows of typed values with named
//! columns, and no form yet.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Takes one row: its values in the order of the columns, missing ones as null.
pub type Visit<'a> = &'a mut dyn FnMut(&Map<String, Value>) -> Result<()>;

/// Rows of one type. Values are made of a row when it is visited, so that a large table costs no more memory
/// than its rows.
pub struct Rows {
    columns: Vec<String>,
    visit: Box<dyn Fn(Visit<'_>) -> Result<()>>,
}

impl Rows {
    /// These rows; the columns are known without any.
    #[must_use]
    pub fn of<R: Serialize + Default + 'static>(rows: Vec<R>) -> Self {
        let visit = move |visit: Visit<'_>| rows.iter().try_for_each(|row| visit(&values(row)?));
        Self { columns: columns::<R>(), visit: Box::new(visit) }
    }

    /// Names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Hands over every row.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn each(&self, visit: Visit<'_>) -> Result<()> {
        (self.visit)(visit)
    }
}

/// Facts with names, made when they are asked for.
type Facts = Box<dyn Fn() -> Result<Map<String, Value>>>;

/// What a program reads of a report.
pub struct Data {
    /// What it is a report of: a word of [`KINDS`].
    pub kind: &'static str,
    /// The flat table.
    pub table: Rows,
    /// The same rows with values inside values, where the flat table cannot hold them.
    pub nested: Option<Rows>,
    ran: Facts,
    totals: Facts,
}

/// What reports are of. `docs/schema/report.schema.json` says for each what its JSON holds.
pub const KINDS: &[&str] = &[
    "run",
    "heads",
    "ranking",
    "trials",
    "tokens",
    "comparison",
    "gate",
    "side-by-side",
    "loss",
    "fade",
    "speed",
    "prompt",
    "checkpoint",
    "controls",
    "tasks",
    "masking",
    "retrieval",
    "models",
];

impl Data {
    /// Rows alone.
    #[must_use]
    pub fn rows<R: Serialize + Default + 'static>(kind: &'static str, rows: Vec<R>) -> Self {
        let none = || -> Facts { Box::new(|| Ok(Map::new())) };
        Self { kind, table: Rows::of(rows), nested: None, ran: none(), totals: none() }
    }

    /// With what ran: something that is written as an object.
    #[must_use]
    pub fn of(self, ran: impl Serialize + 'static) -> Self {
        Self { ran: Box::new(move || exact(&ran)), ..self }
    }

    /// With what is so of all rows together: something that is written as an object.
    #[must_use]
    pub fn with_totals(self, totals: impl Serialize + 'static) -> Self {
        Self { totals: Box::new(move || exact(&totals)), ..self }
    }

    /// With the same rows as they are where values stand inside values.
    #[must_use]
    pub fn with_nested<R: Serialize + Default + 'static>(self, rows: Vec<R>) -> Self {
        Self { nested: Some(Rows::of(rows)), ..self }
    }

    /// What ran.
    ///
    /// # Errors
    /// When it cannot be written as an object.
    pub fn ran(&self) -> Result<Map<String, Value>> {
        (self.ran)()
    }

    /// What is so of all rows together.
    ///
    /// # Errors
    /// When it cannot be written as an object.
    pub fn totals(&self) -> Result<Map<String, Value>> {
        (self.totals)()
    }
}

/// The fields of an object. They go through text, so that numbers of 32 bits keep their few digits.
fn exact(object: &impl Serialize) -> Result<Map<String, Value>> {
    let fields = serde_json::to_string(object).and_then(|text| serde_json::from_str(&text));
    fields.map_err(|error| Error::Message(format!("a report cannot be written: {error}")))
}

/// The columns of a type of rows: the fields that it is serialised with, in their order.
#[must_use]
pub fn columns<R: Serialize + Default>() -> Vec<String> {
    values(&R::default()).map(|row| row.keys().cloned().collect()).unwrap_or_default()
}

fn values(row: &impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(row) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(other) => Err(Error::Message(format!("a row has no named columns: {other}"))),
        Err(error) => Err(Error::Message(format!("a row cannot be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default, Serialize)]
    struct Row {
        name: String,
        value: Option<f64>,
        #[serde(skip)]
        _own: (),
    }

    #[test]
    fn columns_are_the_fields_that_are_written_and_are_known_without_a_row() {
        assert_eq!(columns::<Row>(), ["name", "value"]);
        assert_eq!(Rows::of(Vec::<Row>::new()).columns(), ["name", "value"]);
        let mut seen = Vec::new();
        let rows = Rows::of(vec![Row { name: "a".to_string(), value: None, _own: () }]);
        rows.each(&mut |row| {
            seen.push(row.values().cloned().collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [[Value::from("a"), Value::Null]]);
    }

    #[test]
    fn what_ran_keeps_its_digits_and_is_an_object() {
        let data = Data::rows("run", vec![Row::default()]).of(BTreeMap::from([("scale", 0.1f32)]));
        assert_eq!(serde_json::to_string(&data.ran().unwrap()).unwrap(), r#"{"scale":0.1}"#);
        assert!(data.totals().unwrap().is_empty());
        assert!(data.with_totals(7).totals().unwrap_err().to_string().contains("cannot be written"));
    }

    #[test]
    fn what_has_no_columns_is_no_row() {
        assert!(values(&7).unwrap_err().to_string().contains("no named columns"));
    }
}
