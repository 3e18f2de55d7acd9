//! What a file is: told by what it holds, and where that is damaged by its name or by how it begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::listing::Listed;
use super::reading::{document, first_keys, first_line, tried};
use super::theirs::Found;
use super::{gkamradt, inspect, lm_eval, ruler};
use crate::error::{Error, Result};

/// How a file is read.
pub(super) type Read = fn(&Path) -> Result<Found>;

/// The files that hold the rows of a file, and how they are read; `None` for a file in a folder that is of no
/// known form.
///
/// # Errors
/// [`Error::File`] when it cannot be read, when it was named and is of no known form, and when it was not and
/// looks like results of a tool, but is damaged.
pub(super) fn sources(file: &Listed) -> Result<Option<(Vec<PathBuf>, Read)>> {
    let path = &file.path;
    let itself = |read: Read| Ok(Some((vec![path.clone()], read)));
    let first = first_line(path)?;
    if let Some(value @ Value::Object(_)) = &first {
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
    let keys = match tried::<Keys>(path) {
        Ok(keys) => keys,
        Err(_) if file.is_named => document::<Keys>(path)?,
        Err(problem) => {
            // Lines of JSON are whole, though no document.
            return match seeming(path)?.filter(|_| first.is_none()) {
                Some(tool) => Err(damaged(path, tool, &problem)),
                None => Ok(None),
            };
        }
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
        return if beside.is_empty() { itself(lm_eval::means) } else { Ok(Some((beside, lm_eval::samples))) };
    }
    if file.is_named {
        let known = "lm-eval, inspect, RULER or needlehaystack";
        return Err(Error::file(path, format!("is of none of {known}; name the file that the tool wrote")));
    }
    Ok(None)
}

fn damaged(path: &Path, tool: &str, problem: &str) -> Error {
    let problem = format!(
        "looks like results of {tool}, but is damaged or cut short ({problem}); write it again, or take it out of \
         the folder"
    );
    Error::file(path, problem)
}

/// By what results of a tool are known that cannot be read as a whole.
struct Look {
    tool: &'static str,
    /// Whether a file is called as theirs are.
    is_name: fn(&Path) -> bool,
    /// Keys with which they begin.
    begins: &'static [&'static str],
}

const LOOKS: &[Look] = &[
    Look { tool: lm_eval::NAME, is_name: lm_eval::is_name, begins: &["doc_id", "doc"] },
    Look { tool: inspect::NAME, is_name: inspect::is_name, begins: &["status", "eval"] },
    Look { tool: ruler::NAME, is_name: ruler::is_name, begins: &["index", "pred"] },
    Look { tool: gkamradt::FIRST, is_name: gkamradt::is_name, begins: &["model", "context_length"] },
    Look { tool: gkamradt::SECOND, is_name: |_| false, begins: &["schema_version", "run_name"] },
];

/// The tool whose results a file seems to be.
fn seeming(path: &Path) -> Result<Option<&'static str>> {
    let keys = first_keys(path)?;
    let begins = |look: &Look| look.begins.iter().all(|key| keys.iter().any(|found| found == key));
    let found = LOOKS.iter().find(|look| (look.is_name)(path) || begins(look));
    Ok(found.map(|look| look.tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Result<bool> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        sources(&Listed { path, is_named: false }).map(|found| found.is_some())
    }

    #[test]
    fn a_damaged_file_in_a_folder_that_looks_like_results_was_passed_over() {
        let log =
            "{\n  \"version\": 2,\n  \"status\": \"success\",\n  \"eval\": {\"task\": \"n\"},\n  \"samp";
        let time = "2025-01-01T00-00-00.000000";
        for (name, text, tool) in [
            ("m_len_2000_depth_0_results.json", "", "gkamradt 1"),
            ("a.json", "{\"model\": \"m\", \"context_length\": 2000, \"depth_", "gkamradt 1"),
            ("log.json", log, "inspect"),
            ("2025-01-01T00-00-00+00-00_niah_abc.json", "{", "inspect"),
            (&format!("samples_niah_{time}.jsonl"), "", "lm-eval"),
            (&format!("results_{time}.json"), "{\"results\": {", "lm-eval"),
            ("a.jsonl", "{\"doc_id\": 0, \"doc\": {\"input\": \"long", "lm-eval"),
            ("m/synthetic/4096/pred/niah.jsonl", "{\"ind", "RULER"),
            ("b.jsonl", "{\"index\": 0, \"pred\": \"a\", \"in", "RULER"),
            ("c.jsonl", "{\"schema_version\": 2, \"run_name\": \"r\", ", "gkamradt 2"),
        ] {
            let said = found(name, text).unwrap_err().to_string();
            assert!(
                said.contains(&format!("looks like results of {tool}, but is damaged")),
                "{name}: {said}"
            );
        }
    }

    #[test]
    fn what_is_of_no_known_form_is_passed_over() {
        for (name, text) in [
            ("package.json", "{\"name\": \"x\"}"),
            ("tsconfig.json", "{ // a comment\n}"),
            ("rows.jsonl", "{\"a\": 1}\n{\"a\": 2}\n"),
            ("list.json", "[\"eval\", \"status\"]"),
            ("eval_results.json", "{"),
        ] {
            assert!(!found(name, text).unwrap(), "{name}");
        }
        assert!(found("a.jsonl", "{\"doc_id\": 0, \"resps\": []}\n").unwrap());
    }
}
