//! Stored answers scored again, through the binary: without the model, into a directory of their own.

use crate::common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::bench::{Bench, stderr};
use niah::score::SCORERS;
use niah::store::csv::Appender;
use niah::trial::{AttentionRow, Finding, Outcome, Status};

/// A run whose answers are these, by the number of the row; its model is gone.
fn answered(answer: impl Fn(usize, &str) -> String) -> Bench {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens"]);
    let mut rows = bench.outcomes("out");
    for (number, row) in rows.iter_mut().enumerate() {
        row.model_response = Some(answer(number, &row.expected_answer));
    }
    write(&bench.path("out"), &rows);
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    bench
}

fn write(directory: &Path, rows: &[Outcome]) {
    let table = directory.join("results.csv");
    fs::remove_file(&table).unwrap();
    Appender::open(table).unwrap().append(rows).unwrap();
}

/// `1234567` as `1,234,567`.
fn grouped(number: &str) -> String {
    let groups: Vec<String> =
        number.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

/// Every file of a directory with its bytes.
fn bytes(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(directory).unwrap().map(|entry| file(entry.unwrap())).collect()
}

#[test]
fn the_scorer_that_a_run_had_gives_the_scores_that_it_had() {
    let bench = Bench::new();
    for (task, more) in
        [("magic", &[][..]), ("multi-2", &["--context-lengths=900"]), ("repeat", &["--context-lengths=900"])]
    {
        bench.grid(&[&["-o", task, "--task", task], more].concat());
        let again = format!("{task}-again");
        bench.stdout(&["score", task, "-o", &again]);
        assert_eq!(bench.outcomes(&again), bench.outcomes(task), "{task}");
        let record = |directory: &str| bench.run_json(directory);
        assert_eq!(record(&again)["identity"], record(task)["identity"], "{task}");
        assert_eq!(record(&again)["answers_of"]["run_id"], record(task)["run_id"], "{task}");
    }
}

#[test]
fn answers_are_scored_again_by_every_scorer_without_the_model_and_the_run_stays_as_it_was() {
    let bench = answered(|_, expected| format!("It is {expected}."));
    let before = bytes(&bench.path("out"));
    for name in SCORERS.iter().map(|entry| entry.name).chain([r"regex:It is (\d+)"]) {
        let page = bench.stdout(&["score", "out", "--scorer", name]);
        assert!(page.contains(&format!("scored again by {name} (correct: ")), "{name}: {page}");
        let right = !["exact", "regex", "set-f1", "set-f1-any", "edit", "sequence-ratio"].contains(&name);
        let said = format!("{} of 12 answers are right", if right { 12 } else { 0 });
        assert!(page.contains(&said), "{name}: no {said} in {page}");
    }
    assert_eq!(bytes(&bench.path("out")), before);
    bench.refused(&["score", "out", "--scorer", "mtach"], &["did you mean match?"]);
    bench.refused(&["score", "out", "--scorer", "regex:("], &["--scorer", "unclosed group"]);
    bench.refused(&["score", "out", "--correct-from", "0"], &["--correct-from", "more than 0"]);
    bench.refused(&["score", "nowhere"], &["no run here"]);
}

#[test]
fn a_directory_of_its_own_is_an_ordinary_run_under_the_new_scorer() {
    let bench = answered(|number, expected| match number % 2 {
        0 => expected.to_string(),
        _ => expected[1..].to_string(),
    });
    let page = bench.stdout(&["score", "out", "--scorer=edit", "--correct-from=0.9", "-o", "edit"]);
    assert!(page.contains("correct from 0.9 on"), "{page}");
    assert!(page.contains("scored again by edit (correct: at least 0.9); run "), "{page}");
    let (old, new) = (bench.outcomes("out"), bench.outcomes("edit"));
    let record = bench.run_json("edit");
    for (number, (old, new)) in old.iter().zip(&new).enumerate() {
        let n = old.expected_answer.len() as f64;
        let right = number % 2 == 0;
        assert_eq!(new.score, Some(if right { 1.0 } else { 1.0 - 1.0 / n }), "{number}");
        assert_eq!(new.correct, Some(right), "{number}: {:?}", new.score);
        assert_eq!(new.outcome == Some(Finding::Found), right);
        assert_eq!(new.config_hash, record["config_hash"].as_str().unwrap());
        let unscored = |row: &Outcome| Outcome {
            score: None,
            correct: None,
            outcome: None,
            run_id: String::new(),
            config_hash: String::new(),
            ..row.clone()
        };
        assert_eq!(unscored(old), unscored(new));
    }
    let identity = &record["identity"];
    assert_eq!((&identity["scorer"], &identity["correct_from"]), (&"edit".into(), &0.9.into()));
    assert_eq!(record["answers_of"]["scorer"], "match");
    assert_ne!(record["run_id"], bench.run_json("out")["run_id"]);
    // The other tables came with it, under its name.
    let same = |old: AttentionRow| AttentionRow { run_id: new[0].run_id.clone(), ..old };
    assert_eq!(bench.attention("out").into_iter().map(same).collect::<Vec<_>>(), bench.attention("edit"));
    for by in ["cell", "layer", "head", "trial", "token"] {
        let form = if by == "token" { "csv" } else { "table" };
        assert!(!bench.stdout(&["view", "edit", "--by", by, "--output-format", form]).is_empty(), "{by}");
    }
    assert!(bench.stdout(&["view", "edit"]).contains("6 of 12 answers are right"));
    assert!(bench.stdout(&["view", "edit"]).contains("scored again by edit"));
    // Again from there, the run that answered is still the one that is named.
    bench.stdout(&["score", "edit", "--scorer=contains", "-o", "contains"]);
    assert_eq!(bench.run_json("contains")["answers_of"], record["answers_of"]);
}

#[test]
fn an_answer_that_holds_a_bar_is_judged_as_it_was() {
    let bench = Bench::new();
    let prompts = "{\"id\":\"a\",\"prompt\":\"How?\",\"expected\":\"grep foo log | wc -l\",\"context_length\":256}\n\
                   {\"id\":\"b\",\"prompt\":\"Which?\",\"expected\":[\"A|B\",\"c\\\\\"],\"context_length\":256}\n";
    let answers = "{\"id\":\"a\",\"answer\":\"grep foo log | wc -l\",\"model\":\"m\"}\n\
                   {\"id\":\"b\",\"answer\":\"B\",\"model\":\"m\"}\n";
    std::fs::write(bench.path("p.jsonl"), prompts).unwrap();
    std::fs::write(bench.path("a.jsonl"), answers).unwrap();
    for scorer in ["exact", "any", "contains"] {
        let scorer = format!("--scorer={scorer}");
        bench.stdout(&["score", "--answers=a.jsonl", "--prompts=p.jsonl", &scorer, "-o=w"]);
        let said = bench.stdout(&["score", "w", &scorer]);
        assert!(said.contains("0 of 2 answers are judged otherwise"), "{said}");
        std::fs::remove_dir_all(bench.path("w")).unwrap();
    }
}

#[test]
fn a_thought_before_an_answer_was_scored_with_it() {
    let bench = Bench::new();
    let prompt = |id: &str| {
        format!(
            "{{\"id\":\"{id}\",\"prompt\":\"x\",\"expected\":\"42\",\"context_length\":128,\"scorer\":\"exact\"}}\n"
        )
    };
    std::fs::write(bench.path("p.jsonl"), ["a", "b", "c", "d"].map(prompt).concat()).unwrap();
    let said = [("a", "<think>42?</think>7"), ("b", "<think>7?</think>42"), ("c", "<think>42"), ("d", "42")];
    let answer =
        |(id, said): (&str, &str)| format!("{{\"id\":\"{id}\",\"answer\":\"{said}\",\"model\":\"m\"}}\n");
    std::fs::write(bench.path("a.jsonl"), said.map(answer).concat()).unwrap();
    bench.stdout(&["score", "--answers=a.jsonl", "--prompts=p.jsonl", "-o=w"]);
    let rows = bench.outcomes("w");
    let row = |row: &Outcome| (row.model_response.clone().unwrap(), row.score, row.thinking_cut);
    let told = |said: &str, score, cut| (said.to_string(), Some(score), cut);
    assert_eq!(
        rows.iter().map(row).collect::<Vec<_>>(),
        [
            told("7", 0.0, Some(false)),
            told("42", 1.0, Some(false)),
            told("", 0.0, Some(true)),
            told("42", 1.0, None)
        ]
    );
}

#[test]
fn nothing_is_overwritten() {
    let bench = answered(|_, expected| expected.to_string());
    let before = bytes(&bench.path("out"));
    bench.refused(&["score", "out", "--scorer=edit", "-o", "out"], &["nothing is overwritten", "-o"]);
    fs::create_dir(bench.path("notes")).unwrap();
    fs::write(bench.path("notes/a.txt"), "mine").unwrap();
    bench.refused(&["score", "out", "--scorer=edit", "-o", "notes"], &["holds files already"]);
    assert_eq!(bytes(&bench.path("out")), before);
    assert_eq!(bytes(&bench.path("notes")).len(), 1);
    fs::create_dir(bench.path("empty")).unwrap();
    bench.stdout(&["score", "out", "--scorer=edit", "-o", "empty"]);
    bench.refused(&["score", "out", "--scorer=edit", "-o", "empty"], &["holds files already"]);
}

#[test]
fn runs_that_are_unfinished_torn_or_have_failed_trials_are_scored_as_far_as_they_go() {
    let bench = answered(|_, expected| expected.to_string());
    let mut rows = bench.outcomes("out");
    rows.truncate(7);
    rows[2] = Outcome {
        status: Status::Error,
        error: Some("it broke".to_string()),
        model_response: None,
        score: None,
        correct: None,
        outcome: None,
        ..rows[2].clone()
    };
    write(&bench.path("out"), &rows);
    let table = bench.path("out/results.csv");
    let torn = fs::read(&table).unwrap();
    fs::write(&table, &torn[..torn.len() - 20]).unwrap();
    fs::remove_file(bench.path("out/attention.csv")).unwrap();
    let page = bench.stdout(&["score", "out", "--scorer=exact", "-o", "exact"]);
    assert!(page.contains("6 of 12 trials have run") && page.contains("5 of 5 answers are right"), "{page}");
    let new = bench.outcomes("exact");
    assert_eq!((new.len(), new[2].status, new[2].score), (6, Status::Error, None));
    assert_eq!(new[2].error.as_deref(), Some("it broke"));
}

#[test]
fn tables_of_other_versions_are_scored_by_what_they_hold() {
    let bench = answered(|_, expected| expected.to_string());
    let old = bench.text("out/results.csv");
    let columns: Vec<&str> = old.lines().next().unwrap().split(',').collect();
    let place = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    // Needles have no commas, so a line can be taken apart at them.
    let (without, answers) = (place("answer_rank"), place("score"));
    let changed: String = old
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let mut fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), columns.len(), "{line}");
            fields.remove(without);
            fields.insert(answers, if number == 0 { "judge" } else { "0.7" });
            fields.join(",") + "\n"
        })
        .collect();
    fs::write(bench.path("out/results.csv"), &changed).unwrap();
    bench.refused(&["view", "out"], &["missing answer_rank", "unknown judge"]);
    let output = bench.output(&["score", "out", "--scorer=exact", "-o", "exact"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("not known to this version: judge"), "{said}");
    let page = bench.stdout(&["view", "exact"]);
    assert!(page.contains("12 of 12 answers are right"), "{page}");
    assert!(bench.outcomes("exact").iter().all(|row| row.answer_rank.is_none()));
    fs::write(bench.path("out/results.csv"), changed.replacen("expected_answer", "wanted", 1)).unwrap();
    bench.refused(&["score", "out"], &["missing expected_answer"]);
}

