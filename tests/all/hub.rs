//! The Hugging Face hub, played by a server of this test: what is asked of it, what is kept, what is said
//! when it fails.

use crate::common;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use candle_core::Device;
use common::bench::stderr;
use common::server::{Reply, Request, Server, settings};
use niah::checkpoint::hub::fetch_with;

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
    /// Status of every answer with a file, when it is not 200.
    refuses: Option<&'static str>,
    /// A file whose body breaks off in the middle, so many times.
    breaks: Option<(&'static str, usize)>,
    /// Whether the API lists files.
    lists: bool,
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
    server: Server,
    repository: Arc<Mutex<Repository>>,
}

impl Hub {
    fn new(repository: Repository) -> Self {
        let repository = Arc::new(Mutex::new(repository));
        let shared = Arc::clone(&repository);
        let server = Server::new(move |request| answer(&mut shared.lock().unwrap(), request));
        Self { server, repository }
    }

    fn of_tiny_checkpoint() -> Self {
        let directory = tempfile::tempdir().unwrap();
        common::tiny_checkpoint(directory.path());
        Self::new(Repository::of(directory.path(), COMMIT))
    }

    fn endpoint(&self) -> String {
        self.server.url()
    }

    fn change(&self, change: impl FnOnce(&mut Repository)) {
        change(&mut self.repository.lock().unwrap());
    }

    /// The requests for files since the last call.
    fn asked(&self) -> Vec<Asked> {
        let asked = self.server.asked().into_iter().filter_map(|request| {
            let path = request.path.strip_prefix("/org/name/resolve/")?.to_string();
            let header = |name: &str| request.header(name).map(str::to_string);
            Some(Asked { path, authorization: header("authorization"), range: header("range") })
        });
        asked.collect()
    }
}

