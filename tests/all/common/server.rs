//! A web server on this machine whose every answer a test decides, byte by byte.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use niah::checkpoint::hub::{Limits, Settings};

/// A request, with the names of its headers in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that is asked for.
    pub(crate) fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |first| first.parse().unwrap())
    }

    /// The last part of the path, without what stands behind `?`.
    pub(crate) fn file(&self) -> &str {
        self.path.split('?').next().unwrap().rsplit('/').next().unwrap()
    }
}

/// An answer: the status line and headers after `HTTP/1.1 `, what follows them, and what comes then. Without
/// a head the body is all that is sent.
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) then: Then,
}

/// What a server does after its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    /// Says nothing, until the client has gone.
    Silence,
    /// Sends the body again and again, until the client has gone.
    Endless,
}

impl Reply {
    /// An answer with the length of its body.
    pub(crate) fn new(head: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let (head, body) = (head.into(), body.into());
        Self { head: format!("{head}\r\nContent-Length: {}", body.len()), body, then: Then::Close }
    }

    pub(crate) fn not_found() -> Self {
        Self::new("404 Not Found", "")
    }

    pub(crate) fn redirect(to: &str, headers: &str) -> Self {
        Self::new(format!("302 Found\r\nLocation: {to}{headers}"), "")
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server that answers until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", answer)
    }

    /// A server at another address of this machine.
    pub(crate) fn at(host: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        let thread = std::thread::spawn(move || accept(&listener, &log, &answer));
        Self { address, asked, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last call.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A connection that asks nothing ends the server.
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Serves every connection in a thread of its own, until one asks nothing.
fn accept(listener: &TcpListener, log: &Arc<Mutex<Vec<Request>>>, answer: &Arc<Answer>) {
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let Some(request) = read(&stream) else { return };
        log.lock().unwrap().push(request.clone());
        let answer = Arc::clone(answer);
        std::thread::spawn(move || write(&stream, &answer(&request)));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect::<Vec<_>>();
    let path = lines.first()?.split(' ').nth(1)?.to_string();
    let headers = lines.drain(1..).filter_map(|line| {
        line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_string()))
    });
    let headers: HashMap<String, String> = headers.collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Request { path, headers, body })
}

/// What a client that has gone away misses is its own affair.
fn write(mut stream: &TcpStream, reply: &Reply) {
    let head = match reply.head.as_str() {
        "" => String::new(),
        head => format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n"),
    };
    let mut sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body));
    while reply.then == Then::Endless && sent.is_ok() {
        sent = stream.write_all(&reply.body);
    }
    if reply.then == Then::Silence {
        let _ = stream.read(&mut [0; 1]);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Settings of a hub with the cache in `home`, and no wait between attempts.
pub(crate) fn settings(home: &Path, endpoint: &str) -> Settings {
    Settings {
        endpoint: endpoint.to_string(),
        token: None,
        cache: home.join("hub"),
        offline: false,
        symlinks: true,
        limits: Limits { backoff: Duration::ZERO, ..Limits::default() },
    }
}
