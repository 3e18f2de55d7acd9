//! Files of neighbouring tools: what they hold becomes a run that says whose scores they are, a run of ours
//! is written as they write theirs and comes back as the same rows, and what cannot be read is refused in
//! words.

use crate::common;

use std::fs;
use std::path::Path;

use common::bench::{Bench, stderr};
use common::fixture;
use common::grid::TRIALS;
use niah::trial::{Finding, Outcome, Status};
use serde_json::{Value, json};

fn theirs(name: &str) -> String {
    fixture("exchange").join(name).display().to_string()
}

/// The rows of an import.
fn imported(bench: &Bench, paths: &[&str], more: &[&str]) -> Vec<Outcome> {
    let paths: Vec<String> = paths.iter().map(|name| theirs(name)).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    bench.stdout(&[&["import", "-o", "out"], &paths[..], more].concat());
    bench.outcomes("out")
}

type Row<'a> = (&'a str, Option<f64>, Option<bool>, &'a str, &'a str);

fn rows(outcomes: &[Outcome]) -> Vec<Row<'_>> {
    outcomes
        .iter()
        .map(|row| {
            let response = row.model_response.as_deref().unwrap_or("-");
            (row.row_id.as_str(), row.score, row.correct, row.expected_answer.as_str(), response)
        })
        .collect()
}

#[test]
fn samples_of_lm_eval_are_rows_of_their_lengths_and_a_missing_length_is_no_row() {
    let bench = Bench::new();
    let outcomes = imported(&bench, &["lm-eval"], &[]);
    assert_eq!(
        rows(&outcomes),
        [
            ("4096:0:0", Some(1.0), Some(true), "4812345", " 4812345."),
            ("8192:0:0", Some(0.0), Some(false), "7700112", " I do not know"),
        ]
    );
    let first = &outcomes[0];
    assert_eq!((&*first.model, &*first.task, first.prompt_tokens), ("org/tiny", "niah_single_1", Some(4080)));
    assert_eq!(
        (&*first.variant, first.outcome, first.prompt_hash.as_ref()),
        ("unseen", Some(Finding::Found), None)
    );
    let record = bench.run_json("out");
    assert_eq!(record["imported"]["from"], "lm-eval");
    assert_eq!(record["imported"]["scale"], "0-1");
    assert_eq!(record["settings"]["scorer"], "its metric of each length of lm-eval");
    let warnings = record["warnings"].to_string();
    assert!(warnings.contains("1 rows say no length, or -1, and are left out"), "{warnings}");
    assert!(warnings.contains("2 rows say no depth and stand at depth 0"), "{warnings}");
    let shown = bench.stdout(&["view", "out"]);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("imported from lm-eval ("), "{shown}");
    assert!(shown.contains("the scores are those of its metric of each length"), "{shown}");
    assert!(shown.contains("no attention was measured"), "{shown}");
    for by in ["layer", "head"] {
        let said = bench.refused(&["view", "out", "--by", by], &["have run without attention", "--by cell"]);
        assert!(!said.contains("no trial of it has run"), "{said}");
    }
    // By the name of the results the samples beside them are read.
    let bench = Bench::new();
    let results = "lm-eval/org__tiny/results_2025-03-01T10-00-00.123456.json";
    assert_eq!(imported(&bench, &[results], &[]), outcomes);
}

#[test]
fn means_of_lm_eval_are_as_many_right_answers_where_they_say_so_exactly() {
    let bench = Bench::new();
    let outcomes = imported(&bench, &["lm-eval-means.json"], &[]);
    let right = outcomes.iter().filter(|row| row.context_length == 4096 && row.correct == Some(true)).count();
    let all = outcomes.iter().filter(|row| row.context_length == 4096).count();
    assert_eq!((right, all), (6, 8));
    let mean: Vec<_> = outcomes.iter().filter(|row| row.context_length == 8192).collect();
    assert_eq!((mean.len(), mean[0].score, mean[0].correct), (1, Some(0.33125), None));
    assert!(!outcomes.iter().any(|row| row.context_length == 16384));
    let warnings = bench.run_json("out")["warnings"].to_string();
    assert!(warnings.contains("holds means alone") && warnings.contains("1 means are -1"), "{warnings}");
}