fn answer(repository: &mut Repository, request: &Request) -> Reply {
    let path = request.path.replace("%20", " ");
    if let Some(revision) = path.strip_prefix("/api/models/org/name/revision/") {
        return listing(repository, revision.strip_suffix("?blobs=true").unwrap());
    }
    let (resolved, path) = match (path.strip_prefix("/org/name/resolve/"), path.strip_prefix("/storage/")) {
        (Some(path), _) => (true, path),
        (_, Some(path)) => (false, path),
        _ => return Reply::not_found(),
    };
    if let Some(status) = repository.refuses {
        return Reply::new(status, "");
    }
    let Some((commit, bytes)) = repository.files.get(path) else { return Reply::not_found() };
    let etag = niah::hash::sha256_hex(bytes);
    let identity = format!("x-repo-commit: {commit}\r\nETag: \"{etag}\"");
    // Large files lie in a storage of their own.
    if resolved && path.ends_with(".safetensors") {
        let headers =
            format!("\r\n{identity}\r\nX-Linked-ETag: \"{etag}\"\r\nx-linked-size: {}", bytes.len());
        return Reply::redirect(&format!("/storage/{path}"), &headers);
    }
    let first = request.from();
    let mut reply = match request.header("range") {
        None => Reply::new(format!("200 OK\r\n{identity}"), bytes.clone()),
        Some(_) => {
            let range = format!("Content-Range: bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
            Reply::new(format!("206 Partial Content\r\n{identity}\r\n{range}"), &bytes[first..])
        }
    };
    if let Some((_, times)) =
        repository.breaks.as_mut().filter(|(file, times)| path.ends_with(file) && *times > 0)
    {
        *times -= 1;
        reply.body.truncate(reply.body.len() / 2);
    }
    reply
}

/// The files of a revision as the API lists them.
fn listing(repository: &Repository, revision: &str) -> Reply {
    let found = repository.files.iter().filter_map(|(path, (commit, bytes))| {
        Some((path.strip_prefix(revision)?.strip_prefix('/')?, commit, bytes))
    });
    let found: Vec<_> = found.collect();
    let Some((_, commit, _)) = found.first().filter(|_| repository.lists) else { return Reply::not_found() };
    let siblings = found.iter().map(|(name, _, bytes)| {
        let lfs = serde_json::json!({ "sha256": niah::hash::sha256_hex(bytes), "size": bytes.len() });
        serde_json::json!({ "rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40), "lfs": lfs })
    });
    let listing = serde_json::json!({ "sha": commit, "siblings": siblings.collect::<Vec<_>>() });
    Reply::new("200 OK\r\nContent-Type: application/json", listing.to_string())
}

/// `niah prompts` of one prompt on a model of the hub.
fn prompts(home: &Path, endpoint: &str, model: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
    command.args(["prompts", "--model", model, "--context-lengths", "200", "--limit", "1"]);
    for (variable, _) in std::env::vars() {
        let upper = variable.to_uppercase();
        if ["HF_", "HUGGING", "TRANSFORMERS_"].iter().any(|own| upper.starts_with(own))
            || upper.ends_with("_PROXY")
        {
            command.env_remove(variable);
        }
    }
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).envs(variables.iter().copied());
    command.current_dir(home).output().unwrap()
}

/// Fetches a model within this process, in one attempt.
fn fetch(hub: &Hub, home: &Path, name: &str) -> Result<PathBuf, String> {
    let mut settings = settings(home, &hub.endpoint());
    settings.limits.retries = 0;
    fetch_with(&settings, name).map_err(|error| error.to_string())
}

fn assert_fails(fetched: Result<PathBuf, String>, parts: &[&str]) {
    let message = fetched.unwrap_err();
    for part in parts {
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// The files below a folder, with `/`.
fn files(folder: &Path) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![folder.to_path_buf()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found
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
    assert!(first.contains("\"row_id\":\"200:0:0\""), "{first}");
    let asked = hub.asked();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert!(asked.iter().any(|asked| asked.path.ends_with(file)), "{file} in {asked:?}");
    }
    for request in asked {
        assert_eq!(request.authorization.as_deref(), Some("Bearer secret"), "{}", request.path);
    }

    // What is there is not asked for again.
    assert_eq!(stdout(&prompts(home.path(), &endpoint, "org/name", &token)), first);
    assert!(hub.server.asked().is_empty());

    drop(hub);
    let offline = [("HF_HUB_OFFLINE", "1")];
    assert_eq!(stdout(&prompts(home.path(), &endpoint, "org/name", &offline)), first);
    let gone = prompts(home.path(), &endpoint, "org/other", &[("HF_HUB_OFFLINE", "0")]);
    assert_refused(&gone, &["org/other", "network", "HF_HUB_OFFLINE=1"]);
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
    assert!(hub.server.asked().is_empty(), "offline means that nothing is asked");
    for (status, parts) in [
        ("404 Not Found", ["config.json is not on the hub", "check the id"]),
        ("401 Unauthorized", ["check the id", "set HF_TOKEN"]),
        ("403 Forbidden", ["accept the model's terms", "set HF_TOKEN"]),
        ("400 Bad Request", ["400", "network"]),
    ] {
        hub.change(|repository| repository.refuses = Some(status));
        let output = prompts(home.path(), &endpoint, "org/name", &[]);
        assert_refused(&output, &parts);
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    assert_eq!(hub.asked().len(), 4, "nothing more is asked once the configuration is refused");
    for name in ["name", "org/name/config.json", "org/na me", "../org", "a/b/c/d.bin"] {
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
    hub.change(|repository| repository.breaks = Some(("model.safetensors", 1)));
    assert_fails(fetch(&hub, home.path(), "org/name"), &["model.safetensors", "broke off", "network"]);
    let size = common::fixture("vectors/llama/model.safetensors").metadata().unwrap().len();
    let rest = format!("bytes={}-", size / 2);
    hub.asked();
    let directory = fetch(&hub, home.path(), "org/name").unwrap();
    assert!(hub.asked().iter().any(|asked| asked.range.as_deref() == Some(rest.as_str())), "{rest}");
    let whole = std::fs::read(common::fixture("vectors/llama/model.safetensors")).unwrap();
    assert!(std::fs::read(directory.join("model.safetensors")).unwrap() == whole);

    // So it is within one command.
    let home = tempfile::tempdir().unwrap();
    hub.change(|repository| repository.breaks = Some(("model.safetensors", 2)));
    let fetched = fetch_with(&settings(home.path(), &hub.endpoint()), "org/name").unwrap();
    assert!(std::fs::read(fetched.join("model.safetensors")).unwrap() == whole);
}

#[test]
fn a_repository_that_changes_between_two_attempts_gives_no_mixture() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    hub.change(|repository| repository.breaks = Some(("model.safetensors", 1)));
    assert_fails(fetch(&hub, home.path(), "org/name"), &["model.safetensors"]);
    // A new commit: another tokenizer, and weights that are none.
    hub.change(|repository| {
        repository.add(NEXT_COMMIT, "model.safetensors", b"other weights".to_vec());
        repository.add(NEXT_COMMIT, "generation_config.json", b"{}".to_vec());
    });
    hub.asked();
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name", &[]));
    for request in hub.asked() {
        assert!(request.path.starts_with(COMMIT), "{}", request.path);
    }
}

#[test]
fn the_cache_is_laid_out_as_python_does_and_holds_what_is_listed_alone() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let templates = "additional_chat_templates/tools.jinja";
    hub.change(|repository| {
        repository.lists = true;
        for file in [
            "chat_template.json",
            "added_tokens.json",
            templates,
            "README.md",
            "pytorch_model.bin",
            "a/x.jinja",
        ] {
            repository.add(COMMIT, file, file.as_bytes().to_vec());
        }
    });
    let directory = fetch(&hub, home.path(), "org/name").unwrap();
    let repository = home.path().join("hub/models--org--name");
    assert_eq!(directory, repository.join("snapshots").join(COMMIT));
    let wanted = [
        "added_tokens.json",
        templates,
        "chat_template.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(files(&directory), wanted.map(String::from).into());
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let etag = niah::hash::sha256_hex(templates);
    #[cfg(unix)]
    assert_eq!(directory.join(templates).read_link().unwrap(), Path::new("../../../blobs").join(&etag));
    assert_eq!(std::fs::read_to_string(repository.join("blobs").join(&etag)).unwrap(), templates);
    assert!(hub.asked().iter().all(|asked| asked.path.starts_with(COMMIT)), "the list tells the commit");
    let lacking = repository.join(".no_exist").join(COMMIT);
    assert!(files(&lacking).contains("generation_config.json"));

    // All of it is there, so nothing is asked.
    fetch(&hub, home.path(), "org/name").unwrap();
    assert!(hub.server.asked().is_empty());
    let mut copied = settings(tempfile::tempdir().unwrap().path(), &hub.endpoint());
    copied.symlinks = false;
    let directory = fetch_with(&copied, "org/name").unwrap();
    assert!(directory.join("config.json").symlink_metadata().unwrap().is_file());
    copied.offline = true;
    assert_eq!(fetch_with(&copied, "org/name").unwrap(), directory);
}

#[test]
fn a_cache_of_pythons_tools_is_read_wherever_a_variable_puts_it() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let first = stdout(&prompts(home.path(), &hub.endpoint(), "org/name", &[]));
    // Python's tools do not say which files a commit lacks unless they asked for them.
    let cache = home.path().join("hub");
    std::fs::remove_dir_all(cache.join("models--org--name/.no_exist")).unwrap();
    let other = tempfile::tempdir().unwrap();
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        let variables = [("TRANSFORMERS_OFFLINE", "yes"), (variable, cache.to_str().unwrap())];
        assert_eq!(
            stdout(&prompts(other.path(), &hub.endpoint(), "org/name", &variables)),
            first,
            "{variable}"
        );
    }
    let offline = prompts(other.path(), &hub.endpoint(), "org/name", &[("HF_HUB_OFFLINE", "ON")]);
    assert_refused(&offline, &["not in the cache"]);
}

#[test]
fn without_a_home_the_variable_to_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
    command.args(["inspect", "models/typo"]).current_dir(folder.path()).env_clear().env("HOME", "");
    let output = command.output().unwrap();
    // Where the system knows a home by the user's entry, the id is looked up there instead.
    command.env("HF_HOME", "~/x");
    let expanded = command.output().unwrap();
    for output in [output, expanded] {
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("models/typo: no such file or directory here, and"), "{message}");
        assert!(message.contains("HF_H"), "{message}");
    }
}