#[test]
fn numbers_in_groups_count_where_they_are_normalised_and_the_report_says_so() {
    let bench = answered(|_, expected| grouped(expected));
    let scored = |more: &[&str]| bench.stdout(&[&["score", "out", "--scorer=exact"], more].concat());
    assert!(scored(&[]).contains("0 of 12 answers are right"));
    let page = scored(&["--normalise=numbers", "-o", "numbers"]);
    assert!(page.contains("12 of 12 answers are right") && page.contains("numbers normalised"), "{page}");
    let html = scored(&["--normalise=numbers", "--output-format=html"]);
    assert!(html.contains("numbers normalised") && html.contains("exact (correct: 1)"), "the page says it");
    let record = bench.run_json("numbers");
    assert_eq!(record["identity"]["normalise"], "numbers");
    assert_eq!(record["settings"]["normalise"], "numbers");
    assert!(bench.run_json("out")["identity"].get("normalise").is_none(), "off by default");
    // A directory under normalisation keeps it until something else is asked for.
    assert!(bench.stdout(&["score", "numbers"]).contains("12 of 12 answers are right"));
    assert!(bench.stdout(&["score", "numbers", "--normalise=nothing"]).contains("0 of 12 answers are right"));
}

#[test]
fn several_tasks_are_scored_again_in_one_go() {
    let bench = Bench::new();
    bench.grid(&["-o", "several", "--task=magic,passkey", "--context-lengths=300", "--depths=0"]);
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    for task in ["magic", "passkey"] {
        let directory = format!("several/{task}");
        let mut rows = bench.outcomes(&directory);
        rows.iter_mut().for_each(|row| row.model_response = Some(format!("{}.", row.expected_answer)));
        write(&bench.path(&directory), &rows);
    }
    let page = bench.stdout(&["score", "several"]);
    assert!(page.contains("scored again by the scorer of each task"), "{page}");
    assert!(page.contains("4 of 4 answers are judged otherwise than before"), "{page}");
    let page = bench.stdout(&["score", "several", "--scorer=exact", "-o", "exact"]);
    assert!(page.contains("scored again by exact") && page.contains("0 of 4 answers"), "{page}");
    for task in ["magic", "passkey"] {
        let rows = bench.outcomes(&format!("exact/{task}"));
        assert!(rows.iter().all(|row| row.score == Some(0.0)), "{task}");
        assert_eq!(bench.run_json(&format!("exact/{task}"))["identity"]["scorer"], "exact");
    }
    assert!(bench.stdout(&["view", "exact"]).contains("passkey"));
    bench.refused(&["score", "several", "--scorer=exact", "-o", "exact"], &["nothing is overwritten"]);
}

