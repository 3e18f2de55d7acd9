//! Several tasks, and controls, that one server answers.

use std::path::Path;

use serde_json::Value;

use super::served::{Nature, prompt_of};
use crate::common::bench::Bench;
use crate::common::server::{Request, Server};

/// Two lengths and two depths: four prompts of each run.
const GRID: [&str; 9] = [
    "run",
    "-m=scripted",
    "--context-lengths=300,600",
    "--depths=0,100",
    "--concurrency=2",
    "--retries=0",
    "--timeout=20",
    "-o",
    "out",
];

fn server() -> Server {
    Server::new(|request| Nature::counting().answer(request))
}

fn prompts(asked: &[Request]) -> Vec<String> {
    let body = |request: &Request| serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
    asked
        .iter()
        .filter(|request| request.path.contains("completions"))
        .map(|one| prompt_of(&body(one)))
        .collect()
}

fn with(prompts: &[String], words: &str) -> usize {
    prompts.iter().filter(|prompt| prompt.contains(words)).count()
}

/// The directories of runs below this one, by their paths.
fn runs(bench: &Bench, directory: &str) -> Vec<String> {
    fn below(place: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == "run.json") {
                found.push(place.strip_prefix(root).unwrap().display().to_string());
            }
            if path.is_dir() {
                below(&path, root, found);
            }
        }
    }
    let (root, mut found) = (bench.path(directory), Vec::new());
    below(&root, &root, &mut found);
    found.sort();
    found
}

#[test]
fn several_tasks_have_a_directory_each_and_the_server_is_looked_at_once() {
    let (server, bench) = (server(), Bench::new());
    let url = server.url();
    let ask = |tasks: &str| bench.stdout(&[&GRID[..], &["--endpoint", &url, "--task", tasks]].concat());
    let first = ask("magic,passkey");
    for words in ["scripted, unseen", ", 2 tasks", "magic", "passkey", "100.0%"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert_eq!(runs(&bench, "out"), ["magic", "passkey"]);
    assert_eq!((bench.outcomes("out/magic").len(), bench.outcomes("out/passkey").len()), (4, 4));
    let asked = prompts(&server.asked());
    assert_eq!(with(&asked, "Say one word."), 1, "one greeting");
    // Those of the task, the one whose tokens are counted and its second half, and for both tasks one at
    // either end of each length.
    assert_eq!(with(&asked, "What is the special magic"), 4 + 2 + 4);
    let lengths = |task: &str| bench.run_json(&format!("out/{task}"))["model"]["server"]["lengths"].clone();
    assert!(lengths("magic").is_array() && lengths("magic") == lengths("passkey"), "{}", lengths("passkey"));
    assert_eq!(ask("magic,passkey"), first);
    assert!(server.asked().is_empty(), "nothing is asked again");
    assert_eq!(bench.stdout(&["view", "out"]), first);
    // What is added is asked alone.
    ask("magic,passkey,kv");
    let asked = prompts(&server.asked());
    assert_eq!(with(&asked, "pass key") + with(&asked, "Say one word."), 1, "the greeting alone: {asked:?}");
    assert_eq!(runs(&bench, "out"), ["kv", "magic", "passkey"]);
}

#[test]
fn what_several_tasks_would_ask_is_said_of_each_and_of_all() {
    let (server, bench) = (server(), Bench::new());
    let url = server.url();
    let dry = [&GRID[..], &["--endpoint", &url, "--task", "magic,passkey", "--dry-run"]].concat();
    let said = bench.stdout(&dry);
    for words in ["task magic: 4 prompts (4 now)", "task passkey: 4 prompts", "in all     2 tasks, 8 prompts"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let json: Value =
        serde_json::from_str(&bench.stdout(&[&dry[..], &["--output-format=json"]].concat())).unwrap();
    assert_eq!((&json["tasks"][1]["task"], &json["tasks"][1]["prompts"]), (&"passkey".into(), &4.into()));
    assert!(!bench.path("out").exists());
}

#[test]
fn controls_are_asked_beside_a_task_and_beside_several() {
    let (server, bench) = (server(), Bench::new());
    let url = server.url();
    let ask = |more: &[&str]| bench.stdout(&[&GRID[..], &["--endpoint", &url], more].concat());
    let one = ask(&["--controls=no-needle,distractors"]);
    assert!(one.contains("no-needle") && one.contains("distractors"), "{one}");
    assert_eq!(runs(&bench, "out"), ["distractors", "no-needle", "task"]);
    let right = |run: &str| bench.outcomes(run).iter().filter(|row| row.correct == Some(true)).count();
    assert_eq!((right("out/task"), right("out/no-needle")), (4, 0));
    let asked = prompts(&server.asked());
    assert_eq!(with(&asked, "Say one word."), 1);
    assert_eq!(ask(&["--controls=no-needle,distractors"]), one);
    assert!(server.asked().is_empty());
    let several = ask(&["-o", "several", "--task=magic,passkey", "--controls=no-needle"]);
    assert!(several.contains("no-needle"), "{several}");
    let places = ["magic/no-needle", "magic/task", "passkey/no-needle", "passkey/task"];
    assert_eq!(runs(&bench, "several"), places);
    assert_eq!(with(&prompts(&server.asked()), "Say one word."), 1);
}
