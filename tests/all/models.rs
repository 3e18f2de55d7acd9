//! Many checkpoints on one plan: a directory and a row for each, prompts that are built once, one table and
//! one figure, and a command that goes on.

use crate::common;

use std::fs;
use std::process::Output;

use candle_core::Device;
use common::bench::{Bench, stderr};
use common::grid::{GRID, TRIALS, spoil};
use niah::evaluate::Evaluation;
use niah::plan::{ModelChoice, RunPlan, Settings, SharedPrompts};
use serde_json::Value;

/// Three steps of a training: copies of the checkpoint, of which two have other weights.
fn training() -> Bench {
    let bench = Bench::new();
    for (number, name) in ["step-20", "step-100", "step-3"].into_iter().enumerate() {
        let place = bench.path("training").join(name);
        fs::create_dir_all(&place).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::copy(bench.path("tiny").join(file), place.join(file)).unwrap();
        }
        if number > 0 {
            spoil(&place, "model.norm.weight", 0.5 * number as f32);
        }
    }
    fs::create_dir(bench.path("training/logs")).unwrap();
    fs::write(bench.path("training/notes.txt"), "none").unwrap();
    bench
}

fn run(bench: &Bench, more: &[&str]) -> String {
    bench.stdout(&[&["run"], &GRID[..], more].concat())
}

/// The grid on checkpoints that are named one by one.
fn named(bench: &Bench, names: &[&str], more: &[&str]) -> Output {
    let mut command = bench.command(&[&["run"], &GRID[..], more].concat());
    command.args(names.iter().flat_map(|name| ["-m", *name])).output().unwrap()
}

