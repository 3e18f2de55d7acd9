//! A plan that many machines run in parts: the parts together are the plan, what is joined says what one run
//! would have said, nothing is lost, and what does not belong together is refused.

use crate::common;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use common::bench::{Bench, stderr};
use common::grid::{GRID, TRIALS};
use niah::store::csv::{self, Appender};
use niah::trial::{Outcome, Status};
use serde_json::{Value, json};

/// Tables of a run with `--tokens`.
const TABLES: [&str; 4] = ["results.csv", "attention.csv", "tokens.csv", "spans.csv"];

/// Rows without the time that they took.
fn timeless(bench: &Bench, directory: &str) -> Vec<Outcome> {
    let timeless = |row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row };
    bench.outcomes(directory).into_iter().map(timeless).collect()
}

/// The run of a part of the grid, in a directory of its number.
fn shard(bench: &Bench, number: usize, count: usize, more: &[&str]) -> Output {
    let (part, out) = (format!("--shard={number}/{count}"), format!("shard-{number}"));
    bench.output(&[&["run", "--model", "tiny", &part, "-o", &out], &GRID[..], more].concat())
}

/// The grid in so many parts.
fn shards(count: usize) -> Bench {
    let bench = Bench::new();
    for number in 1..=count {
        let output = shard(&bench, number, count, &["--tokens"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    bench
}

fn rewrite(bench: &Bench, name: &str, edit: impl Fn(&mut Vec<Outcome>)) {
    let path = bench.path(name);
    let mut rows: Vec<Outcome> = csv::read(&path).unwrap();
    edit(&mut rows);
    fs::remove_file(&path).unwrap();
    Appender::open(&path).unwrap().append(&rows).unwrap();
}

#[test]
fn parts_that_are_merged_are_the_run_that_nobody_divided() {
    let bench = shards(3);
    bench.grid(&["-o", "whole", "--tokens"]);
    let of_parts: Vec<BTreeSet<String>> = (1..=3)
        .map(|number| bench.outcomes(&format!("shard-{number}")).into_iter().map(|row| row.row_id).collect())
        .collect();
    assert!(of_parts.iter().all(|part| (3..=5).contains(&part.len())), "{of_parts:?}");
    assert_eq!(of_parts.iter().flatten().collect::<BTreeSet<_>>().len(), TRIALS);
    let shown = bench.stdout(&["merge", "shard-3", "shard-1", "shard-2", "-o", "out"]);
    assert_eq!(timeless(&bench, "out"), timeless(&bench, "whole"));
    for table in ["attention.csv", "tokens.csv", "spans.csv"] {
        let [parts, whole] = ["out", "whole"].map(|run| bench.text(&format!("{run}/{table}")));
        assert!(parts == whole, "{table}: {} and {} lines", parts.lines().count(), whole.lines().count());
    }
    assert_eq!(shown, bench.stdout(&["view", "whole"]));
    let (record, whole) = (bench.run_json("out"), bench.run_json("whole"));
    for key in ["identity", "config_hash", "run_id", "settings", "tokens"] {
        assert_eq!(record[key], whole[key], "{key}");
    }
    assert_eq!((&record["shard"], &whole["merged"]), (&Value::Null, &Value::Null));
    let merged = record["merged"].as_array().unwrap();
    let of: Vec<&str> = merged.iter().map(|run| run["shard"].as_str().unwrap()).collect();
    assert_eq!(of, ["1/3", "2/3", "3/3"]);
    assert_eq!(merged[0]["machine"]["threads"], bench.run_json("shard-1")["machine"]["threads"]);
    // The whole plan goes on in it, and finds nothing to do.
    bench.grid(&["-o", "out", "--tokens"]);
    assert_eq!(timeless(&bench, "out"), timeless(&bench, "whole"));
}

#[test]
fn what_is_missing_is_said_and_added_by_the_next_merge() {
    let bench = shards(4);
    let output = bench.output(&["merge", "shard-1", "shard-3", "-o", "out"]);
    let said = stderr(&output);
    assert!(said.contains("no directory is of shard 2/4, 4/4"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("of 12 trials have run"));
    let rows = bench.outcomes("out").len();
    assert!((4..=8).contains(&rows), "{rows}");
    bench.stdout(&["merge", "shard-2", "shard-4", "-o", "out"]);
    assert_eq!(bench.outcomes("out").len(), TRIALS);
    assert_eq!(bench.run_json("out")["merged"].as_array().unwrap().len(), 4);
    // Again, with all of them: nothing changes.
    let tables = || TABLES.map(|name| bench.text(&format!("out/{name}")));
    let before = tables();
    bench.stdout(&["merge", "out", "shard-2", "shard-4", "shard-2", "-o", "out"]);
    assert!(tables() == before);
}

#[test]
fn rows_that_were_merged_in_two_steps_stood_behind_those_that_lay_there() {
    let bench = shards(3);
    bench.stdout(&["merge", "shard-1", "shard-2", "shard-3", "-o", "at-once"]);
    for [first, second, third] in [[1, 3, 2], [2, 3, 1], [3, 2, 1]] {
        let out = format!("out-{first}-{second}-{third}");
        let [first, second, third] = [first, second, third].map(|number| format!("shard-{number}"));
        bench.stdout(&["merge", &first, &second, "-o", &out]);
        bench.stdout(&["merge", &third, "-o", &out]);
        for table in TABLES {
            let [found, whole] = [&*out, "at-once"].map(|run| bench.text(&format!("{run}/{table}")));
            assert!(found == whole, "{out}/{table}");
        }
        let shards = |run: &str| -> Vec<Value> {
            let merged = bench.run_json(run)["merged"].as_array().unwrap().clone();
            merged.into_iter().map(|run| run["shard"].clone()).collect()
        };
        assert_eq!(shards(&out), shards("at-once"));
    }
}

#[test]
fn a_shard_that_was_stopped_goes_on_and_one_without_trials_is_a_run() {
    let bench = Bench::new();
    assert_eq!(shard(&bench, 2, 3, &["--limit=1"]).status.code(), Some(0));
    assert_eq!(bench.outcomes("shard-2").len(), 1);
    let half = bench.stdout(&["view", "shard-2"]);
    assert!(half.contains("shard 2/3 of the plan: 1 of 12 trials have run"), "{half}");
    // As a kill leaves it: a torn row, and a head of a trial that has no row.
    let torn = bench.text("shard-2/results.csv") + "torn,row";
    fs::write(bench.path("shard-2/results.csv"), torn).unwrap();
    assert_eq!(shard(&bench, 2, 3, &[]).status.code(), Some(0));
    let rows = bench.outcomes("shard-2").len();
    assert!((3..=5).contains(&rows), "{rows}");
    assert_eq!(shard(&bench, 1, 3, &[]).status.code(), Some(0));
    assert_eq!(shard(&bench, 3, 3, &[]).status.code(), Some(0));
    bench.stdout(&["merge", "shard-1", "shard-2", "shard-3", "-o", "out"]);
    assert_eq!(bench.outcomes("out").len(), TRIALS);
    assert_eq!(shard(&bench, 99, 100, &[]).status.code(), Some(0));
    assert_eq!(bench.outcomes("shard-99"), []);
    bench.stdout(&["merge", "shard-99", "out", "-o", "out"]);
    assert_eq!(bench.outcomes("out").len(), TRIALS);
}

#[test]
fn a_trial_with_two_results_is_refused_with_both_and_one_that_failed_elsewhere_is_not() {
    let bench = shards(2);
    fs::create_dir(bench.path("again")).unwrap();
    for name in ["run.json", "results.csv", "attention.csv", "spans.csv"] {
        fs::copy(bench.path("shard-1").join(name), bench.path("again").join(name)).unwrap();
    }
    // Another time is no other result.
    rewrite(&bench, "again/results.csv", |rows| {
        rows.iter_mut().for_each(|row| row.duration_seconds = Some(1e6));
    });
    let output = bench.output(&["merge", "shard-1", "again", "shard-2", "-o", "out"]);
    assert!(stderr(&output).contains("ran twice with the same result"), "{}", stderr(&output));
    assert_eq!(bench.outcomes("out").len(), TRIALS);
    fs::remove_dir_all(bench.path("out")).unwrap();
    // What failed on one machine and ran on another has run.
    rewrite(&bench, "again/results.csv", |rows| {
        rows[0].status = Status::Error;
        rows[0].error = Some("lost".to_string());
    });
    bench.stdout(&["merge", "again", "shard-1", "shard-2", "-o", "out"]);
    let rows = bench.outcomes("out");
    assert_eq!((rows.len(), rows[0].status, rows[1].status), (TRIALS + 1, Status::Error, Status::Ok));
    assert_eq!(rows[0].row_id, rows[1].row_id);
    fs::remove_dir_all(bench.path("out")).unwrap();
    let id = bench.outcomes("again")[1].row_id.clone();
    rewrite(&bench, "again/results.csv", |rows| rows[1].model_response = Some("something else".to_string()));
    let said = bench.refused(
        &["merge", "shard-1", "again", "-o", "out"],
        &[&id, "shard-1/results.csv", "again/results.csv", "model_response", "\"something else\""],
    );
    assert!(!bench.path("out").exists(), "{said}");
}

#[test]
fn runs_of_other_plans_and_what_is_no_run_are_refused() {
    let bench = shards(2);
    bench.grid(&["-o", "other", "--seed=4"]);
    let words = ["other is of another plan than shard-1", "seed: 3 -> 4"];
    bench.refused(&["merge", "shard-1", "other", "-o", "out"], &words);
    bench.refused(&["merge", "shard-1", "tiny", "-o", "out"], &["tiny: no run here"]);
    bench.refused(&["merge", "shard-1", "shard-2", "-o", "other"], &["is of another plan"]);
    bench.refused(&["merge", "-o", "out"], &["DIR"]);
    fs::create_dir(bench.path("bare")).unwrap();
    fs::copy(bench.path("shard-1/results.csv"), bench.path("bare/results.csv")).unwrap();
    bench.refused(&["merge", "shard-1", "-o", "bare"], &["results.csv without run.json"]);
    rewrite(&bench, "shard-2/results.csv", |rows| rows[0].config_hash = "0".repeat(16));
    bench.refused(&["merge", "shard-1", "shard-2", "-o", "out"], &["is of another run"]);
    assert!(!bench.path("out").exists());
    for part in ["0/2", "3/2", "x", "1"] {
        bench.refused(&["run", "--model", "tiny", "--shard", part], &["--shard", "I/N"]);
    }
}

#[test]
fn a_part_says_beforehand_what_it_takes_and_a_grown_plan_has_the_parts_of_the_smaller_one() {
    let bench = shards(2);
    let said = |part: &str| {
        let flags = ["run", "--model", "tiny", "--dry-run", "--output-format=json", part];
        let text = bench.stdout(&[&flags, &GRID[..]].concat());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let parts = ["--shard=1/2", "--shard=2/2"].map(said);
    let sum = |key: &str| parts.iter().map(|part| part["shard"][key].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("prompts"), 12.0);
    assert!((sum("share") - 1.0).abs() < 1e-9, "{parts:?}");
    let shares = parts.each_ref().map(|part| part["shard"]["share"].as_f64().unwrap());
    assert!(shares.iter().all(|share| (0.4..=0.6).contains(share)), "{shares:?}");
    assert_eq!(parts[0]["prompts_now"], parts[0]["shard"]["prompts"]);
    assert_eq!(parts[0]["shard"]["shard"], json!("1/2"));
    let text = bench.stdout(&[&["run", "--model", "tiny", "--dry-run", "--shard=1/2"], &GRID[..]].concat());
    assert!(text.contains("shard      1/2: 6 of the prompts, 5"), "{text}");
    // One of the machines was given more trials.
    assert_eq!(shard(&bench, 2, 2, &["--trials=3"]).status.code(), Some(0));
    bench.stdout(&["merge", "shard-1", "shard-2", "-o", "out"]);
    assert_eq!(bench.run_json("out")["settings"]["trials"], json!(3));
    assert!(bench.outcomes("out").len() > TRIALS);
}

/// Joins shards into `out`, each time with another file of the result that cannot be written, and then with
/// none.
fn cut_at_every_step(bench: &Bench, shards: &[&str], out: &str) {
    let merge = [&["merge", "-o", out], shards].concat();
    for name in ["attention.csv", "tokens.csv", "spans.csv", "run.json", "results.csv"] {
        // Where the new file would be written before it takes its place.
        let blocked = bench.path(out).join(format!("{name}.new"));
        fs::create_dir_all(&blocked).unwrap();
        bench.refused(&merge, &[name]);
        fs::remove_dir(&blocked).unwrap();
    }
    bench.stdout(&merge);
}

#[test]
fn a_merge_that_was_cut_at_any_step_is_made_whole_by_the_same_command() {
    let bench = shards(3);
    let all = ["shard-1", "shard-2", "shard-3"];
    bench.stdout(&[&["merge", "-o", "whole"], &all[..]].concat());
    let same = |out: &str| {
        for table in TABLES {
            let [found, whole] = [out, "whole"].map(|run| bench.text(&format!("{run}/{table}")));
            assert!(found == whole, "{out}/{table}");
        }
        let shards = |run: &str| bench.run_json(run)["merged"].as_array().unwrap().len();
        assert_eq!((shards(out), bench.outcomes(out).len()), (3, TRIALS), "{out}");
    };
    cut_at_every_step(&bench, &all, "new");
    same("new");
    bench.stdout(&["merge", "shard-2", "-o", "begun"]);
    cut_at_every_step(&bench, &["shard-1", "shard-3"], "begun");
    same("begun");
    cut_at_every_step(&bench, &all, "shard-1");
    same("shard-1");
}

#[test]
fn a_merge_hides_no_runs_of_several_tasks_and_is_hidden_by_none() {
    let bench = shards(2);
    let tasks = |names: &str, out: &str| {
        bench.stdout(&[&["run", "--model", "tiny", "-o", out, "--task", names], &GRID[..]].concat())
    };
    let shown = tasks("magic,passkey", "tasks");
    let words = ["holds several tasks", "for a single run", "or name the one below it: tasks/magic"];
    bench.refused(&["merge", "shard-1", "shard-2", "-o", "tasks"], &words);
    bench.refused(&[&["run", "--model", "tiny", "-o", "tasks"], &GRID[..]].concat(), &words);
    assert_eq!(bench.stdout(&["view", "tasks"]), shown);
    let words = ["holds a single run", "for several tasks"];
    bench.refused(&["merge", "tasks", "-o", "shard-1"], &words);
    let words = ["tasks is of another plan than shard-1", "a single run -> several tasks"];
    bench.refused(&["merge", "shard-1", "tasks", "-o", "out"], &words);
    assert!(!bench.path("out").exists());
    // What is merged into grows by tasks, and loses none.
    tasks("magic,passkey,kv", "three");
    bench.stdout(&["merge", "tasks", "-o", "out"]);
    bench.stdout(&["merge", "three", "-o", "out"]);
    bench.refused(&["merge", "tasks", "-o", "out"], &["out holds results of another plan: tasks: magic,"]);
    assert!(bench.stdout(&["view", "out"]).contains("kv"));
}

#[test]
fn runs_of_several_tasks_are_joined_task_by_task() {
    let bench = Bench::new();
    let run = |more: &[&str]| {
        let flags = ["run", "--model", "tiny", "--task=magic,passkey", "--controls=no-needle"];
        bench.stdout(&[&flags, &GRID[..], more].concat())
    };
    let whole = run(&["-o", "whole"]);
    run(&["-o", "a", "--shard=1/2"]);
    run(&["-o", "b", "--shard=2/2"]);
    let merged = bench.stdout(&["merge", "a", "b", "-o", "out"]);
    assert_eq!(merged, whole);
    for task in ["magic/task", "magic/no-needle", "passkey/task", "passkey/no-needle"] {
        let [out, whole] = ["out", "whole"].map(|run| timeless(&bench, &format!("{run}/{task}")));
        assert_eq!(out, whole, "{task}");
    }
}

/// The text between the fences of a language in `docs/scale.md`, the first that has these words.
fn block(language: &str, words: &str) -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scale.md")).unwrap();
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks.find_map(|block| {
        block.strip_prefix(language)?.strip_prefix('\n').filter(|block| block.contains(words))
    });
    block.unwrap_or_else(|| panic!("no block of {language} with {words}")).to_string()
}

/// Runs a script of the manual with `niah` in its path, on the small grid.
fn script(bench: &Bench, text: &str, variables: &[(&str, &str)]) {
    let (bin, niah) = (bench.path("bin"), env!("CARGO_BIN_EXE_niah"));
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(niah, bin.join("niah")).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-ec", text])
        .current_dir(bench.path("."))
        .env("PATH", path)
        .env("MODEL", "tiny")
        .env("GRID", GRID.join(" "))
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn all_is_there(bench: &Bench, count: usize) {
    let parts: Vec<String> = (1..=count).map(|number| format!("out/shard-{number}")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    bench.stdout(&[&["merge", "-o", "joined"], &parts[..]].concat());
    bench.grid(&["-o", "whole"]);
    assert_eq!(timeless(bench, "joined"), timeless(bench, "whole"));
}

#[test]
fn the_array_job_of_the_manual_runs_the_plan_whatever_its_numbers_begin_with() {
    let text = block("sh", "#SBATCH --array");
    for first in [0, 1, 5] {
        let bench = Bench::new();
        for id in first..first + 3 {
            let [id, first] = [id, first].map(|number| number.to_string());
            let of_the_job = [("SLURM_ARRAY_TASK_ID", &*id), ("SLURM_ARRAY_TASK_MIN", &*first)];
            script(&bench, &text, &[&of_the_job[..], &[("SLURM_ARRAY_TASK_COUNT", "3")]].concat());
        }
        all_is_there(&bench, 3);
    }
}

#[test]
fn one_task_of_the_array_job_that_is_sent_again_is_the_same_part() {
    let (bench, text) = (Bench::new(), block("sh", "#SBATCH --array"));
    let job = |id: &str, count: &str, min: &str, more: &[(&str, &str)]| {
        let own =
            [("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_COUNT", count), ("SLURM_ARRAY_TASK_MIN", min)];
        script(&bench, &text, &[&own[..], more].concat());
    };
    job("1", "2", "1", &[]);
    // As `sbatch --array=2` sets them.
    job("2", "1", "2", &[("SHARDS", "2"), ("FIRST", "1")]);
    all_is_there(&bench, 2);
}

#[test]
fn the_indexed_job_of_the_manual_runs_the_plan() {
    let text = block("yaml", "completionMode: Indexed");
    let completions = text.lines().find_map(|line| line.trim().strip_prefix("completions: ")).unwrap();
    let shards = text.split_once("SHARDS").unwrap().1;
    assert!(shards.contains(&format!("value: \"{completions}\"")), "{text}");
    let (_, command) = text.split_once("- |\n").unwrap();
    let deep = command.len() - command.trim_start().len();
    let lines = command.lines().take_while(|line| line.len() - line.trim_start().len() >= deep);
    let command: String = lines.map(|line| format!("{}\n", &line[deep..])).collect();
    let bench = Bench::new();
    for index in ["0", "1", "2"] {
        script(&bench, &command, &[("JOB_COMPLETION_INDEX", index), ("SHARDS", "3")]);
    }
    all_is_there(&bench, 3);
}
