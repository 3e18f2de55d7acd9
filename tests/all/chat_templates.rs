//! Chat templates render as transformers renders them (`fixtures/chat_templates.json`).

use crate::common;

use std::collections::BTreeMap;
use std::fs;

use niah::tokenizer::{ChatTemplate, Message};
use serde_json::Value;

#[test]
fn templates_render_as_transformers_renders_them() {
    let bytes = fs::read(common::fixture("chat_templates.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    assert!(cases.len() > 100);
    let wrong: Vec<String> = cases.iter().filter_map(|case| compare(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// For templates that are not part of the repository: `NIAH_CHAT_TEMPLATES` names a file like
/// `fixtures/chat_templates.json`.
#[test]
fn further_templates_render_as_transformers_renders_them() {
    let Some(path) = std::env::var_os("NIAH_CHAT_TEMPLATES") else { return };
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let wrong: Vec<String> = cases.iter().filter_map(|case| compare(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What differs from the expected rendering, or the expected refusal.
fn compare(case: &Value) -> Result<(), String> {
    let text = |name: &str| case[name].as_str();
    let name = text("name").unwrap();
    let tokens: BTreeMap<String, String> = ["bos_token", "eos_token"]
        .into_iter()
        .filter_map(|token| Some((token.to_string(), text(token)?.to_string())))
        .collect();
    let messages: Vec<Message> = case["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap()))
        .collect();
    let rendered = ChatTemplate::new(text("template").unwrap(), tokens).and_then(|mut template| {
        if let Some(now) = text("now") {
            let part = |from, to| now[from..to].parse().unwrap();
            template = template.with_date(part(0, 4), part(5, 7), part(8, 10))?;
        }
        template.render_messages(&messages)
    });
    match (rendered, text("error"), text("expected")) {
        (Ok(found), None, Some(expected)) if found == expected => Ok(()),
        (Ok(found), _, Some(expected)) => Err(format!("{name}: {found:?} instead of {expected:?}")),
        (Ok(found), _, None) => Err(format!("{name}: {found:?} instead of an error")),
        (Err(error), None, _) => Err(format!("{name}: {error}")),
        // Only what a template raises has the same words in both engines.
        (Err(error), Some(raised), _) if raised.is_empty() || error.to_string().ends_with(raised) => Ok(()),
        (Err(error), Some(raised), _) => Err(format!("{name}: {error} instead of {raised}")),
    }
}
