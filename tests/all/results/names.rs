//! What names, answers and messages hold reaches a terminal as escapes.

use std::fs;

use niah::printable::{self, is_hidden};
use niah::store::directory::RunRecord;
use niah::trial::{AttentionRow, Outcome, TokenRow};
use serde_json::Value;

use super::common::bench::{Bench, stderr};

/// Sets the title, colours, turns the direction, hides, begins lines, and means something to HTML, Markdown
/// and spreadsheets.
const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}X\u{202e}gpj\u{2066}\u{200b}\u{61c}\u{e0041}\u{2028}\u{ad}\r\n<b>&\"'|`*=1+1";

/// Nothing but lines and the colours of drawings: backgrounds with their text, underlined, bold, faint and
/// none.
#[track_caller]
fn is_harmless(text: &str, what: &str) {
    for line in text.split('\n') {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            assert!(!before.contains(is_hidden), "{what}: {:?}", printable::line(before));
            let (codes, behind) = after.strip_prefix('[').and_then(|after| after.split_once('m')).unwrap();
            assert!(
                ["0", "1", "2", "4"].contains(&codes) || codes.contains("48;"),
                "{what}: a colour that no drawing has: {codes}"
            );
            rest = behind;
        }
        assert!(!rest.contains(is_hidden), "{what}: {:?}", printable::line(rest));
    }
}

/// Runs `niah` in every way to draw; both of its streams must be harmless.
#[track_caller]
fn draws_harmlessly(bench: &Bench, arguments: &[&str]) -> String {
    let mut all = String::new();
    for drawing in [&["--color=never"][..], &["--color=always"], &["--ascii"]] {
        let mut command = bench.command(&[arguments, drawing].concat());
        let output = command.env("LANG", "C.UTF-8").output().unwrap();
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        let said = stderr(&output);
        assert!(matches!(output.status.code(), Some(0..=2)), "{arguments:?}: {said}");
        is_harmless(&shown, &format!("stdout of {arguments:?}"));
        is_harmless(&said, &format!("stderr of {arguments:?}"));
        all += &(shown + &said);
    }
    all
}

/// Puts the hostile text before every text of a value that a record can still be read with.
fn spoil(record: &mut Value, pointer: &str) {
    let keys: Vec<String> = match record.pointer(pointer).unwrap() {
        Value::Object(entries) => {
            entries.keys().map(|key| key.replace('~', "~0").replace('/', "~1")).collect()
        }
        Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
        Value::String(text) => {
            let (old, new) = (text.clone(), format!("{HOSTILE}{text}"));
            *record.pointer_mut(pointer).unwrap() = new.into();
            if serde_json::from_value::<RunRecord>(record.clone()).is_err() {
                *record.pointer_mut(pointer).unwrap() = old.into();
            }
            return;
        }
        _ => return,
    };
    for key in keys {
        spoil(record, &format!("{pointer}/{key}"));
    }
}

/// Two directories of results whose every text is hostile.
fn hostile_runs() -> Bench {
    let bench = Bench::new();
    bench.grid(&["-o", "a", "--tokens"]);
    bench.edit_json("a/run.json", |record| spoil(record, ""));
    let model = &bench.run_json("a")["settings"]["model"];
    assert!(model.as_str().unwrap().starts_with(HOSTILE), "{model}");
    bench.edit_rows("a/results.csv", |number, row: &mut Outcome| {
        for text in [&mut row.run_id, &mut row.model, &mut row.variant, &mut row.task, &mut row.needle] {
            *text = HOSTILE.to_string();
        }
        for text in
            [&mut row.question, &mut row.expected_answer, &mut row.timestamp_utc, &mut row.config_hash]
        {
            *text = HOSTILE.to_string();
        }
        (row.model_response, row.error) = (Some(HOSTILE.to_string()), Some(HOSTILE.to_string()));
        row.correct = Some(number % 2 == 0);
    });
    bench.edit_rows("a/tokens.csv", |_, row: &mut TokenRow| row.token = HOSTILE.to_string());
    bench.copy("a", "b");
    bench
}

#[test]
fn results_whose_every_text_is_hostile_are_shown_as_escapes() {
    let bench = hostile_runs();
    let shown = draws_harmlessly(&bench, &["view", "a"]);
    assert!(shown.contains(r"\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}X\u{202e}gpj\u{2066}"), "{shown}");
    draws_harmlessly(&bench, &["view", "a", "--by=layer"]);
    draws_harmlessly(&bench, &["score", "a", "--scorer=edit"]);
    let shown = draws_harmlessly(&bench, &["attend", "a"]);
    assert!(shown.contains("length 300 depth 50% trial 0") && shown.contains(r"\u{202e}gpj"), "{shown}");
    // This head is in no table: the model would be needed, whose name is no id of any hub.
    draws_harmlessly(&bench, &["attend", "a", "--head=1.2"]);
    let shown = draws_harmlessly(&bench, &["compare", "a", "b"]);
    assert!(shown.contains(r"\u{1b}]0;title"), "{shown}");
    draws_harmlessly(&bench, &["run", "-m=tiny", "--context-lengths=200", "--depths=0", "-o=a"]);

    // Data is exact.
    let rows: Vec<Outcome> = niah::store::csv::read(bench.path("a/results.csv")).unwrap();
    assert_eq!(rows[0].model_response.as_deref(), Some(HOSTILE));
}

