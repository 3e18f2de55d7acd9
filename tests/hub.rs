//! The Hugging Face hub, played by a server of this test: what is asked of it, what is kept, what is said when it fails.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use candle_core::Device;
use common::bench::stderr;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const NEXT_COMMIT: &str = "2222222222222222222222222222222222222222";

/// One request, as far as it matters.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// Path behind `/org/name/resolve/`: revision and file.
    path: String,
    authorization: Option<String>,
    range: Option<String>,
}

/// What the hub holds, and how it behaves.
#[derive(Default)]
struct Repository {
    /// Files by `revision/name`, with the commit that holds them.
    files: HashMap<String, (&'static str, Vec<u8>)>,
    /// Status of every answer, when it is not 200.
    refuses: Option<&'static str>,
    /// A file whose body breaks off in the middle, once.
    breaks: Option<&'static str>,
    asked: Vec<Asked>,
}

impl Repository {
    /// The files of a directory, at `main` and at `commit`.
    fn of(directory: &Path, commit: &'static str) -> Self {
        let mut repository = Self::default();
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            repository.add(commit, &name, std::fs::read(entry.path()).unwrap());
        }
        repository
    }

    fn add(&mut self, commit: &'static str, name: &str, bytes: Vec<u8>) {
        for revision in ["main", commit] {
            self.files.insert(format!("{revision}/{name}"), (commit, bytes.clone()));
        }
    }
}

/// A server on this machine that answers as the hub does, until it is dropped.
struct Hub {
    address: SocketAddr,
    repository: Arc<Mutex<Repository>>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    fn new(repository: Repository) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let repository = Arc::new(Mutex::new(repository));
        let shared = Arc::clone(&repository);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serve(&stream.unwrap(), address, &shared).is_none() {
                    return;
                }
            }
        });
        Self { address, repository, thread: Some(thread) }
    }

    fn of_tiny_checkpoint() -> Self {
        let directory = tempfile::tempdir().unwrap();
        common::tiny_checkpoint(directory.path());
        Self::new(Repository::of(directory.path(), COMMIT))
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn change(&self, change: impl FnOnce(&mut Repository)) {
        change(&mut self.repository.lock().unwrap());
    }

    /// The requests since the last call.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.repository.lock().unwrap().asked)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // A connection that asks nothing ends the server.
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Answers one request and closes the connection; `None` when nothing was asked.
fn serve(stream: &TcpStream, address: SocketAddr, repository: &Mutex<Repository>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let path = lines.next()?.split(' ').nth(1)?.to_string();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| {
            line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_string()))
        })
        .collect();
    let mut repository = repository.lock().unwrap();
    let (head, body) = answer(&mut repository, &path, &headers, address);
    // What a client that has gone away misses is its own affair.
    let _ = (&mut &*stream).write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
    let _ = (&mut &*stream).write_all(&body);
    Some(())
}

/// Status line and headers, and the body.
fn answer(
    repository: &mut Repository,
    path: &str,
    headers: &HashMap<String, String>,
    address: SocketAddr,
) -> (String, Vec<u8>) {
    let nothing = |status: &str| (format!("{status}\r\nContent-Length: 0"), Vec::new());
    let range = headers.get("range").cloned();
    let (resolved, path) = match (path.strip_prefix("/org/name/resolve/"), path.strip_prefix("/storage/")) {
        (Some(path), _) => (true, path),
        (_, Some(path)) => (false, path),
        _ => return nothing("404 Not Found"),
    };
    if resolved {
        let authorization = headers.get("authorization").cloned();
        repository.asked.push(Asked { path: path.to_string(), authorization, range: range.clone() });
    }
    if let Some(status) = repository.refuses {
        return nothing(status);
    }
    let Some((commit, bytes)) = repository.files.get(path) else { return nothing("404 Not Found") };
    let etag = niah::hash::sha256_hex(bytes);
    let identity = format!("x-repo-commit: {commit}\r\nETag: \"{etag}\"");
    // Large files lie in a storage of their own.
    if resolved && path.ends_with(".safetensors") {
        let storage = format!("Location: http://{address}/storage/{path}\r\nx-linked-etag: \"{etag}\"");
        return (format!("302 Found\r\n{identity}\r\n{storage}\r\nContent-Length: 0"), Vec::new());
    }
    let (first, last) =
        range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-')).unwrap();
    let first: usize = first.parse().unwrap();
    let end = last.parse::<usize>().map_or(bytes.len(), |last| last + 1);
    let mut body = bytes[first..end].to_vec();
    let lengths =
        format!("Content-Range: bytes {first}-{}/{}\r\nContent-Length: {}", end - 1, bytes.len(), body.len());
    if repository.breaks.is_some_and(|file| path.ends_with(file)) && body.len() > 1 {
        body.truncate(body.len() / 2);
        repository.breaks = None;
    }
    (format!("206 Partial Content\r\n{identity}\r\n{lengths}"), body)
}

