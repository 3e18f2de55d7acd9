//! Requests to the hub: who may see the token, how often an answer may send on, how long it may take.
//!
//! The token goes to the endpoint's scheme, host and port alone: once a request has been sent on to another
//! place, it travels without it. What a file is (its commit, its etag) is taken from the endpoint's answers
//! alone as well.

use std::fmt::Display;
use std::io::{self, Read};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Uri};
use ureq::{Agent, Body, BodyReader, Timeout};

use super::names;
use super::settings::{Limits, Settings, Token};
use crate::progress::say;
use crate::web::{Origin, by_proxy, cut, proxy_for, target};

/// A wait as long as this is told, so that nobody takes it for a hang.
const TOLD_WAIT: Duration = Duration::from_secs(5);

/// A body that brings fewer bytes than this in the time of a silence counts as silent.
const TRICKLE: u64 = 1 << 10;

/// A client of one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
    limits: Limits,
}

/// How a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// What happened, for the end of a message.
    pub(super) problem: String,
    /// How long the server asks to wait before the next attempt.
    retry_after: Option<Duration>,
}

/// What kind of failure it is, which decides about further attempts and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another status than success.
    Status(u16),
    /// The connection broke off, or the server ended it.
    Broken,
    /// No connection, or no byte for too long.
    Network,
    /// An answer that cannot be right.
    Untrusted,
    /// Bytes of a file that are not its own.
    Damaged,
    /// A file of this machine, which the problem names.
    Local,
}

impl Failure {
    pub(super) fn new(kind: Kind, problem: impl Display) -> Self {
        Self { kind, problem: problem.to_string(), retry_after: None }
    }

    /// An answer that cannot be right.
    pub(super) fn untrusted(problem: impl Display) -> Self {
        Self::new(Kind::Untrusted, problem)
    }

    fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::Status(408 | 429 | 500 | 502 | 503 | 504))
    }
}

/// What the endpoint says that a file is.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    commit: Option<String>,
    etag: Option<String>,
    /// The etag of a large file, which lies elsewhere.
    linked_etag: Option<String>,
    /// Bytes of the whole file.
    pub(super) size: Option<u64>,
}

impl Identity {
    fn read(&mut self, headers: &HeaderMap) {
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_string());
        self.commit = text("x-repo-commit").or(self.commit.take());
        self.etag = text("etag").or(self.etag.take());
        self.linked_etag = text("x-linked-etag").or(self.linked_etag.take());
        self.size = text("x-linked-size").and_then(|size| size.trim().parse().ok()).or(self.size);
    }

    /// The commit that holds the file.
    pub(super) fn commit(&self) -> Result<&str, Failure> {
        let commit = self.commit.as_deref().ok_or_else(|| {
            Failure::untrusted("the answer names no commit (x-repo-commit), so it is not that of a hub")
        })?;
        match names::is_commit(commit) {
            true => Ok(commit),
            false => {
                Err(Failure::untrusted(format!("the answer names a commit that is none ({})", cut(commit))))
            }
        }
    }

    /// The name of the file's contents.
    pub(super) fn etag(&self) -> Result<String, Failure> {
        let etag = self
            .linked_etag
            .as_deref()
            .or(self.etag.as_deref())
            .ok_or_else(|| Failure::untrusted("the answer has no etag"))?;
        names::etag(etag).ok_or_else(|| {
            Failure::untrusted(format!("the answer has an etag that is no plain name ({})", cut(etag)))
        })
    }
}

/// A successful answer whose body is still to come.
pub(super) struct Answer {
    pub(super) identity: Identity,
    /// Bytes of the body, where the server says so.
    pub(super) length: Option<u64>,
    /// First byte of the body in the file and bytes of the whole file, of an answer with a part.
    pub(super) part: Option<(u64, Option<u64>)>,
    pub(super) body: Paced,
}

