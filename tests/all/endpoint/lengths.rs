//! How long prompts are for a server: with its tokenizer and without, and whether they are read whole.

use std::sync::OnceLock;
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
        let counting = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap().counting;
        assert!((counting.bytes_per_token - 5.0).abs() < 0.02, "{counting:?}");
        assert!((6..=8).contains(&counting.around), "{counting:?}");
    }
    let silent = Server::new(|request| Nature::default().answer(request));
    let run = Run::new(&silent.url(), Api::Chat);
    let mut asked = Asked::new(&run.manner, "m", 1);
    let failure = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(failure.contains("counts no tokens"), "{failure}");
}

#[test]
fn a_model_that_thinks_first_was_asked_for_one_token_while_tokens_were_counted() {
    let sample = "A sentence of the haystack, which says nothing. ".repeat(200);
    let server = Server::new(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if asked["max_tokens"].as_u64().is_some_and(|most| most < 16) {
            let words = "Could not finish the message because max_tokens or model output limit was reached.";
            return reply("400 Bad Request", &json!({"error": {"message": words}}));
        }
        Nature::counting().answer(request)
    });
    let run = Run::new(&server.url(), Api::Chat);
    let mut asked = Asked::new(&run.manner, "m", 1);
    let counting = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap().counting;
    assert!((counting.bytes_per_token - BYTES as f64).abs() < 0.1, "{counting:?}");
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
            let counting = asked.calibrate(&sample, &AtomicBool::new(false)).unwrap().counting;
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

/// Tokens of which a letter or a space is a fifth and anything else one.
fn mixed_tokens(text: &str) -> usize {
    text.chars().map(weight).sum::<usize>().div_ceil(5)
}

fn weight(c: char) -> usize {
    if c.is_alphabetic() || c == ' ' { 1 } else { 5 }
}

/// A server of such tokens that reads the last `window` of a conversation.
fn of_mixed_tokens(window: usize) -> Server {
    Server::new(move |request| {
        let asked: Result<Value, _> = serde_json::from_slice(&request.body);
        let Ok(mut asked) = asked else { return Nature::default().answer(request) };
        let text = prompt_of(&asked);
        let (mut from, mut read) = (text.len(), 0);
        for (at, c) in text.char_indices().rev() {
            read += weight(c);
            if read > 5 * window {
                break;
            }
            from = at;
        }
        asked["messages"] = json!([{"role": "user", "content": &text[from..]}]);
        let request = Request { body: asked.to_string().into(), ..request.clone() };
        let answer = Nature::default().answer(&request);
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(mut body) => {
                body["usage"] = json!({"prompt_tokens": mixed_tokens(&text).min(window)});
                reply("200 OK", &body)
            }
            Err(_) => answer,
        }
    })
}

#[test]
fn calibration_says_how_far_off_it_is_within_its_sample() {
    let of = |sample: &str| {
        let server = of_mixed_tokens(100_000);
        let run = Run::new(&server.url(), Api::Chat);
        let mut asked = Asked::new(&run.manner, "m", 1);
        let calibration = asked.calibrate(sample, &AtomicBool::new(false)).unwrap();
        let before = server.asked().len();
        assert_eq!(asked.calibrate(sample, &AtomicBool::new(false)).unwrap(), calibration);
        assert!(before > 0 && server.asked().is_empty(), "a text is counted once");
        calibration
    };
    let words = "words and words ".repeat(300);
    let even = of(&words);
    assert!(even.off < 0.01 && (even.counting.bytes_per_token - 5.0).abs() < 0.1, "{even:?}");
    // Letters, and then digits.
    let uneven = of(&format!("{words}{}", "0123456789".repeat(480)));
    assert!(uneven.off > 0.5, "{uneven:?}");
}

#[test]
fn regression_lengths_are_checked_in_real_tokens_whatever_the_task_is() {
    let server = of_mixed_tokens(900);
    let (bench, url) = (Bench::new(), server.url());
    // A token of kv has two bytes, and one of the text that is checked nearly five.
    let grid = ["run", "-m=scripted", "--context-lengths=600,1800", "--depths=0,100", "--timeout=20"];
    bench.stdout(&[&grid[..], &["--endpoint", &url, "--task=kv,magic", "-o", "out"]].concat());
    for task in ["kv", "magic"] {
        for row in bench.outcomes(&format!("out/{task}")) {
            let error = row.error.as_deref().unwrap_or_default();
            let skipped = row.status == Status::Skipped && error.contains("in silence from length 1800 on");
            assert!(skipped == (row.context_length == 1800), "{task}: {row:?}");
        }
        let checks = &bench.run_json(&format!("out/{task}"))["model"]["server"]["lengths"];
        assert_eq!((&checks[0]["found_at_start"], &checks[0]["problem"]), (&json!(true), &json!(null)));
        let here = checks[1]["prompt_tokens_here"].as_u64().unwrap();
        assert!((1550..1800).contains(&here), "{checks}");
    }
    let asked = server.asked();
    let checked = asked.iter().filter(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let tokens = mixed_tokens(&prompt_of(&asked));
        asked["max_tokens"] != 1 && (1550..1800).contains(&tokens)
    });
    assert_eq!(checked.count(), 2, "at both ends of the longer length, for both tasks");
}

