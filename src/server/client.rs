//! Requests to a server: who may see the key, how often an attempt is repeated, how much of an answer is
//! read.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, SystemTime};

use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Proxy};

use super::failure::{Failure, Kind, words};
use super::pace::Pace;
use super::response::{Response, said_in};
use super::{ApiKey, Endpoint, Manner};
use crate::clock;
use crate::web::{Origin, by_proxy, cut, proxy_for, target};

/// Bytes of a refusal that are read for its words.
const MOST_OF_REFUSAL: u64 = 1 << 16;

/// Bytes that a connection holds of what it sends and of what it receives.
const BUFFERED: usize = 16 << 10;

/// Limits of time, size and patience.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From a request to the end of its answer.
    pub timeout: Duration,
    /// To find the server and to connect to it.
    pub connect: Duration,
    /// Further attempts after a failure that may pass.
    pub retries: u32,
    /// Before the first further attempt; twice as long before each one after it.
    pub backoff: Duration,
    /// The longest wait that the server may ask for.
    pub longest_wait: Duration,
    /// Bytes of an answer, at most.
    pub answer: u64,
    /// Requests a minute, at most.
    pub rate: Option<f64>,
    /// How waits are passed.
    pub sleep: fn(Duration),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            connect: Duration::from_secs(10),
            retries: 5,
            backoff: Duration::from_secs(1),
            longest_wait: Duration::from_secs(600),
            answer: 8 << 20,
            rate: None,
            sleep: thread::sleep,
        }
    }
}

/// Addresses of the same server that a request may be sent on to.
const REDIRECTS: usize = 3;

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    key: Option<ApiKey>,
    /// By which the endpoint is reached: a request is sent on to no other server.
    proxy: Option<Proxy>,
    pub(super) limits: Limits,
    pace: Pace,
}