#[test]
fn a_log_of_inspect_has_its_scores_of_1_to_10_put_on_0_to_1_and_its_places_in_per_cent() {
    let bench = Bench::new();
    let outcomes = imported(&bench, &["inspect.json"], &[]);
    assert_eq!(
        rows(&outcomes),
        [
            ("10000:0:0", Some(1.0), Some(true), "2-1", "The score was 2-1."),
            ("10000:50:0", Some(2.0 / 3.0), Some(false), "2-1", "About 2."),
            ("10000:100:0", Some(0.0), Some(false), "2-1", "No."),
            ("20000:50:0", None, None, "2-1", "-"),
        ]
    );
    assert_eq!((outcomes[3].status, outcomes[3].error.as_deref()), (Status::Error, Some("rate limit")));
    assert_eq!((&*outcomes[0].model, &*outcomes[0].question), ("openai/tiny", "What was the score?"));
    let shown = bench.stdout(&["view", "out"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("custom_scorer, put from 1-10 on 0-1"), "{shown}");
    // What counts as correct is the user's to say.
    fs::remove_dir_all(bench.path("out")).unwrap();
    let lenient = imported(&bench, &["inspect.json"], &["--correct-from", "0.6"]);
    assert_eq!(lenient[1].correct, Some(true));
    bench.refused(
        &["import", &theirs("inspect.json"), "-o", "new", "--scale", "0-1"],
        &["score: found 10", "0-1"],
    );
}

#[test]
fn predictions_of_ruler_are_scored_as_its_evaluate_does_and_that_is_said() {
    let bench = Bench::new();
    let outcomes = imported(&bench, &["ruler"], &[]);
    let scores: Vec<_> = outcomes.iter().map(|row| (&*row.row_id, row.score, row.prompt_tokens)).collect();
    assert_eq!(scores, [("4096:0:0", Some(0.75), Some(3990)), ("4096:0:1", Some(1.0), Some(4012))]);
    assert_eq!((&*outcomes[0].model, &*outcomes[0].task), ("tiny", "niah_multivalue"));
    assert_eq!(outcomes[0].expected_answer, "111|222|333|444");
    let record = bench.run_json("out");
    assert_eq!(record["settings"]["scorer"], "string_match of RULER");
    assert!(record["warnings"].to_string().contains("hold no scores"));
    // Elsewhere nothing says the length but the tokens, and nothing the model.
    let lone = bench.path("lone.jsonl");
    fs::copy(theirs("ruler/tiny/synthetic/4096/pred/niah_multivalue.jsonl"), &lone).unwrap();
    bench.refused(&["import", "lone.jsonl", "-o", "new"], &["--model"]);
    bench.stdout(&["import", "lone.jsonl", "-o", "new", "--model", "someone"]);
    assert_eq!(bench.outcomes("new")[0].context_length, 4096);
    assert!(bench.run_json("new")["warnings"].to_string().contains("rounded up to a power of two"));
}

#[test]
fn an_answer_that_no_table_holds_is_refused_and_nothing_is_left_of_the_import() {
    let bench = Bench::new();
    let answer = |length: usize| {
        let row = json!({
            "model": "m", "context_length": 1000, "depth_percent": 50, "score": 10, "needle": "n",
            "model_response": "y".repeat(length),
        });
        fs::write(bench.path("row.json"), row.to_string()).unwrap();
    };
    answer(17 << 20);
    let output = bench.output(&["import", "row.json", "-o", "out"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("column model_response has 17 MiB") && said.contains("shorten it"), "{said}");
    answer(1 << 20);
    bench.stdout(&["import", "row.json", "-o", "out"]);
    bench.stdout(&["view", "out"]);
}

#[test]
fn results_of_both_versions_of_needlehaystack_are_read() {
    let bench = Bench::new();
    let outcomes = imported(&bench, &["gkamradt1"], &[]);
    let found: Vec<_> = outcomes.iter().map(|row| (&*row.row_id, row.score)).collect();
    assert_eq!(found, [("2000:0:0", Some(1.0)), ("2000:50:0", Some(0.0)), ("4000:50:0", Some(2.0 / 3.0))]);
    assert_eq!(outcomes[0].duration_seconds, Some(2.5));
    assert_eq!(bench.run_json("out")["imported"]["scale"], "1-10");
    assert_eq!(bench.run_json("out")["imported"]["files"].as_array().unwrap().len(), 3);
    fs::remove_dir_all(bench.path("out")).unwrap();
    let outcomes = imported(&bench, &["gkamradt2.jsonl"], &[]);
    let found: Vec<_> = outcomes.iter().map(|row| (&*row.row_id, row.score, row.status, row.seed)).collect();
    assert_eq!(found, [("4000:25:0", Some(1.0), Status::Ok, 7), ("4000:75:0", None, Status::Error, 7)]);
    assert_eq!(
        (&*outcomes[0].needle, &*outcomes[0].question),
        ("The secret word is plum.", "What is the secret word?")
    );
    assert_eq!((outcomes[0].prompt_tokens, outcomes[1].error.as_deref()), (Some(4021), Some("timeout")));
}

/// What every form keeps of a row.
fn kept(row: &Outcome) -> Outcome {
    Outcome {
        context_length: row.context_length,
        depth_percent: row.depth_percent,
        trial: row.trial,
        seed: row.seed,
        row_id: row.row_id.clone(),
        model: row.model.clone(),
        task: row.task.clone(),
        needle: row.needle.clone(),
        question: row.question.clone(),
        expected_answer: row.expected_answer.clone(),
        model_response: row.model_response.clone(),
        score: row.score,
        correct: row.correct,
        status: row.status,
        error: row.error.clone(),
        prompt_tokens: row.prompt_tokens,
        duration_seconds: row.duration_seconds,
        timestamp_utc: row.timestamp_utc.clone(),
        ..Outcome::default()
    }
}

#[test]
fn a_run_that_is_written_for_another_tool_and_imported_again_has_the_same_rows() {
    let bench = Bench::new();
    bench.grid(&["-o", "run", "--seed", "18446744073709551615"]);
    let path = bench.path("run/results.csv");
    let mut rows = bench.outcomes("run");
    rows[1].status = Status::Error;
    rows[1].error = Some("lost".to_string());
    (rows[1].score, rows[1].correct, rows[1].model_response) = (None, None, None);
    rows[4].status = Status::Skipped;
    rows[4].error = Some("too long for the server".to_string());
    (rows[4].score, rows[4].correct, rows[4].model_response) = (None, None, None);
    rows[2].model_response = Some("two\nlines, \"quoted\" \u{1F600}".to_string());
    (rows[3].score, rows[3].correct) = (Some(0.625), Some(false));
    fs::remove_file(&path).unwrap();
    niah::store::csv::Appender::open(&path).unwrap().append(&rows).unwrap();
    let mut before: Vec<Outcome> = rows.iter().map(kept).collect();
    before.sort_by(|a, b| a.row_id.cmp(&b.row_id));
    for (form, file) in
        [("lm-eval", "lm-eval"), ("inspect", "log.json"), ("ruler", "ruler"), ("gkamradt", "rows.jsonl")]
    {
        bench.stdout(&["view", "run", "--export", &format!("{form}={file}")]);
        let back = format!("back-{form}");
        bench.stdout(&["import", file, "-o", &back]);
        let mut after: Vec<Outcome> = bench.outcomes(&back).iter().map(kept).collect();
        after.sort_by(|a, b| a.row_id.cmp(&b.row_id));
        assert_eq!(after.len(), TRIALS);
        assert_eq!(after, before, "{form}");
        let record = bench.run_json(&back);
        assert_eq!(record["imported"]["scorer"], "match", "{form}");
        assert_eq!(record["settings"]["grid"], bench.run_json("run")["settings"]["grid"], "{form}");
    }
    // What has no answer is none that evaluate.py counts as wrong.
    for row in [&rows[1], &rows[4]] {
        let folder = format!("ruler/tiny/synthetic/{}", row.context_length);
        assert!(!bench.text(&format!("{folder}/pred/magic.jsonl")).contains("\"pred\":\"\""), "{folder}");
        let beside = bench.text(&format!("{folder}/unanswered/magic.jsonl"));
        assert!(beside.contains(row.error.as_deref().unwrap()), "{beside}");
    }
    let scored = rows.iter().filter(|row| row.score.is_some()).count();
    let results = found(&bench.path("lm-eval/tiny"), "results_", ".json");
    assert_eq!(results["n-samples"]["magic"]["effective"], scored);
}

#[test]
fn a_row_without_a_reason_comes_back_as_what_it_was() {
    let bench = Bench::new();
    bench.grid(&["-o", "run"]);
    let path = bench.path("run/results.csv");
    let mut rows = bench.outcomes("run");
    for (row, status) in rows.iter_mut().zip([Status::Skipped, Status::Error]) {
        row.status = status;
        (row.error, row.score, row.correct, row.model_response) = (None, None, None, None);
    }
    fs::remove_file(&path).unwrap();
    niah::store::csv::Appender::open(&path).unwrap().append(&rows).unwrap();
    for form in ["lm-eval", "inspect", "ruler", "gkamradt"] {
        bench.stdout(&["view", "run", "--export", &format!("{form}={form}.json")]);
        let back = format!("back-{form}");
        bench.stdout(&["import", &format!("{form}.json"), "-o", &back]);
        let after = bench.outcomes(&back);
        for row in &rows[..2] {
            let again = after.iter().find(|again| again.row_id == row.row_id).unwrap();
            assert_eq!((again.status, &again.error), (row.status, &None), "{form}");
        }
    }
}

#[test]
fn an_expected_answer_that_holds_a_bar_was_two_for_another_tool() {
    let bench = Bench::new();
    let needle = [
        "run",
        "--model=tiny",
        "--context-lengths=200",
        "--depths=0,100",
        "--needle=The code word is ab|cd today.",
        "--question=What is the code word?",
        "--answer= ab|cd",
        "--apply-chat-template=never",
    ];
    bench.stdout(&[&needle[..], &["-o", "run"]].concat());
    bench.stdout(&["view", "run", "--export=ruler=theirs"]);
    let whole = "\"outputs\":[\"ab|cd\"]";
    assert!(bench.text("theirs/tiny/synthetic/200/pred/custom.jsonl").contains(whole));
    // And so once it has come back, for whoever writes or scores it again.
    bench.stdout(&["import", "theirs", "-o", "back"]);
    assert_eq!(bench.outcomes("back")[0].expected_answer, "ab\\|cd");
    bench.stdout(&["view", "back", "--export=ruler=again"]);
    assert!(bench.text("again/tiny/synthetic/200/pred/custom.jsonl").contains(whole));
    let mut rows = bench.outcomes("back");
    for row in &mut rows {
        row.model_response = Some("cd, and then ab".to_string());
    }
    fs::remove_file(bench.path("back/results.csv")).unwrap();
    niah::store::csv::Appender::open(bench.path("back/results.csv")).unwrap().append(&rows).unwrap();
    bench.stdout(&["score", "back", "--scorer=contains", "-o", "scored"]);
    assert_eq!(bench.outcomes("scored")[0].score, Some(0.0));
}

#[test]
fn the_name_of_a_model_that_is_no_name_of_a_file_comes_back() {
    let bench = Bench::new();
    let line = json!({
        "schema_version": 2, "model_id": "org/tiny:new", "task_type": "t", "context_length": 100,
        "target_depth_percent": 50.0, "expected_answer": "a", "response": "a", "score": {"value": 1.0},
        "timestamp_utc": "2025/../_1",
    });
    fs::write(bench.path("rows.jsonl"), line.to_string()).unwrap();
    bench.stdout(&["import", "rows.jsonl", "-o", "run"]);
    for form in ["ruler", "lm-eval"] {
        bench.stdout(&["view", "run", "--export", &format!("{form}={form}")]);
        bench.stdout(&["import", form, "-o", &format!("back-{form}")]);
        assert_eq!(bench.outcomes(&format!("back-{form}"))[0].model, "org/tiny:new", "{form}");
    }
}

/// The file below a directory whose name begins and ends so.
fn found(directory: &Path, begin: &str, end: &str) -> Value {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(begin) && name.ends_with(end)
    };
    let path =
        { entries }.find(named).unwrap_or_else(|| panic!("no {begin}*{end} in {}", directory.display()));
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(text.lines().next().filter(|_| end == ".jsonl").unwrap_or(&text)).unwrap()
}

#[test]
fn files_for_other_tools_have_the_fields_that_they_know() {
    let bench = Bench::new();
    bench.grid(&["-o", "run"]);
    let forms =
        ["--export=lm-eval=lm", "--export=inspect=log.json", "--export=ruler=r", "--export=gkamradt=g.jsonl"];
    bench.stdout(&[&["view", "run"], &forms[..]].concat());
    let has = |value: &Value, keys: &[&str]| {
        for key in keys {
            assert!(value.get(key).is_some(), "no {key} in {value}");
        }
    };
    let results = found(&bench.path("lm/tiny"), "results_", ".json");
    has(
        &results,
        &[
            "results",
            "configs",
            "versions",
            "n-shot",
            "higher_is_better",
            "n-samples",
            "config",
            "git_hash",
            "date",
        ],
    );
    let of_task = &results["results"]["magic"];
    let rows = bench.outcomes("run");
    let scores: Vec<f64> =
        rows.iter().filter(|row| row.context_length == 200).filter_map(|row| row.score).collect();
    assert_eq!(of_task["200,none"], json!(scores.iter().sum::<f64>() / scores.len() as f64));
    has(of_task, &["alias", "200_stderr,none", "300,none"]);
    let sample = found(&bench.path("lm/tiny"), "samples_magic_", ".jsonl");
    let keys = [
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "doc_hash",
        "prompt_hash",
        "target_hash",
    ];
    has(&sample, &keys);
    assert_eq!(sample["resps"][0][0], json!(rows[0].model_response));
    assert_eq!(sample[rows[0].context_length.to_string()], json!(rows[0].score));
    let log: Value = serde_json::from_str(&bench.text("log.json")).unwrap();
    has(&log, &["version", "status", "eval", "plan", "results", "stats", "samples"]);
    assert_eq!(log["samples"].as_array().unwrap().len(), TRIALS);
    has(&log["samples"][0], &["id", "epoch", "input", "target", "messages", "output", "scores", "metadata"]);
    has(
        &log["samples"][0]["metadata"],
        &["target_context_length", "full_context_length", "target_position", "position"],
    );
    has(&log["samples"][0]["scores"]["match"], &["value", "answer", "explanation", "metadata"]);
    let prediction = found(&bench.path("r/tiny/synthetic/200/pred"), "magic", ".jsonl");
    has(&prediction, &["index", "pred", "input", "outputs", "others", "truncation", "length"]);
    let line: Value = serde_json::from_str(bench.text("g.jsonl").lines().next().unwrap()).unwrap();
    let keys = [
        "schema_version",
        "run_name",
        "model_id",
        "model_request_name",
        "task_type",
        "context_length",
        "target_depth_percent",
        "recipe",
        "needle_metadata",
        "expected_answer",
        "prompt_question",
        "response",
        "score",
        "usage",
        "cost_usd",
        "duration_seconds",
        "status",
        "error",
        "timestamp_utc",
        "seed",
    ];
    has(&line, &keys);
    // They are of the rows of one run.
    bench.refused(&["view", "run", "--by", "trial", "--export", "inspect=x.json"], &["inspect", "--by cell"]);
}

#[test]
fn an_import_is_compared_unpaired_and_its_score_is_never_called_ours() {
    let bench = Bench::new();
    bench.grid(&["-o", "run"]);
    let line = |length: usize, score: f64, number: usize| {
        json!({
            "schema_version": 2, "model_id": "other", "task_type": "single", "context_length": length,
            "target_depth_percent": 50.0, "expected_answer": "plum", "prompt_question": "?", "response": format!("{number}"),
            "score": {"value": score}, "status": "ok",
        })
    };
    let lines: Vec<String> =
        (0..8).map(|number| line(200, f64::from(u8::from(number < 6)), number).to_string()).collect();
    fs::write(bench.path("rows.jsonl"), lines.join("\n")).unwrap();
    bench.stdout(&["import", "rows.jsonl", "-o", "theirs"]);
    let text = bench.stdout(&["compare", "run", "theirs"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("B is compared unpaired: its results were imported from gkamradt 2"), "{text}");
    assert!(text.contains("scores of A: --scorer match; its own: its scorer"), "{text}");
    let rows = bench.stdout(&["compare", "theirs", "run", "--output-format", "csv"]);
    assert!(rows.contains("unpaired") && rows.contains("newcombe"), "{rows}");
    // With a model that runs now as well.
    let flags =
        ["compare", "theirs", "tiny", "--context-lengths=200", "--depths=50", "--apply-chat-template=never"];
    assert!(bench.stdout(&flags).contains("unpaired"));
    // Its answers can be scored by ours, and then that is said.
    let again = bench.stdout(&["score", "theirs", "--scorer", "contains", "-o", "again"]);
    assert!(again.contains("scored again by contains"), "{again}");
    let again = bench.stdout(&["view", "again"]);
    assert!(!again.contains("the scores are those of"), "{again}");
}

#[test]
fn hostile_files_are_refused_in_words() {
    let bench = Bench::new();
    let good = json!({
        "schema_version": 2, "model_id": "m", "task_type": "t", "context_length": 100, "target_depth_percent": 50.0,
        "expected_answer": "a", "prompt_question": "q", "response": "a", "score": {"value": 1.0}, "status": "ok",
    });
    let line = |key: &str, value: Value| {
        let mut line = good.clone();
        line[key] = value;
        line.to_string()
    };
    let deep = "[".repeat(100_000);
    for (text, words) in [
        (line("context_length", json!("long")), "line 1: context_length: found \"long\", expected a number"),
        (line("context_length", json!(1e300)), "context_length: found 1e"),
        (line("context_length", json!(0.5)), "expected a whole number"),
        (line("context_length", json!(0)), "expected a length of 1 to"),
        (line("target_depth_percent", json!(101)), "depth: found 101"),
        (line("score", json!({"value": 2})), "score: found 2.0, expected a score of 0-1"),
        (line("score", json!([1])), "score: found a list"),
        (line("response", json!({"a": 1})), "response: found an object, expected a text"),
        (line("schema_version", json!(3)), "schema_version: found 3, expected 2"),
        (line("status", json!("fine")), "expected ok or error"),
        (line("needle_metadata", json!({"niah": {"trial": -1}})), "niah: "),
        (
            good.to_string().replace("\"value\":1.0", "\"value\":NaN"),
            "value: found \"NaN\", expected a number",
        ),
        (good.to_string().replace("\"value\":1.0", "\"value\":1e999"), "found \"Infinity\""),
        (format!("{good}\n{{\"a\": {deep}"), "line 2: "),
        (format!("{good}\nnot json"), "line 2: "),
        (deep, "no results of a known form"),
        (String::new(), "no results of a known form"),
        ("{}".to_string(), "is of none of lm-eval, inspect, RULER or needlehaystack"),
        ("{\"eval\": 1, \"status\": \"success\"}".to_string(), "eval: it: found 1, expected an object"),
        (
            "{\"eval\": {}, \"status\": \"success\", \"samples\": 7}".to_string(),
            "no results of a known form (invalid type",
        ),
        ("{\"results\": [], \"configs\": {}}".to_string(), "results: found a list, expected an object"),
        (
            "{\"results\": {\"t\": {\"4096,none\": true}}, \"configs\": {}}".to_string(),
            "4096,none: found true",
        ),
    ] {
        fs::write(bench.path("file.json"), &text).unwrap();
        let said = bench.refused(&["import", "file.json", "-o", "new"], &["file.json", words]);
        assert!(said.len() < 2000, "{said}");
        assert!(!bench.path("new").exists());
    }
    bench.refused(&["import", "gone.json", "-o", "new"], &["gone.json"]);
    fs::create_dir(bench.path("empty")).unwrap();
    bench.refused(&["import", "empty", "-o", "new"], &["holds no results of lm-eval"]);
    bench.refused(&["import", "/dev/zero", "-o", "new"], &["a device"]);
    // Names are no paths.
    fs::write(bench.path("file.json"), line("model_id", json!("../../../evil/\u{1b}[31m"))).unwrap();
    bench.stdout(&["import", "file.json", "-o", "new"]);
    bench.stdout(&["view", "new", "--export", "lm-eval=lm", "--export", "ruler=r"]);
    let names: Vec<_> =
        fs::read_dir(bench.path("lm")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1);
    assert!(!names[0].to_string_lossy().contains("/"), "{names:?}");
    bench.refused(&["import", "file.json", "-o", "new"], &["holds files already"]);
}

#[test]
fn several_models_tasks_and_tools_are_imported_one_by_one() {
    let bench = Bench::new();
    let line = |model: &str, task: &str| {
        json!({
            "schema_version": 2, "model_id": model, "task_type": task, "context_length": 100,
            "target_depth_percent": 50.0, "expected_answer": "a", "response": "a", "score": {"value": 1.0},
        })
    };
    let text = [line("m", "t"), line("n", "t"), line("n", "u")].map(|line| line.to_string()).join("\n");
    fs::write(bench.path("rows.jsonl"), text).unwrap();
    bench.refused(&["import", "rows.jsonl", "-o", "out"], &["--task", "one of t, u"]);
    bench.refused(&["import", "rows.jsonl", "-o", "out", "--task=t"], &["--model", "one of m, n"]);
    bench.stdout(&["import", "rows.jsonl", "-o", "out", "--task=t", "--model=n"]);
    let rows = bench.outcomes("out");
    assert_eq!((rows.len(), &*rows[0].model), (1, "n"));
    let output = bench.output(&["import", &theirs(""), "-o", "new"]);
    assert!(stderr(&output).contains("import each by itself"), "{}", stderr(&output));
    // A scale that no file says is asked for.
    let log = json!({
        "status": "success", "eval": {"model": "m", "task": "other"},
        "samples": [{"target": "a", "scores": {"f1": {"value": 0.5}}, "metadata": {"target_context_length": 100}}],
    });
    fs::write(bench.path("log.json"), log.to_string()).unwrap();
    bench.refused(&["import", "log.json", "-o", "new"], &["--scale", "0-1, 1-10 or 0-100"]);
    bench.stdout(&["import", "log.json", "-o", "new", "--scale=0-1"]);
    assert_eq!(bench.outcomes("new")[0].score, Some(0.5));
}
