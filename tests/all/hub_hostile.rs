//! Servers that answer as no hub should: what they are told, what is written, and that every wait ends.

use crate::common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::server::{Reply, Request, Server, Then, settings};
use niah::checkpoint::hub::{Settings, Token, fetch_with};
use niah::hash::sha256_hex;
use tempfile::TempDir;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const SECRET: &str = "hf_SECRET";

/// A GGUF file's bytes, as far as the hub is concerned.
fn weights() -> Vec<u8> {
    (0..=255).cycle().take(10_000).collect()
}

/// What identifies the weights.
fn identity() -> String {
    format!("x-repo-commit: {COMMIT}\r\nETag: \"{}\"", sha256_hex(weights()))
}

fn whole() -> Reply {
    Reply::new(format!("200 OK\r\n{}", identity()), weights())
}

/// The weights from the byte that is asked for.
fn part(request: &Request) -> Reply {
    let (first, all) = (request.from(), weights());
    if request.header("range").is_none() {
        return whole();
    }
    let range = format!("Content-Range: bytes {first}-{}/{}", all.len() - 1, all.len());
    Reply::new(format!("206 Partial Content\r\n{}\r\n{range}", identity()), &all[first..])
}

/// A folder with a cache, and a file beside it that nobody may touch.
struct Scene {
    folder: TempDir,
    settings: Settings,
}

impl Scene {
    fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("victim"), "kept").unwrap();
        let home = folder.path().join("home");
        let mut settings = settings(&home, &server.url());
        settings.token = Some(Token::new(SECRET).unwrap());
        Self { folder, settings }
    }

    fn repository(&self) -> PathBuf {
        self.settings.cache.join("models--org--name")
    }

    fn blob(&self, ending: &str) -> PathBuf {
        self.repository().join("blobs").join(sha256_hex(weights()) + ending)
    }

    /// Leaves the beginning of a download.
    fn leave(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.repository().join("blobs")).unwrap();
        std::fs::write(self.blob(".incomplete"), bytes).unwrap();
    }

    fn fetch(&self, name: &str) -> Result<PathBuf, String> {
        let fetched = fetch_with(&self.settings, name).map_err(|error| error.to_string());
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "home");
        assert_eq!(names, ["victim"], "nothing is made outside the cache");
        assert_eq!(std::fs::read_to_string(self.folder.path().join("victim")).unwrap(), "kept");
        assert!(!fetched.as_ref().is_err_and(|message| message.contains(SECRET)), "{fetched:?}");
        fetched
    }

    /// The weights are fetched, and right.
    fn assert_fetched(&self) {
        let path = self.fetch("org/name/m.gguf").unwrap();
        assert!(std::fs::read(path).unwrap() == weights());
        assert!(!self.blob(".incomplete").exists());
    }

    /// The weights are refused with these words, and nothing is kept under their name.
    fn assert_refused(&self, parts: &[&str]) {
        let message = self.fetch("org/name/m.gguf").unwrap_err();
        for part in ["org/name/m.gguf"].iter().chain(parts) {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(!self.blob("").exists() && !self.repository().join("snapshots").exists());
    }
}