impl Client {
    pub(super) fn new(manner: &Manner) -> Self {
        let limits = manner.limits.clone();
        let proxy = manner.endpoint.address().parse().ok().and_then(|address| proxy_for(&address));
        let mut tls = TlsConfig::builder();
        if let Some(authorities) = &manner.authorities {
            tls = tls.root_certs(authorities.roots());
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("niah/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_global(Some(limits.timeout))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            // Servers close what is idle after five seconds.
            .max_idle_age(Duration::from_secs(3))
            .max_idle_connections(1024)
            .max_idle_connections_per_host(1024)
            .input_buffer_size(BUFFERED)
            .output_buffer_size(BUFFERED)
            .tls_config(tls.build())
            .proxy(proxy.clone())
            .build();
        let pace = Pace::new(limits.rate, limits.sleep);
        let (endpoint, key) = (manner.endpoint.clone(), manner.key.clone());
        Self { agent: config.new_agent(), endpoint, key, proxy, limits, pace }
    }

    /// Sends `body`, or nothing, to `path` below the endpoint and hands the answer to `read`; tries again
    /// when the failure may pass. Returns how many attempts it took as well.
    pub(super) fn exchange<T>(
        &self,
        path: &str,
        body: Option<&str>,
        read: impl Fn(Response<'_>) -> Result<T, Failure>,
        stop: &AtomicBool,
    ) -> Result<(T, u32), Failure> {
        self.exchange_at(&self.endpoint.at(path), body, read, stop)
    }

    /// The same at a whole address of the endpoint's server.
    pub(super) fn exchange_at<T>(
        &self,
        address: &str,
        body: Option<&str>,
        read: impl Fn(Response<'_>) -> Result<T, Failure>,
        stop: &AtomicBool,
    ) -> Result<(T, u32), Failure> {
        let mut pause = self.limits.backoff;
        for attempt in 1.. {
            if !self.pace.turn(stop) {
                break;
            }
            let failure = match self.follow(address, body).and_then(&read) {
                Ok(answer) => return Ok((answer, attempt)),
                Err(failure) => {
                    Failure { problem: self.without_key(&failure.problem).into_owned(), ..failure }
                }
            };
            let wait = failure.retry_after.unwrap_or_else(|| jittered(pause));
            if attempt > self.limits.retries || !failure.may_pass() || wait > self.limits.longest_wait {
                return Err(failure);
            }
            if failure.retry_after.is_some() {
                // What it asks of one request it asks of all.
                self.pace.hold(wait);
            }
            if !self.pace.wait(wait, stop) {
                break;
            }
            pause = (2 * pause).min(self.limits.longest_wait);
        }
        Err(Failure::new(Kind::Stopped, "the run was stopped"))
    }

    /// The endpoint.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A server's words, short and harmless. The key goes before they are cut, as a part of it is no longer
    /// found.
    pub(super) fn words(&self, text: &str) -> String {
        words(&self.without_key(text))
    }

    /// A text in which the key is not readable, though the server may have repeated it.
    pub(super) fn without_key<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.key {
            Some(key) => key.hidden_in(text),
            None => Cow::Borrowed(text),
        }
    }

    /// What is kept of an answer, without the key.
    pub(super) fn kept(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.struck_out(text),
            None => text,
        }
    }

    /// One attempt, followed from address to address of the same server.
    fn follow(&self, address: &str, body: Option<&str>) -> Result<Response<'_>, Failure> {
        let mut address: Uri =
            address.parse().map_err(|_| Failure::wrong(format!("{} is no address", cut(address))))?;
        let home = Origin::of(&address);
        for _ in 0..=REDIRECTS {
            let response = self.send(&address, body)?;
            match response.status().as_u16() {
                200..=299 => return Ok(Response::of(response, self)),
                status @ (301 | 302 | 303 | 307 | 308) => {
                    let to = target(&address, response.headers()).map_err(Failure::wrong)?;
                    if Origin::of(&to) != home {
                        let host = to.authority().map(ToString::to_string).unwrap_or_default();
                        let problem = format!(
                            "sends on to another place ({}), which gets neither the prompt nor the key; give \
                             that address as the endpoint if it is meant",
                            self.words(&host)
                        );
                        return Err(Failure::wrong(problem));
                    }
                    // What these mean for a request with a body is not agreed on.
                    if body.is_some() && !matches!(status, 307 | 308) {
                        let problem =
                            format!("sends on to {} (status {status})", self.words(&to.to_string()));
                        return Err(Failure::wrong(problem));
                    }
                    address = to;
                }
                status => return Err(self.refused(status, response)),
            }
        }
        Err(Failure::wrong(format!("sent on more than {REDIRECTS} times")))
    }

    fn send(&self, address: &Uri, body: Option<&str>) -> Result<ureq::http::Response<Body>, Failure> {
        let key = self.key.as_ref().map(|key| key.header(&self.endpoint));
        let sent = match body {
            Some(body) => {
                let mut request = self.agent.post(address.clone()).header("Content-Type", "application/json");
                if let Some((name, value)) = key {
                    request = request.header(name, value);
                }
                request.send(body)
            }
            None => {
                let mut request = self.agent.get(address.clone());
                if let Some((name, value)) = key {
                    request = request.header(name, value);
                }
                request.call()
            }
        };
        sent.map_err(|error| {
            let failure = self.failed(error);
            Failure { problem: by_proxy(failure.problem, self.proxy.as_ref()), ..failure }
        })
    }

    /// What a refusal says.
    fn refused(&self, status: u16, response: ureq::http::Response<Body>) -> Failure {
        let headers = response.headers();
        let asked = headers.get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = asked.and_then(retry_after);
        let mut said = Vec::new();
        // A refusal that breaks off has said what it has said.
        let _ = response.into_body().into_reader().take(MOST_OF_REFUSAL).read_to_end(&mut said);
        let said = self.words(&said_in(&String::from_utf8_lossy(&said)));
        let colon = if said.is_empty() { "" } else { ": " };
        Failure { kind: Kind::Status(status), problem: format!("status {status}{colon}{said}"), retry_after }
    }

    /// What an error of a connection means.
    pub(super) fn failed(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                let limit = self.limits.connect.as_secs_f32();
                Failure::new(Kind::Unreachable, format!("no connection within {limit} s"))
            }
            ureq::Error::Timeout(_) => {
                let limit = self.limits.timeout.as_secs_f32();
                Failure::new(Kind::Late, format!("no whole answer within {limit} s"))
            }
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => broken(),
                io::ErrorKind::InvalidData => Failure::wrong(untrusted(&error.to_string())),
                _ => Failure::new(Kind::Unreachable, words(&error.to_string())),
            },
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                Failure::new(Kind::Unreachable, words(&error.to_string()))
            }
            // A peer that goes away before its answer is told of as a protocol error.
            ureq::Error::Protocol(_) => broken(),
            other => Failure::wrong(untrusted(&other.to_string())),
        }
    }
}

/// An error in words, with the remedy where a certificate is of an authority that nobody has named.
fn untrusted(error: &str) -> String {
    let error = words(error);
    match error.contains("UnknownIssuer") {
        true => format!(
            "{error}; expected a certificate that a public authority has signed, or where SSL_CERT_FILE is \
             set one of that file: for an authority of your own set SSL_CERT_FILE=ca.pem, a file that holds \
             its certificate as PEM"
        ),
        false => error,
    }
}

fn broken() -> Failure {
    Failure::new(Kind::Broken, "the connection broke off")
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn retry_after(header: &str) -> Option<Duration> {
    let header = header.trim();
    let seconds = header.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => clock::until(header),
    }
}

/// Between half of a pause and all of it, so that requests that failed together do not come together again.
fn jittered(pause: Duration) -> Duration {
    let nanos =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    pause.mul_f64(0.5 + f64::from(nanos % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Wed, 21 Oct 2065 07:28:00 GMT").unwrap() > Duration::from_secs(1 << 20));
        for bad in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(retry_after(bad), None, "{bad}");
        }
    }
}
