//! Folders of results as they lie on disks: of several tasks with scales of their own, with files that are
//! damaged, linked, copied or evaluated again. No score is put on the scale of another file, nothing is lost
//! without a word, and no answer counts twice.

use crate::common;

use std::fs;
use std::path::Path;

use common::bench::{Bench, stderr};
use common::fixture;
use serde_json::{Value, json};

fn write(bench: &Bench, name: &str, text: impl AsRef<[u8]>) {
    let path = bench.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A log of inspect with these scores.
fn log(task: &str, scores: &[Value]) -> Value {
    let sample = |(number, score): (usize, &Value)| {
        json!({
            "id": number, "epoch": 1, "target": "t", "output": {"completion": "x"},
            "scores": {"s": {"value": score}},
            "metadata": {"target_context_length": 1000, "target_position": 500},
        })
    };
    let samples: Vec<Value> = scores.iter().enumerate().map(sample).collect();
    json!({
        "version": 2, "status": "success", "samples": samples,
        "eval": {"task": task, "model": "m", "created": "2026-01-01T00:00:00Z"},
    })
}

/// A result of needlehaystack 1.
fn result(depth: usize, version: usize, score: usize) -> String {
    let result = json!({
        "model": "m", "context_length": 2000, "depth_percent": depth, "version": version, "needle": "n",
        "model_response": "r", "score": score, "test_duration_seconds": 1,
    });
    result.to_string()
}

/// Samples of lm-eval: of a length, how many of `all` are right.
fn samples(length: usize, right: usize, all: usize) -> String {
    let line = |number: usize| {
        let mut line = json!({
            "doc_id": number, "doc": {"max_length": length, "outputs": ["1"]}, "target": ["1"],
            "resps": [["1"]], "filtered_resps": ["1"], "filter": "none",
        });
        line[length.to_string()] = json!(f64::from(u8::from(number < right)));
        format!("{line}\n")
    };
    (0..all).map(line).collect()
}

/// The scores of an import into `out`, and what it warns of.
fn scores(bench: &Bench, arguments: &[&str], out: &str) -> (Vec<f64>, String) {
    bench.stdout(&[&["import", "-o", out], arguments].concat());
    let scores = bench.outcomes(out).iter().filter_map(|row| row.score).collect();
    (scores, bench.run_json(out)["warnings"].to_string())
}

#[test]
fn a_task_was_given_the_scale_and_the_scorer_of_the_file_before_it() {
    let bench = Bench::new();
    let mut find = log("find", &[json!("C"), json!("I"), json!(true)]);
    for sample in find["samples"].as_array_mut().unwrap() {
        sample["scores"] = json!({"letters": sample["scores"]["s"]});
    }
    write(&bench, "logs/a_niah.json", log("niah", &[json!(10), json!(1)]).to_string());
    write(&bench, "logs/b_find.json", find.to_string());
    write(&bench, "logs/c_niah.json", log("niah", &[json!(1), json!(7)]).to_string());
    let (found, _) = scores(&bench, &["logs", "--task=find"], "find");
    assert_eq!(found, [1.0, 0.0, 1.0]);
    let record = bench.run_json("find");
    assert_eq!(
        (&record["imported"]["scale"], &record["imported"]["scorer"]),
        (&json!("0-1"), &json!("letters"))
    );
    assert_eq!(record["imported"]["files"].as_array().unwrap().len(), 1);
    let (found, _) = scores(&bench, &["logs", "--task=niah"], "niah");
    assert_eq!(found, [1.0, 0.0, 0.0, 2.0 / 3.0]);
    assert_eq!(bench.run_json("niah")["imported"]["scorer"], "s");
}

#[test]
fn a_letter_is_right_or_wrong_on_any_scale() {
    let bench = Bench::new();
    write(&bench, "log.json", log("find", &[json!("C"), json!("I"), json!(10)]).to_string());
    bench.refused(&["import", "log.json", "-o", "out"], &["--scale", "log.json does not say on which scale"]);
    let (found, _) = scores(&bench, &["log.json", "--scale=1-10"], "out");
    assert_eq!(found, [1.0, 0.0, 1.0]);
    // What is counted here is on no scale of the tool's.
    let predictions = fixture("exchange/ruler").display().to_string();
    let (found, _) = scores(&bench, &[&predictions, "--scale=1-10"], "ruler");
    assert_eq!(found, [0.75, 1.0]);
    assert_eq!(bench.run_json("ruler")["imported"]["scale"], "0-1");
}

#[test]
fn files_of_several_scales_are_refused_unless_one_is_said() {
    let bench = Bench::new();
    let mut other = log("niah", &[json!(1)]);
    other["samples"][0]["scores"]["s"]["metadata"] = json!({"scale": "0-1"});
    write(&bench, "logs/a.json", log("niah", &[json!(10)]).to_string());
    write(&bench, "logs/b.json", other.to_string());
    let words = ["--scale", "1-10 in logs/a.json and 0-1 in logs/b.json", "files of one scale"];
    bench.refused(&["import", "logs", "-o", "out"], &words);
    assert_eq!(scores(&bench, &["logs", "--scale=1-10"], "out").0, [1.0, 0.0]);
}

#[test]
fn a_file_that_a_kill_has_cut_was_passed_over_without_a_word() {
    let bench = Bench::new();
    let name = |depth: usize| format!("old/m_len_2000_depth_{depth}_results.json");
    let whole = result(0, 1, 1);
    write(&bench, &name(0), &whole[..whole.len() - 10]);
    write(&bench, &name(50), result(50, 1, 10));
    write(&bench, "old/notes.json", "{\"by\": \"hand\"}");
    write(&bench, "old/other.jsonl", "no JSON");
    let words = ["depth_0_results.json: looks like results of gkamradt 1", "take it out of the folder"];
    bench.refused(&["import", "old", "-o", "out"], &words);
    write(&bench, &name(0), whole);
    let (found, warnings) = scores(&bench, &["old"], "out");
    assert_eq!(found, [0.0, 1.0]);
    assert!(warnings.contains("2 files of JSON in the folders are of no known form"), "{warnings}");
    // Of a log the beginning says what it is.
    let text = serde_json::to_string_pretty(&log("niah", &[json!(10)])).unwrap();
    write(&bench, "logs/a.json", &text[..text.len() - 20]);
    write(&bench, "logs/b.json", &text);
    bench.refused(&["import", "logs", "-o", "new"], &["logs/a.json: looks like results of inspect"]);
    write(&bench, "evals/a.eval", "PK");
    bench.refused(&["import", "evals", "-o", "new"], &["inspect log convert --to json"]);
}

#[cfg(unix)]
#[test]
fn files_and_folders_that_are_links_are_read() {
    let bench = Bench::new();
    write(&bench, "store/blob", result(0, 1, 10));
    write(&bench, "more/m_len_2000_depth_50_results.json", result(50, 1, 1));
    fs::create_dir(bench.path("old")).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, bench.path(name)).unwrap();
    link(&bench.path("store/blob"), "old/m_len_2000_depth_0_results.json");
    link(&bench.path("more"), "old/more");
    assert_eq!(scores(&bench, &["old"], "out").0, [1.0, 0.0]);
    link(&bench.path("gone"), "old/gone.json");
    bench.refused(&["import", "old", "-o", "new"], &["old/gone.json: cannot read"]);
}

