//! `niah heads` and `niah run --retrieval` through the binary.

use crate::common;

use std::collections::BTreeMap;
use std::fs;

use common::bench::Bench;
use niah::report::retrieval::HeadScore;
use niah::store::csv;
use niah::store::retrieval::{ranking, read_scores};
use niah::trial::RetrievalRow;
use serde_json::Value;

fn rows(bench: &Bench, run: &str) -> Vec<RetrievalRow> {
    csv::read(bench.path(run).join("retrieval.csv")).unwrap()
}

#[test]
fn what_heads_copy_is_kept_where_that_is_wanted_and_changes_nothing_else() {
    let bench = Bench::new();
    bench.grid(&["-o", "plain"]);
    bench.grid(&["-o", "out", "--retrieval"]);
    assert!(!bench.path("plain/retrieval.csv").exists());
    assert_eq!(bench.text("plain/attention.csv"), bench.text("out/attention.csv"));
    let without_times = |run: &str| -> Vec<_> {
        bench.outcomes(run).into_iter().map(|row| (row.row_id, row.config_hash, row.model_response)).collect()
    };
    assert_eq!(without_times("plain"), without_times("out"));
    let rows = rows(&bench, "out");
    assert_eq!(rows.len(), bench.attention("out").len(), "one a trial and head");
    for row in &rows {
        assert!(row.copied_tokens <= row.copied_steps && row.copied_steps <= row.steps, "{row:?}");
        assert!(row.steps > 0 && row.needle_tokens > 0, "{row:?}");
        let masses = [row.question_mass.unwrap(), row.null_mass.unwrap()];
        assert!(masses.iter().all(|mass| (0.0..=1.0).contains(mass)), "{row:?}");
        assert!(row.question_score.unwrap() >= masses[0] - masses[1] - 1e-9, "{row:?}");
    }
}

#[test]
fn a_run_that_stopped_goes_on_with_what_heads_copy_and_ends_as_one_that_did_not() {
    let bench = Bench::new();
    bench.grid(&["-o", "whole", "--retrieval"]);
    bench.grid(&["-o", "parts", "--retrieval", "--limit=2", "--no-prefix-sharing"]);
    bench.grid(&["-o", "parts", "--retrieval"]);
    let (whole, parts) = (rows(&bench, "whole"), rows(&bench, "parts"));
    assert_eq!(whole.len(), parts.len());
    for (a, b) in whole.iter().zip(&parts) {
        assert_eq!(
            (&a.row_id, a.copied_steps, a.copied_tokens),
            (&b.row_id, b.copied_steps, b.copied_tokens)
        );
        let off = (a.question_score.unwrap() - b.question_score.unwrap()).abs();
        assert!(off < 1e-5, "{a:?} {b:?}");
    }
}

#[test]
fn heads_of_a_checkpoint_are_measured_by_several_tasks_and_drawn_again_without_it() {
    let bench = Bench::new();
    let grid = ["--context-lengths=1200", "--depths=50", "-n=2", "--max-new-tokens=3", "--all-answers"];
    let measured = [&["heads", "tiny", "-o", "out", "--task=magic,passkey"], &grid[..]].concat();
    let shown = bench.stdout(&measured);
    assert!(shown.contains("magic and passkey") && shown.contains("count as retrieval heads"), "{shown}");
    assert_eq!(bench.stdout(&measured), shown, "all is there already");
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    assert_eq!(bench.stdout(&["heads", "out", "--all-answers"]), shown);
    bench.stdout(&["heads", "out", "--all-answers", "--score=question", "--scores-to=heads.json"]);
    let scores: BTreeMap<String, Vec<f64>> = serde_json::from_str(&bench.text("heads.json")).unwrap();
    assert!(scores.values().all(|scores| scores.len() == 4), "two trials of two tasks");
    let ranked = ranking(&bench.path("heads.json"), HeadScore::CopySteps).unwrap();
    assert_eq!(ranked.len(), scores.len());
    assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let report: Value = serde_json::from_str(&bench.stdout(&[
        "heads",
        "out",
        "--all-answers",
        "--score=question",
        "--output-format=json",
    ]))
    .unwrap();
    let first = &report["rows"][0];
    assert_eq!(
        (first["layer"].as_u64(), first["head"].as_u64()),
        (Some(ranked[0].layer as u64), Some(ranked[0].head as u64))
    );
}

#[test]
fn regression_flags_of_a_model_are_refused_beside_a_stored_run() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--retrieval"]);
    for flags in [
        &["--dtype=bf16"][..],
        &["--variant=softmax"],
        &["--rope=none"],
        &["-n=9"],
        &["--context-lengths=4k"],
        &["-o=other"],
        &["--limit=1"],
    ] {
        bench.refused(&[&["heads", "out"], flags].concat(), &["out is a run", "no such flag"]);
    }
    let shown = bench.stdout(&["heads", "out", "--all-answers"]);
    let drawn =
        ["heads", "-m", "out", "--all-answers", "--score=copy-steps", "--export=a.svg", "--threads=1", "-q"];
    assert_eq!(bench.stdout(&drawn), shown);
}

#[test]
fn a_run_without_what_heads_copy_and_a_file_of_other_things_are_refused() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    bench.refused(&["heads", "out"], &["no trial with what heads copy", "--retrieval"]);
    bench.grid(&["-o", "kept", "--retrieval"]);
    let wrong = bench.outcomes("kept").iter().all(|row| row.correct == Some(false));
    if wrong {
        bench.refused(&["heads", "kept"], &["is right", "--all-answers"]);
    }
    for text in ["{", "{\"1.2\": [0.5]}", "{\"1-2\": [\"a\"]}", "{}"] {
        fs::write(bench.path("heads.json"), text).unwrap();
        assert!(ranking(&bench.path("heads.json"), HeadScore::CopySteps).is_err(), "{text}");
    }
    fs::write(bench.path("heads.json"), "{\"2-1\": [0.5, 0.25], \"0-3\": [1]}").unwrap();
    assert_eq!(read_scores(&bench.path("heads.json")).unwrap()[&(2, 1)], [0.5, 0.25]);
    let ranked = ranking(&bench.path("heads.json"), HeadScore::CopySteps).unwrap();
    assert_eq!((ranked[0].layer, ranked[0].head, ranked[1].score), (0, 3, 0.375));
}
