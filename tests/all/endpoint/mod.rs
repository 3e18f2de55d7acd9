//! `niah run --endpoint`: a server of this test answers the prompts of a grid.

mod addresses;
mod kept;
mod lengths;
mod misbehaving;
mod served;
mod several;
mod streams;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use niah::server::{Api, ApiKey, Logprobs};
use niah::trial::Status;
use serde_json::{Value, json};

use self::served::{Nature, Run, prompt_of, reply, rows, run_json, served as served_rows};
use crate::common::bench::{Bench, stderr};
use crate::common::server::{Request, Server};

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

#[test]
fn every_trial_is_one_row_by_either_interface_whole_or_token_by_token() {
    let nature = Nature::counting();
    let server = Server::new(move |request| nature.answer(request));
    for (api, stream) in
        [(Api::Completions, false), (Api::Completions, true), (Api::Chat, false), (Api::Chat, true)]
    {
        let place = tempfile::tempdir().unwrap();
        let mut run = Run::new(&server.url(), api);
        run.manner.stream = stream;
        run.asks.concurrency = 5;
        assert_eq!(run.go(place.path()).unwrap().len(), 12);
        let rows = rows(place.path());
        assert_eq!(rows.len(), 12);
        for row in rows.values() {
            assert_eq!((row.status, row.correct), (Status::Ok, Some(true)), "{row:?}");
            assert_eq!((row.needle_mass_top, row.variant.as_str()), (None, "unseen"));
            // The server's count, as nobody else knows the tokens.
            let off = row.prompt_tokens.unwrap().abs_diff(row.context_length);
            assert!(row.needle_start.is_none() && off < row.context_length / 2, "{row:?}");
            let known = api == Api::Completions && !stream;
            assert_eq!(row.answer_logprob, known.then_some(-0.25));
        }
        let said = served_rows(place.path());
        assert!(said.iter().all(|row| row.served_model == "scripted-1" && row.finish_reason == "stop"));
        assert!(
            said.iter().all(|row| row.prompt_tokens
                == Some(2 * row.cached_tokens.unwrap() + row.prompt_tokens.unwrap() % 2))
        );
        let tokens = &run_json(place.path())["tokens"];
        assert_eq!((&tokens["generated"], tokens["sent"].is_u64()), (&json!(36), true));
        let seed = run.settings.seed;
        for request in server.asked().iter().map(body) {
            assert_eq!((&request["temperature"], &request["seed"]), (&json!(0), &json!(seed)));
            assert_eq!((&request["model"], &request["stream"]), (&json!("scripted"), &json!(stream)));
        }
    }
}

#[test]
fn prompts_that_begin_alike_follow_each_other_and_no_more_are_asked_at_once_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (nature, running, peak) = (Nature::counting(), Arc::clone(&now), Arc::clone(&most));
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&order);
    let server = Server::new(move |request| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        log.lock().unwrap().push(prompt_of(&body(request)));
        let reply = nature.answer(request);
        running.fetch_sub(1, Ordering::SeqCst);
        reply
    });
    let mut run = Run::new(&server.url(), Api::Completions);
    let alone = tempfile::tempdir().unwrap();
    run.go(alone.path()).unwrap();
    let asked: Vec<String> = order.lock().unwrap().drain(..).skip(1).collect();
    let shared = |a: &String, b: &String| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let along: usize = asked.windows(2).map(|pair| shared(&pair[0], &pair[1])).sum();
    let mut sorted = asked.clone();
    sorted.sort();
    let best: usize = sorted.windows(2).map(|pair| shared(&pair[0], &pair[1])).sum();
    assert!(along as f64 >= 0.95 * best as f64, "{along} bytes shared, {best} in the best order");
    assert_eq!(most.swap(0, Ordering::SeqCst), 1);
    let together = tempfile::tempdir().unwrap();
    run.asks.concurrency = 3;
    run.go(together.path()).unwrap();
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    let answers = |place| -> Vec<_> {
        let rows = rows(place).into_values();
        rows.map(|row| (row.row_id, row.prompt_hash, row.model_response, row.correct)).collect()
    };
    assert_eq!(answers(alone.path()), answers(together.path()));
}

