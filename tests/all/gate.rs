//! `niah gate` through the binary: what passes, what fails, and what cannot be said.

use crate::common;

use std::fs;

use common::bench::{Bench, stderr};
use niah::store::csv::{self, Appender};
use niah::trial::{Outcome, Status};
use serde_json::Value;

impl Bench {
    /// A run of lengths 200 and 300 with so many trials, each like the first one of its cell but for what
    /// `change` makes of it.
    fn trials(&self, directory: &str, trials: usize, change: impl Fn(&mut Outcome)) {
        if !self.path("one").exists() {
            let grid =
                ["--context-lengths=200,300", "--depths=50", "--seed=3", "--apply-chat-template=never"];
            self.stdout(&[&["run", "--model=tiny", "-o", "one"], &grid[..]].concat());
        }
        fs::create_dir(self.path(directory)).unwrap();
        let mut record = self.run_json("one");
        record["settings"]["trials"] = trials.into();
        fs::write(self.path(directory).join("run.json"), record.to_string()).unwrap();
        let one: Vec<Outcome> = csv::read(self.path("one/results.csv")).unwrap();
        let mut rows = Vec::new();
        for (trial, row) in (0..trials).flat_map(|trial| one.iter().map(move |row| (trial, row))) {
            let row_id = format!("{}:{}:{trial}", row.context_length, row.depth_percent);
            let hash = Some(format!("{:0>64}", trial + row.context_length));
            let mut row = Outcome { trial, row_id, prompt_hash: hash, ..row.clone() };
            set(&mut row, true);
            change(&mut row);
            rows.push(row);
        }
        Appender::open(self.path(directory).join("results.csv")).unwrap().append(&rows).unwrap();
    }

    /// The exit code, stdout and stderr.
    fn gate(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.output(&[&["gate"], arguments].concat());
        let said = stderr(&output);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), said)
    }
}

fn set(row: &mut Outcome, right: bool) {
    row.correct = Some(right);
    row.score = Some(f64::from(u8::from(right)));
}

/// The words of a line of a table.
fn line<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let found = page.lines().find_map(|line| line.trim_start().strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name} in {page}")).split_whitespace().collect()
}

#[test]
fn a_run_that_meets_everything_passes_with_a_line_for_each_criterion() {
    let bench = Bench::new();
    bench.trials("out", 40, |_| ());
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    let asked = [
        "out",
        "--min-accuracy=90%",
        "--min-accuracy-at=300=0.9",
        "--min-accuracy-at=200=0.5",
        "--min-effective-length=250",
        "--min-needle-mass=0",
    ];
    let (code, page, said) = bench.gate(&asked);
    assert_eq!(code, 0, "{said}");
    assert_eq!(line(&page, "trials that ran"), ["80", "-", "at", "least", "80", "80", "40", "pass"]);
    let accuracy = ["100.0%", "91.2%", "to", "100.0%", "at", "least", "90.0%", "40", "40", "pass"];
    assert_eq!(line(&page, "accuracy at 300"), accuracy);
    let length = ["300", "300", "to", "300", "at", "least", "250", "80", "40", "pass"];
    assert_eq!(line(&page, "effective length (ruler)"), length);
    assert!(line(&page, "needle mass").ends_with(&["at", "least", "0.000", "80", "40", "pass"]), "{page}");
    assert!(page.contains("gate passed: all 6 criteria are met, decided by the values."), "{page}");
    let conservative = bench.gate(&[&asked[..5], &["--conservative"]].concat());
    assert_eq!(conservative.0, 0, "{}", conservative.2);
    let alike = bench.gate(&["out", "--min-needle-mass=0", "--conservative"]);
    assert!(alike.0 == 1 && alike.2.contains("gate not met: needle mass"), "no interval of masses all alike");
    let nearly = bench.gate(&["out", "--min-accuracy=91%", "--conservative"]);
    assert_eq!(nearly.0, 0, "{}", nearly.1);
}

#[test]
fn what_is_not_met_fails_and_is_written_for_other_programs() {
    let bench = Bench::new();
    bench.trials("out", 40, |row| set(row, row.context_length == 200 || row.trial >= 6));
    let asked = ["out", "--min-accuracy=90%", "--min-accuracy-at=300=90%", "--min-effective-length=300"];
    let files = ["--junit", "gate.xml", "--markdown", "summary.md"];
    fs::write(bench.path("summary.md"), "# Another step\n").unwrap();
    let (code, page, said) = bench.gate(&[&asked[..], &files].concat());
    assert_eq!(code, 1, "{page}");
    let not_met =
        "gate not met: accuracy at 300, effective length (ruler) (2 of 4 criteria, decided by the values)";
    assert!(said.contains(not_met) && page.contains(not_met), "{said} {page}");
    assert_eq!(line(&page, "accuracy at 300")[..4], ["85.0%", "70.9%", "to", "92.9%"]);
    assert_eq!(line(&page, "effective length (ruler)")[..4], ["200", "200", "to", "300"]);
    assert!(
        page.contains("accuracy at 300: the interval also holds values on the other side of the need"),
        "{page}"
    );

    let junit = bench.text("gate.xml");
    assert!(
        junit.contains("<testsuite name=\"niah gate\" tests=\"4\" failures=\"2\" errors=\"0\""),
        "{junit}"
    );
    assert_eq!(junit.matches("<testcase ").count(), 4);
    let failure = "<failure type=\"gate\" message=\"85.0%, 95% interval 70.9% to 92.9%, need at least 90.0%, n 40 of 40 trials\"/>";
    assert!(junit.contains(failure), "{junit}");
    bench.gate(&[&asked[..], &files].concat());
    let summary = bench.text("summary.md");
    assert!(summary.starts_with("# Another step\n\n"), "{summary}");
    assert_eq!((summary.matches("gate not met").count(), bench.text("gate.xml")), (2, junit));

    let (code, text, _) = bench.gate(&[&asked[..], &["--output-format=json"]].concat());
    let json: Value = serde_json::from_str(&text).unwrap();
    let totals = &json["totals"];
    assert_eq!((code, &totals["passed"], &totals["conservative"]), (1, &false.into(), &false.into()));
    let criteria = json["rows"].as_array().unwrap();
    assert_eq!(criteria.len(), 4);
    assert_eq!((&criteria[1]["criterion"], &criteria[1]["passed"]), (&"accuracy".into(), &true.into()));
    assert_eq!((&criteria[2]["value"], &criteria[2]["need"]), (&0.85.into(), &0.9.into()));

    let conservative = bench.gate(&["out", "--min-accuracy=90%", "--conservative"]);
    assert!(
        conservative.0 == 1 && conservative.2.contains("decided by the ends of the intervals"),
        "{}",
        conservative.1
    );
}

