//! The cell table as JSON: an array of objects with the columns of the CSV; missing is `null`.

use crate::error::{Error, Result};
use crate::report::CellSummary;

/// The cell table as indented JSON with a line end.
///
/// # Errors
/// When serialisation fails.
pub fn cells(cells: &[CellSummary]) -> Result<String> {
    let mut text =
        serde_json::to_string_pretty(cells).map_err(|e| Error::Message(format!("cell table: {e}")))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::report::tests::failed;

    #[test]
    fn missing_is_null_and_not_zero() {
        let text = cells(&report::cells(&[failed(1024, 50.0, 0)], &[])).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["context_length"], 1024);
        assert_eq!(value[0]["n"], 0);
        assert_eq!(value[0]["accuracy"], serde_json::Value::Null);
    }
}
