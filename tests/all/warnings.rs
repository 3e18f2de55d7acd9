//! What a checkpoint holds and nothing reads is told: by `inspect`, before a run, and in `run.json`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};

use common::bench::{Bench, stderr};
use niah::checkpoint::families::FAMILIES;
use niah::checkpoint::{Checkpoint, RopeOverride, SHIPPED};
use serde_json::{Value, json};

/// The configuration of the tiny checkpoint with one more key.
fn add_key(bench: &Bench, key: &str, value: Value) {
    let path = bench.path("tiny/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn a_key_that_nothing_reads_is_told_before_anything_runs_and_kept_with_the_results() {
    let bench = Bench::new();
    add_key(&bench, "qk_clip", json!(0.5));
    let told = "tiny/config.json: qk_clip: family llama does not know this key";
    assert!(bench.stdout(&["inspect", "tiny", "--width", "200"]).contains(&format!("warning     {told}")));
    let inspected = bench.stdout(&["inspect", "tiny", "--output-format", "json"]);
    let inspected = &serde_json::from_str::<Value>(&inspected).unwrap()["ran"];
    assert!(inspected["warnings"][0].as_str().unwrap().starts_with(told), "{inspected}");
    for command in [
        &["logits", "tiny", "--ids", "1,2,3", "-o", "o.safetensors"][..],
        &["run", "--model", "tiny", "--context-lengths=200", "--depths=0", "--trials", "1", "-o", "out"],
        &["loss", "--model", "tiny", "--context-length", "64", "--trials", "1"],
        &["bench", "--model", "tiny", "--context-lengths", "32", "--max-new-tokens", "1", "--repeats", "1"],
    ] {
        let output = bench.output(command);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
        assert!(said.starts_with(&format!("warning: {told}")), "{command:?}: {said}");
    }
    let run: Value = serde_json::from_str(&bench.text("out/run.json")).unwrap();
    assert!(run["warnings"][0].as_str().unwrap().starts_with(told), "{}", run["warnings"]);
}

#[test]
fn a_key_that_says_nothing_is_not_told() {
    let bench = Bench::new();
    add_key(&bench, "qk_clip", json!(null));
    add_key(&bench, "use_moe", json!(false));
    assert!(!bench.stdout(&["inspect", "tiny"]).contains("warning"));
}

/// Directories with a configuration, below this one.
fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.map(|entry| entry.unwrap().path());
    folders.filter(|folder| folder.join("config.json").exists()).collect()
}

#[test]
fn golden_and_shipped_checkpoints_give_no_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut opened = 0;
    for folder in ["fixtures/vectors", "fixtures/checkpoints", "../shared/vectors"] {
        for folder in checkpoints(&root.join(folder)) {
            let config: Value =
                serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
            let family = config["text_config"]["model_type"].as_str().or(config["model_type"].as_str());
            if !FAMILIES.iter().any(|known| Some(known.name) == family) {
                continue;
            }
            let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default());
            let checkpoint = checkpoint.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            // Those that see images hold more than the language model, which is told.
            let told: Vec<_> =
                checkpoint.warnings.iter().filter(|told| !told.contains("see or hear")).collect();
            assert_eq!(told, [""; 0], "{}", folder.display());
            opened += 1;
        }
    }
    assert!(opened >= 20, "{opened} checkpoints");
    for name in SHIPPED.iter().map(|entry| entry.name) {
        let checkpoint = Checkpoint::open(&format!("shipped:{name}"), RopeOverride::default()).unwrap();
        assert_eq!(checkpoint.warnings, [""; 0], "{name}");
    }
}
