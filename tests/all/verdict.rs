//! What a run is found to do, in a sentence, through the binary.

use crate::common;

use std::fs;

use common::bench::Bench;
use niah::store::csv::{self, Appender};
use niah::trial::Outcome;

impl Bench {
    /// The run `grid` with answers that are right by a rule, in `directory`.
    pub(crate) fn answered(&self, grid: &str, directory: &str, right: impl Fn(&Outcome) -> bool) {
        fs::create_dir(self.path(directory)).unwrap();
        fs::copy(self.path(grid).join("run.json"), self.path(directory).join("run.json")).unwrap();
        let mut rows: Vec<Outcome> = csv::read(self.path(grid).join("results.csv")).unwrap();
        for row in &mut rows {
            row.correct = Some(right(row));
            row.score = Some(f64::from(u8::from(right(row))));
        }
        Appender::open(self.path(directory).join("results.csv")).unwrap().append(&rows).unwrap();
    }
}

/// The paragraph of the verdict in one line.
fn verdict(page: &str) -> String {
    let mut paragraphs = page.split("\n\n");
    let paragraph = paragraphs.find(|paragraph| paragraph.contains(" answers are right")).unwrap();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_run_ends_with_what_it_found_and_is_judged_anew_by_another_rule_without_its_model() {
    let bench = Bench::new();
    let page = bench.grid(&["-o", "grid", "--rule", "every-depth"]);
    assert!(
        verdict(&page).starts_with(
            "0 of 12 answers are right (accuracy 0%, 95% interval 0 to 66% over 2 trials); by the rule every-depth "
        ),
        "{page}"
    );
    bench.answered("grid", "out", |row| row.context_length == 200 || row.depth_percent.percent() > 0.0);
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    let view = |more: &[&str]| verdict(&bench.stdout(&[&["view", "out"], more].concat()));
    let said = view(&[]);
    for part in [
        "10 of 12 answers",
        "by the rule ruler ",
        "the effective length is 200, as 300 fails (mean score 67%",
        "lowest at depth 0%).",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(view(&["--threshold", "60%"]).ends_with("the effective length is 300, the longest tested."));
    let depths = view(&["--rule=every-depth"]);
    assert!(depths.contains("300 fails (mean score at depth 0% 0%, "), "{depths}");
    let conservative = view(&["--conservative"]);
    assert!(
        conservative.contains("no length is effective, as 200, the shortest tested, fails"),
        "{conservative}"
    );
    let json = bench.stdout(&["view", "out", "--rule=nolima", "--output-format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let verdict = &json["totals"]["verdict"];
    assert_eq!((&verdict["rule"], &verdict["threshold"]), (&"nolima".into(), &0.85.into()));
    assert_eq!((&verdict["effective_length"], &verdict["fails_at_length"]), (&200.into(), &300.into()));
    assert!(verdict["sentence"].as_str().unwrap().contains("by the rule nolima"), "{verdict}");
    for form in ["markdown", "html"] {
        let written = bench.stdout(&["view", "out", "--output-format", form]);
        assert!(written.contains("the effective length is 200"), "{form}: {written}");
    }
}

#[test]
fn rules_and_thresholds_that_are_none_are_refused_under_their_flags() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    bench.refused(
        &["view", "out", "--rule", "rulr"],
        &["--rule", "did you mean ruler?", "nolima, every-depth"],
    );
    for wrong in ["1.5", "-1", "many", "120%", "NaN"] {
        bench.refused(&["view", "out", "--threshold", wrong], &["--threshold", "such as 0.85 or 85%"]);
    }
    bench.refused(&["view", "out", "--by=layer", "--rule=nolima"], &["--rule", "--by cell"]);
}
