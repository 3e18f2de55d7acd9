//! What is done with runs that a server has answered, without it: they are joined and scored again.

use std::path::{Path, PathBuf};

use niah::plan::Shard;
use niah::server::{Api, Endpoint};
use niah::store::directory::SERVED_CSV;
use niah::store::merged::merge;
use niah::store::rescored::{Rescoring, score_again, write};
use niah::store::stored::StoredRun;
use niah::trial::Status;
use serde_json::{Value, json};

use super::served::{Nature, Run, reply, rows, run_json, served as served_rows};
use crate::common::server::Server;

/// What `run.json` says of the server and of tokens, without how long it took.
fn told(directory: &Path) -> [Value; 3] {
    let record = run_json(directory);
    let (mut tokens, server) = (record["tokens"].clone(), &record["model"]["server"]);
    tokens["seconds"] = json!(null);
    let untimed = |note: &Value| {
        let parts = note.as_str().unwrap().split(", ").filter(|part| !part.contains(" s in "));
        parts.collect::<Vec<_>>().join(", ")
    };
    let notes = server["notes"].as_array().unwrap().iter().map(untimed).collect();
    [tokens, notes, server["lengths"].clone()]
}

/// Both halves of a run, each asked of its server, joined.
fn joined(run: &mut Run, servers: [&Server; 2], place: &Path) -> PathBuf {
    let parts = ["1/2", "2/2"].map(|part| part.parse::<Shard>().unwrap());
    let directories = parts.map(|part| place.join(part.number().to_string()));
    let mut asked = 0;
    for ((part, server), directory) in parts.into_iter().zip(servers).zip(&directories) {
        run.asks.shard = Some(part);
        run.manner.endpoint = Endpoint::new(&server.url()).unwrap();
        asked += run.go(directory).unwrap().len();
    }
    assert_eq!(asked, 12);
    let out = place.join("out");
    merge(&directories, &out).unwrap();
    out
}

#[test]
fn a_joined_run_tells_of_the_answers_of_all_its_parts() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.asks.check_lengths = true;
    let whole = place.path().join("whole");
    run.go(&whole).unwrap();
    let out = joined(&mut run, [&server, &server], place.path());
    assert_eq!(told(&out), told(&whole));
    let work = run_json(&out)["model"]["server"]["notes"][0].as_str().unwrap().to_string();
    assert!(work.contains(" in 12 requests"), "{work}");
    assert_eq!(run_json(&out)["tokens"]["generated"], json!(36));
    // One part after the other is the same.
    let later = place.path().join("later");
    for number in ["2", "1"] {
        merge(&[place.path().join(number)], &later).unwrap();
    }
    assert_eq!(told(&later), told(&whole));
}

#[test]
fn what_one_part_alone_saw_of_its_server_is_not_lost() {
    let whole = Server::new(|request| Nature::counting().answer(request));
    let cut = Server::new(|request| Nature { window: Some(400), ..Nature::counting() }.answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&whole.url(), Api::Chat);
    run.asks.check_lengths = true;
    let out = joined(&mut run, [&whole, &cut], place.path());
    let skipped = rows(&out).values().filter(|row| row.status == Status::Skipped).count();
    assert!(skipped > 0);
    let server = &run_json(&out)["model"]["server"];
    let notes = server["notes"].to_string();
    assert!(notes.contains("cuts prompts in silence from length 600 on"), "{notes}");
    assert_eq!(server["lengths"].as_array().unwrap().len(), 2);
    // A run that goes on without looking keeps what was seen.
    run.asks.shard = None;
    run.asks.check_lengths = false;
    run.manner.endpoint = Endpoint::new(&whole.url()).unwrap();
    assert_eq!(run.go(&out).unwrap().len(), skipped);
    let notes = run_json(&out)["model"]["server"]["notes"].to_string();
    assert!(notes.contains("from length 600 on") && notes.contains("in 12 requests"), "{notes}");
}

#[test]
fn a_damaged_record_of_a_server_is_no_panic() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.asks.limit = Some(2);
    run.go(place.path()).unwrap();
    for (model, tokens) in [(json!(3), json!("x")), (json!({"server": []}), json!([1]))] {
        let mut record = run_json(place.path());
        (record["model"], record["tokens"]) = (model, tokens);
        std::fs::write(place.path().join("run.json"), record.to_string()).unwrap();
        assert_eq!(run.go(place.path()).unwrap().len(), 2);
        assert!(run_json(place.path())["tokens"]["sent"].is_u64());
    }
}

#[test]
fn a_server_that_calls_itself_by_megabytes_makes_no_record_that_is_not_read_again() {
    let server = Server::new(|request| match request.body.windows(13).any(|at| at == b"special magic") {
        true => Nature::counting().answer(request),
        false => reply(
            "200 OK",
            &json!({"system_fingerprint": "f".repeat(5 << 20), "choices": [{"message": {"content": "hi"}}]}),
        ),
    });
    let place = tempfile::tempdir().unwrap();
    let run = Run::new(&server.url(), Api::Chat);
    run.go(place.path()).unwrap();
    let stored = StoredRun::read(place.path()).unwrap();
    assert!(stored.outcomes.iter().all(|row| row.correct == Some(true)));
    assert!(run_json(place.path())["model"]["server"]["system_fingerprint"].as_str().unwrap().len() < 10_000);
}

#[test]
fn answers_that_are_scored_again_keep_what_the_server_said_of_them() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let place = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| place.path().join(name));
    Run::new(&server.url(), Api::Chat).go(&from).unwrap();
    let rescoring = Rescoring { scorer: Some("edit".to_string()), ..Rescoring::default() };
    let again = score_again(StoredRun::read(&from).unwrap(), &rescoring).unwrap();
    write(&again.run, &from, &to).unwrap();
    assert!(to.join(SERVED_CSV).exists());
    let mut expected = served_rows(&from);
    expected.iter_mut().for_each(|row| row.run_id.clone_from(&again.run.record.run_id));
    assert_eq!(served_rows(&to), expected);
}