#[test]
fn regression_a_cut_of_a_fifth_at_the_first_length_is_named() {
    let nature = Nature { window: Some(4096), ..Nature::counting() };
    let server = Server::new(move |request| nature.answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.asks.check_lengths = true;
    let lengths = [5120, 8192].map(ContextLength).to_vec();
    run.settings.grid = Grid::new(lengths, vec![Depth::from_percent(0.0).unwrap()]).unwrap();
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        let error = row.error.as_deref().unwrap_or_default();
        assert!(error.contains("in silence from length 5120 on"), "{row:?}");
    }
}

#[test]
fn regression_prompts_of_a_file_are_asked_that_are_shorter_than_the_cell_they_stand_in() {
    // Of the cell of 2048 tokens, with the answer.
    let server = of_window(1500, true);
    let (bench, url) = (Bench::new(), server.url());
    let prompt = |tokens: usize| {
        let text = format!("{}What is it?", "word ".repeat(tokens * BYTES / 5));
        json!({"prompt": text, "expected": ["Word"]}).to_string()
    };
    let refused = |tokens: [usize; 2], file: &str| {
        std::fs::write(bench.path(file), tokens.map(prompt).join("\n")).unwrap();
        let directory = format!("{file}-out");
        let asked = ["run", "-m=scripted", "--endpoint", &url, "--prompts", file, "-o", &directory];
        bench.output(&asked);
        let rows = bench.outcomes(&directory);
        assert!(rows.len() == 2 && rows.iter().all(|row| row.context_length == 2048), "{rows:?}");
        let server = bench.run_json(&directory)["model"]["server"].clone();
        assert!(server["lengths"][0]["context_length"].as_u64().unwrap() < 2048, "{server}");
        rows.iter().filter(|row| row.status == Status::Skipped).count()
    };
    assert_eq!(refused([1100, 1300], "fit.jsonl"), 0);
    assert_eq!(refused([1100, 1700], "long.jsonl"), 2);
}

#[test]
fn regression_a_prompt_that_is_refused_for_what_it_says_is_one_failed_check_and_one_error() {
    for status in ["400 Bad Request", "403 Forbidden"] {
        let forbidden: OnceLock<String> = OnceLock::new();
        let server = Server::new(move |request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let text = prompt_of(&asked);
            let question = text.rsplit_once("What is the").map(|(_, question)| question.to_string());
            match question.filter(|_| asked["max_tokens"] != 1 && text.len() < 400 * BYTES) {
                Some(question) if forbidden.get_or_init(|| question.clone()) == &question => {
                    let words = "the prompt was filtered by our content policy";
                    reply(status, &json!({"error": {"message": words, "code": "content_filter"}}))
                }
                _ => Nature::counting().answer(request),
            }
        });
        let place = tempfile::tempdir().unwrap();
        let mut run = Run::new(&server.url(), Api::Completions);
        run.asks.check_lengths = true;
        run.go(place.path()).unwrap();
        let rows = rows(place.path());
        let of = |status| rows.values().filter(|row| row.status == status).count();
        assert_eq!((rows.len(), of(Status::Skipped)), (12, 0), "{rows:?}");
        assert!((1..6).contains(&of(Status::Error)), "{rows:?}");
        assert!(rows.values().all(|row| row.context_length == 300 || row.correct == Some(true)), "{rows:?}");
        let told = &run_json(place.path())["model"]["server"];
        assert_eq!(told["lengths"][1]["found_at_start"], true, "{told}");
        let notes = told["notes"].to_string();
        let words = format!("could not be told at length 300 (status {}: the prompt", &status[..3]);
        assert!(notes.contains(&words), "{notes}");
    }
}

#[test]
fn a_key_that_is_refused_before_the_grid_ends_the_run() {
    let server = Server::new(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match asked["max_tokens"] == 1 {
            true => Nature::counting().answer(request),
            false => reply("401 Unauthorized", &json!({"error": {"message": "expired"}})),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.asks.check_lengths = true;
    let error = run.go(place.path()).unwrap_err().to_string();
    assert!(error.contains("status 401: expired") && error.contains("NIAH_API_KEY"), "{error}");
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
