//! Addresses that name a deployment, an interface or a version.

use niah::server::{Api, ApiKey, Endpoint};
use serde_json::json;

use super::served::{Nature, Run, rows, run_json};
use crate::common::bench::{Bench, stderr};
use crate::common::server::{Reply, Server};

const DEPLOYMENT: &str = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21";

#[test]
fn a_deployment_is_asked_at_its_own_address_with_its_own_header() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let (bench, address) = (Bench::new(), format!("{}{DEPLOYMENT}", server.url()));
    let arguments = ["run", "--endpoint", &address, "--context-lengths=300", "--depths=0,100", "-o", "out"];
    let ask = || {
        let output = bench.command(&arguments).env("NIAH_API_KEY", "azure-secret").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = ask();
    assert!(first.contains("my-gpt, unseen") && first.contains("100%"), "{first}");
    let asked = server.asked();
    let trials: Vec<_> = asked.iter().filter(|request| request.path == DEPLOYMENT).collect();
    assert!(trials.len() > 4, "{:?}", asked.iter().map(|request| &request.path).collect::<Vec<_>>());
    for request in &asked {
        assert!(request.path.ends_with("?api-version=2024-10-21"), "{}", request.path);
        assert_eq!(request.header("api-key"), Some("azure-secret"));
        assert_eq!(request.header("authorization"), None);
    }
    let record = bench.run_json("out");
    let base = address.replace("/chat/completions", "");
    assert_eq!(record["settings"]["served"]["endpoint"], json!(base));
    for file in std::fs::read_dir(bench.path("out")).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("azure-secret"));
    }
    assert_eq!(ask(), first);
    assert!(server.asked().is_empty(), "the deployment's name is the model's, and nothing is asked again");
}

#[test]
fn the_key_of_a_deployment_stays_at_its_host_and_out_of_results() {
    let elsewhere = Server::new(|_| Reply::new("200 OK", "{}"));
    let away = format!("{}{DEPLOYMENT}", elsewhere.url());
    let server = Server::new(move |request| {
        let trial = String::from_utf8_lossy(&request.body).contains("special magic");
        let key = request.header("api-key").unwrap_or_default();
        match (trial, request.body.len() % 2) {
            (false, _) => Nature::counting().answer(request),
            (true, 0) => Reply::new(format!("307 Temporary Redirect\r\nLocation: {away}"), ""),
            (true, _) => Reply::new("400 Bad Request", format!("wrong key {key}")),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut run = Run::new(&server.url(), Api::Chat);
    run.manner.endpoint = Endpoint::new(&format!("{}{DEPLOYMENT}", server.url())).unwrap();
    run.manner.key = Some(ApiKey::new("azure-secret", "test").unwrap());
    run.go(place.path()).unwrap();
    let errors: Vec<String> = rows(place.path()).into_values().filter_map(|row| row.error).collect();
    assert_eq!(errors.len(), 12, "{errors:?}");
    let told = |words: &str| errors.iter().filter(|error| error.contains(words)).count();
    assert_eq!(told("another place (") + told("wrong key [key]"), 12, "{errors:?}");
    assert!(elsewhere.asked().is_empty());
    assert!(
        !errors.join("").contains("azure-secret")
            && !run_json(place.path()).to_string().contains("azure-secret")
    );
}

#[test]
fn an_address_that_ends_with_an_interface_is_asked_there_and_one_with_a_key_is_refused() {
    let server = Server::new(|request| Nature::counting().answer(request));
    let bench = Bench::new();
    let ask = |path: &str, out: &str| {
        let address = format!("{}{path}", server.url());
        bench.stdout(&[
            "run",
            "--endpoint",
            &address,
            "-m",
            "scripted",
            "--context-lengths=300",
            "--depths=0",
            "--no-length-check",
            "-o",
            out,
        ]);
        let asked = server.asked();
        asked
            .into_iter()
            .map(|request| request.path)
            .filter(|path| path.contains("completions"))
            .collect::<Vec<_>>()
    };
    for (path, out) in [("/api/v2/completions", "texts"), ("/v1/chat/completions?version=2", "chats")] {
        let asked = ask(path, out);
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == path), "{asked:?}");
    }
    let address = format!("{}/v1?subscription-key=hush-hush", server.url());
    let said =
        bench.refused(&["run", "--endpoint", &address, "-m", "scripted"], &["--endpoint", "NIAH_API_KEY"]);
    assert!(!said.contains("hush-hush"), "{said}");
    assert!(server.asked().is_empty());
}
