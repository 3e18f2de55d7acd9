//! Chat templates render as transformers renders them (`fixtures/chat_templates.json`).

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::BTreeMap;
use std::fs;

use niah::tokenizer::{ChatTemplate, Message};
use serde_json::Value;

#[test]
fn templates_render_as_transformers_renders_them() {
    let bytes = fs::read(common::fixture("chat_templates.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let text = |name: &str| case[name].as_str();
        let name = text("name").unwrap();
        let tokens: BTreeMap<String, String> = ["bos_token", "eos_token"]
            .into_iter()
            .filter_map(|token| Some((token.to_string(), text(token)?.to_string())))
            .collect();
        let mut template = ChatTemplate::new(text("template").unwrap(), tokens).expect(name);
        if let Some(now) = text("now") {
            let part = |from, to| now[from..to].parse().unwrap();
            template = template.with_date(part(0, 4), part(5, 7), part(8, 10)).unwrap();
        }
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap()))
            .collect();
        let rendered = template.render_messages(&messages);
        match text("error") {
            Some(error) => {
                assert_eq!(rendered.unwrap_err().to_string(), format!("chat template: {error}"), "{name}")
            }
            None => assert_eq!(rendered.expect(name), text("expected").unwrap(), "{name}"),
        }
    }
}
