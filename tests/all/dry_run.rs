//! `niah run --dry-run`: what a plan takes, and how many trials it should have.

use crate::common;

use common::bench::{Bench, stderr};
use common::grid::GRID;
use serde_json::Value;

impl Bench {
    /// What a dry run says, as JSON.
    fn dry(&self, arguments: &[&str]) -> Value {
        let run = ["run", "--model=tiny", "--dry-run", "--output-format=json"];
        serde_json::from_str(&self.stdout(&[&run[..], arguments].concat())).unwrap()
    }
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn regression_each_cell_counts_its_own_answer_budget_and_not_that_of_the_first() {
    let bench = Bench::new();
    let written = |lengths: &str| {
        let lengths = format!("--context-lengths={lengths}");
        number(&bench.dry(&["--task=repeat", "--depths=50", "--trials=3", &lengths])["new_tokens_at_most"])
    };
    // Of `repeat` the answer is as long as the text.
    let (short, long) = (written("400"), written("500"));
    assert!(long > short, "{long} {short}");
    assert_eq!(written("400,500"), short + long);
}

#[test]
fn the_trials_for_a_width_are_said_with_what_they_take() {
    let bench = Bench::new();
    let grid = ["--context-lengths=200,300", "--depths=0,50,100", "--trials=2", "--precision=5%"];
    let dry = bench.dry(&grid);
    let needed = &dry["precision"]["needed"];
    assert_eq!(dry["precision"]["half_width"], 0.05);
    let row = |place: usize| {
        let row = &needed[place];
        (row["of"].as_str().unwrap(), row["assuming"].as_str().unwrap(), number(&row["trials"]))
    };
    assert_eq!((row(0), row(1)), (("cell", "alike", 381), ("total", "alike", 381)));
    assert_eq!((row(2).0, row(2).1), ("total", "independent"));
    assert!(row(2).2 < 90, "{needed}");
    assert_eq!(number(&needed[0]["prompts"]), 6 * 381);
    assert_eq!(number(&needed[0]["prompt_tokens"]), number(&dry["prompt_tokens"]) / 2 * 381);
    assert_eq!(dry["precision"]["measured"], Value::Null);
    let text = bench.stdout(&[&["run", "--model=tiny", "--dry-run"], &grid[..]].concat());
    assert!(text.contains("precision  5 points to either side"), "{text}");
    assert!(text.contains("a cell: 381 trials (2286 prompts, "), "{text}");
    assert!(!bench.path("niah-runs").exists());
}

#[test]
fn trials_that_lie_in_the_directory_say_how_many_more_it_takes() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    let asked = [&GRID[..], &["-o", "out", "--precision=0.1"]].concat();
    let measured = &bench.dry(&asked)["precision"]["measured"];
    assert_eq!((number(&measured["n"]), number(&measured["n_trials"])), (12, 2));
    assert_eq!(measured["directory"], "out");
    let dry = |more: &[&str]| {
        let run = ["run", "--model=tiny", "--dry-run"];
        let output = bench.output(&[&run[..], &asked[..], more].concat());
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let (text, _) = dry(&["--trials=9"]);
    assert!(text.contains("0 of 12 right over 2 trials, worth 2 independent prompts (out)"), "{text}");
    let (text, said) = dry(&["--seed=77"]);
    assert!(!text.contains("measured") && said.contains("has other settings"), "{text} {said}");
}

#[test]
fn a_width_that_is_none_is_refused() {
    let bench = Bench::new();
    for width in ["0", "0.5", "50%", "-0.1", "1.2", "narrow", "NaN"] {
        let precision = format!("--precision={width}");
        bench.refused(&["run", "--model=tiny", "--dry-run", &precision], &["precision", "below 0.5"]);
    }
    bench.refused(&["run", "--model=tiny", "--precision=0.05"], &["--dry-run"]);
    let given = ["run", "--model=tiny", "--dry-run", "--precision=0.05", "--prompts=prompts.jsonl"];
    bench.refused(&given, &["--precision", "--prompts"]);
    let tiny = ["run", "--model=tiny", "--context-lengths=200", "--dry-run", "--precision=0.000001"];
    bench.refused(&tiny, &["precision", "such as 0.05"]);
}