#[test]
fn what_the_trials_cannot_decide_is_refused_with_the_number_that_could() {
    let bench = Bench::new();
    bench.trials("out", 10, |_| ());
    let asked = ["gate", "out", "--junit=gate.xml"];
    for (criterion, words) in [
        (
            "--min-accuracy=90%",
            "accuracy of at least 90% takes 35 trials, and there are 10: 90% would still be",
        ),
        ("--min-accuracy-at=300=5%", "accuracy at 300 of at least 5% takes 73 trials"),
        ("--min-accuracy=100%", "which no number of trials shows"),
        ("--min-effective-length=300", "85.6% at 200 takes 23 trials"),
        ("--min-effective-length=4k", "at least 4k, as no longer one than 300 was tested"),
        ("--min-accuracy-at=4k=70%", "no trial of that length ran (there are 200, 300)"),
    ] {
        let said = bench.refused(&[&asked[..], &[criterion]].concat(), &["cannot be decided: "]);
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!bench.path("gate.xml").exists());
    // Those that can be decided beside it do not help.
    bench.refused(&["gate", "out", "--min-accuracy=60%", "--min-accuracy-at=200=90%"], &["35 trials"]);
    assert_eq!(bench.gate(&["out", "--min-accuracy=60%"]).0, 0);
    bench.trials("few", 9, |_| ());
    bench.refused(&["gate", "few", "--min-needle-mass=0.1"], &["takes 10 trials, and the run has 9"]);
}

#[test]
fn a_run_is_held_against_a_baseline_on_the_same_prompts() {
    let bench = Bench::new();
    bench.trials("old", 40, |_| ());
    bench.trials("new", 40, |row| set(row, row.trial >= 6));
    bench.trials("other", 40, |row| row.prompt_hash = Some(format!("{:0>64}", 7)));
    let gate = |run: &str, more: &[&str]| bench.gate(&[&[run, "--baseline=old"], more].concat());
    let (code, page, said) = gate("new", &["--max-drop=20%"]);
    assert_eq!(code, 0, "{said}");
    let found = line(&page, "drop against the baseline");
    assert_eq!(
        (found[0], &found[4..]),
        ("15.0%", &["at", "most", "20.0%", "80", "40", "pass"][..]),
        "{page}"
    );
    assert_eq!(gate("new", &["--max-drop=20%", "--conservative"]).0, 1, "its interval holds more");
    assert_eq!(gate("new", &["--max-drop=14%"]).0, 1);
    assert_eq!(gate("old", &["--max-drop=14%", "--conservative"]).0, 0, "itself");
    let refused = |run: &str, more: &[&str], words: &[&str]| {
        bench.refused(&[&["gate", run, "--baseline=old"], more].concat(), words)
    };
    refused("new", &["--max-drop=1%"], &["a drop of at most 1 points takes ", "and there are 40"]);
    refused("new", &["--max-drop=0"], &["which no number of trials decides"]);
    refused("other", &["--max-drop=20%"], &["not asked the same"]);
}

#[test]
fn trials_that_failed_or_are_missing_fail_the_gate() {
    let bench = Bench::new();
    bench.trials("failed", 40, |row| {
        if row.trial == 7 {
            (row.status, row.correct, row.score) = (Status::Error, None, None);
        }
    });
    let (code, page, said) = bench.gate(&["failed", "--min-accuracy=80%"]);
    assert_eq!(code, 1, "{page}");
    assert!(said.contains("gate not met: trials that ran (1 of 2 criteria"), "{said}");
    assert_eq!(line(&page, "trials that ran")[..5], ["78", "-", "at", "least", "80"]);
}

#[test]
fn a_gate_without_a_run_or_a_criterion_is_refused() {
    let bench = Bench::new();
    bench.trials("out", 4, |_| ());
    for (arguments, words) in [
        (&["gate", "out"][..], "a criterion, such as --min-accuracy 0.9"),
        (&["gate", "tiny", "--min-accuracy=0.5"], "no run here"),
        (&["gate", "out", "--max-drop=5%"], "--baseline"),
        (&["gate", "out", "--baseline=out"], "--max-drop"),
        (&["gate", "out", "--min-accuracy-at=4k"], "a length and a share, such as 4k=0.9"),
        (&["gate", "out", "--min-accuracy-at=x=0.5"], "--min-accuracy-at"),
        (&["gate", "out", "--min-accuracy=0.5", "--junit=none/such.xml"], "none/such.xml"),
    ] {
        bench.refused(arguments, &[words]);
    }
}
