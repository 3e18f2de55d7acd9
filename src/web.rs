//! Web addresses: whose they are, where an answer may send a request on to, and what of a server's words is
//! shown.

use std::net::IpAddr;

use ureq::http::{HeaderMap, Uri};

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
}

impl Origin {
    pub(crate) fn of(address: &Uri) -> Self {
        let scheme = address.scheme_str().map(str::to_lowercase);
        let usual = match scheme.as_deref() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        };
        Self { host: address.host().map(str::to_lowercase), port: address.port_u16().or(usual), scheme }
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// Where an answer sends on to: an absolute address, or one relative to `from`.
///
/// # Errors
/// What is wrong with the answer, when it names no such address.
pub(crate) fn target(from: &Uri, headers: &HeaderMap) -> Result<Uri, String> {
    let location = headers.get("location").and_then(|value| value.to_str().ok());
    let location = location.ok_or("sent on without an address")?.trim();
    let bad = |why: &str| format!("sent on to {}, {why}", cut(location));
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (from.scheme_str().unwrap_or_default(), from.authority());
    let authority = authority.map(ToString::to_string).unwrap_or_default();
    let has_scheme = location.split(['/', '?']).next().unwrap_or_default().contains(':');
    let whole = if has_scheme {
        location.to_string()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let address: Uri = whole.parse().map_err(|_| bad("which is no address"))?;
    match address.scheme_str() {
        Some("http" | "https") if address.host().is_some_and(|host| !host.is_empty()) => {}
        _ => return Err(bad("which is no web address")),
    }
    if scheme == "https" && address.scheme_str() != Some("https") {
        return Err(bad("which is not encrypted as the address before was"));
    }
    Ok(address)
}

/// The beginning of a server's text, for a message.
pub(crate) fn cut(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_on(from: &str, location: &str) -> Result<String, String> {
        let headers = HeaderMap::from_iter([("location".parse().unwrap(), location.parse().unwrap())]);
        let address = target(&from.parse().unwrap(), &headers);
        address.map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_followed_as_they_are_written() {
        let from = "https://hub.example/a/b?c=d";
        for (location, to) in [
            ("https://other.example:8443/x?y#z", "https://other.example:8443/x?y"),
            ("//other.example/x", "https://other.example/x"),
            ("/x?at=1:2", "https://hub.example/x?at=1:2"),
            ("x/y", "https://hub.example/a/x/y"),
        ] {
            assert_eq!(sent_on(from, location).unwrap(), to);
        }
    }

    #[test]
    fn other_schemes_and_plain_text_after_encryption_are_not_followed() {
        for location in [
            "file:///etc/passwd",
            "ftp://x/y",
            "javascript:alert(1)",
            "http:///x",
            "https://",
            "http://[",
            "data:,x",
        ] {
            assert!(sent_on("http://hub.example/a", location).is_err(), "{location}");
        }
        let plain = sent_on("https://hub.example/a", "http://hub.example/a").unwrap_err();
        assert!(plain.contains("not encrypted"), "{plain}");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |address: &str| Origin::of(&address.parse().unwrap());
        assert_eq!(of("https://Hub.example/a"), of("HTTPS://hub.example:443/b"));
        for other in [
            "http://hub.example",
            "https://hub.example:444",
            "https://hub.example.org",
            "https://x@y.example",
        ] {
            assert_ne!(of("https://hub.example"), of(other), "{other}");
        }
        assert_eq!(of("https://hub.example@evil.example/").host.as_deref(), Some("evil.example"));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "[::2]", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