#[test]
fn the_expected_answer_has_a_log_probability_where_the_server_echoes() {
    let nature = Nature { echoes: true, answers: Some("none"), ..Nature::counting() };
    let server = Server::new(move |request| nature.answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.settings.served.as_mut().unwrap().logprobs = Logprobs::Expected;
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        // The server makes one token of the answer, and does not tell its rank.
        assert_eq!(
            (row.correct, row.answer_logprob, row.answer_rank),
            (Some(false), Some(-3.0), None),
            "{row:?}"
        );
    }
    let silent = Server::new(|request| Nature::counting().answer(request));
    run.manner.endpoint = niah::server::Endpoint::new(&silent.url()).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let error = run.go(empty.path()).unwrap_err().to_string();
    assert!(error.contains("logprobs") && error.contains("tells nothing of a text"), "{error}");
}

#[test]
fn parts_of_a_plan_are_asked_apart_and_joined() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let (bench, url) = (Bench::new(), server.url());
    let asked = |more: &[&str]| {
        let arguments = [&COMMAND[..], &["--endpoint", &url, "-m", "scripted", "--trials=2"], more].concat();
        bench.stdout(&arguments)
    };
    asked(&["-o", "whole"]);
    asked(&["-o", "first", "--shard", "1/2"]);
    asked(&["-o", "second", "--shard", "2/2"]);
    bench.stdout(&["merge", "first", "second", "-o", "joined"]);
    let answers = |directory: &str| -> Vec<_> {
        let rows = bench.outcomes(directory).into_iter();
        rows.map(|row| (row.row_id, row.prompt_hash, row.model_response)).collect()
    };
    assert_eq!(answers("joined"), answers("whole"));
    assert_eq!(served_rows(&bench.path("joined")).len(), 8);
    let first = answers("first").len();
    assert!((2..=6).contains(&first), "{first}");
}

#[test]
fn what_a_server_does_not_know_is_left_out_and_said() {
    let nature = Nature { refuses: vec!["logprobs", "seed", "max_tokens"], ..Nature::counting() };
    let server = Server::new(move |request| nature.answer(request));
    let place = tempfile::tempdir().unwrap();
    Run::new(&server.url(), Api::Chat).go(place.path()).unwrap();
    assert!(rows(place.path()).values().all(|row| row.correct == Some(true)));
    let asked = server.asked();
    assert_eq!(asked.len(), 4 + 12, "the greeting is tried four times, and nothing else is");
    let last = body(&asked[15]);
    assert!(last["max_completion_tokens"].is_u64() && last["seed"].is_null(), "{last}");
    let told = &run_json(place.path())["model"]["server"];
    assert_eq!(told["left_out"], json!(["logprobs", "max_tokens", "seed"]));
    assert_eq!((&told["model"], &told["version"]), (&json!("scripted-1"), &json!("scripted/1")));
}