#[track_caller]
fn text(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_steps_of_a_training_run_in_their_order_and_make_one_table_and_one_figure() {
    let bench = training();
    let shown =
        run(&bench, &["--models", "training", "-o", "out", "--export", "out.svg", "--export", "out.html"]);
    let record: Value = serde_json::from_str(&bench.text("out/models.json")).unwrap();
    let steps: Vec<_> =
        record["models"].as_array().unwrap().iter().map(|entry| entry["step"].as_u64()).collect();
    assert_eq!(steps, [Some(3), Some(20), Some(100)]);
    for step in ["step-3", "step-20", "step-100"] {
        assert_eq!(bench.outcomes(&format!("out/{step}")).len(), TRIALS, "{step}");
    }
    assert!(shown.contains("step") && shown.contains("needle mass") && shown.contains("3 models"), "{shown}");
    let rows: Vec<&str> =
        shown.lines().map(str::trim_start).filter(|line| line.starts_with("100 ")).collect();
    assert!(rows.first().is_some_and(|row| row.starts_with("100   12        2")), "{shown}");
    let svg = bench.text("out.svg");
    assert!(
        svg.contains("Accuracy")
            && svg.contains("needle mass (largest of all heads)")
            && svg.contains("step")
    );
    assert!(bench.text("out.html").contains("Checkpoints by step"));
    assert_eq!(bench.stdout(&["view", "out"]), shown);
    let table = bench.stdout(&["view", "out", "--output-format", "csv"]);
    // Of each the two lengths and both together.
    assert_eq!(table.lines().count(), 1 + 3 * 3, "{table}");
    bench.stdout(&["view", "out", "--figure", "models", "--export", "figure.svg"]);
    bench.stdout(&["compare", "out/step-3", "out/step-20"]);
    bench.refused(&["view", "out", "--by", "trial"], &["holds several runs", "step-100"]);
}

#[test]
fn checkpoints_by_name_go_on_and_others_are_added() {
    let bench = training();
    let two = ["tiny", "training/step-20"];
    text(named(&bench, &two, &["-o", "out", "--limit", "15"]));
    assert_eq!((bench.outcomes("out/tiny").len(), bench.outcomes("out/step-20").len()), (TRIALS, 3));
    let half = bench.stdout(&["view", "out"]);
    assert!(half.contains("15 of 24 trials have run"), "{half}");
    let whole = text(named(&bench, &two, &["-o", "out"]));
    assert!(!whole.contains("trials have run") && whole.contains("training/step-20"), "{whole}");
    let before = bench.text("out/tiny/results.csv");
    fs::write(bench.path("list"), "# three\ntraining/step-20\n\ntiny # the first\ntraining/step-3\n")
        .unwrap();
    run(&bench, &["--models", "list", "-o", "out"]);
    assert_eq!(bench.text("out/tiny/results.csv"), before);
    assert_eq!(bench.outcomes("out/step-3").len(), TRIALS);
    // One that is left out of the command is not forgotten.
    let output = named(&bench, &["tiny", "training/step-3"], &["-o", "out"]);
    let words = "holds results of another plan: models: training/step-20,tiny,training/step-3 -> ";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
}

#[test]
fn a_single_run_does_not_hide_several_checkpoints() {
    let bench = training();
    let two = ["tiny", "training/step-20"];
    let shown = text(named(&bench, &two, &["-o", "out"]));
    let words =
        ["out: holds several models", "for a single run with -o", "or name the one below it: out/tiny"];
    bench.refused(&[&["run", "-m", "tiny", "-o", "out"], &GRID[..]].concat(), &words);
    bench.refused(&["merge", "out/tiny", "-o", "out"], &words);
    let several = [&["run", "-m", "tiny", "-o", "out", "--task=magic,kv"], &GRID[..]].concat();
    bench.refused(&several, &["out: holds several models", "for several tasks"]);
    assert_eq!(bench.stdout(&["view", "out"]), shown);
    assert_eq!(text(named(&bench, &two, &["-o", "out"])), shown);
    // The directory that the message names is that of the run.
    bench.stdout(&[&["run", "-m", "tiny", "-o", "out/tiny"], &GRID[..]].concat());
    // Of other checkpoints there is no room in it either.
    text(named(&bench, &["tiny", "training/step-3"], &["-o", "other"]));
    bench.refused(&["merge", "other", "-o", "out"], &["out holds results of another plan: models: "]);
}

#[test]
fn a_list_of_checkpoints_with_a_byte_order_mark_leaves_none_out() {
    let bench = training();
    fs::write(bench.path("list"), "\u{FEFF}tiny\ntraining/step-3\n").unwrap();
    run(&bench, &["--models", "list", "-o", "out"]);
    assert_eq!(bench.outcomes("out/tiny").len(), TRIALS);
}

#[test]
fn a_checkpoint_that_cannot_be_asked_is_left_out_with_the_reason() {
    let bench = training();
    fs::write(bench.path("training/step-20/config.json"), "{}").unwrap();
    let output = bench.output(&[&["run"], &GRID[..], &["--models", "training", "-o", "out"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("training/step-20 is left out: "), "{}", stderr(&output));
    let shown = bench.stdout(&["view", "out"]);
    assert!(shown.contains("training/step-20 is left out: "), "{shown}");
    let strict = ["--models", "training", "-o", "out", "--fail-on-error"];
    let output = bench.output(&[&["run"], &GRID[..], &strict].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("models are left out"), "{}", stderr(&output));
    assert!(!output.stdout.is_empty(), "what has run is shown");
    for (flags, words) in [
        (&["--models", "gone"][..], &["gone"][..]),
        (&["--models", "training/logs"], &["names no checkpoint"]),
        (&["-m", "tiny", "--models", "training"], &["cannot be used with"]),
    ] {
        bench.refused(&[&["run", "-o", "new"], &GRID[..], flags].concat(), words);
    }
    bench.grid(&["-o", "single"]);
    let two = ["tiny", "training/step-3"];
    for (names, flags, words) in [
        (["tiny", "tiny"], &["-o", "new"][..], ["--model", "each model once"]),
        (two, &["-o", "new", "--controls"], ["--controls", "several models"]),
        (two, &["-o", "new", "--task", "magic,passkey"], ["--task", "several models"]),
        (["gone-1", "gone-2"], &["-o", "new"], ["gone-1", "gone-1"]),
        (two, &["-o", "single"], ["holds a single run", "single"]),
    ] {
        let output = named(&bench, &names, flags);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(words.iter().all(|word| stderr(&output).contains(word)), "{}", stderr(&output));
    }
    // Other commands take one.
    let mut command = bench.command(&["inspect", "-m", "tiny"]);
    let output = command.args(["-m", "tiny"]).output().unwrap();
    assert!(stderr(&output).contains("cannot be used multiple times"), "{}", stderr(&output));
}

#[test]
fn shards_of_many_checkpoints_are_merged_and_what_they_take_is_said() {
    let bench = training();
    let whole = run(&bench, &["--models", "training", "-o", "whole"]);
    for part in ["1/2", "2/2"] {
        run(&bench, &["--models", "training", "--shard", part, "-o", &format!("part-{}", &part[..1])]);
    }
    assert_eq!(bench.stdout(&["merge", "part-1", "part-2", "-o", "out"]), whole);
    let text = run(&bench, &["--models", "training", "--dry-run", "--output-format", "json"]);
    let dry: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dry["models"].as_array().unwrap().len(), 3);
    assert_eq!(dry["models"][0]["prompts"], TRIALS);
}

#[test]
fn prompts_are_built_once_for_all_checkpoints_of_a_tokenizer() {
    let bench = training();
    let mut shared = SharedPrompts::default();
    let mut evaluation = |name: &str, trials: usize| {
        let settings = Settings {
            model: ModelChoice::of(bench.path(name).display().to_string()),
            grid: niah::grid::Grid::new(
                vec![niah::grid::ContextLength(300)],
                vec![niah::grid::Depth::default(), niah::grid::Depth::from_percent(50.0).unwrap()],
            )
            .unwrap(),
            trials,
            ..Settings::default()
        };
        let mut plan = RunPlan::resolve(settings, &Device::Cpu).unwrap();
        plan.share_prompts(&mut shared).unwrap();
        Evaluation::new(plan, true).unwrap()
    };
    let build = |evaluation: &Evaluation| -> Vec<String> {
        let plan = &evaluation.plan;
        let mut prompts = niah::prompt::PromptSequence::new(&plan.prompts, &plan.tokenizer);
        plan.trials().iter().map(|trial| prompts.build(trial).unwrap().prompt_hash).collect()
    };
    let first = evaluation("training/step-3", 2);
    let hashes = build(&first);
    assert_eq!((hashes.len(), first.plan.prompts.built.count()), (4, 4));
    let second = evaluation("training/step-20", 2);
    assert_eq!(build(&second), hashes);
    assert_eq!(second.plan.prompts.built.count(), 4, "a prompt was built twice");
    // Another tokenizer has prompts of its own.
    let path = bench.path("training/step-100/tokenizer.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"version\"", "\"truncation\":null,\"version\"");
    fs::write(path, text).unwrap();
    let other = evaluation("training/step-100", 2);
    build(&other);
    assert_eq!((other.plan.prompts.built.count(), second.plan.prompts.built.count()), (4, 4));
}
