//! Prompts that share what they begin with give the rows of prompts computed one by one.

use crate::common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use niah::spec::DTYPES;
use niah::store::csv;
use niah::trial::{AttentionRow, Outcome};
use serde_json::{Value, json};

fn niah(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_niah"))
        .args(["run", "--model", ".", "--context-lengths=200,300,450", "--depths=0,40,100", "--trials=2"])
        .args(["--apply-chat-template=never"])
        .args(arguments)
        .current_dir(place)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Rows of `results.csv` by trial, and rows of `attention.csv` by trial, layer and head.
type Rows = (BTreeMap<String, Outcome>, BTreeMap<(String, usize, usize), AttentionRow>);

/// The rows of a run, whatever order they ran in.
fn rows(directory: &Path) -> Rows {
    let outcomes: Vec<Outcome> = csv::read(directory.join("results.csv")).unwrap();
    let attention: Vec<AttentionRow> = csv::read(directory.join("attention.csv")).unwrap();
    let outcomes = outcomes.into_iter().map(|row| (row.row_id.clone(), row)).collect();
    let attention =
        attention.into_iter().map(|row| ((row.row_id.clone(), row.layer, row.head), row)).collect();
    (outcomes, attention)
}

/// Runs with and without shared prefixes, the latter in other chunks, and holds their rows together.
fn same_rows(place: &Path, flags: &[&str], name: &str) {
    let (shared, alone) = (format!("shared-{name}"), format!("alone-{name}"));
    niah(place, &[flags, &["-o", &shared]].concat());
    let one_by_one = ["--no-prefix-sharing", "--chunk-size", "100", "-o", &alone];
    niah(place, &[flags, &one_by_one[..]].concat());
    let (shared, alone) = (rows(&place.join(shared)), rows(&place.join(alone)));
    assert_eq!(shared.0.len(), 18, "{name}");
    for (id, expected) in &alone.0 {
        let found = &shared.0[id];
        assert_eq!(
            (&found.needle, &found.model_response, found.prompt_tokens),
            (&expected.needle, &expected.model_response, expected.prompt_tokens),
            "{name} {id}"
        );
        let off = (found.answer_logprob.unwrap() - expected.answer_logprob.unwrap()).abs();
        assert!(off < 1e-3, "{name} {id}: log-probability off by {off}");
    }
    assert_eq!(shared.1.len(), alone.1.len());
    for (key, expected) in &alone.1 {
        let off = (shared.1[key].needle_mass - expected.needle_mass).abs();
        assert!(off < 1e-4, "{name} {key:?}: needle mass off by {off}");
    }
}

/// The tokens of the prompts of a run and those that were computed, as `run.json` has them.
fn recorded(run: &Path) -> (u64, u64) {
    let record: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    let tokens = |name: &str| record["tokens"][name].as_u64().unwrap_or_else(|| panic!("{name}: {record}"));
    (tokens("prompt"), tokens("computed"))
}

#[test]
fn shared_prefixes_change_no_answer_and_no_number_that_is_printed() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    for entry in DTYPES {
        same_rows(place.path(), &["--dtype", entry.name], entry.name);
    }
    let (prompt, computed) = recorded(&place.path().join("shared-f32"));
    assert!(computed + 300 < prompt && computed > prompt / 3, "{computed} of {prompt}");
    let (prompt, computed) = recorded(&place.path().join("alone-f32"));
    assert_eq!(computed, prompt);
}

#[test]
fn caches_in_blocks_share_prefixes_as_well() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    for (keys, values) in [("q8_0", "q8_0"), ("q8_0", "q4_0"), ("bf16", "q4_0")] {
        let flags = ["--k-dtype", keys, "--v-dtype", values];
        same_rows(place.path(), &flags, &format!("{keys}-{values}"));
    }
}

#[test]
fn windows_and_positions_that_depend_on_the_length_share_prefixes_as_well() {
    let rope = |kind: &str| json!({ "rope_theta": 10000.0, "rope_type": kind, "factor": 4.0 });
    for (name, changes) in [
        ("sliding", json!({ "model_type": "mistral", "sliding_window": 50 })),
        ("dynamic", json!({ "rope_parameters": rope("dynamic"), "max_position_embeddings": 100 })),
    ] {
        let place = tempfile::tempdir().unwrap();
        common::tiny_checkpoint(place.path());
        let path = place.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fs::write(&path, config.to_string()).unwrap();
        for dtype in ["f32", "bf16"] {
            same_rows(place.path(), &["--dtype", dtype], &format!("{name}-{dtype}"));
        }
        let (prompt, computed) = recorded(&place.path().join(format!("shared-{name}-f32")));
        // Where positions depend on the length, only cells of one length share.
        assert!(computed + 100 < prompt, "{name}: {computed} of {prompt}");
    }
}

#[test]
fn a_decoder_with_states_shares_prefixes_as_well() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    for file in ["config.json", "model.safetensors"] {
        let from = common::fixture("vectors/qwen3_5").join(file);
        fs::write(place.path().join(file), fs::read(from).unwrap()).unwrap();
    }
    // In bf16 a state that was added up in another order rounds what follows otherwise.
    same_rows(place.path(), &["--dtype", "f32"], "f32");
    let (prompt, computed) = recorded(&place.path().join("shared-f32"));
    assert!(computed + 150 < prompt && computed > prompt / 3, "{computed} of {prompt}");
}

#[test]
fn a_dry_run_says_what_sharing_saves() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    let tokens = |arguments: &[&str]| {
        let page = niah(place.path(), arguments);
        page.lines().find(|line| line.starts_with("tokens")).unwrap().to_string()
    };
    let (shared, alone) = (tokens(&["--dry-run"]), tokens(&["--dry-run", "--no-prefix-sharing"]));
    assert!(!alone.contains("computed"), "{alone}");
    let numbers: Vec<usize> = shared
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap())
        .collect();
    let (read, computed) = (numbers[0], numbers[1]);
    // A token a byte leaves little haystack beside needle and question, but what stands before the needles is
    // computed once.
    assert!(computed + 300 < read && computed > read / 3, "{shared}");
    assert!(alone.contains(&format!("{read} to read")), "{alone}");
}
