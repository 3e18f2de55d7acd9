//! The directory of a measurement of speed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::directory::replace;
use crate::error::{self, Error, Result};
use crate::files;
use crate::report::speed::LengthSpeed;

/// Name of the file of a measurement.
pub const BENCH_JSON: &str = "bench.json";

/// Writes the file into a directory, in the place of one that is there: the lengths, and what was measured
/// under `about`.
///
/// # Errors
/// [`Error::File`] or [`Error::Output`] when it cannot be written.
pub fn write_speeds(directory: &Path, lengths: &[LengthSpeed], about: &Value) -> Result<()> {
    let path = directory.join(BENCH_JSON);
    let text = format!("{:#}\n", json!({ "about": about, "lengths": lengths }));
    replace(&path, |new| {
        fs::write(new, text).map_err(|error| {
            Error::output(
                &path,
                format!("cannot write: {}; choose another directory with -o", error::reason(&error)),
            )
        })
    })
}

/// Bytes of the file of a measurement, at most.
const MOST_BYTES: u64 = 16 << 20;

/// The lengths of a measurement.
///
/// # Errors
/// [`Error::File`] when the file is missing or damaged.
pub fn read_speeds(directory: &Path) -> Result<Vec<LengthSpeed>> {
    let path = directory.join(BENCH_JSON);
    let damaged = |error: String| Error::file(&path, format!("cannot be read: {error}; measure again"));
    let bytes = files::read(&path, MOST_BYTES).map_err(|error| damaged(error.to_string()))?;
    let mut json: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_value(json["lengths"].take()).map_err(|error| damaged(error.to_string()))
}
