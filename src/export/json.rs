//! Tables of a run as JSON: arrays of objects with the columns of the CSV; missing is `null`.

use serde::Serialize;

use crate::error::{Error, Result};

/// These rows as indented JSON with a line end.
///
/// # Errors
/// When serialisation fails.
pub fn array<R: Serialize>(rows: &[R]) -> Result<String> {
    let mut text =
        serde_json::to_string_pretty(rows).map_err(|error| Error::Message(format!("JSON: {error}")))?;
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
        let text = array(&report::cells(&[failed(1024, 50.0, 0)], &[])).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["context_length"], 1024);
        assert_eq!(value[0]["n"], 0);
        assert_eq!(value[0]["accuracy"], serde_json::Value::Null);
    }
}