/// Answers for files alone; this hub has no list of them.
fn files(
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync {
    move |request| if request.path.starts_with("/api/") { Reply::not_found() } else { answer(request) }
}

fn tokens(server: &Server) -> Vec<bool> {
    server.asked().iter().map(|request| request.header("authorization").is_some()).collect()
}

#[test]
fn the_token_goes_to_the_endpoint_alone() {
    let other = Arc::new(Server::new(|_| whole()));
    let elsewhere = other.url();
    // By another port, and by another name of the same machine.
    for to in [elsewhere.clone(), elsewhere.replace("127.0.0.1", "localhost")] {
        let server = Server::new(files(move |request| {
            Reply::redirect(&format!("{to}{}", request.path), &format!("\r\n{}", identity()))
        }));
        Scene::new(&server).assert_fetched();
        assert_eq!(tokens(&server), [true]);
        assert_eq!(tokens(&other), [false]);
    }
    // A name for the endpoint that is not the one it was given.
    let server = Server::new(files(|request| match request.header("host") {
        Some(host) if host.starts_with("127.0.0.1") => {
            let to = format!("http://{}/m.gguf", host.replace("127.0.0.1", "localhost"));
            Reply::redirect(&to, &format!("\r\n{}", identity()))
        }
        _ => whole(),
    }));
    Scene::new(&server).assert_fetched();
    assert_eq!(tokens(&server), [true, false]);
    // Within the endpoint it stays.
    let server = Server::new(files(|request| match request.path.starts_with("/org/") {
        true => Reply::redirect("/moved/m.gguf", ""),
        false => whole(),
    }));
    Scene::new(&server).assert_fetched();
    assert_eq!(tokens(&server), [true, true]);
}

#[test]
fn a_request_that_was_sent_away_and_back_travels_without_the_token() {
    let back = Arc::new(std::sync::OnceLock::<String>::new());
    let home = Arc::clone(&back);
    let other = Server::new(move |_| Reply::redirect(&format!("{}/back/m.gguf", home.get().unwrap()), ""));
    let elsewhere = other.url();
    let server = Server::new(files(move |request| match request.path.starts_with("/back") {
        true => whole(),
        false => Reply::redirect(&format!("{elsewhere}/x"), &format!("\r\n{}", identity())),
    }));
    back.set(server.url()).unwrap();
    Scene::new(&server).assert_fetched();
    assert_eq!((tokens(&server), tokens(&other)), (vec![true, false], vec![false]));
}

#[test]
fn what_a_file_is_called_is_the_endpoints_word_alone() {
    let other = Server::new(|_| whole());
    let elsewhere = other.url();
    let server = Server::new(files(move |_| Reply::redirect(&format!("{elsewhere}/x"), "")));
    Scene::new(&server).assert_refused(&["names no commit"]);
}

#[test]
fn being_sent_on_ends() {
    let server = Server::new(|request| Reply::redirect(&request.path, ""));
    Scene::new(&server).assert_refused(&["sent on more than 5 times"]);
    // The file, and the list for the message's sake at most.
    assert!(server.asked().len() <= 12);
    let hops = |count: usize| {
        Server::new(files(move |request| {
            let hop: usize = request.file().trim_start_matches("hop").parse().unwrap_or(0);
            if hop == count { whole() } else { Reply::redirect(&format!("hop{}", hop + 1), "") }
        }))
    };
    Scene::new(&hops(5)).assert_fetched();
    Scene::new(&hops(6)).assert_refused(&["sent on"]);
}

#[test]
fn only_web_addresses_are_followed() {
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "data:text/plain,x"] {
        let server = Server::new(files(move |_| Reply::redirect(to, &format!("\r\n{}", identity()))));
        Scene::new(&server).assert_refused(&["sent on"]);
    }
    let server = Server::new(files(|_| Reply::new(format!("302 Found\r\n{}", identity()), "")));
    Scene::new(&server).assert_refused(&["sent on without an address"]);
}

#[test]
fn names_of_a_server_do_not_lead_out_of_the_cache() {
    let etags =
        ["/tmp/niah-victim", "../../../../victim", "..", ".", "", "a/b", "a\\b", "victim.incomplete", "x y"];
    for header in ["ETag", "X-Linked-ETag"] {
        for etag in etags {
            let server = Server::new(files(move |_| {
                Reply::new(format!("200 OK\r\nx-repo-commit: {COMMIT}\r\n{header}: \"{etag}\""), weights())
            }));
            Scene::new(&server).assert_refused(&["etag"]);
        }
    }
    for commit in ["../../../../PWN", "/tmp/niah-pwn", "main", "red", "1111", &"g".repeat(40)] {
        let commit = commit.to_string();
        let server = Server::new(files(move |_| {
            Reply::new(format!("200 OK\r\nx-repo-commit: {commit}\r\nETag: \"abc\""), weights())
        }));
        Scene::new(&server).assert_refused(&["commit"]);
    }
    let server = Server::new(files(|_| Reply::new("200 OK\r\nETag: \"abc\"", weights())));
    Scene::new(&server).assert_refused(&["names no commit"]);
    let server = Server::new(files(|_| Reply::new(format!("200 OK\r\nx-repo-commit: {COMMIT}"), weights())));
    Scene::new(&server).assert_refused(&["no etag"]);
}

#[test]
fn headers_are_read_in_any_case_and_etags_with_their_marks() {
    for head in [
        format!("X-REPO-COMMIT: {COMMIT}\r\nETAG: W/\"{}\"", sha256_hex(weights())),
        format!("x-repo-commit: {COMMIT}\r\netag: {}", sha256_hex(weights())),
        format!("X-Repo-Commit: {COMMIT}\r\nEtag: \"other\"\r\nX-LINKED-ETAG: \"{}\"", sha256_hex(weights())),
    ] {
        let server = Server::new(files(move |_| Reply::new(format!("200 OK\r\n{head}"), weights())));
        let scene = Scene::new(&server);
        scene.assert_fetched();
        assert!(scene.blob("").exists());
    }
}

