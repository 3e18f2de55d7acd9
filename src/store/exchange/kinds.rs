//! What a file is: told by what it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::listing::Listed;
use super::reading::{document, first_line};
use super::theirs::Found;
use super::{gkamradt, inspect, lm_eval, ruler};
use crate::error::{Error, Result};

/// How a file is read.
pub(super) type Read = fn(&Path) -> Result<Found>;

/// The files that hold the rows of a file, and how they are read; `None` for a file in a folder that is of no
/// known form.
///
/// # Errors
/// [`Error::File`] when it cannot be read, and when it was named and is of no known form.
pub(super) fn sources(file: &Listed) -> Result<Option<(Vec<PathBuf>, Read)>> {
    let path = &file.path;
    let itself = |read: Read| Ok(Some((vec![path.clone()], read)));
    if let Some(value @ Value::Object(_)) = &first_line(path)? {
        let fields = Fields::of(path, "line 1", value)?;
        if lm_eval::is_sample(&fields) {
            return itself(lm_eval::samples);
        }
        if ruler::is_prediction(&fields) {
            return itself(ruler::predictions);
        }
        if gkamradt::is_second(&fields) {
            return itself(gkamradt::second);
        }
    }
    /// The keys of a document; its values take no memory.
    type Keys = BTreeMap<String, IgnoredAny>;
    let keys = match document::<Keys>(path) {
        Ok(keys) => keys,
        Err(error) if file.is_named => return Err(error),
        Err(_) => return Ok(None),
    };
    let outline: Map<String, Value> = keys.into_keys().map(|key| (key, json!(true))).collect();
    let outline = Value::Object(outline);
    let outline = Fields::of(path, "it", &outline)?;
    if inspect::is_log(&outline) {
        return itself(inspect::log);
    }
    if gkamradt::is_first(&outline) {
        return itself(gkamradt::first);
    }
    if lm_eval::is_results(&outline) {
        let beside = lm_eval::samples_beside(path);
        return match (beside.is_empty(), file.is_named) {
            (true, _) => itself(lm_eval::means),
            // In a folder they are read by themselves.
            (false, false) => Ok(Some((Vec::new(), lm_eval::samples))),
            (false, true) => Ok(Some((beside, lm_eval::samples))),
        };
    }
    if file.is_named {
        let known = "lm-eval, inspect, RULER or needlehaystack";
        return Err(Error::file(path, format!("is of none of {known}; name the file that the tool wrote")));
    }
    Ok(None)
}
