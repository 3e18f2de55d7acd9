//! Streams in every shape that the standard of server-sent events or a known server gives them: each is an
//! answer.

use niah::server::Api;
use niah::trial::Status;
use serde_json::{Value, json};

use super::served::{Nature, Run, rows, served};
use crate::common::server::{Reply, Request, Server};

/// Runs the grid on a server that is asked for streams and sends what `reshaped` makes of the right answer.
fn assert_answers(api: Api, reshaped: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) {
    let nature = Nature::counting();
    let server = Server::new(move |request| reshaped(request, nature.answer(request)));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), api);
    run.manner.stream = true;
    run.go(place.path()).unwrap();
    let rows = rows(place.path());
    assert_eq!(rows.len(), 12);
    assert!(rows.values().all(|row| row.status == Status::Ok && row.correct == Some(true)), "{rows:?}");
    assert!(served(place.path()).iter().all(|row| row.attempts == 1 && row.prompt_tokens.is_some()));
}

/// Sends the stream as `shaped` writes it.
fn assert_reads(shaped: fn(&str) -> String) {
    for api in [Api::Completions, Api::Chat] {
        assert_answers(api, move |_, right| {
            let text = String::from_utf8(right.body).unwrap();
            Reply::new("200 OK\r\nContent-Type: text/event-stream", shaped(&text))
        });
    }
}

/// The event of a line `data: {...}`, its data over several lines.
fn over_several_lines(line: &str) -> String {
    let value: Option<Value> = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok());
    let Some(value) = value else { return format!("{line}\n") };
    let text = serde_json::to_string_pretty(&value).unwrap();
    text.lines().map(|line| format!("data: {line}\n")).collect()
}

#[test]
fn data_over_several_lines_was_a_broken_connection() {
    assert_reads(|text| text.lines().map(over_several_lines).collect());
}

#[test]
fn lines_that_end_with_a_carriage_return_were_a_broken_connection() {
    assert_reads(|text| text.replace('\n', "\r"));
    assert_reads(|text| text.replace('\n', "\r\n"));
}

#[test]
fn fields_beside_the_data_and_events_without_an_empty_line_between_them_are_read() {
    assert_reads(|text| text.replace("data: ", "event: message\nid: 7\nretry: 9\ndata:"));
    assert_reads(|text| text.replace("\n\n", "\n"));
}

#[test]
fn a_server_that_ignores_the_wish_for_a_stream_was_a_broken_connection() {
    assert_answers(Api::Chat, |request, _| {
        let body = String::from_utf8_lossy(&request.body).replace("\"stream\":true", "\"stream\":false");
        let whole = Nature::counting().answer(&Request { body: body.into_bytes(), ..request.clone() });
        Reply::new("200 OK\r\nContent-Type: application/json", [b"\n ".to_vec(), whole.body].concat())
    });
}

#[test]
fn a_piece_with_the_findings_of_a_content_filter_alone_was_an_answer_without_a_text() {
    assert_reads(|text| {
        let found = json!({"choices": [{
            "index": 0, "finish_reason": null, "content_filter_offsets": {"check_offset": 44},
            "content_filter_results": {"hate": {"filtered": false, "severity": "safe"}},
        }]});
        let (first, rest) = text.split_once("data: ").unwrap();
        format!("{first}data: {found}\n\ndata: {rest}")
            .replace("data: [DONE]", &format!("data: {found}\n\ndata: [DONE]"))
    });
}