#[test]
fn bytes_that_are_not_those_announced_are_not_kept() {
    let wrong_etag = |etag: String| {
        Server::new(files(move |_| {
            Reply::new(format!("200 OK\r\nx-repo-commit: {COMMIT}\r\nETag: \"{etag}\""), weights())
        }))
    };
    for etag in ["a".repeat(64), "b".repeat(40)] {
        let server = wrong_etag(etag.clone());
        let scene = Scene::new(&server);
        scene.assert_refused(&["hash", &etag, "announced"]);
        assert_eq!(std::fs::read_dir(scene.repository().join("blobs")).unwrap().count(), 0);
    }
    // An etag that is no hash cannot be compared with anything.
    Scene::new(&wrong_etag("v1".to_string())).assert_fetched();
    // What `git hash-object` says of the weights.
    Scene::new(&wrong_etag("80185bf27d5c45da0c8edf11dca74c7bfda4b235".to_string())).assert_fetched();
}

#[test]
fn lengths_that_disagree_are_refused() {
    for linked in [9_999, 10_001, 1_000_000_000_000_000_u64] {
        let server = Server::new(files(move |_| {
            Reply::new(format!("200 OK\r\n{}\r\nx-linked-size: {linked}", identity()), weights())
        }));
        Scene::new(&server).assert_refused(&[&linked.to_string(), "10000"]);
    }
    // A body of unknown length that is longer than the file.
    let server = Server::new(files(|_| Reply {
        head: format!("200 OK\r\n{}\r\nx-linked-size: 10000", identity()),
        body: weights(),
        then: Then::Endless,
    }));
    Scene::new(&server).assert_refused(&["more bytes than the 10000"]);
    // A body that always ends too early.
    let server = Server::new(files(|_| Reply {
        head: format!("200 OK\r\n{}\r\nContent-Length: 10000", identity()),
        body: weights()[..10].to_vec(),
        then: Then::Close,
    }));
    let mut scene = Scene::new(&server);
    scene.settings.limits.retries = 1;
    scene.assert_refused(&["broke off", "at byte 10"]);
    // Weights whose length nobody knows could be endless.
    let server = Server::new(files(|_| Reply {
        head: format!("200 OK\r\n{}", identity()),
        body: weights(),
        then: Then::Endless,
    }));
    Scene::new(&server).assert_refused(&["does not say how long"]);
}

#[test]
fn a_download_is_taken_up_however_the_server_answers() {
    let begun = &weights()[..4_000];
    let server = Server::new(files(part));
    let scene = Scene::new(&server);
    scene.leave(begun);
    scene.assert_fetched();
    assert_eq!(server.asked().last().unwrap().header("range"), Some("bytes=4000-"));
    // One that knows no ranges sends everything.
    let server = Server::new(files(|_| whole()));
    let scene = Scene::new(&server);
    scene.leave(begun);
    scene.assert_fetched();
    // What was left is not a beginning of this file: other bytes, more of them, or as many.
    for left in [vec![7; 4_000], vec![7; 20_000], vec![7; 10_000]] {
        let server = Server::new(files(part));
        let scene = Scene::new(&server);
        scene.leave(&left);
        scene.assert_fetched();
    }
    // One that refuses the range.
    let server = Server::new(files(|request| match request.header("range") {
        Some(_) => Reply::new("416 Range Not Satisfiable", ""),
        None => whole(),
    }));
    let scene = Scene::new(&server);
    scene.leave(begun);
    scene.assert_fetched();
    // One that sends another part than was asked for: what is there is given up, and the whole is taken.
    let server = Server::new(files(|request| match request.header("range") {
        Some(_) => Reply::new(
            format!("206 Partial Content\r\n{}\r\nContent-Range: bytes 0-9/10000", identity()),
            &weights()[..10],
        ),
        None => whole(),
    }));
    let scene = Scene::new(&server);
    scene.leave(begun);
    scene.assert_fetched();
}

