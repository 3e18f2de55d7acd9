//! `repeat` says where the word that is another stands, in the text and in the answer.

use std::fs;

use niah::store::csv::{self, Appender};
use niah::trial::Outcome;

use serde_json::{Value, json};

use crate::common::bench::Bench;
use crate::common::server::{Reply, Server};

#[test]
fn a_copy_says_where_the_changed_word_stands_and_in_how_many_answers_it_kept_its_place() {
    let bench = Bench::new();
    let run = ["run", "--model=tiny", "--task=repeat", "--context-lengths=400", "--depths=0,50,100"];
    let page = bench.stdout(&[&run[..], &["-o", "out"]].concat());
    assert!(page.contains("at its place in 0 of 3 answers, elsewhere in 0, and is missing in 3"), "{page}");
    let path = bench.path("out/results.csv");
    let mut rows: Vec<Outcome> = csv::read(&path).unwrap();
    let places: Vec<usize> = rows.iter().map(|row| row.changed_word.unwrap()).collect();
    for (row, place) in rows.iter().zip(&places) {
        let words: Vec<&str> = row.expected_answer.split(' ').collect();
        assert_eq!(words.iter().filter(|word| **word == words[*place]).count(), 1, "{words:?}");
        assert_eq!(row.answered_word, None, "{row:?}");
    }
    assert!(places[0] == 0 && places.is_sorted() && places[1] < places[2], "{places:?}");
    rows[0].answered_word = Some(0);
    rows[2].answered_word = Some(1);
    fs::remove_file(&path).unwrap();
    Appender::open(&path).unwrap().append(&rows).unwrap();
    let page = bench.stdout(&["view", "out"]);
    assert!(page.contains("at its place in 1 of 3 answers, elsewhere in 1, and is missing in 1"), "{page}");
}

/// A run of a task on a server that answers its prompts in this way.
fn answered(
    bench: &Bench,
    task: &str,
    answer: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (String, Vec<Outcome>) {
    let server = Server::new(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = answer(asked["prompt"].as_str().unwrap_or_default());
        let choice = json!({"text": text, "finish_reason": "stop"});
        let body = json!({"choices": [choice], "usage": {"prompt_tokens": 7}});
        Reply::new("200 OK\r\nContent-Type: application/json", body.to_string())
    });
    let (url, task) = (server.url(), format!("--task={task}"));
    let page = bench.stdout(&[
        "run",
        "--endpoint",
        &url,
        "-m=scripted",
        "--api=completions",
        "--tokenizer=shipped:ssmax",
        "--no-length-check",
        "--context-lengths=900",
        "--depths=0",
        &task,
        "-o=out",
    ]);
    (page, bench.outcomes("out"))
}

#[test]
fn an_earlier_value_in_an_answer_is_counted_with_the_updates_behind_it() {
    let (bench, asks) = (Bench::new(), "What are the current values of ");
    let (page, rows) = answered(&bench, "updates", move |prompt| {
        let Some((stream, question)) = prompt.split_once(asks) else { return String::new() };
        let keys: Vec<&str> =
            question.split([' ', ',', '?']).filter(|word| word.contains('-')).take(4).collect();
        let values = |key: &str| -> Vec<&str> {
            stream.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
        };
        // The last value of the first key, that two updates before of the second, and nothing of the others.
        let (first, second) = (values(keys[0]), values(keys[1]));
        format!("{} and {}", first[first.len() - 1], second[second.len() - 3])
    });
    assert_eq!((rows[0].earlier_values, rows[0].earlier_age), (Some(1), Some(2.0)), "{:?}", rows[0]);
    let said = "in the place of 1 of 4 values the answers say an earlier one, 2.0 updates old in the mean";
    assert!(page.replace('\n', " ").contains(said), "{page}");
}

#[test]
fn a_copy_of_another_text_on_the_same_request_scores_the_floor_of_noise() {
    let bench = Bench::new();
    let (page, rows) = answered(&bench, "rounds", |_| "nothing".to_string());
    let floor = rows[0].noise_floor.unwrap();
    assert!(floor > 0.0 && floor < 0.9, "{floor}");
    assert!(page.contains("noise floor") && rows[0].score == Some(0.0), "{page}");
}

#[test]
fn other_tasks_have_no_changed_word() {
    let bench = Bench::new();
    let run = ["run", "--model=tiny", "--context-lengths=300", "--depths=50", "-o", "out"];
    assert!(!bench.stdout(&run).contains("changed word"));
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert!(rows.iter().all(|row| row.changed_word.is_none() && row.answered_word.is_none()));
}