#[test]
fn damaged_results_are_told_of_without_being_obeyed() {
    let bench = hostile_runs();
    let attention = bench.text("a/attention.csv");
    for (name, damaged) in [
        ("a/attention.csv", attention.replacen("row_id", &HOSTILE.replace('"', ""), 1)),
        ("a/attention.csv", attention.replacen(":0:0,0,", &format!(":0:0,{},", &HOSTILE[..18]), 1)),
        ("a/run.json", format!("{{\"niah\": {HOSTILE}")),
        ("a/run.json", bench.text("a/run.json").replacen("\"auto\"", "\"\\u001b[31m\"", 1)),
    ] {
        let before = bench.text(name);
        fs::write(bench.path(name), damaged).unwrap();
        draws_harmlessly(&bench, &["view", "a", "--by=layer"]);
        draws_harmlessly(&bench, &["attend", "a"]);
        draws_harmlessly(&bench, &["compare", "a", "b"]);
        fs::write(bench.path(name), before).unwrap();
    }
    bench.edit_rows("a/attention.csv", |_, row: &mut AttentionRow| row.row_id.insert_str(0, HOSTILE));
    draws_harmlessly(&bench, &["view", "a", "--by=layer"]);
}

/// A name that a file can have.
fn file_name() -> String {
    HOSTILE.replace('/', "")
}

#[test]
#[cfg(unix)]
fn files_of_any_name_are_shown_by_escapes() {
    let bench = Bench::new();
    let name = file_name();
    fs::rename(bench.path("tiny"), bench.path(&name)).unwrap();
    let model = format!("--model={name}");
    let grid = ["--context-lengths=200", "--depths=50", "--trials=1"];
    let out = format!("{name}out");
    let shown = draws_harmlessly(&bench, &["inspect", &name]);
    assert!(shown.contains(r"\u{1b}]0;title"), "{shown}");
    draws_harmlessly(&bench, &[&["run", &model, "-o", &out], &grid[..]].concat());
    draws_harmlessly(&bench, &[&["run", &model, "--dry-run"], &grid[..]].concat());
    draws_harmlessly(&bench, &[&["run", &model], &grid[..]].concat());
    draws_harmlessly(&bench, &["view", &out]);
    draws_harmlessly(&bench, &["attend", &out]);
    draws_harmlessly(&bench, &["compare", &out, &out]);
    draws_harmlessly(&bench, &[&["compare", &name, &name], &grid[..]].concat());
    draws_harmlessly(&bench, &["loss", &model, "--context-length=64", "--trials=1"]);
    draws_harmlessly(&bench, &["bench", &model, "--context-lengths=16", "--repeats=1", "--no-peak-memory"]);
    draws_harmlessly(&bench, &["logits", &model, "--text=abc", "-o", "logits.safetensors"]);
    fs::write(bench.path("text"), "The cat sleeps.").unwrap();
    draws_harmlessly(&bench, &["attend", &model, "--text=text", "--query=why"]);
    draws_harmlessly(&bench, &[&["prompts", &model, "-o", "prompts.jsonl"], &grid[..]].concat());
    let flag = format!("--haystack={name}");
    draws_harmlessly(&bench, &[&["run", &model, &flag], &grid[..]].concat());
}

#[test]
fn values_and_configuration_files_are_told_of_by_escapes() {
    let bench = Bench::new();
    let quoted = HOSTILE.replace(['"', '\\'], "");
    let toml = |key: &str, value: &str| {
        let text: String = value.chars().map(|c| format!("\\U{:08x}", c as u32)).collect();
        format!("\"{key}\" = \"{text}\"\n")
    };
    for (number, text) in [
        toml("context_lengths", HOSTILE),
        toml("task", HOSTILE),
        toml("snap", HOSTILE),
        toml("dtype", HOSTILE),
        toml("haystack", HOSTILE),
        toml("model", HOSTILE),
        toml(&quoted.replace(['\r', '\n', '\u{1b}', '\u{7}', '\u{9b}'], ""), HOSTILE),
        quoted.clone(),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("{number}.toml");
        fs::write(bench.path(&name), text).unwrap();
        draws_harmlessly(&bench, &["run", "-m=tiny", "--config", &name]);
    }
    for flag in ["--task", "--variant", "--snap", "--depths", "--needle", "--scorer", "--threads", HOSTILE] {
        draws_harmlessly(&bench, &["run", "-m=tiny", &format!("{flag}={HOSTILE}")]);
    }
    for command in ["view", "attend", "compare", "inspect", "list", HOSTILE] {
        draws_harmlessly(&bench, &[command, HOSTILE]);
    }
}