#[test]
fn what_came_of_a_file_outlives_an_answer_from_somewhere_else() {
    // Such as the page of a network that wants a login first.
    let login = Server::new(files(|request| match request.header("range") {
        Some(_) => Reply::new("200 OK\r\nETag: \"page\"", "<html>"),
        None => whole(),
    }));
    let mut scene = Scene::new(&login);
    scene.leave(&weights()[..4_000]);
    scene.assert_refused(&["changed while it was downloaded"]);
    assert_eq!(std::fs::read(scene.blob(".incomplete")).unwrap(), &weights()[..4_000]);
    let server = Server::new(files(part));
    scene.settings.endpoint = server.url();
    scene.assert_fetched();
    assert_eq!(server.asked().last().unwrap().header("range"), Some("bytes=4000-"));
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_not_for_ever() {
    let busy = |status: &'static str, times: usize| {
        let asked = AtomicUsize::new(0);
        Server::new(files(move |_| match asked.fetch_add(1, Ordering::SeqCst) < times {
            true => Reply::new(status, ""),
            false => whole(),
        }))
    };
    for status in
        ["429 Too Many Requests\r\nRetry-After: 0", "503 Service Unavailable", "500 Oops", "502 Bad Gateway"]
    {
        Scene::new(&busy(status, 3)).assert_fetched();
        let server = busy(status, 4);
        Scene::new(&server).assert_refused(&[&status[..3]]);
        assert_eq!(server.asked().len(), 4);
    }
    let server = busy("429 Too Many Requests\r\nRetry-After: 100000", 1);
    Scene::new(&server).assert_refused(&["429", "asks to wait 100000 s", "HF_TOKEN"]);
    let server = busy("403 Forbidden", 1);
    Scene::new(&server).assert_refused(&["403", "accept the model's terms"]);
    assert_eq!(server.asked().len(), 1, "what is forbidden stays so");
}

