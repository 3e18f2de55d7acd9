//! A run that is killed at any moment and started again until it is complete has the rows of one that nobody
//! disturbed.
//!
//! `NIAH_KILLS=200 cargo test --test all results::kill` kills each command that often; without it a few
//! times.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use niah::rng::Rng;
use niah::trial::Outcome;

use super::common::bench::{Bench, stderr};

/// How often to kill: what `NIAH_KILLS` says, else a few times.
fn kills(few: usize) -> usize {
    std::env::var("NIAH_KILLS").ok().map_or(few, |kills| kills.parse().unwrap())
}

/// Runs a command again and again, `kills` times killed at a random moment, until it is complete. After every
/// completion before that it begins anew. `check` sees each complete result, `clear` removes it.
fn disturb(
    bench: &Bench,
    kills: usize,
    command: impl Fn(&Bench) -> Vec<String>,
    check: impl Fn(&Bench),
    clear: impl Fn(&Bench),
) {
    let mut random = Rng::for_purpose(1, &["kill"]);
    let start = |command: Vec<String>| {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // The time that it takes by itself says when to kill it; nothing else depends on it.
    let begun = Instant::now();
    let whole = start(command(bench)).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let (whole, mut killed) = (begun.elapsed(), 0);
    clear(bench);
    loop {
        let mut child = start(command(bench));
        let (begun, after) = (Instant::now(), whole.mul_f64(1.1 * random.below(1000) as f64 / 1000.0));
        let ended = loop {
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            if killed < kills && begun.elapsed() > after {
                child.kill().unwrap();
                break false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        let output = child.wait_with_output().unwrap();
        // It may have ended at the very moment of the kill.
        if ended || output.status.code().is_some() {
            assert_eq!(output.status.code(), Some(0), "after {killed} kills: {}", stderr(&output));
            check(bench);
            if killed == kills {
                return;
            }
            clear(bench);
        } else {
            killed += 1;
        }
    }
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_string()).collect()
}

/// Rows without the time that they took.
fn timeless(bench: &Bench, directory: &str) -> Vec<Outcome> {
    let timeless = |row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row };
    bench.outcomes(directory).into_iter().map(timeless).collect()
}

const GRID: [&str; 6] = [
    "--context-lengths=160,240",
    "--depths=0,50,100",
    "--trials=3",
    "--seed=3",
    "--threads=1",
    "--snap=none",
];

#[test]
fn a_run_that_is_killed_again_and_again_loses_no_row_and_doubles_none() {
    let bench = Bench::new();
    let run = |out: &str| words(&[&["run", "--model=tiny", "--tokens", "-o", out], &GRID[..]].concat());
    let whole = run("whole");
    let drawn = bench.stdout(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    let rows = timeless(&bench, "whole");
    assert_eq!(rows.len(), 18);
    let check = |bench: &Bench| {
        assert_eq!(timeless(bench, "out"), rows);
        for table in ["attention.csv", "tokens.csv"] {
            let [whole, parts] = ["whole", "out"].map(|run| bench.text(&format!("{run}/{table}")));
            assert!(whole == parts, "{table}: {} and {} lines", whole.lines().count(), parts.lines().count());
        }
        assert_eq!(bench.stdout(&["view", "out"]), drawn);
    };
    let clear = |bench: &Bench| fs::remove_dir_all(bench.path("out")).unwrap();
    disturb(&bench, kills(12), |_| run("out"), check, clear);
}

#[test]
fn a_comparison_that_is_killed_goes_on_to_the_same_end() {
    let bench = Bench::new();
    let compare = |out: &str| {
        let models = ["compare", "tiny", "tiny", "--variant-b=logn", "-o", out];
        words(&[&models, &GRID[..]].concat())
    };
    bench.stdout(&compare("whole").iter().map(String::as_str).collect::<Vec<_>>());
    let check = |bench: &Bench| {
        for side in ["a", "b"] {
            let [whole, parts] = ["whole", "out"].map(|run| timeless(bench, &format!("{run}/{side}")));
            assert_eq!(whole, parts);
            let [whole, parts] =
                ["whole", "out"].map(|run| bench.text(&format!("{run}/{side}/attention.csv")));
            assert!(whole == parts, "attention.csv of {side}");
        }
    };
    let clear = |bench: &Bench| fs::remove_dir_all(bench.path("out")).unwrap();
    disturb(&bench, kills(4), |_| compare("out"), check, clear);
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_weights() {
    let bench = Bench::new();
    let train = |bench: &Bench, out: &str| {
        let steps = ["train", "--steps=12", "--save-every=2", "--hidden-size=32", "--intermediate-size=48"];
        let sizes = ["--num-hidden-layers=2", "--num-attention-heads=2", "--sliding-window=16"];
        let rest = ["--vocab-size=400", "--context-length=128", "--batch-size=2", "--threads=1", "-o", out];
        let mut command = words(&[&steps[..], &sizes, &rest].concat());
        match bench.path(out).join("training-state.safetensors").exists() {
            true => command.push("--resume".to_string()),
            // Nothing was saved: the directory says so, and a training begins in another one.
            false => drop(fs::remove_dir_all(bench.path(out))),
        }
        command
    };
    bench.stdout(&train(&bench, "whole").iter().map(String::as_str).collect::<Vec<_>>());
    let check = |bench: &Bench| {
        for file in ["model.safetensors", "training-state.safetensors", "config.json", "tokenizer.json"] {
            let [whole, parts] =
                ["whole", "out"].map(|run| fs::read(bench.path(&format!("{run}/{file}"))).unwrap());
            assert!(whole == parts, "{file}");
        }
        let steps = |run: &str| {
            let text = bench.text(&format!("{run}/training.csv"));
            // Without the speed of the step.
            let row = |line: &str| {
                let fields: Vec<_> = line.split(',').map(str::to_string).collect();
                [&fields[..4], &fields[5..]].concat()
            };
            text.lines().map(row).collect::<Vec<_>>()
        };
        assert_eq!(steps("whole"), steps("out"));
    };
    let clear = |bench: &Bench| fs::remove_dir_all(bench.path("out")).unwrap();
    disturb(&bench, kills(4), |bench| train(bench, "out"), check, clear);
}

#[test]
fn losses_that_are_killed_are_measured_again() {
    let bench = Bench::new();
    let loss = |out: &str| {
        words(&["loss", "--model=tiny", "--context-length=128", "--trials=4", "--threads=1", "-o", out])
    };
    bench.stdout(&loss("whole").iter().map(String::as_str).collect::<Vec<_>>());
    let check = |bench: &Bench| assert_eq!(bench.text("out/loss.csv"), bench.text("whole/loss.csv"));
    let clear = |bench: &Bench| fs::remove_dir_all(bench.path("out")).unwrap();
    disturb(&bench, kills(3), |_| loss("out"), check, clear);
}

/// By hand alone: it takes minutes.
#[test]
fn an_experiment_that_is_killed_goes_on_to_the_same_report() {
    if std::env::var_os("NIAH_KILLS").is_none() {
        return;
    }
    let bench = Bench::new();
    let experiment = |out: &str| {
        let sizes =
            ["--small", "--steps=6", "--seeds=42", "--trials=1", "--longest=2", "--context-length=128"];
        words(&[&["experiment", "ssmax", "-o", out], &sizes[..]].concat())
    };
    bench.stdout(&experiment("whole").iter().map(String::as_str).collect::<Vec<_>>());
    let check =
        |bench: &Bench| assert_eq!(bench.text("whole/ssmax/report.md"), bench.text("out/ssmax/report.md"));
    let clear = |bench: &Bench| fs::remove_dir_all(bench.path("out")).unwrap();
    disturb(&bench, kills(0) / 10, |_| experiment("out"), check, clear);
}
