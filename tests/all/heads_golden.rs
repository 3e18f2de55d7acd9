//! Copy scores and question scores of SmolLM2-135M-Instruct Q4_1 against an independent implementation run on
//! the same file and prompts (`fixtures/make_copy_scores.py`).

use crate::common;

use std::collections::BTreeMap;
use std::fs;

use common::bench::Bench;
use niah::store::csv;
use niah::trial::RetrievalRow;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    grid: Vec<String>,
    trials: Vec<GoldenTrial>,
}

#[derive(Deserialize)]
struct GoldenTrial {
    task: String,
    row_id: String,
    prompt_sha256: String,
    answer: String,
    /// Layer, head, both copy scores, the masses of both questions, and the question score.
    heads: Vec<(usize, usize, f64, f64, f64, f64, f64)>,
}

const TOLERANCE: f64 = 1e-4;

#[test]
fn copy_scores_of_smollm2_are_those_of_an_independent_implementation() {
    let model = common::fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !model.exists() {
        eprintln!("skipped: {} is not there (fixtures/fetch_models.py)", model.display());
        return;
    }
    let golden: Golden =
        serde_json::from_str(&fs::read_to_string(common::fixture("copy_scores.json")).unwrap()).unwrap();
    let bench = Bench::new();
    let grid: Vec<&str> = golden.grid.iter().map(String::as_str).collect();
    let mut tasks: Vec<&str> = golden.trials.iter().map(|trial| trial.task.as_str()).collect();
    tasks.dedup();
    for task in tasks {
        let model = model.to_str().unwrap();
        let run = ["run", "-m", model, "--dtype=f32", "--retrieval", "--task", task, "-o", task];
        bench.stdout(&[&run[..], &grid].concat());
    }
    for trial in &golden.trials {
        let outcomes = bench.outcomes(&trial.task);
        let outcome = outcomes.iter().find(|row| row.row_id == trial.row_id).unwrap();
        assert_eq!(outcome.prompt_hash.as_deref(), Some(trial.prompt_sha256.as_str()), "{}", trial.row_id);
        assert_eq!(outcome.model_response.as_deref(), Some(trial.answer.as_str()), "{}", trial.row_id);
        let rows: Vec<RetrievalRow> = csv::read(bench.path(&trial.task).join("retrieval.csv")).unwrap();
        let rows = rows.into_iter().filter(|row| row.row_id == trial.row_id);
        let rows: BTreeMap<_, RetrievalRow> = rows.map(|row| ((row.layer, row.head), row)).collect();
        assert_eq!(rows.len(), trial.heads.len());
        for &(layer, head, steps, set, question, null, score) in &trial.heads {
            let row = &rows[&(layer, head)];
            let of_needle = |count: usize| count as f64 / row.needle_tokens as f64;
            for (name, found, expected) in [
                ("copy-steps", of_needle(row.copied_steps), steps),
                ("copy-set", of_needle(row.copied_tokens), set),
                ("question mass", row.question_mass.unwrap(), question),
                ("null mass", row.null_mass.unwrap(), null),
                ("question", row.question_score.unwrap(), score),
            ] {
                let off = (found - expected).abs();
                let place = format!("{} {}, {layer}.{head}", trial.task, trial.row_id);
                assert!(off < TOLERANCE, "{name} of {place}: {found}, {expected} in the reference");
            }
        }
    }
}
