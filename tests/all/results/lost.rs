//! A run whose directory goes away, whose disk is full or whose streams are closed ends with an error, and
//! what it computed is kept.

use std::fs;
use std::process::{Child, Stdio};

use niah::runner::{TrialRecord, TrialSink};
use niah::store::directory::{RunDirectory, RunRecord};
use niah::trial::Outcome;

use super::common::bench::{Bench, stderr};
use super::common::grid::{GRID, TRIALS};
use super::ends;

/// A stored run, to be recorded again row by row.
fn recorded(bench: &Bench) -> (RunRecord, Vec<TrialRecord>) {
    bench.grid(&["-o", "source"]);
    let record = RunRecord::read(&bench.path("source")).unwrap();
    let attention = bench.attention("source");
    let of = |outcome: Outcome| TrialRecord {
        attention: attention.iter().filter(|row| row.row_id == outcome.row_id).cloned().collect(),
        outcome,
        ..TrialRecord::default()
    };
    (record, bench.outcomes("source").into_iter().map(of).collect())
}

#[test]
#[cfg(unix)]
fn a_directory_that_goes_away_is_an_error_and_its_rows_are_saved_beside_it() {
    let bench = Bench::new();
    let (record, trials) = recorded(&bench);
    let go_away: [fn(&Bench); 4] = [
        |bench| fs::remove_dir_all(bench.path("out")).unwrap(),
        |bench| fs::rename(bench.path("out"), bench.path("elsewhere")).unwrap(),
        |bench| fs::remove_file(bench.path("out/attention.csv")).unwrap(),
        |bench| {
            // Another run has taken its place.
            fs::remove_dir_all(bench.path("out")).unwrap();
            bench.copy("source", "out");
        },
    ];
    for go_away in go_away {
        let mut store = RunDirectory::open(&bench.path("out"), &record, false).unwrap();
        trials[..3].iter().for_each(|trial| store.record(trial.clone()).unwrap());
        go_away(&bench);
        let error = store.record(trials[3].clone()).unwrap_err();
        assert!(matches!(error, niah::error::Error::Output { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("removed, renamed or replaced") && said.contains("4 rows are in"), "{said}");
        drop(store);
        let rescued = bench.outcomes("out.rescued");
        assert!(rescued.iter().eq(trials[..4].iter().map(|trial| &trial.outcome)));
        assert_eq!(bench.attention("out.rescued"), bench.attention("source")[..4 * 16]);
        // It is a run like any other and goes on.
        let go_on = [&["run", "--model=tiny"], &GRID[..], &["-o", "out.rescued"]].concat();
        let output = bench.output(&go_on);
        ends(&output, 0, &["8 trials (4 already done)"]);
        assert_eq!(bench.text("out.rescued/attention.csv"), bench.text("source/attention.csv"));
        for name in ["out", "out.rescued", "elsewhere"] {
            let _ = fs::remove_dir_all(bench.path(name));
        }
    }
}

#[test]
fn a_record_that_goes_away_is_written_again() {
    let bench = Bench::new();
    let (record, trials) = recorded(&bench);
    let mut store = RunDirectory::open(&bench.path("out"), &record, false).unwrap();
    store.record(trials[0].clone()).unwrap();
    fs::remove_file(bench.path("out/run.json")).unwrap();
    store.record(trials[1].clone()).unwrap();
    assert_eq!(RunRecord::read(&bench.path("out")).unwrap(), record);
}

/// Waits until a child has made a file; false when it ended before.
fn waits_for(child: &mut Child, path: &std::path::Path, bytes: u64) -> bool {
    loop {
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() >= bytes) {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
}

#[test]
#[cfg(unix)]
fn a_run_whose_directory_is_deleted_fails() {
    let bench = Bench::new();
    let grid = ["--context-lengths=200,300", "--depths-num=20", "--trials=10"];
    let mut command = bench.command(&[&["run", "--model=tiny", "-o", "out"], &grid[..]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(waits_for(&mut child, &bench.path("out/results.csv"), 600), "it ended too early");
    fs::remove_dir_all(bench.path("out")).unwrap();
    let output = child.wait_with_output().unwrap();
    ends(&output, 1, &["removed, renamed or replaced", "out.rescued"]);
    assert!(!bench.outcomes("out.rescued").is_empty());
}

/// A training of steps that take an instant.
const TRAINING: [&str; 11] = [
    "train",
    "--hidden-size=32",
    "--intermediate-size=48",
    "--num-hidden-layers=2",
    "--num-attention-heads=2",
    "--sliding-window=16",
    "--vocab-size=400",
    "--context-length=128",
    "--batch-size=4",
    "--save-every=1",
    "--threads=1",
];

#[test]
fn a_training_whose_directory_is_deleted_fails_and_loses_no_step() {
    let bench = Bench::new();
    let mut command = bench.command(&[&TRAINING[..], &["--steps=40", "-o", "out"]].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    assert!(waits_for(&mut child, &bench.path("out/training-state.safetensors"), 1), "it ended too early");
    // What is written at this moment may bring the directory back before it is gone.
    while fs::remove_dir_all(bench.path("out")).is_err() {}
    let output = child.wait_with_output().unwrap();
    ends(&output, 1, &["out"]);
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
}

#[test]
#[cfg(unix)]
fn the_limit_on_the_size_of_files_is_named_and_rows_before_it_are_kept() {
    let bench = Bench::new();
    let arguments = [&["run", "--model=tiny", "-o", "out", "--tokens"], &GRID[..]].concat();
    // In blocks of 512 bytes or of a KiB, as the shell has it.
    for blocks in ["1", "40"] {
        let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut limited = bench.command(&[]);
        let program = limited.get_program().to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).arg(program).args(&arguments).current_dir(bench.0.path());
        limited = shell;
        let output = limited.output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{}: {}", output.status, stderr(&output));
        assert!(stderr(&output).contains("ulimit -f"), "{}", stderr(&output));
    }
    let kept = bench.outcomes("out");
    assert!(!kept.is_empty() && kept.len() < TRIALS, "{} rows", kept.len());
    let output = bench.output(&arguments);
    ends(&output, 0, &[&format!("({} already done)", kept.len())]);
    assert!(bench.outcomes("out").starts_with(&kept));
}

#[test]
#[cfg(unix)]
fn closed_streams_change_no_file() {
    let bench = Bench::new();
    bench.grid(&["-o", "whole"]);
    for (number, closed) in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"].into_iter().enumerate() {
        let out = format!("out{number}");
        let arguments = [&["run", "--model=tiny", "-o", &out], &GRID[..]].concat();
        let program = bench.command(&[]).get_program().to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {closed}")]).arg(program).args(arguments);
        let output = shell.current_dir(bench.0.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{closed}: {}", stderr(&output));
        assert_eq!(bench.outcomes(&out).len(), TRIALS, "{closed}");
        assert_eq!(
            bench.text(&format!("{out}/attention.csv")),
            bench.text("whole/attention.csv"),
            "{closed}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_under_a_table_of_losses_is_told_after_the_losses_are_shown() {
    let bench = Bench::new();
    fs::create_dir(bench.path("out")).unwrap();
    std::os::unix::fs::symlink("/dev/full", bench.path("out/loss.json.new")).unwrap();
    // What stands in the way of a new file is removed first: a link to a full device does no harm.
    let arguments = ["loss", "--model=tiny", "--context-length=64", "--trials=2", "-o", "out"];
    bench.stdout(&arguments);
    assert!(bench.path("out/loss.csv").is_file());
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let output = bench.command(&arguments).stdout(full()).output().unwrap();
    ends(&output, 1, &["stdout", "No space left"]);
}
