//! `niah score --answers`: answers of a server to prompts of a file, as a run without attention.

use niah::store::csv;
use niah::trial::{AttentionRow, Finding, Outcome, Status};
use serde_json::{Value, json};

use crate::common::bench::{Bench, stderr};

const SCORE: &[&str] = &["score", "--answers=a.jsonl", "--prompts=p.jsonl", "-o=out"];

/// A file of prompts of a plan of four trials, and its rows.
fn prompts(bench: &Bench) -> Vec<Value> {
    let flags = ["prompts", "-m=tiny", "--context-lengths=600,900", "--depths=50", "-n=2", "-o=p.jsonl"];
    bench.stdout(&flags);
    bench.text("p.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write(bench: &Bench, name: &str, rows: &[Value]) {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(bench.path(name), text).unwrap();
}

/// Right answers to all but the first.
fn answers(prompts: &[Value]) -> Vec<Value> {
    let answer = |(number, row): (usize, &Value)| {
        let said = if number == 0 { "I cannot say." } else { row["expected"][0].as_str().unwrap() };
        json!({"id": row["id"], "answer": said, "model": "server/model"})
    };
    prompts.iter().enumerate().map(answer).collect()
}

#[test]
fn answers_become_an_ordinary_run_that_other_commands_take() {
    let bench = Bench::new();
    let prompts = prompts(&bench);
    let mut answers = answers(&prompts);
    answers.reverse();
    write(&bench, "a.jsonl", &answers);
    let said = bench.stdout(SCORE);
    assert!(said.contains("server/model") && said.contains("3 of 4 answers are right"), "{said}");
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    for (row, prompt) in rows.iter().zip(&prompts) {
        assert_eq!(row.row_id, prompt["row_id"]);
        assert_eq!(row.prompt_hash.as_deref(), prompt["prompt_sha256"].as_str());
        assert_eq!((row.task.as_str(), row.model.as_str()), ("magic", "server/model"));
        assert_eq!(row.needle_mass_top, None);
        assert!(!row.needle.is_empty() && row.needle_start.is_some());
    }
    assert_eq!(rows[0].outcome, Some(Finding::Wrong));
    assert_eq!(rows.iter().map(|row| row.score.unwrap()).sum::<f64>(), 3.0);
    assert!(csv::read::<AttentionRow>(bench.path("out/attention.csv")).unwrap().is_empty());
    assert!(bench.stdout(&["view", "out", "--export=page.html"]).contains("task magic"));
    let before = bench.text("out/results.csv");
    bench.stdout(SCORE);
    assert_eq!(bench.text("out/results.csv"), before, "the same command adds nothing");
    let gate = bench.output(&["gate", "out", "--min-accuracy=0.99"]);
    assert!(
        stderr(&gate).contains("takes 381 trials"),
        "it is read, and too small to say: {}",
        stderr(&gate)
    );
    bench.stdout(&["run", "-m=tiny", "--context-lengths=600,900", "--depths=50", "-n=2", "-o=own"]);
    let compared = bench.stdout(&["compare", "own", "out"]);
    assert!(compared.contains("server/model") && compared.contains("4"), "{compared}");
    bench.stdout(&["score", "out", "--scorer=exact"]);
    let changed = [SCORE, &["--scorer=exact"]].concat();
    bench.refused(&changed, &["another plan"]);
}

#[test]
fn answers_to_prompts_of_anybody_are_scored_by_the_scorer_of_each() {
    let bench = Bench::new();
    let row = |id: &str, more: Value| {
        let mut row = json!({"id": id, "prompt": "x y", "expected": ["a", "b"], "context_length": 1000});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    write(&bench, "p.jsonl", &[row("1", json!({"scorer": "any"})), row("2", json!({})), row("3", json!({}))]);
    let answers = [
        json!({"id": 1, "answer": "b"}),
        json!({"id": "2", "answer": "b"}),
        json!({"id": "3", "error": "timed out"}),
    ];
    write(&bench, "a.jsonl", &answers);
    bench.refused(SCORE, &["--model", "nothing", "the model that answered"]);
    bench.stdout(&[SCORE, &["--model=m"]].concat());
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert_eq!(rows.iter().map(|row| row.score).collect::<Vec<_>>(), [Some(1.0), Some(0.5), None]);
    assert_eq!((rows[2].status, rows[2].error.as_deref()), (Status::Error, Some("timed out")));
    assert_eq!(rows[2].row_id, "1000:0:2");
    bench.refused(&["score", "out"], &["--scorer", "any"]);
    bench.stdout(&["score", "out", "--scorer=contains"]);
    bench.stdout(&["view", "out"]);
    write(&bench, "p.jsonl", &[json!({"id": "1", "prompt": "x", "expected": "a"})]);
    write(&bench, "a.jsonl", &answers[..1]);
    bench.refused(
        &[SCORE, &["--model=m", "-o=new"]].concat(),
        &["p.jsonl: line 1, context_length", "nothing"],
    );
}

#[test]
fn answers_that_do_not_match_are_refused_and_nothing_is_guessed() {
    let bench = Bench::new();
    let prompts = prompts(&bench);
    let good = answers(&prompts);
    let with = |number: usize, row: Value| {
        let mut rows = good.clone();
        rows[number] = row;
        rows
    };
    for (rows, words) in [
        (good[1..].to_vec(), &["a.jsonl", "no answer to 1 of the 4 prompts in p.jsonl", "\"600:50:0\""][..]),
        (with(1, json!({"id": "x", "answer": "y"})), &["line 2, id", "\"x\"", "a prompt in p.jsonl"]),
        (with(1, good[0].clone()), &["line 2, id", "line 1 has this one"]),
        (with(1, json!({"id": good[1]["id"]})), &["line 2, answer", "nothing"]),
        (with(1, json!({"id": good[1]["id"], "answer": null})), &["line 2, answer", "nothing"]),
        (with(1, json!({"id": good[1]["id"], "answer": 7})), &["line 2, answer", "7", "a text"]),
        (
            with(1, json!({"id": good[1]["id"], "answer": "a", "error": "b"})),
            &["line 2, error", "one of the two"],
        ),
        (with(1, json!({"answer": "a"})), &["line 2, id", "the id of a prompt"]),
        (
            with(1, json!({"id": good[1]["id"], "answer": "a", "model": "other"})),
            &["line 2, model", "\"other\"", "one model"],
        ),
    ] {
        write(&bench, "a.jsonl", &rows);
        bench.refused(SCORE, words);
        assert!(!bench.path("out").exists());
    }
    for (flags, words) in [
        (&["score", "--answers=a.jsonl", "--prompts=p.jsonl"][..], &["--output"][..]),
        (&["score", "--answers=a.jsonl", "-o=out"], &["--prompts"]),
        (&["score"], &["DIRECTORY"]),
        (&["score", "--answers=gone.jsonl", "--prompts=p.jsonl", "-o=out"], &["gone.jsonl", "cannot read"]),
    ] {
        let output = bench.output(flags);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}
