//! An experiment of a few steps from end to end: its stages go on, and a report can be made of what is
//! complete.

use std::fs;

use serde_json::json;

use crate::common::bench::{Bench, stderr};

/// Three trainings of two steps, each measured on a few prompts. Learning rates are those that are kept, as
/// if they were of such trainings, so that nothing is searched for.
fn experiment<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let flags = [
        "experiment",
        "ssmax",
        "-o",
        "out",
        "--small",
        "--steps=2",
        "--seeds=42",
        "--trials=1",
        "--longest=2",
        "--farthest=4",
        "--context-length=128",
        "--parts=none",
        "--threads=2",
        "--searches=searches.json",
    ];
    flags.iter().chain(further).copied().collect()
}

#[test]
fn regression_an_experiment_that_cannot_be_measured_is_not_trained() {
    let bench = Bench::new();
    bench.refused(&experiment(&["--trials=0"]), &["--trials: found 0"]);
    let output = bench.command(&experiment(&[])).env("NIAH_CPU", "sse9").output().unwrap();
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("NIAH_CPU: found sse9"),
        "{output:?}"
    );
    assert!(!bench.path("out").exists());
}

#[test]
fn a_report_of_what_is_complete_says_what_it_lacks_and_runs_nothing() {
    let bench = Bench::new();
    let kept = include_str!("../../fixtures/ssmax_searches.json");
    let mut kept: serde_json::Value = serde_json::from_str(kept).unwrap();
    for (name, value) in [("steps", json!(2)), ("context_length", json!(128)), ("small", json!(true))] {
        kept["trainings"][name] = value;
    }
    fs::write(bench.path("searches.json"), kept.to_string()).unwrap();
    let nothing = bench.output(&experiment(&["--report-only"]));
    assert!(!nothing.status.success() && stderr(&nothing).contains("nothing is complete"), "{nothing:?}");
    assert!(!bench.path("out/stages").exists());

    bench.stdout(&experiment(&[]));
    let whole = bench.text("out/ssmax/report.md");
    assert!(!whole.contains("It lacks"));
    let stages = || fs::read_dir(bench.path("out/stages")).unwrap().map(|entry| entry.unwrap().path());
    let named = |word: &str| {
        stages().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(word)).unwrap()
    };
    fs::remove_file(named("far-softmaxgain-42").join("stage.json")).unwrap();
    fs::remove_file(named("train-ssmaxnormwithoutgain-42").join("stage.json")).unwrap();

    let before = stages().count();
    bench.stdout(&experiment(&["--report-only"]));
    let partial = bench.text("out/ssmax/report.md");
    let lacks = "It lacks: far of softmax, gain with seed 42; ssmax, norm without gain with seed 42.";
    assert!(partial.contains(lacks), "{}", &partial[..partial.len().min(3000)]);
    assert_eq!(stages().count(), before);

    bench.stdout(&experiment(&[]));
    assert_eq!(bench.text("out/ssmax/report.md"), whole);
}