#[test]
fn checkpoints_and_gguf_files_lie_in_folders_as_well() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let directory = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(directory.path());
    hub.change(|repository| {
        repository.files.clear();
        repository.lists = true;
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let bytes = std::fs::read(directory.path().join(file)).unwrap();
            repository.add(COMMIT, &format!("small/f32/{file}"), bytes);
        }
        for part in
            ["Q 4/m-00001-of-00002.gguf", "Q 4/m-00002-of-00002.gguf", "Q8/m.gguf", "Q8/mmproj-m.gguf"]
        {
            repository.add(COMMIT, part, part.as_bytes().to_vec());
        }
    });
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name/small/f32", &[]));
    stdout(&prompts(home.path(), &hub.endpoint(), "org/name/small/f32", &[("HF_HUB_OFFLINE", "1")]));

    let one = fetch(&hub, home.path(), "org/name/Q8").unwrap();
    assert!(one.ends_with("Q8/m.gguf"), "{}", one.display());
    let first = fetch(&hub, home.path(), "org/name/Q 4/m-00001-of-00002.gguf").unwrap();
    assert!(first.with_file_name("m-00002-of-00002.gguf").exists());
    let several = fetch(&hub, home.path(), "org/name");
    assert_fails(several, &["name one of them: org/name/Q 4/m-00001-of-00002.gguf, org/name/Q8/m.gguf"]);
    assert_fails(
        fetch(&hub, home.path(), "org/name/Q8/n.gguf"),
        &["Q8/n.gguf is not on the hub", "Q8/m.gguf"],
    );
    assert_fails(fetch(&hub, home.path(), "org/name/none"), &["no folder none"]);
}

