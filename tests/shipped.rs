//! The checkpoints in the binary: a copy of it alone in an empty directory, without a home or a hub, runs
//! them.
//!
//! A process of its own, as a copy cannot be started while any child of this process that was forked
//! meanwhile holds it open.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use niah::hash::sha256_hex;
use serde_json::Value;

const NOTE: &str = "no model named: using shipped:ssmax";

/// Held while the binary is copied and while a command starts: a child that another test forks in the
/// meantime has the unfinished copy open for writing, and Linux does not run such a file ("Text file busy").
static COPYING_OR_STARTING: Mutex<()> = Mutex::new(());

struct Alone(tempfile::TempDir);

impl Alone {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let _held = COPYING_OR_STARTING.lock().unwrap();
        fs::copy(env!("CARGO_BIN_EXE_niah"), place.path().join("niah")).unwrap();
        Self(place)
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.0.path().join("niah"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let held = COPYING_OR_STARTING.lock().unwrap();
        let child = command.spawn().unwrap();
        drop(held);
        child.wait_with_output().unwrap()
    }

    /// stdout and stderr of a command that must succeed.
    fn niah(&self, arguments: &[&str]) -> (String, String) {
        let output = self.output(arguments);
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        (stdout, stderr)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A grid of one short prompt.
const GRID: [&str; 5] =
    ["--context-lengths=256", "--depths=50", "--haystack=synthetic", "--split=held-out", "--threads=1"];

#[test]
fn a_lone_binary_runs_the_shipped_checkpoint_and_records_which() {
    let alone = Alone::new();
    let (page, told) = alone.niah(&[&["run"], &GRID[..]].concat());
    assert!(told.contains(NOTE) && page.contains("shipped:ssmax, ssmax"), "{told}{page}");
    assert_eq!(alone.names(), ["niah", "niah-runs"], "nothing else is written");
    let directory = "niah-runs/ssmax-ssmax-magic";
    let record = fs::read(alone.0.path().join(directory).join("run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["settings"]["model"], "shipped:ssmax");
    assert_eq!(record["model"]["files"], serde_json::json!(["shipped:ssmax/model.safetensors"]));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoints/ssmax/model.safetensors");
    let weights = fs::read(fixture).unwrap();
    assert_eq!(record["model"]["file_bytes"], weights.len());
    assert_eq!(record["identity"]["model_sha256"], sha256_hex(weights));
    // A stored run names its own model, whose attention can be looked at as well.
    let (page, told) = alone.niah(&["attend", directory, "--threads=1"]);
    assert!(page.contains("shipped:ssmax") && !told.contains("no model named"), "{told}{page}");
}

#[test]
fn rotary_positions_that_no_row_meets_beyond_the_training_length_are_not_to_be_stretched() {
    // Its layers with rotary positions have windows of 32.
    let (_, told) = Alone::new().niah(&["run", "--context-lengths=512", "--haystack=synthetic", "--dry-run"]);
    assert!(told.contains("beyond the 256 positions") && !told.contains("--rope-theta"), "{told}");
}

#[test]
fn every_shipped_checkpoint_answers_at_its_training_length() {
    for name in ["softmax-scale", "ssmax", "softmax-capped", "multiscreen"] {
        let alone = Alone::new();
        let model = format!("shipped:{name}");
        let grid =
            ["--context-lengths=256", "--haystack=synthetic", "--split=held-out", "--trials=4", "-o", "out"];
        alone.niah(&[&["run", "--model", &model], &grid[..]].concat());
        let (cells, _) = alone.niah(&["view", "out", "--output-format=csv"]);
        let mut rows = csv::Reader::from_reader(cells.as_bytes());
        let columns: Vec<String> = rows.headers().unwrap().iter().map(str::to_string).collect();
        let column = |name: &str| columns.iter().position(|column| column == name).unwrap();
        let (n, correct) = (column("n"), column("n_correct"));
        let cells: Vec<_> = rows.records().map(Result::unwrap).collect();
        let sum = |column: usize| cells.iter().map(|row| row[column].parse::<f64>().unwrap()).sum::<f64>();
        assert!(sum(n) >= 20.0 && sum(correct) / sum(n) >= 0.95, "{name}: {} of {}", sum(correct), sum(n));
    }
}

#[test]
fn every_command_that_asks_for_a_checkpoint_takes_the_shipped_one() {
    let alone = Alone::new();
    fs::write(alone.0.path().join("text"), "The cat sat on the mat.").unwrap();
    for arguments in [
        &["inspect"][..],
        &["prompts", "--context-lengths=256", "--limit=1"],
        &["logits", "--text=Hello", "-o", "out.safetensors"],
        &["loss", "--context-length=64", "-n=1"],
        &["bench", "--context-lengths=64", "--repeats=1", "--max-new-tokens=1"],
        &["attend", "--text=text", "--query=Where?"],
    ] {
        let (_, told) = alone.niah(arguments);
        assert!(told.contains(NOTE), "{arguments:?}: {told}");
    }
}

#[test]
fn shipped_checkpoints_are_named_like_others_and_a_named_one_needs_no_note() {
    let alone = Alone::new();
    let (page, told) =
        alone.niah(&[&["compare", "shipped:softmax-capped", "shipped:ssmax"], &GRID[..]].concat());
    assert!(
        page.contains("A  shipped:softmax-capped, softmax") && page.contains("B  shipped:ssmax, ssmax"),
        "{page}"
    );
    assert!(!told.contains("no model named"), "{told}");
    let warned = |side: &str| {
        told.lines().any(|line| {
            line.starts_with(&format!("warning: {side} (")) && line.contains("scores are at most 5.657")
        })
    };
    let [a, b] = ["A", "B"].map(warned);
    assert!(a && !b, "{told}");
    fs::write(alone.0.path().join("model.toml"), "model = \"shipped:softmax-scale\"\n").unwrap();
    let (prompts, told) =
        alone.niah(&["prompts", "--config=model.toml", "--context-lengths=256", "--limit=1"]);
    assert!(prompts.lines().count() == 1 && told.is_empty(), "{told}");
    let output = alone.output(&["inspect", "shipped:sigmoid"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("sigmoid") && told.contains("known: softmax-scale, ssmax"), "{told}");
}
