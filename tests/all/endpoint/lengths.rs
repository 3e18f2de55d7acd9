//! How long prompts are for a server: with its tokenizer and without, and whether they are read whole.

use std::sync::atomic::AtomicBool;

use niah::grid::{ContextLength, Depth, Grid};
use niah::plan::{ModelChoice, Served, ServedPlan, Settings};
use niah::server::{Api, Counting, Logprobs, Server as Asked};
use niah::trial::Status;
use serde_json::{Value, json};

use super::served::{BYTES, Nature, Run, prompt_of, reply, rows, run_json};
use crate::common::bench::Bench;
use crate::common::server::{Reply, Request, Server};

#[test]
fn cells_that_a_server_cuts_in_silence_are_skipped_and_the_length_is_named() {
    let nature = Nature { window: Some(400), ..Nature::counting() };
    let server = Server::new(move |request| nature.answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.asks.check_lengths = true;
    let lengths = [200, 300, 600, 1200].map(ContextLength).to_vec();
    run.settings.grid = Grid::new(lengths, run.settings.grid.depths().to_vec()).unwrap();
    run.go(place.path()).unwrap();
    let all = rows(place.path());
    assert_eq!(all.len(), 24);
    for row in all.values() {
        match row.context_length {
            ..400 => assert_eq!((row.status, row.correct), (Status::Ok, Some(true)), "{row:?}"),
            _ => {
                assert_eq!((row.status, row.correct), (Status::Skipped, None), "{row:?}");
                assert!(row.error.as_ref().unwrap().contains("in silence from length 600 on"), "{row:?}");
            }
        }
    }
    let told = run_json(place.path());
    let lengths = told["model"]["server"]["lengths"].as_array().unwrap();
    assert_eq!(lengths.len(), 3, "none beyond the first that is cut is asked");
    let notes = told["model"]["server"]["notes"].to_string();
    assert!(notes.contains("from length 600 on"), "{notes}");
    // With a longer context the same run goes on with them.
    server.asked();
    assert_eq!(run.go(place.path()).unwrap().len(), 0, "still cut: what was skipped stays so");
    let whole = Server::new(|request| Nature::counting().answer(request));
    run.manner.endpoint = niah::server::Endpoint::new(&whole.url()).unwrap();
    assert_eq!(run.go(place.path()).unwrap().len(), 12);
    assert!(rows(place.path()).values().all(|row| row.correct == Some(true)));
}

#[test]
fn cells_that_a_server_refuses_are_skipped_in_its_words() {
    let server = Server::new(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match prompt_of(&asked).len() / BYTES {
            500.. => reply("400 Bad Request", &json!({"error": {"message": "exceeds the context of 500"}})),
            _ => Nature::counting().answer(request),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.asks.check_lengths = true;
    run.settings.grid =
        Grid::new(vec![ContextLength(300), ContextLength(900)], run.settings.grid.depths().to_vec()).unwrap();
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        let error = row.error.as_deref().unwrap_or_default();
        let skipped = row.status == Status::Skipped && error.contains("exceeds the context of 500");
        assert!(skipped == (row.context_length == 900), "{row:?}");
    }
}

/// A server whose tokens have five bytes, and whose template takes seven.
fn of_five(tokenizes: bool) -> Server {
    Server::new(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let count = prompt_of(&asked).len().div_ceil(5);
        if request.path == "/tokenize" {
            let tokens = asked["content"].as_str().unwrap().len().div_ceil(5);
            return if tokenizes {
                reply("200 OK", &json!({"tokens": vec![1; tokens]}))
            } else {
                Reply::not_found()
            };
        }
        let choice = json!({"message": {"content": "Word"}, "text": "Word", "finish_reason": "stop"});
        reply("200 OK", &json!({"choices": [choice], "usage": {"prompt_tokens": count + 7}}))
    })
}

#[test]
fn without_a_tokenizer_the_server_says_how_many_bytes_a_token_has() {
    let sample = "A sentence of the haystack, which says nothing. ".repeat(200);
    for tokenizes in [true, false] {
        let server = of_five(tokenizes);
        let run = Run::new(&server.url(), Api::Chat);
        let mut asked = Asked::new(&run.manner, "m", 1);
        let counting = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap();
        assert!((counting.bytes_per_token - 5.0).abs() < 0.02, "{counting:?}");
        assert!((6..=8).contains(&counting.around), "{counting:?}");
    }
    let silent = Server::new(|request| Nature::default().answer(request));
    let run = Run::new(&silent.url(), Api::Chat);
    let mut asked = Asked::new(&run.manner, "m", 1);
    let failure = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(failure.contains("counts no tokens"), "{failure}");
}

/// A server that reads the last `window` tokens of a prompt of `BYTES` each, or refuses a longer one.
fn of_window(window: usize, refuses: bool) -> Server {
    Server::new(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let tokens = prompt_of(&asked).len() / BYTES;
        if request.path == "/tokenize" {
            return Reply::not_found();
        }
        if refuses && tokens > window {
            return reply("400 Bad Request", &json!({"error": {"message": "too long"}}));
        }
        Nature { window: Some(window), ..Nature::counting() }.answer(request)
    })
}

#[test]
fn tokens_are_not_counted_on_a_sample_that_the_server_cuts_or_refuses() {
    let sample = "A sentence of the haystack, which says nothing. ".repeat(340);
    for refuses in [false, true] {
        for window in [300, 2000, 4000] {
            let server = of_window(window, refuses);
            let run = Run::new(&server.url(), Api::Chat);
            let mut asked = Asked::new(&run.manner, "m", 1);
            let counting = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap();
            assert!((counting.bytes_per_token - BYTES as f64).abs() < 0.1, "{window}: {counting:?}");
        }
    }
    // One that reads next to nothing counts the same of everything.
    let server = of_window(5, false);
    let run = Run::new(&server.url(), Api::Chat);
    let mut asked = Asked::new(&run.manner, "m", 1);
    let failure = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(failure.contains("the same of any text"), "{failure}");
}