#[test]
fn shards_in_folders_are_fetched_and_those_elsewhere_are_not() {
    let (hub, home) = (Hub::of_tiny_checkpoint(), tempfile::tempdir().unwrap());
    let index = |shard: &str| serde_json::json!({ "weight_map": { "a": shard } }).to_string().into_bytes();
    hub.change(|repository| {
        repository.files.retain(|path, _| !path.ends_with("model.safetensors"));
        repository.add(COMMIT, "model.safetensors.index.json", index("parts/one.safetensors"));
        repository.add(COMMIT, "parts/one.safetensors", b"weights".to_vec());
    });
    let directory = fetch(&hub, home.path(), "org/name").unwrap();
    assert_eq!(std::fs::read(directory.join("parts/one.safetensors")).unwrap(), b"weights");
    for shard in ["../one.safetensors", "/etc/passwd", "parts/../../x", "a\\b"] {
        let home = tempfile::tempdir().unwrap();
        hub.change(|repository| repository.add(COMMIT, "model.safetensors.index.json", index(shard)));
        hub.asked();
        assert_fails(fetch(&hub, home.path(), "org/name"), &["weight_map", "model.safetensors.index.json"]);
        assert!(hub.asked().iter().all(|asked| !asked.path.ends_with("one.safetensors")));
    }
}

#[test]
fn a_repository_without_a_readable_checkpoint_is_named_for_what_it_is() {
    for (files, part) in [
        (["adapter_config.json", "adapter_model.safetensors"], "a LoRA adapter"),
        (["config.json", "pytorch_model.bin"], "PyTorch pickles"),
        (["config.json", "README.md"], "weights are not on the hub"),
        (["README.md", "a.txt"], "config.json is not on the hub"),
    ] {
        let (hub, home) = (Hub::new(Repository::default()), tempfile::tempdir().unwrap());
        hub.change(|repository| {
            repository.lists = true;
            files.iter().for_each(|file| repository.add(COMMIT, file, b"{}".to_vec()));
        });
        assert_fails(fetch(&hub, home.path(), "org/name"), &["org/name", part]);
        assert!(hub.asked().is_empty(), "nothing is fetched");
    }
}
