//! The rows of a report for the formats that a program reads: typed values with named columns, and no form
//! yet.

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

/// What a program reads of a report.
pub struct Data {
    /// The flat table.
    pub table: Rows,
    /// What says more than the table can, where something does.
    pub whole: Option<Whole>,
}

/// What does not fit into a flat table.
pub enum Whole {
    /// Rows with values inside values.
    Rows(Rows),
    /// One object, as indented JSON.
    Object(Box<dyn Fn() -> serde_json::Result<String>>),
}

impl Data {
    /// A flat table alone.
    #[must_use]
    pub fn rows<R: Serialize + Default + 'static>(rows: Vec<R>) -> Self {
        Self { table: Rows::of(rows), whole: None }
    }
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
    fn what_has_no_columns_is_no_row() {
        assert!(values(&7).unwrap_err().to_string().contains("no named columns"));
    }
}
