//! Where a model directory keeps its chat template.
//!
//! In the order in which transformers looks: `chat_template.jinja`, the entry of `tokenizer_config.json`, and
//! `chat_template.json`, where models that also see images keep theirs. An entry may hold several templates
//! by name; the one named `default` is used. Further ones lie in `additional_chat_templates`.

use std::path::Path;

use serde_json::Value;

use super::facts::TemplateSource;
use super::huggingface::{ReadFile, optional, parse};
use crate::error::{Error, Result};

const FILE: &str = "chat_template.jinja";
const JSON: &str = "chat_template.json";
const FOLDER: &str = "additional_chat_templates";
const DEFAULT: &str = "default";

/// The template of a directory with this `tokenizer_config.json`.
pub(super) fn find(directory: &Path, read: &ReadFile, config: &Value) -> Result<Option<TemplateSource>> {
    let default = format!("{FOLDER}/{DEFAULT}.jinja");
    for file in [FILE, &default] {
        if let Some(bytes) = optional(directory, read, file)? {
            let source = String::from_utf8(bytes);
            let source = source
                .map_err(|_| Error::file(directory.join(file), "not UTF-8 text; save it again as UTF-8"))?;
            return Ok(Some(found_in(file, &source)));
        }
    }
    if let Some(found) = of_entry("tokenizer_config.json", &config["chat_template"]) {
        return Ok(Some(found));
    }
    if let Some(bytes) = optional(directory, read, JSON)? {
        let json = parse(&directory.join(JSON), &bytes)?;
        let entry = json.get("chat_template").unwrap_or(&json);
        if let Some(found) = of_entry(JSON, entry) {
            return Ok(Some(found));
        }
    }
    let names = names_in(&directory.join(FOLDER));
    Ok((!names.is_empty()).then(|| unclear(FOLDER, &names)))
}

/// The template of an entry: a text, or a list or map of named ones.
fn of_entry(file: &str, entry: &Value) -> Option<TemplateSource> {
    let named: Vec<(&str, &str)> = match entry {
        Value::String(source) => return Some(found_in(file, source)),
        Value::Array(list) => list
            .iter()
            .filter_map(|item| Some((item["name"].as_str()?, item["template"].as_str()?)))
            .collect(),
        Value::Object(map) => {
            map.iter().filter_map(|(name, source)| Some((name.as_str(), source.as_str()?))).collect()
        }
        _ => return None,
    };
    match named.iter().find(|(name, _)| *name == DEFAULT) {
        Some((_, source)) => Some(found_in(file, source)),
        None if named.is_empty() => None,
        None => Some(unclear(file, &named.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>())),
    }
}

/// A byte-order mark is no part of a template.
fn found_in(file: &str, source: &str) -> TemplateSource {
    TemplateSource::Source {
        place: file.to_string(),
        source: source.trim_start_matches('\u{FEFF}').to_string(),
    }
}

fn unclear(file: &str, names: &[String]) -> TemplateSource {
    TemplateSource::Unclear(format!(
        "{file} has templates named {}, and none named {DEFAULT}: put the one to use into {FILE}",
        names.join(", ")
    ))
}

/// Names of the templates in a folder; none where there is no such folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let name = |path: &Path| {
        let jinja = path.extension().is_some_and(|extension| extension == "jinja");
        jinja.then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).flatten()
    };
    let mut names: Vec<String> = entries.filter_map(|entry| name(&entry.path())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use serde_json::json;

    use super::*;

    fn found(files: &[(&str, &str)], config: &Value) -> Option<TemplateSource> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let read = |name: &str| {
            files.get(name).map(|text| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        find(Path::new("model"), &read, config).unwrap()
    }

    fn source(text: &str, place: &str) -> Option<TemplateSource> {
        Some(TemplateSource::Source { place: place.to_string(), source: text.to_string() })
    }

    #[test]
    fn the_template_is_looked_for_as_transformers_does() {
        let config = json!({"chat_template": "config"});
        let json = r#"{"chat_template": "json"}"#;
        assert_eq!(found(&[(FILE, "file"), (JSON, json)], &config), source("file", FILE));
        assert_eq!(found(&[(JSON, json)], &config), source("config", "tokenizer_config.json"));
        assert_eq!(found(&[(JSON, json)], &Value::Null), source("json", JSON));
        assert_eq!(
            found(&[("additional_chat_templates/default.jinja", "more")], &config),
            source("more", "additional_chat_templates/default.jinja")
        );
        assert_eq!(found(&[], &json!({"chat_template": null})), None);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_template() {
        assert_eq!(found(&[(FILE, "\u{FEFF}file")], &Value::Null), source("file", FILE));
        let json = "\u{FEFF}{\"chat_template\": \"\u{FEFF}json\"}";
        assert_eq!(found(&[(JSON, json)], &Value::Null), source("json", JSON));
    }

    #[test]
    fn several_templates_without_a_default_are_named_and_no_error_before_one_is_asked_for() {
        let list = json!({"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]});
        let map = json!({"chat_template": {"rag": "r", "tool_use": "t"}});
        for config in [list, map] {
            let Some(TemplateSource::Unclear(problem)) = found(&[], &config) else { panic!("{config}") };
            assert!(problem.contains("rag, tool_use") && problem.contains(FILE), "{problem}");
        }
        let with_default = json!({"chat_template": {"rag": "r", "default": "d"}});
        assert_eq!(found(&[], &with_default), source("d", "tokenizer_config.json"));
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(FOLDER)).unwrap();
        std::fs::write(directory.path().join(FOLDER).join("tool_use.jinja"), "t").unwrap();
        assert_eq!(names_in(&directory.path().join(FOLDER)), ["tool_use"]);
    }
}