/// `niah prompts` of one prompt on a model of the hub.
fn prompts(home: &Path, endpoint: &str, model: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
    command.args(["prompts", "--model", model, "--context-lengths", "200", "--limit", "1"]);
    for variable in ["HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).envs(variables.iter().copied());
    command.current_dir(home).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn assert_refused(output: &Output, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    for part in parts {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_checkpoint_is_downloaded_once_and_then_taken_from_the_cache() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let endpoint = hub.endpoint();
    let token = [("HF_TOKEN", " secret\n")];
    let first = stdout(&prompts(home.path(), &endpoint, "org/name", &token));
    assert!(first.starts_with("{\"row_id\":\"200:0:0\""), "{first}");
    let asked = hub.asked();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert!(asked.iter().any(|asked| asked.path.ends_with(file)), "{file} in {asked:?}");
    }
    for request in asked {
        assert_eq!(request.authorization.as_deref(), Some("Bearer secret"), "{}", request.path);
        assert!(request.range.is_some());
    }

    // What is there is not asked for again.
    assert_eq!(stdout(&prompts(home.path(), &endpoint, "org/name", &token)), first);
    for request in hub.asked() {
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            assert!(!request.path.ends_with(&format!("/{file}")), "{}", request.path);
        }
    }

    drop(hub);
    let offline = [("HF_HUB_OFFLINE", "1")];
    assert_eq!(stdout(&prompts(home.path(), &endpoint, "org/name", &offline)), first);
    let gone = prompts(home.path(), &endpoint, "org/name", &[("HF_HUB_OFFLINE", "0")]);
    assert_refused(&gone, &["org/name", "network", "HF_HUB_OFFLINE=1"]);
}

#[test]
fn the_download_of_a_large_file_is_told_and_that_of_a_small_one_is_not() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let mut tokenizer = common::byte_tokenizer().to_string();
    tokenizer += &" ".repeat((3 << 20) - tokenizer.len());
    hub.change(|repository| repository.add(COMMIT, "tokenizer.json", tokenizer.into_bytes()));
    let output = prompts(home.path(), &hub.endpoint(), "org/name", &[]);
    stdout(&output);
    let said = stderr(&output);
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("downloading")).collect();
    assert_eq!(told, ["downloading org/name: tokenizer.json (3.00 MiB)"]);
    assert!(!stderr(&prompts(home.path(), &hub.endpoint(), "org/name", &[])).contains("downloading"));
    hub.change(|repository| repository.add(COMMIT, "m.gguf", vec![0; 1 << 20]));
    let said = stderr(&prompts(home.path(), &hub.endpoint(), "org/name/m.gguf", &[]));
    assert!(said.starts_with("downloading org/name/m.gguf (1.00 MiB)\n"), "{said}");
}

#[test]
fn the_token_comes_from_the_environment_or_from_the_file_of_the_home() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    hub.change(|repository| repository.refuses = Some("404 Not Found"));
    let authorization = |variables: &[(&str, &str)]| {
        assert_refused(&prompts(home.path(), &hub.endpoint(), "org/name", variables), &["config.json"]);
        hub.asked()[0].authorization.clone()
    };
    assert_eq!(authorization(&[]), None);
    std::fs::write(home.path().join("token"), "kept\n").unwrap();
    assert_eq!(authorization(&[]).as_deref(), Some("Bearer kept"));
    assert_eq!(authorization(&[("HF_TOKEN", "")]).as_deref(), Some("Bearer kept"));
    assert_eq!(authorization(&[("HF_TOKEN", "given")]).as_deref(), Some("Bearer given"));
}