#[test]
fn a_file_that_is_named_beside_its_folder_was_counted_twice() {
    let bench = Bench::new();
    let file = "lm/org__model/samples_niah_2025-01-01T00-00-00.000000.jsonl";
    write(&bench, file, samples(4096, 3, 4));
    let again = "lm/../lm/org__model/samples_niah_2025-01-01T00-00-00.000000.jsonl";
    for (number, arguments) in [&["lm"][..], &["lm", file], &[file, "lm", again]].into_iter().enumerate() {
        let out = format!("out{number}");
        let (found, warnings) = scores(&bench, arguments, &out);
        assert_eq!(found, [1.0, 1.0, 1.0, 0.0]);
        assert!(!warnings.contains("left out"), "{warnings}");
    }
    // By its results, and by itself.
    let results = "lm/org__model/results_2025-01-01T00-00-00.000000.json";
    write(&bench, results, json!({"results": {}, "configs": {}, "model_name": "org/model"}).to_string());
    assert_eq!(scores(&bench, &[results, file], "both").0.len(), 4);
}

#[test]
fn of_what_lm_eval_has_evaluated_again_the_newest_counts() {
    let bench = Bench::new();
    let file = |time: &str| format!("lm/org__model/samples_niah_{time}.jsonl");
    write(&bench, &file("2025-01-01T00-00-00.000000"), samples(4096, 4, 4) + &samples(8192, 1, 2));
    write(&bench, &file("2025-02-01T00-00-00.000000"), samples(4096, 0, 3));
    let (found, warnings) = scores(&bench, &["lm"], "out");
    // The other length was asked once.
    assert_eq!(found, [1.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(
        warnings.contains("4 rows of 1 files are left out: the same was asked again later"),
        "{warnings}"
    );
    assert!(warnings.contains("samples_niah_2025-02-01T00-00-00.000000.jsonl has it"), "{warnings}");
    // Means of an earlier time are no trials either.
    let means = json!({
        "model_name": "org/model", "results": {"niah": {"4096,none": 0.5}}, "configs": {},
        "n-samples": {"niah": {"effective": 2}},
    });
    write(&bench, "lm/org__model/results_2024-12-01T00-00-00.000000.json", means.to_string());
    assert_eq!(scores(&bench, &["lm", "--model=org/model"], "with-means").0, found);
    // Another model's folder is another model's.
    fs::create_dir(bench.path("lm/org__new")).unwrap();
    let copied = file("2025-01-01T00-00-00.000000").replace("org__model", "org__new");
    fs::copy(bench.path(&file("2025-01-01T00-00-00.000000")), bench.path(&copied)).unwrap();
    assert_eq!(scores(&bench, &["lm", "--model=org/new"], "other").0.len(), 6);
}

#[test]
fn samples_that_a_retry_of_inspect_has_copied_count_once() {
    let bench = Bench::new();
    let of = |created: &str, scores: &[Value]| {
        let mut log = log("niah", scores);
        log["eval"]["task_id"] = json!("task");
        log["eval"]["created"] = json!(created);
        log.to_string()
    };
    write(&bench, "logs/a.json", of("2026-01-01T00:00:00Z", &[json!(10)]));
    write(&bench, "logs/b.json", of("2026-01-02T00:00:00Z", &[json!(10), json!(1)]));
    let (found, warnings) = scores(&bench, &["logs"], "out");
    assert_eq!(found, [1.0, 0.0]);
    assert!(warnings.contains("1 rows of 1 files are left out"), "{warnings}");
}

#[test]
fn a_sample_that_inspect_left_unscored_had_the_log_refused() {
    let bench = Bench::new();
    let text = log("niah", &[json!(10), json!("unscored"), json!(1)]).to_string();
    write(&bench, "log.json", text.replace("\"unscored\"", "NaN"));
    let (found, warnings) = scores(&bench, &["log.json"], "out");
    assert_eq!(found, [1.0, 0.0]);
    let rows = bench.outcomes("out");
    assert_eq!((rows.len(), rows[1].score, rows[1].correct), (3, None, None));
    assert!(!warnings.contains("its log has the status"), "{warnings}");
    write(&bench, "endless.json", text.replace("\"unscored\"", "Infinity"));
    bench.refused(&["import", "endless.json", "-o", "new"], &["sample 2: value: found \"Infinity\""]);
}

#[test]
fn a_log_of_inspect_that_has_not_ended_was_imported_without_a_word() {
    for status in ["started", "error", "cancelled"] {
        let bench = Bench::new();
        let mut log = log("niah", &[json!(10)]);
        log["status"] = json!(status);
        write(&bench, "log.json", log.to_string());
        let (found, warnings) = scores(&bench, &["log.json"], "out");
        assert_eq!(found, [1.0]);
        assert!(warnings.contains(&format!("its log has the status {status}, not success")), "{warnings}");
    }
}

/// What `niah` makes of files that are named from within a folder: model, task and length of the first row.
fn imported_within(bench: &Bench, folder: &str, named: &str) -> (String, String, usize) {
    let out = bench.path("out").display().to_string();
    let mut command = bench.command(&["import", named, "-o", &out]);
    let output = command.current_dir(bench.path(folder)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{folder}, {named}: {}", stderr(&output));
    let row = bench.outcomes("out").remove(0);
    fs::remove_dir_all(bench.path("out")).unwrap();
    (row.model, row.task, row.context_length)
}

#[test]
fn predictions_of_ruler_that_are_named_by_a_short_path_had_no_length_and_no_model() {
    let bench = Bench::new();
    let line = json!({"index": 0, "pred": "1", "input": "q", "outputs": ["1"], "others": {"id": 0}});
    let pred = "my-model/synthetic/12000/pred";
    write(&bench, &format!("{pred}/niah_single_1.jsonl"), format!("{line}\n"));
    for (folder, named) in [
        (pred, "niah_single_1.jsonl"),
        (pred, "."),
        (pred, "../pred"),
        ("my-model/synthetic/12000", "pred"),
        ("my-model/synthetic", "12000"),
        ("my-model", "synthetic/12000/pred/niah_single_1.jsonl"),
    ] {
        let found = imported_within(&bench, folder, named);
        assert_eq!(found, ("my-model".into(), "niah_single_1".into(), 12000), "{folder}: {named}");
    }
}

#[test]
fn samples_of_lm_eval_that_are_named_by_a_short_path_had_no_model() {
    let bench = Bench::new();
    let name = "samples_niah_single_1_2025-01-01T00-00-00.000000.jsonl";
    write(&bench, &format!("results/org__tiny/{name}"), samples(4096, 1, 2));
    for (folder, named) in [("results/org__tiny", name), ("results/org__tiny", "."), ("results", "org__tiny")]
    {
        let found = imported_within(&bench, folder, named);
        assert_eq!(found, ("org/tiny".into(), "niah_single_1".into(), 4096), "{folder}: {named}");
    }
}

#[test]
fn copies_of_a_file_count_once_and_that_is_said() {
    let bench = Bench::new();
    write(&bench, "old/a/m_len_2000_depth_0_results.json", result(0, 1, 10));
    write(&bench, "old/b/m_len_2000_depth_0_results.json", result(0, 1, 10));
    let (found, warnings) = scores(&bench, &["old"], "out");
    assert_eq!(found, [1.0]);
    let words = "old/b/m_len_2000_depth_0_results.json is the same as old/a/m_len_2000_depth_0_results.json";
    assert!(warnings.contains(words), "{warnings}");
    assert_eq!(bench.run_json("out")["imported"]["files"].as_array().unwrap().len(), 1);
    // Two models may have answered the same.
    let line = json!({"index": 0, "pred": "1", "input": "i", "outputs": ["1"], "length": 4000}).to_string();
    for model in ["m", "n"] {
        write(&bench, &format!("ruler/{model}/synthetic/4096/pred/t.jsonl"), &line);
        assert_eq!(scores(&bench, &["ruler", &format!("--model={model}")], model).0, [1.0]);
    }
}

#[test]
fn a_version_of_needlehaystack_1_stood_for_trials_that_nobody_ran() {
    let bench = Bench::new();
    for (depth, version) in [(0, 5), (0, 1_999_999), (50, 1_999_999)] {
        write(&bench, &format!("old/{version}_depth_{depth}.json"), result(depth, version, 10));
    }
    bench.stdout(&["import", "old", "-o", "out"]);
    let mut ids: Vec<String> = bench.outcomes("out").into_iter().map(|row| row.row_id).collect();
    ids.sort();
    // The versions stay together.
    assert_eq!(ids, ["2000:0:0", "2000:0:1", "2000:50:1"]);
    assert_eq!(bench.run_json("out")["settings"]["trials"], 2);
}

#[test]
fn a_row_of_which_a_server_has_counted_no_token_had_the_file_refused() {
    let bench = Bench::new();
    let line = |status: &str, tokens: i64| {
        json!({
            "schema_version": 2, "model_id": "m", "task_type": "t", "context_length": 100,
            "target_depth_percent": 50.0, "expected_answer": "a", "response": "a", "score": {"value": 1.0},
            "usage": {"input_tokens": tokens}, "status": status, "error": null,
        })
    };
    let text = [line("ok", 90), line("error", 0), line("error", -1)].map(|line| line.to_string()).join("\n");
    write(&bench, "rows.jsonl", text);
    bench.stdout(&["import", "rows.jsonl", "-o", "out"]);
    let tokens: Vec<_> = bench.outcomes("out").iter().map(|row| row.prompt_tokens).collect();
    assert_eq!(tokens, [Some(90), Some(0), None]);
}

#[test]
fn rows_of_no_task_are_told_of_where_one_of_several_is_taken() {
    let bench = Bench::new();
    let line = |task: Value| {
        json!({
            "schema_version": 2, "model_id": "m", "task_type": task, "context_length": 100,
            "target_depth_percent": 50.0, "response": "a", "score": {"value": 1.0},
        })
    };
    let text =
        [line(json!("t")), line(json!("u")), line(Value::Null)].map(|line| line.to_string()).join("\n");
    write(&bench, "rows.jsonl", text);
    let output = bench.output(&["import", "rows.jsonl", "-o", "out", "--task=t"]);
    assert!(
        stderr(&output).contains("1 rows say no task, where others are of several"),
        "{}",
        stderr(&output)
    );
    assert_eq!(bench.outcomes("out").len(), 1);
}