#[test]
fn cells_of_prompts_that_are_cut_in_the_middle_are_skipped() {
    const WINDOW: usize = 400;
    let server = Server::new(|request| {
        let mut asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = prompt_of(&asked);
        let half = WINDOW * BYTES / 2;
        if text.len() > 2 * half {
            asked["prompt"] = json!(format!("{}{}", &text[..half], &text[text.len() - half..]));
        }
        Nature::counting().answer(&Request { body: asked.to_string().into(), ..request.clone() })
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.asks.check_lengths = true;
    let lengths = [200, 300, 1200].map(ContextLength).to_vec();
    run.settings.grid = Grid::new(lengths, run.settings.grid.depths().to_vec()).unwrap();
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        let error = row.error.as_deref().unwrap_or_default();
        let skipped =
            row.status == Status::Skipped && error.contains("does not find what stands in the middle");
        assert!(skipped == (row.context_length == 1200), "{row:?}");
    }
    let lengths = &run_json(place.path())["model"]["server"]["lengths"];
    assert_eq!(
        (&lengths[1]["found_in_middle"], &lengths[2]["found_in_middle"]),
        (&json!(null), &json!(false))
    );
}

#[test]
fn a_length_that_fails_before_the_grid_does_not_end_the_run() {
    let server = Server::new(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match prompt_of(&asked).len() / BYTES {
            500.. => reply("500 Internal Server Error", &json!({"error": {"message": "out of memory"}})),
            _ => Nature::counting().answer(request),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    (run.asks.check_lengths, run.manner.limits.retries) = (true, 0);
    run.settings.grid =
        Grid::new(vec![ContextLength(300), ContextLength(900)], run.settings.grid.depths().to_vec()).unwrap();
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        match row.context_length {
            300 => assert_eq!((row.status, row.correct), (Status::Ok, Some(true)), "{row:?}"),
            _ => assert_eq!((row.status, row.correct), (Status::Error, None), "{row:?}"),
        }
    }
    let notes = run_json(place.path())["model"]["server"]["notes"].to_string();
    assert!(notes.contains("could not be told from length 900 on (status 500: out of memory)"), "{notes}");
}

#[test]
fn approximate_lengths_are_said_to_be_so_with_the_error_that_was_measured() {
    let server = of_five(true);
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    // Ten per cent beside the truth.
    run.settings.served.as_mut().unwrap().counting = Some(Counting { bytes_per_token: 4.5, around: 7 });
    run.go(place.path()).unwrap();
    let notes = run_json(place.path())["model"]["server"]["notes"].to_string();
    assert!(notes.contains("lengths are approximate") && notes.contains("the server counts 9"), "{notes}");
}

#[test]
fn with_the_tokenizer_prompts_are_those_of_a_local_run() {
    let bench = Bench::new();
    let server = Server::new(|request| Nature::counting().answer(request));
    let common = ["--context-lengths=300", "--depths=0,100", "--seed=3"];
    let local =
        ["run", "--model", "tiny", "--max-new-tokens=2", "--apply-chat-template=never", "-o", "local"];
    bench.stdout(&[&local[..], &common].concat());
    let url = server.url();
    let asked = [
        "run",
        "-m",
        "scripted",
        "--endpoint",
        &url,
        "--tokenizer",
        "tiny",
        "--max-new-tokens=2",
        "--apply-chat-template=never",
        "-o",
        "served",
    ];
    bench.stdout(&[&asked[..], &common].concat());
    let hashes = |directory: &str| -> Vec<_> {
        bench
            .outcomes(directory)
            .into_iter()
            .map(|row| (row.row_id, row.prompt_hash, row.needle_start))
            .collect()
    };
    assert_eq!(hashes("local"), hashes("served"));
    assert!(server.asked().iter().any(|request| request.path == "/v1/completions"));
    assert_eq!(
        bench.run_json("local")["identity"]["tokenizer_sha256"],
        bench.run_json("served")["identity"]["tokenizer_sha256"]
    );
    let compared = bench.stdout(&["compare", "local", "served"]);
    assert!(compared.contains("scripted"), "{compared}");
}

#[test]
fn a_tokenizer_is_a_directory_its_file_or_one_that_is_shipped() {
    let bench = Bench::new();
    let depths = vec![Depth::from_percent(50.0).unwrap()];
    let resolved = |tokenizer: &str| {
        let served = Served {
            endpoint: "http://localhost:1/v1".to_string(),
            api: Api::Completions,
            tokenizer: Some(tokenizer.to_string()),
            counting: None,
            logprobs: Logprobs::Written,
        };
        let settings = Settings {
            model: ModelChoice::of("m"),
            grid: Grid::new(vec![ContextLength(400)], depths.clone()).unwrap(),
            served: Some(served),
            ..Settings::default()
        };
        ServedPlan::resolve(settings, &mut |_| unreachable!("it is at hand"))
    };
    let tiny = bench.path("tiny");
    for name in [tiny.to_str().unwrap(), tiny.join("tokenizer.json").to_str().unwrap(), "shipped:ssmax"] {
        assert!(resolved(name).unwrap().is_exact(), "{name}");
    }
    for (name, words) in
        [("shipped:none", "none"), (tiny.join("config.json").to_str().unwrap(), "tokenizer.json")]
    {
        let error = resolved(name).err().unwrap().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}