#[test]
fn a_silent_server_is_left() {
    // Not a word, to any question; a beginning of headers; headers without an end.
    for (body, part) in [
        (String::new(), "within 0.2 s"),
        ("HTTP/1.1 200 OK\r\nX-So".to_string(), "within 0.2 s"),
        (format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(20_000)), "header"),
    ] {
        let reply = move |_: &Request| Reply {
            head: String::new(),
            body: body.clone().into_bytes(),
            then: Then::Silence,
        };
        for name in ["org/name", "org/name/m.gguf"] {
            let server = Server::new(reply.clone());
            let mut scene = Scene::new(&server);
            if part.starts_with("within") {
                scene.settings.limits.answer = Duration::from_millis(200);
            }
            let message = scene.fetch(name).unwrap_err();
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    // A body that stops.
    let head = format!("200 OK\r\n{}\r\nContent-Length: 10000", identity());
    let server =
        Server::new(files(move |_| Reply { head: head.clone(), body: b"abc".to_vec(), then: Then::Silence }));
    let mut scene = Scene::new(&server);
    scene.settings.limits.silence = Duration::from_secs(1);
    scene.assert_refused(&["no byte within 1 s", "at byte 3"]);
}

#[test]
fn small_files_are_small() {
    let head = |name: &str| name == "config.json";
    let server = Server::new(files(move |request| match head(request.file()) {
        true => Reply {
            head: format!(
                "200 OK\r\nx-repo-commit: {COMMIT}\r\nETag: \"abc\"\r\nContent-Length: 1000000000000000"
            ),
            body: b"{".to_vec(),
            then: Then::Silence,
        },
        false => Reply::not_found(),
    }));
    let message = Scene::new(&server).fetch("org/name").unwrap_err();
    assert!(message.contains("1000000000000000 bytes announced"), "{message}");
    // Chunks without an end, in the list of files and in a file.
    for list in [true, false] {
        let server = Server::new(move |request| match request.path.starts_with("/api/") == list {
            true => Reply {
                head: format!(
                    "200 OK\r\nx-repo-commit: {COMMIT}\r\nETag: \"abc\"\r\nTransfer-Encoding: chunked"
                ),
                body: format!("400\r\n{}\r\n", " ".repeat(1024)).into_bytes(),
                then: Then::Endless,
            },
            false => Reply::not_found(),
        });
        let mut scene = Scene::new(&server);
        (scene.settings.limits.listing, scene.settings.limits.small_file) = (1 << 20, 1 << 20);
        let message = scene.fetch("org/name").unwrap_err();
        assert!(message.contains("1048576"), "{message}");
    }
}

#[test]
fn a_list_that_names_what_it_should_not_is_refused() {
    let list = |sha: &str, file: &str| {
        let json = serde_json::json!({ "sha": sha, "siblings": [{ "rfilename": file }] }).to_string();
        Server::new(move |_| Reply::new("200 OK", json.clone()))
    };
    let refused = |sha: &str, file: &str, part: &str| {
        let server = list(sha, file);
        let message = Scene::new(&server).fetch("org/name").unwrap_err();
        assert!(message.contains(part), "{part} in {message}");
        assert!(server.asked().iter().all(|request| request.path.starts_with("/api/")));
    };
    refused("../../PWN", "m.gguf", "commit that is none");
    for file in ["../../m.gguf", "/tmp/m.gguf", "a/../../m.gguf", "a\\m.gguf", "C:m.gguf"] {
        refused(COMMIT, file, "nor a GGUF file");
    }
    let server = list(&"2".repeat(40), "m.gguf");
    let message = Scene::new(&server).fetch(&format!("org/name@{COMMIT}")).unwrap_err();
    assert!(message.contains("another commit"), "{message}");
}

#[test]
fn compressed_answers_are_not_taken_for_the_file() {
    let server = Server::new(files(|_| {
        Reply::new(format!("200 OK\r\n{}\r\nContent-Encoding: gzip", identity()), weights())
    }));
    Scene::new(&server).assert_refused(&["compressed (gzip)"]);
}

#[test]
fn a_file_of_another_commit_is_not_mixed_in() {
    let server = Server::new(files(|_| {
        Reply::new(format!("200 OK\r\nx-repo-commit: {}\r\nETag: \"abc\"", "2".repeat(40)), weights())
    }));
    let scene = Scene::new(&server);
    let message = scene.fetch(&format!("org/name@{COMMIT}/m.gguf")).unwrap_err();
    assert!(message.contains("another commit"), "{message}");
}

#[cfg(unix)]
#[test]
fn links_in_the_cache_are_neither_followed_out_of_it_nor_written_through() {
    use std::os::unix::fs::symlink;

    let server = Server::new(files(part));
    let victim = |scene: &Scene| scene.folder.path().join("victim");
    // Contents and their beginning.
    let scene = Scene::new(&server);
    scene.leave(b"");
    std::fs::remove_file(scene.blob(".incomplete")).unwrap();
    symlink(victim(&scene), scene.blob(".incomplete")).unwrap();
    scene.assert_fetched();
    let scene = Scene::new(&server);
    scene.leave(b"");
    symlink(victim(&scene), scene.blob("")).unwrap();
    assert!(scene.fetch("org/name/m.gguf").unwrap_err().contains("leads out of the cache"));
    // A whole folder.
    for folder in ["blobs", "snapshots", "refs"] {
        let scene = Scene::new(&server);
        std::fs::create_dir_all(scene.repository()).unwrap();
        symlink(scene.folder.path(), scene.repository().join(folder)).unwrap();
        let message = scene.fetch("org/name/m.gguf").unwrap_err();
        assert!(message.contains("leads out of the cache"), "{folder}: {message}");
    }
    // A file of a commit, offline and with the hub.
    let scene = Scene::new(&server);
    let snapshot = scene.repository().join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    symlink(victim(&scene), snapshot.join("m.gguf")).unwrap();
    for offline in [true, false] {
        let settings = Settings { offline, ..scene.settings.clone() };
        let message = fetch_with(&settings, &format!("org/name@{COMMIT}/m.gguf")).unwrap_err().to_string();
        assert!(message.contains("leads out of the cache"), "{message}");
    }
}

#[test]
fn a_revision_in_the_cache_that_is_no_commit_is_not_followed() {
    let server = Server::new(files(part));
    let scene = Scene::new(&server);
    std::fs::create_dir_all(scene.repository().join("refs")).unwrap();
    std::fs::create_dir_all(scene.settings.cache.join("elsewhere")).unwrap();
    std::fs::write(scene.settings.cache.join("elsewhere/m.gguf"), "planted").unwrap();
    std::fs::write(scene.repository().join("refs/main"), "../../elsewhere").unwrap();
    let offline = Settings { offline: true, ..scene.settings.clone() };
    let message = fetch_with(&offline, "org/name/m.gguf").unwrap_err().to_string();
    assert!(message.contains("not in the cache"), "{message}");
    scene.assert_fetched();
    assert!(std::fs::read(fetch_with(&offline, "org/name/m.gguf").unwrap()).unwrap() == weights());
}

#[test]
fn two_at_once_both_have_the_file() {
    let server = Server::new(files(part));
    let scene = Scene::new(&server);
    let fetch =
        || std::fs::read(fetch_with(&scene.settings, "org/name/m.gguf").unwrap()).unwrap() == weights();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn nothing_is_asked_offline() {
    let server = Server::new(files(part));
    let scene = Scene::new(&server);
    let offline = Settings { offline: true, ..scene.settings.clone() };
    assert!(fetch_with(&offline, "org/name/m.gguf").is_err());
    assert!(fetch_with(&offline, "org/name").is_err());
    assert!(server.asked().is_empty() && !scene.settings.cache.exists());
}

#[test]
fn what_cannot_be_reached_is_said_at_once() {
    let address = Server::new(|_| whole()).address;
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &format!("http://{address}"));
    let message = fetch_with(&settings, "org/name").unwrap_err().to_string();
    assert!(message.contains("127.0.0.1") && message.contains("HF_HUB_OFFLINE=1"), "{message}");
    assert!(!Path::new(&settings.cache).exists());
}
