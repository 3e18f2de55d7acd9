//! A server that fails in every way: no row is lost or wrong, nothing grows without bound, and the key stays
//! at home.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use niah::Error;
use niah::server::{Api, ApiKey};
use niah::trial::Status;
use serde_json::{Value, json};

use super::served::{Nature, Run, prompt_of, reply, rows, run_json, served};
use crate::common::server::{Reply, Request, Server, Then};

/// Whether a request is one of the grid, and not the greeting.
fn is_trial(request: &Request) -> bool {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    prompt_of(&asked).contains("special magic")
}

/// A server whose answer to the grid's request of this number is `odd` and else right.
fn server(odd: impl Fn(usize, &Request, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let (nature, count) = (Nature::counting(), AtomicUsize::new(0));
    Server::new(move |request| {
        let right = nature.answer(request);
        if !is_trial(request) {
            return right;
        }
        odd(count.fetch_add(1, Ordering::Relaxed), request, right)
    })
}

fn cut(mut reply: Reply) -> Reply {
    reply.body.truncate(reply.body.len() / 2);
    reply
}

#[test]
fn what_may_pass_is_asked_again_and_every_row_is_right() {
    for stream in [false, true] {
        let server = server(move |number, _, right| match number {
            0 | 1 => Reply::new("500 Internal Server Error", "<html>oops</html>"),
            3 => Reply::new(
                "429 Too Many Requests\r\nRetry-After: 0",
                r#"{"error": {"message": "slow down"}}"#,
            ),
            5 => Reply::new("503 Service Unavailable\r\nRetry-After: 7", ""),
            // Without its end, and without anything.
            7 => cut(right),
            9 => Reply { head: String::new(), body: Vec::new(), then: Then::Close },
            11 => Reply::new("529 Overloaded", ""),
            13 => reply("200 OK", &json!({"error": {"message": "engine died", "code": 500}})),
            15 if stream => {
                let text = String::from_utf8(right.body).unwrap();
                // Complete as HTTP, but the answer has no end.
                let events: Vec<&str> = text.split_inclusive("\n\n").take(2).collect();
                Reply::new("200 OK", events.concat())
            }
            _ => right,
        });
        let place = tempfile::tempdir().unwrap();
        let mut run = Run::new(&server.url(), Api::Completions);
        run.manner.stream = stream;
        run.go(place.path()).unwrap();
        let rows = rows(place.path());
        assert_eq!(rows.len(), 12);
        assert!(rows.values().all(|row| row.status == Status::Ok && row.correct == Some(true)), "{rows:?}");
        let attempts: u32 = served(place.path()).iter().map(|row| row.attempts).sum();
        assert_eq!(attempts, if stream { 21 } else { 20 });
    }
}

#[test]
fn what_will_not_change_is_an_error_row_in_the_servers_words_and_asked_once() {
    let server = server(|number, _, right| match number {
        0 => Reply::new("400 Bad Request", r#"{"error": {"message": "bad \u001b[2J prompt"}}"#),
        1 => Reply::new("200 OK\r\nContent-Type: text/html", "<html>a proxy's page</html>"),
        2 => reply("200 OK", &json!({"choices": []})),
        3 => reply("200 OK", &json!({"choices": [{"index": 0}]})),
        4 => reply("200 OK", &json!(["not", "an", "object"])),
        5 => Reply::new("413 Payload Too Large", "x".repeat(1 << 20)),
        6 => Reply::redirect("http://127.0.0.1:1/v1/completions", ""),
        7 => Reply::new("200 OK", vec![b'['; 1 << 20]),
        _ => right,
    });
    let place = tempfile::tempdir().unwrap();
    let run = Run::new(&server.url(), Api::Completions);
    run.go(place.path()).unwrap();
    let all = rows(place.path());
    let errors: Vec<&str> = all.values().filter_map(|row| row.error.as_deref()).collect();
    assert_eq!((all.len(), errors.len()), (12, 8), "{errors:?}");
    for words in [
        "status 400: bad \\u{1b}[2J prompt",
        "no JSON: <html>a proxy's page</html>",
        "without choices",
        "a choice without a text",
        "no object",
        "status 413: xxx",
        "sends on to another place (127.0.0.1:1)",
    ] {
        assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:?}");
    }
    assert!(errors.iter().all(|error| error.len() < 600), "{errors:?}");
    let right = all.values().filter(|row| row.status == Status::Ok);
    assert!(right.clone().count() == 4 && right.clone().all(|row| row.correct == Some(true)));
    let grid = server.asked().iter().filter(|request| is_trial(request)).count();
    assert_eq!(grid, 12, "none is asked twice");
    // The next run asks those again that failed, and them alone.
    assert_eq!(run.go(place.path()).unwrap().len(), 8);
    assert!(rows(place.path()).values().all(|row| row.correct == Some(true)));
}

#[test]
fn an_answer_without_end_is_read_up_to_a_limit_and_a_late_one_for_as_long_as_is_allowed() {
    for stream in [false, true] {
        let server = server(move |number, _, right| match number {
            // Many lines, and one line.
            0 => Reply {
                head: "200 OK".into(),
                body: b"data: {\"choices\": []}\n\n".repeat(1 << 10),
                then: Then::Endless,
            },
            1 => Reply { head: "200 OK".into(), body: vec![b' '; 1 << 16], then: Then::Endless },
            2 => Reply {
                head: "200 OK\r\nContent-Length: 10000000000".into(),
                body: vec![b' '; 1 << 16],
                then: Then::Endless,
            },
            3 => {
                Reply { head: "200 OK\r\nContent-Length: 100".into(), body: Vec::new(), then: Then::Silence }
            }
            _ => right,
        });
        let place = tempfile::tempdir().unwrap();
        let mut run = Run::new(&server.url(), Api::Completions);
        run.manner.stream = stream;
        run.manner.limits.timeout = Duration::from_secs(2);
        run.go(place.path()).unwrap();
        let rows = rows(place.path());
        let errors: Vec<&str> = rows.values().filter_map(|row| row.error.as_deref()).collect();
        let with = |words: &str| errors.iter().filter(|error| error.contains(words)).count();
        assert_eq!((rows.len(), errors.len()), (12, 4), "{errors:?}");
        assert_eq!(with("no whole answer within 2 s"), 1, "{errors:?}");
        assert_eq!(with("longer than 8388608 bytes") + with("no JSON"), 3, "{errors:?}");
    }
}

#[test]
fn the_key_goes_to_the_endpoint_alone_and_is_written_nowhere() {
    let elsewhere = Server::at("127.0.0.2", |_| Reply::not_found());
    let away = format!("{}/v1/completions", elsewhere.url());
    let server = server(move |number, request, right| match number {
        0 => Reply::redirect(&away, ""),
        1 => Reply { head: format!("307 Temporary Redirect\r\nLocation: {away}"), ..Reply::new("", "") },
        2 => Reply {
            head: format!("308 Permanent Redirect\r\nLocation: //evil@{}", &away["http://".len()..]),
            ..Reply::new("", "")
        },
        // On the same server it is followed.
        3 => Reply::new("307 Temporary Redirect\r\nLocation: /other/completions", ""),
        // A server that repeats the key.
        5 => Reply::new("400 Bad Request", request.header("authorization").unwrap().to_string()),
        _ => right,
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.manner.key = Some(ApiKey::new("sk-secret-1", "test").unwrap());
    run.go(place.path()).unwrap();
    assert!(elsewhere.asked().is_empty());
    let asked = server.asked();
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer sk-secret-1")));
    assert!(asked.iter().any(|request| request.path == "/other/completions"));
    let all = rows(place.path());
    let errors: Vec<&str> = all.values().filter_map(|row| row.error.as_deref()).collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert_eq!(errors.iter().filter(|error| error.contains("another place (")).count(), 3, "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("Bearer [key]")), "{errors:?}");
    for file in std::fs::read_dir(place.path()).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("sk-secret"));
    }
}

#[test]
fn a_key_that_answers_repeat_is_not_kept_either() {
    const KEY: &str = "sk-secret-0123456789abcdef";
    for stream in [false, true] {
        let server = Server::new(move |request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let key = request.header("authorization").unwrap();
            let choice =
                |text: &str| json!({"text": text, "delta": {"content": text}, "finish_reason": "stop"});
            let answer = |text: &str| {
                json!({"model": key, "system_fingerprint": key, "choices": [choice(text)],
                    "usage": {"prompt_tokens": 9}})
            };
            let says = |texts: &[&str]| {
                let event = |text: &&str| format!("data: {}\n\n", answer(text));
                let body = match stream {
                    true => format!("{}data: [DONE]\n\n", texts.iter().map(event).collect::<String>()),
                    false => answer(&texts.concat()).to_string(),
                };
                Reply::new(format!("200 OK\r\nServer: {key}"), body)
            };
            match prompt_of(&asked).len() % 3 {
                _ if asked["max_tokens"] == 1 => says(&["Word"]),
                // A cut leaves a part of it.
                0 => Reply::new("400 Bad Request", format!("{}{key}", "x".repeat(275))),
                1 => {
                    let escaped = key.replace('-', "\\u002d");
                    Reply::new("400 Bad Request", format!("{{\"detail\": \"{escaped}\"}}"))
                }
                _ => says(&[&key[..20], &key[20..]]),
            }
        });
        let place = tempfile::tempdir().unwrap();
        let mut run = Run::new(&server.url(), Api::Completions);
        run.manner.stream = stream;
        run.manner.key = Some(ApiKey::new(KEY, "test").unwrap());
        run.go(place.path()).unwrap();
        assert_eq!(rows(place.path()).len(), 12);
        for file in std::fs::read_dir(place.path()).unwrap() {
            let path = file.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("sk-sec"), "{}: {text}", path.display());
        }
    }
}