#[test]
fn reasoning_models_of_openai_were_refused_at_the_greeting() {
    let nature = Nature { refuses: vec!["max_tokens"], ..Nature::counting() };
    let server = Server::new(move |request| {
        let asked = body(request);
        let few = asked["max_completion_tokens"].as_u64().is_some_and(|most| most < 16);
        let refused = |status: &str, words: &str| reply(status, &json!({"error": {"message": words}}));
        match (asked["max_tokens"].is_null(), asked["logprobs"].is_null(), few) {
            (true, false, _) => {
                refused("403 Forbidden", "You are not allowed to request logprobs from this model.")
            }
            (true, true, true) => refused(
                "400 Bad Request",
                "Could not finish the message because max_tokens or model output limit was reached. Please \
                 try again with higher max_tokens.",
            ),
            _ => nature.answer(request),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    // A word that local servers are given is a part of `max_tokens`, and of nothing that is kept.
    run.manner.key = Some(ApiKey::new("token", "test").unwrap());
    run.go(place.path()).unwrap();
    assert!(rows(place.path()).values().all(|row| row.correct == Some(true)));
    assert_eq!(run_json(place.path())["model"]["server"]["left_out"], json!(["logprobs", "max_tokens"]));
    assert_eq!(server.asked().len(), 4 + 12, "the greeting is tried four times, and nothing else is");
}

const COMMAND: [&str; 8] = [
    "run",
    "--context-lengths=300,600",
    "--depths=0,100",
    "--concurrency=2",
    "-o",
    "out",
    "--retries=0",
    "--timeout=20",
];

#[test]
fn one_command_asks_a_server_and_every_other_reads_the_run() {
    let nature = Nature::counting();
    let server = Server::new(move |request| nature.answer(request));
    let bench = Bench::new();
    let url = server.url();
    let arguments = [&COMMAND[..], &["--endpoint", &url]].concat();
    let ask = || {
        let output = bench.command(&arguments).env("NIAH_API_KEY", "sk-secret").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = ask();
    for words in ["scripted, unseen", "task magic", "prompt tokens sent", "lengths are approximate", "100%"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let asked = server.asked();
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer sk-secret")));
    assert_eq!(ask(), first);
    assert!(server.asked().iter().all(|request| request.path.ends_with("/models")), "nothing is asked again");
    assert_eq!(bench.stdout(&["view", "out", "--export", "page.html"]), first);
    // No picture of what nobody has measured stands beside that of the answers.
    assert!(first.contains("Accuracy by context") && !first.contains("Needle mass by context"), "{first}");
    let figures = |name: &str| bench.text("page.html").matches(&format!("id=\"figure-{name}\"")).count();
    assert_eq!((figures("accuracy"), figures("needle-mass"), figures("outcome")), (1, 0, 0));
    assert_eq!(bench.run_json("out")["model"]["server"]["lengths"][1]["found_at_start"], true);
    assert!(!bench.text("out/run.json").contains("sk-secret"));
    bench.refused(&["attend", "out", "--length", "300"], &["a server answered in this one"]);
    let dry = bench.stdout(&[&arguments[..], &["--dry-run", "-m", "scripted"]].concat());
    assert!(dry.contains("4 prompts (4 now)") && dry.contains("before them 4"), "{dry}");
    // Another interface is another run.
    bench.refused(&[&arguments[..], &["--api", "completions"]].concat(), &["api", "completions"]);
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_sent() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let (bench, url) = (Bench::new(), server.url());
    let refused = |more: &[&str], words: &[&str]| {
        bench.refused(&[&COMMAND[..], &["--endpoint", &url, "-m", "scripted"], more].concat(), words)
    };
    refused(&["--variant", "ssmax"], &["--endpoint", "--variant"]);
    refused(&["--task", "magic,nothing"], &["task", "nothing"]);
    refused(&["--controls", "--dry-run"], &["--controls", "--dry-run"]);
    refused(&["--concurrency", "0"], &["--concurrency", "1 to 1024"]);
    refused(&["--timeout", "0"], &["--timeout"]);
    refused(&["--rate-limit", "0"], &["--rate-limit"]);
    refused(&["--endpoint", "localhost:1"], &["--endpoint", "http://localhost:8000/v1"]);
    refused(&["--api", "completions", "--thinking", "on"], &["--api"]);
    refused(&["--logprobs", "expected"], &["--logprobs", "--api completions"]);
    refused(&["--api-key-file", "none"], &["none"]);
    bench.refused(&["run", "--concurrency", "2"], &["--endpoint"]);
    assert!(server.asked().is_empty());
}

#[test]
fn a_server_that_is_not_there_or_refuses_the_key_fails_with_what_to_do() {
    let bench = Bench::new();
    let fails = |url: &str, words: &[&str]| {
        let output = bench.output(&[&COMMAND[..], &["--endpoint", url, "-m", "x"]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    let refusing = Server::new(|_| {
        crate::common::server::Reply::new("401 Unauthorized", r#"{"error": {"message": "no key"}}"#)
    });
    fails(&refusing.url(), &["status 401: no key", "NIAH_API_KEY", "--api-key-file"]);
    let url = refusing.url();
    drop(refusing);
    fails(&url, &["is it running"]);
}
