//! The rows of a table in the order of a plan, whatever the order that its trials ran in.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::Value;

use super::csv::{self, Row};
use super::directory::{RunRecord, replace};
use crate::error::{Error, Result};
use crate::files;

/// Writes a table anew with its trials sorted by `place`, which takes a `row_id`. The rows of a trial stay in
/// the order that they have.
///
/// # Errors
/// As [`csv::rows`], and when the new table cannot be written.
pub(super) fn sort<R: Row>(path: &Path, place: impl Fn(&str) -> usize) -> Result<()> {
    let cannot = |error: io::Error| Error::file(path, format!("cannot be put in order: {error}"));
    let mut spans = csv::spans::<R>(path)?;
    spans.sort_by_key(|(row_id, _)| place(row_id));
    let mut from = BufReader::new(files::open(path).map_err(cannot)?);
    replace(path, |new| {
        let mut to = BufWriter::new(File::create(new).map_err(cannot)?);
        let mut copy = || {
            to.write_all(csv::header::<R>().as_bytes())?;
            for (_, bytes) in &spans {
                from.seek(SeekFrom::Start(bytes.start))?;
                io::copy(&mut from.by_ref().take(bytes.end - bytes.start), &mut to)?;
            }
            to.flush()
        };
        copy().map_err(cannot)
    })
}

/// The kind of sequence that a prompt of a length is in a plan, by what its record says of the model, in the
/// order of [`DecoderSpec::planned_length`].
///
/// [`DecoderSpec::planned_length`]: crate::spec::DecoderSpec::planned_length
pub(super) fn kinds(record: &RunRecord) -> impl Fn(usize) -> usize + use<> {
    kinds_of(&record.model["spec"])
}

fn kinds_of(spec: &Value) -> impl Fn(usize) -> usize + use<> {
    let of_length = |layer: &Value| {
        matches!(layer["rope"]["scaling"]["rope_type"].as_str(), Some("dynamic" | "longrope"))
    };
    let by_length = spec["layers"].as_array().is_some_and(|layers| layers.iter().any(of_length));
    let screening = &spec["screening"];
    let widened = screening["window_expansion"] == true;
    let training_length = screening["training_length"].as_u64().filter(|_| widened);
    move |length| match training_length {
        _ if by_length => length,
        Some(training_length) => usize::from(length as u64 > training_length),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sequences_that_share_no_keys_are_of_several_kinds() {
        let kinds = |spec: Value| [100, 200, 300].map(kinds_of(&spec));
        let rope =
            |name: &str| json!({"layers": [{"rope": null}, {"rope": {"scaling": {"rope_type": name}}}]});
        assert_eq!(kinds(json!(null)), [0, 0, 0]);
        assert_eq!(kinds(rope("yarn")), [0, 0, 0]);
        assert_eq!(kinds(rope("dynamic")), [100, 200, 300]);
        assert_eq!(kinds(rope("longrope")), [100, 200, 300]);
        let screening = |widened: bool| {
            let screening = json!({"training_length": 200, "window_expansion": widened});
            json!({"layers": [], "screening": screening})
        };
        assert_eq!(kinds(screening(true)), [0, 0, 1]);
        assert_eq!(kinds(screening(false)), [0, 0, 0]);
    }
}
