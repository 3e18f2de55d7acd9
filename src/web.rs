//! Web addresses: whose they are, by which proxy they are reached, where an answer may send a request on to,
//! and what of a server's words is shown.

use std::env;
use std::net::IpAddr;

use ureq::http::{HeaderMap, Uri};
use ureq::{Proxy, ProxyBuilder, ProxyProtocol};

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

/// The proxy by which an address is reached, as the environment names it: `HTTPS_PROXY` or `HTTP_PROXY` by
/// the scheme, or else `ALL_PROXY`, in capitals or not. None reaches this machine's own servers, nor the
/// hosts of `NO_PROXY`.
pub(crate) fn proxy_for(address: &Uri) -> Option<Proxy> {
    proxy_by(address, |name| env::var(name).ok())
}

fn proxy_by(address: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    if address.host().is_some_and(is_loopback) {
        return None;
    }
    let but_for = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
    let hosts = but_for.split(',').map(str::trim).filter(|host| !host.is_empty());
    let any = hosts.fold(Proxy::builder(ProxyProtocol::Http), ProxyBuilder::no_proxy).build();
    if any.is_ok_and(|any| any.is_no_proxy(address)) {
        return None;
    }
    let of_scheme = match address.scheme_str() {
        Some("https") => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let names = of_scheme.into_iter().chain(["ALL_PROXY", "all_proxy"]);
    names.filter_map(variable).find_map(|text| Proxy::new(text.trim()).ok())
}

/// What went wrong, with the proxy where there was one; its user and password are not named.
pub(crate) fn by_proxy(problem: String, proxy: Option<&Proxy>) -> String {
    match proxy {
        Some(proxy) => format!("{problem} (by the proxy {}:{})", proxy.host(), proxy.port()),
        None => problem,
    }
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
    fn the_proxy_of_encrypted_addresses_was_asked_for_plain_ones() {
        let of = |address: &str, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
            };
            let proxy = proxy_by(&address.parse().unwrap(), variable);
            by_proxy(String::new(), proxy.as_ref())
        };
        let secure = ("HTTPS_PROXY", "http://user:hush@secure:1");
        let (plain, all) = (("http_proxy", "plain:2"), ("ALL_PROXY", "http://all:3"));
        assert_eq!(of("https://host/v1", &[secure, plain, all]), " (by the proxy secure:1)");
        assert_eq!(of("http://host/v1", &[secure, plain, all]), " (by the proxy plain:2)");
        assert_eq!(of("http://host/v1", &[secure]), "");
        assert_eq!(of("https://host/v1", &[plain]), "");
        for address in ["http://host", "https://host"] {
            assert_eq!(of(address, &[all]), " (by the proxy all:3)");
            assert_eq!(of(address, &[all, ("NO_PROXY", "other, host")]), "");
        }
        assert_eq!(of("http://127.0.0.1:8000", &[plain, all]), "");
        assert_eq!(of("http://host", &[("HTTP_PROXY", ""), all]), " (by the proxy all:3)");
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
