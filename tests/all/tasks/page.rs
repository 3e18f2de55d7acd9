//! `docs/tasks.md`: every task is on it, and its prompts are real.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::entries;
use crate::common::bench::Bench;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tasks.md")).unwrap()
}

#[test]
fn every_task_is_shown_and_the_prompts_shown_are_those_that_the_command_writes() {
    let page = page();
    let bench = Bench::new();
    let mut shown = BTreeSet::new();
    for section in page.split("\n### ").skip(1) {
        let name = section.split('`').nth(1).unwrap();
        let (_, command) = section.split_once("\n`niah ").unwrap();
        let (command, rest) = command.split_once("`\n").unwrap();
        let (_, block) = rest.split_once("```text\n").unwrap();
        let (prompt, behind) = block.split_once("\n```\n").unwrap();
        let arguments: Vec<&str> = command.split(' ').collect();
        assert!(arguments.contains(&name), "{command}");
        let line: Value = serde_json::from_str(bench.stdout(&arguments).lines().next().unwrap()).unwrap();
        assert_eq!(prompt, line["prompt"].as_str().unwrap().trim_end(), "{command}");
        for expected in line["expected"].as_array().unwrap() {
            let expected = expected.as_str().unwrap();
            let said = behind.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(expected) || name == "repeat", "{command}: {expected}");
        }
        shown.insert(name.to_string());
    }
    let all: BTreeSet<String> = entries().map(|entry| entry.name.to_string()).collect();
    assert_eq!(shown, all);
}