#[test]
fn a_run_takes_the_same_flags_and_goes_on_in_a_directory_that_was_scored_again() {
    let bench = Bench::new();
    bench.grid(&["-o", "plain"]);
    let flags = ["--scorer=edit", "--correct-from=0.25", "--normalise=numbers"];
    let own = bench.grid(&[&flags[..], &["-o", "own"]].concat());
    assert!(own.contains("numbers normalised, correct from 0.25 on"), "{own}");
    bench.stdout(&[&["score", "plain"], &flags[..], &["-o", "scored"]].concat());
    let timeless = |directory: &str| -> Vec<Outcome> {
        let clockless = |row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row };
        let unnamed = |row| Outcome { run_id: String::new(), config_hash: String::new(), ..clockless(row) };
        bench.outcomes(directory).into_iter().map(unnamed).collect()
    };
    assert_eq!(timeless("own"), timeless("scored"));
    assert_ne!(bench.run_json("own")["config_hash"], bench.run_json("plain")["config_hash"]);
    bench.grid(&[&flags[..], &["-o", "scored", "--trials=3"]].concat());
    assert_eq!(bench.outcomes("scored").len(), 18);
    bench.stdout(&["score", "plain", "--correct-from=0.5", "-o", "half"]);
    bench.refused(&["compare", "plain", "half"], &["--correct-from 0.5", "scored as those of A"]);
    bench.stdout(&["score", "plain", "--normalise=numbers", "-o", "numbers"]);
    bench.refused(&["compare", "numbers", "plain"], &["--normalise numbers"]);
    let wrong = ["run", "tiny", "-o", "wrong", "--correct-from=120%"];
    bench.refused(&wrong, &["--correct-from", "0 to 1"]);
}