/// How large the body of an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Small: there is a limit for the time of the whole body.
    Small,
    /// Weights, which may take hours as long as they come.
    Weights,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Self {
        let limits = settings.limits.clone();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("niah/", env!("CARGO_PKG_VERSION")))
            // Bytes are counted and hashed as they lie on the hub.
            .accept_encoding("identity")
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.answer))
            .timeout_recv_response(Some(limits.answer))
            .timeout_per_read(Some(limits.silence))
            .build();
        let (endpoint, token) = (settings.endpoint.clone(), settings.token.clone());
        Self { agent: config.new_agent(), endpoint, token, limits }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks for what lies at `path` below the endpoint, from its byte `from` on; tries again when the failure
    /// may pass.
    pub(super) fn get(&self, path: &str, from: u64, expected: Expected) -> Result<Answer, Failure> {
        let mut pause = self.limits.backoff;
        let mut left = self.limits.retries;
        loop {
            let failure = match self.follow(path, from, expected) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = failure.retry_after.unwrap_or(pause);
            if left == 0 || !failure.may_pass() || wait > self.limits.longest_wait {
                return Err(failure);
            }
            self.wait(wait, &failure.problem);
            pause *= 2;
            left -= 1;
        }
    }

    /// Waits before a further attempt.
    pub(super) fn wait(&self, wait: Duration, problem: &str) {
        if wait >= TOLD_WAIT {
            say(&format!("the hub: {problem}; trying again in {} s", wait.as_secs()));
        }
        sleep(wait);
    }

    /// One attempt, followed from address to address.
    fn follow(&self, path: &str, from: u64, expected: Expected) -> Result<Answer, Failure> {
        let mut address: Uri = format!("{}{path}", self.endpoint)
            .parse()
            .map_err(|_| Failure::untrusted("the address cannot be written"))?;
        let home = Origin::of(&address);
        let mut at_home = true;
        let mut identity = Identity::default();
        for _ in 0..=self.limits.redirects {
            at_home &= Origin::of(&address) == home;
            let response = self.ask(&address, from, at_home, expected)?;
            if at_home {
                identity.read(response.headers());
            }
            match response.status().as_u16() {
                200 | 206 => return answer(response, identity),
                301 | 302 | 303 | 307 | 308 => {
                    address = target(&address, response.headers()).map_err(Failure::untrusted)?;
                }
                status => return Err(refused(status, response.headers())),
            }
        }
        Err(Failure::untrusted(format!("sent on more than {} times", self.limits.redirects)))
    }

    fn ask(
        &self,
        address: &Uri,
        from: u64,
        at_home: bool,
        expected: Expected,
    ) -> Result<ureq::http::Response<Body>, Failure> {
        let mut request = self.agent.get(address.clone());
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| at_home) {
            request = request.header("Authorization", token.header());
        }
        let body = (expected == Expected::Small).then_some(self.limits.small_body);
        let proxy = proxy_for(address);
        let request = request.config().timeout_recv_body(body).proxy(proxy.clone());
        request.build().call().map_err(|error| {
            let failure = self.failed(error);
            let problem = by_proxy(failure.problem, proxy.as_ref());
            Failure { problem: format!("{}: {problem}", address.host().unwrap_or_default()), ..failure }
        })
    }

    /// What an error of a connection means.
    fn failed(&self, error: ureq::Error) -> Failure {
        let within = |what: &str, limit: Duration| {
            Failure::new(Kind::Network, format!("{what} within {} s", limit.as_secs_f32()))
        };
        match error {
            ureq::Error::Timeout(Timeout::Resolve) => within("the host was not found", self.limits.connect),
            ureq::Error::Timeout(Timeout::Connect) => within("no connection", self.limits.connect),
            ureq::Error::Timeout(Timeout::PerRead) => within("no byte", self.limits.silence),
            ureq::Error::Timeout(Timeout::RecvBody) => within("not all of it", self.limits.small_body),
            ureq::Error::Timeout(_) => within("no answer", self.limits.answer),
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Failure::new(Kind::Broken, "the connection broke off"),
                _ => Failure::new(Kind::Network, error),
            },
            other => Failure::new(Kind::Network, other),
        }
    }

    /// Reads some bytes of a body; 0 at its end.
    pub(super) fn read(&self, body: &mut Paced, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = body.reader.read(buffer).map_err(|error| self.failed(error.into()))?;
        body.since += read as u64;
        if body.mark.elapsed() >= self.limits.silence {
            if body.since < TRICKLE && read > 0 {
                let problem = format!("{} bytes within {} s", body.since, self.limits.silence.as_secs_f32());
                return Err(Failure::new(Kind::Network, problem));
            }
            (body.mark, body.since) = (Instant::now(), 0);
        }
        Ok(read)
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(super) fn read_all(&self, mut answer: Answer, limit: u64) -> Result<Vec<u8>, Failure> {
        let too_long = || Failure::untrusted(format!("the answer is longer than {limit} bytes"));
        if answer.length.is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match self.read(&mut answer.body, &mut buffer)? {
                0 => return Ok(bytes),
                read => bytes.extend_from_slice(&buffer[..read]),
            }
            if bytes.len() as u64 > limit {
                return Err(too_long());
            }
        }
    }
}

/// A body, and how much of it came since when.
pub(super) struct Paced {
    reader: BodyReader<'static>,
    mark: Instant,
    since: u64,
}

fn answer(response: ureq::http::Response<Body>, mut identity: Identity) -> Result<Answer, Failure> {
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(coding) = text("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Failure::untrusted(format!(
            "the answer is compressed ({}), which was not asked for",
            cut(coding)
        )));
    }
    let length = text("content-length").and_then(|length| length.trim().parse().ok());
    let part =
        match response.status().as_u16() {
            206 => Some(text("content-range").and_then(content_range).ok_or_else(|| {
                Failure::untrusted("the answer is a part of the file, and does not say which")
            })?),
            _ => None,
        };
    identity.size = identity.size.or_else(|| part.map_or(length, |(_, whole)| whole));
    let body = Paced { reader: response.into_body().into_reader(), mark: Instant::now(), since: 0 };
    Ok(Answer { identity, length, part, body })
}

/// First byte and bytes of the whole file of `bytes 5-9/10`.
fn content_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn refused(status: u16, headers: &HeaderMap) -> Failure {
    let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    let asks = retry_after.map_or(String::new(), |wait| format!(", asks to wait {} s", wait.as_secs()));
    Failure { kind: Kind::Status(status), problem: format!("status {status}{asks}"), retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_files_say_where_they_begin() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes */10", "bytes -5/10", "items 5-9/10", "bytes 5/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
