//! The directory of a measurement of losses.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::csv;
use super::directory::replace;
use crate::error::{self, Error, Result};
use crate::report::loss::BucketLoss;

/// Name of the table of buckets.
pub const LOSS_CSV: &str = "loss.csv";
/// Name of the file that says what was measured.
pub const LOSS_JSON: &str = "loss.json";

/// Writes `loss.csv` and `loss.json` into a directory, in the place of those that are there.
///
/// # Errors
/// [`Error::File`] or [`Error::Output`] when they cannot be written.
pub fn write_losses(directory: &Path, buckets: &[BucketLoss], record: &Value) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        replace(&path, |new| {
            fs::write(new, text).map_err(|error| {
                Error::output(
                    &path,
                    format!("cannot write: {}; choose another directory with -o", error::reason(&error)),
                )
            })
        })
    };
    write(LOSS_CSV, csv::text(buckets)?)?;
    write(LOSS_JSON, format!("{record:#}\n"))
}