#[test]
fn a_logarithm_of_nothing_does_not_spoil_an_answer() {
    let server = Server::new(|request| {
        let reply = Nature::counting().answer(request);
        let body = String::from_utf8(reply.body).unwrap().replace("-0.25", "-Infinity");
        let (head, _) = reply.head.rsplit_once("\r\n").unwrap();
        Reply::new(head, body)
    });
    let place = tempfile::tempdir().unwrap();
    let run = Run::new(&server.url(), Api::Completions);
    run.go(place.path()).unwrap();
    for row in rows(place.path()).values() {
        assert_eq!((row.status, row.correct, row.answer_logprob), (Status::Ok, Some(true), None), "{row:?}");
    }
}

#[test]
fn a_server_asks_all_requests_to_wait() {
    static SLEPT: Mutex<Duration> = Mutex::new(Duration::ZERO);
    fn sleep(time: Duration) {
        *SLEPT.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
    let server = server(|number, _, right| match number {
        0 => Reply::new("429 Too Many Requests\r\nRetry-After: 5", ""),
        // Longer than anybody waits.
        2 => Reply::new("429 Too Many Requests\r\nRetry-After: 86400", ""),
        _ => right,
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.manner.limits.sleep = sleep;
    run.go(place.path()).unwrap();
    let all = rows(place.path());
    assert_eq!(all.values().filter(|row| row.status == Status::Error).count(), 1);
    let slept = *SLEPT.lock().unwrap();
    assert!(slept >= Duration::from_secs(5) && slept < Duration::from_secs(120), "{slept:?}");
}

#[test]
fn a_run_that_is_stopped_keeps_what_was_answered_and_goes_on() {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let server = server(move |number, _, right| {
        if number == 4 {
            flag.store(true, Ordering::Relaxed);
        }
        right
    });
    let place = tempfile::tempdir().unwrap();
    let run = Run::new(&server.url(), Api::Chat);
    let stopped = run.go_until(place.path(), &stop);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let kept = rows(place.path()).len();
    assert!((5..12).contains(&kept), "{kept}");
    assert_eq!(run.go(place.path()).unwrap().len(), 12 - kept);
    assert_eq!(rows(place.path()).len(), 12);
    assert_eq!(served(place.path()).len(), 12);
}

#[test]
fn an_answer_far_longer_than_was_asked_for_fails_its_trial_and_no_other_row_is_lost() {
    let server = server(|number, _, right| match number {
        // A row of the first could not be read again.
        2 => reply("200 OK", &json!({"choices": [{"text": "y".repeat(17 << 20)}]})),
        4 => reply("200 OK", &json!({"choices": [{"text": "y".repeat(100 << 10)}]})),
        6 => reply("200 OK", &json!({"choices": [{"text": "y".repeat(10 << 10)}]})),
        _ => right,
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Completions);
    run.manner.limits.answer = 256 << 20;
    run.go(place.path()).unwrap();
    let all = rows(place.path());
    let failed: Vec<&str> = all.values().filter_map(|row| row.error.as_deref()).collect();
    assert_eq!((all.len(), failed.len()), (12, 2), "{failed:?}");
    let said = |bytes: usize| {
        let words = format!("the server: an answer of {bytes} bytes, where at most ");
        failed.iter().any(|error| error.starts_with(&words) && error.ends_with(" tokens were asked for"))
    };
    assert!(said(17 << 20) && said(100 << 10), "{failed:?}");
    assert_eq!(all.values().filter(|row| row.correct == Some(false)).count(), 1, "a long answer is one");
    assert_eq!(run.go(place.path()).unwrap().len(), 2, "they are asked again");
    assert!(rows(place.path()).values().all(|row| row.status == Status::Ok));
}

#[test]
fn a_server_that_has_gone_ends_the_run_and_what_was_answered_stays() {
    let server = server(|_, _, right| right);
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.asks.limit = Some(3);
    run.go(place.path()).unwrap();
    drop(server);
    run.asks.limit = None;
    let error = run.go(place.path()).unwrap_err().to_string();
    assert!(error.contains("the server: ") && error.contains("is it running"), "{error}");
    let kept = rows(place.path());
    assert!(kept.len() == 3 && kept.values().all(|row| row.correct == Some(true)));
    assert_eq!(run_json(place.path())["tokens"]["generated"], 9);
}