#[test]
fn what_the_hub_refuses_is_said_with_a_remedy() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let endpoint = hub.endpoint();
    let offline = prompts(home.path(), &endpoint, "org/name", &[("HF_HUB_OFFLINE", "1")]);
    assert_refused(&offline, &["org/name", "config.json is not in the cache", "HF_HUB_OFFLINE"]);
    assert!(hub.asked().is_empty(), "offline means that nothing is asked");
    for (status, parts) in [
        ("404 Not Found", ["config.json is not on the hub", "check the id"]),
        ("401 Unauthorized", ["check the id", "set HF_TOKEN"]),
        ("403 Forbidden", ["accept the model's terms", "set HF_TOKEN"]),
        ("500 Internal Server Error", ["500", "network"]),
    ] {
        hub.change(|repository| repository.refuses = Some(status));
        let output = prompts(home.path(), &endpoint, "org/name", &[]);
        assert_refused(&output, &parts);
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    assert_eq!(hub.asked().len(), 4, "nothing more is asked once the configuration is refused");
    for name in ["name", "org/name/config.json", "org/na me", "../org", "a/b/c/d"] {
        assert_refused(&prompts(home.path(), &endpoint, name, &[]), &["not a hub id"]);
    }
    assert!(hub.asked().is_empty());
}

#[test]
fn a_revision_and_a_gguf_file_can_be_named() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let output = prompts(home.path(), &hub.endpoint(), "org/name@v2", &[]);
    assert_refused(&output, &["org/name@v2", "config.json is not on the hub"]);
    assert_eq!(hub.asked()[0].path, "v2/config.json");
    hub.change(|repository| repository.add(COMMIT, "tiny.gguf", b"no GGUF".to_vec()));
    let output = prompts(home.path(), &hub.endpoint(), "org/name/tiny.gguf", &[]);
    assert_refused(&output, &["tiny.gguf", COMMIT]);
    assert!(hub.asked().iter().all(|asked| asked.path == "main/tiny.gguf"));
}

#[test]
fn all_parts_of_a_split_gguf_file_are_downloaded_from_one_commit() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let parts = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
    hub.change(|repository| parts.iter().for_each(|part| repository.add(COMMIT, part, b"no GGUF".to_vec())));
    let output = prompts(home.path(), &hub.endpoint(), "org/name/m-00001-of-00003.gguf", &[]);
    assert_refused(&output, &["m-00001-of-00003.gguf", "not a GGUF file"]);
    let asked = hub.asked();
    for part in &parts[1..] {
        let path = format!("{COMMIT}/{part}");
        assert!(asked.iter().any(|asked| asked.path == path), "{path}");
    }
}

#[test]
fn weights_in_several_files_are_all_downloaded() {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(directory.path());
    let whole = directory.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&whole, &Device::Cpu).unwrap();
    std::fs::remove_file(&whole).unwrap();
    let (shards, mut map) = (["model-1.safetensors", "model-2.safetensors"], serde_json::Map::new());
    let (first, second): (HashMap<_, _>, HashMap<_, _>) =
        tensors.into_iter().partition(|(name, _)| name.contains("layers.0"));
    for (shard, tensors) in shards.into_iter().zip([first, second]) {
        map.extend(tensors.keys().map(|name| (name.clone(), shard.into())));
        candle_core::safetensors::save(&tensors, directory.path().join(shard)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    std::fs::write(directory.path().join("model.safetensors.index.json"), index.to_string()).unwrap();

    let (hub, home) = (Hub::new(Repository::of(directory.path(), COMMIT)), tempfile::tempdir().unwrap());
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name", &[]));
    let asked = hub.asked();
    for shard in shards {
        assert!(asked.iter().any(|asked| asked.path.ends_with(shard)), "{shard}");
    }
}

#[test]
fn a_download_that_broke_off_is_taken_up_where_it_stopped() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    hub.change(|repository| repository.breaks = Some("model.safetensors"));
    let broken = prompts(home.path(), &hub.endpoint(), "org/name", &[]);
    assert_refused(&broken, &["model.safetensors", "network"]);
    hub.asked();
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name", &[]));
    let size = common::fixture("vectors/llama/model.safetensors").metadata().unwrap().len();
    let rest = format!("bytes={}-", size / 2);
    assert!(hub.asked().iter().any(|asked| asked.range.as_deref() == Some(rest.as_str())), "{rest}");
}

#[test]
fn a_repository_that_changes_between_two_attempts_gives_no_mixture() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    hub.change(|repository| repository.breaks = Some("model.safetensors"));
    assert_refused(&prompts(home.path(), &hub.endpoint(), "org/name", &[]), &["model.safetensors"]);
    // A new commit: another tokenizer, and weights that are none.
    hub.change(|repository| {
        repository.add(NEXT_COMMIT, "model.safetensors", b"other weights".to_vec());
        repository.add(NEXT_COMMIT, "generation_config.json", b"{}".to_vec());
        repository.asked.clear();
    });
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name", &[]));
    for request in hub.asked() {
        assert!(request.path.starts_with(COMMIT), "{}", request.path);
    }
}
