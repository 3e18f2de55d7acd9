//! Prompts that share what they begin with give the rows of prompts computed one by one.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use niah::export::csv;
use niah::model::dtype::DTYPES;
use niah::trial::{AttentionRow, Outcome};

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

#[test]
fn shared_prefixes_change_no_answer_and_no_number_that_is_printed() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    for entry in DTYPES {
        let (shared, alone) = (format!("shared-{}", entry.name), format!("alone-{}", entry.name));
        niah(place.path(), &["--dtype", entry.name, "-o", &shared]);
        let one_by_one = ["--no-prefix-sharing", "--chunk-size", "100"];
        niah(place.path(), &[&["--dtype", entry.name, "-o", &alone][..], &one_by_one].concat());
        let (shared, alone) = (rows(&place.path().join(shared)), rows(&place.path().join(alone)));
        assert_eq!(shared.0.len(), 18, "{}", entry.name);
        for (id, expected) in &alone.0 {
            let found = &shared.0[id];
            assert_eq!(
                (&found.needle, &found.model_response, found.prompt_tokens),
                (&expected.needle, &expected.model_response, expected.prompt_tokens),
                "{} {id}",
                entry.name
            );
            let off = (found.answer_logprob.unwrap() - expected.answer_logprob.unwrap()).abs();
            assert!(off < 1e-3, "{} {id}: log-probability off by {off}", entry.name);
        }
        assert_eq!(shared.1.len(), alone.1.len());
        for (key, expected) in &alone.1 {
            let off = (shared.1[key].needle_mass - expected.needle_mass).abs();
            assert!(off < 1e-4, "{} {key:?}: needle mass off by {off}", entry.name);
        }
    }
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
    // A token a byte leaves little haystack beside needle and question, but what stands before the needles is computed once.
    assert!(computed + 300 < read && computed > read / 3, "{shared}");
    assert!(alone.contains(&format!("{read} to read")), "{alone}");
}
