//! The address of a server, and which of its two interfaces is asked.

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::error::{Error, Result};
use crate::registry::Entry;

/// An interface of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// A text is continued.
    Completions,
    /// A conversation is answered; the server puts it into the model's chat template.
    Chat,
}

/// Every interface, by name.
pub const APIS: &[Entry<Api>] = &[
    Entry {
        name: "completions",
        about: "/completions: a text is continued; with a tokenizer, the same text as a local run reads",
        value: Api::Completions,
    },
    Entry {
        name: "chat",
        about: "/chat/completions: the server puts the prompt into the model's chat template",
        value: Api::Chat,
    },
];

impl Api {
    /// Where it is below an endpoint.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Completions => "/completions",
            Self::Chat => "/chat/completions",
        }
    }

    /// Its name in [`APIS`].
    #[must_use]
    pub fn name(self) -> &'static str {
        APIS.iter().find(|entry| entry.value == self).map_or("", |entry| entry.name)
    }
}

/// The address of a server, such as `http://localhost:8000/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
}

impl Endpoint {
    /// An endpoint of its address; without a path that of `/v1`, and with the path of an interface that below
    /// which the interface is.
    ///
    /// # Errors
    /// When it is no web address, or holds a password or a query: neither may stand in results.
    pub fn new(address: &str) -> Result<Self> {
        let wrong = |found: &str, expected: &str| Err(Error::invalid("endpoint", found, expected));
        let expected = "an address such as http://localhost:8000/v1";
        let base = address.trim().trim_end_matches('/');
        let Ok(uri) = base.parse::<Uri>() else { return wrong("another text", expected) };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return wrong(
                "an address with a name or password in it",
                "one without; a key stands in NIAH_API_KEY, OPENAI_API_KEY or a file",
            );
        }
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return wrong(base, expected);
        }
        if uri.query().is_some() {
            return wrong("an address with a query", "one without ? and what follows it");
        }
        let interfaces = [Api::Chat, Api::Completions].map(Api::path);
        let base = interfaces.iter().find_map(|path| base.strip_suffix(path)).unwrap_or(base);
        let path = if matches!(uri.path(), "" | "/") { "/v1" } else { "" };
        Ok(Self { base: format!("{base}{path}") })
    }

    /// What lies at `path` below it.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What lies at `path` of the server, beside the interface.
    pub(super) fn beside(&self, path: &str) -> String {
        format!("{}{path}", self.base.strip_suffix("/v1").unwrap_or(&self.base))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_the_interfaces_are_below() {
        for (given, base) in [
            ("http://localhost:8000", "http://localhost:8000/v1"),
            ("http://localhost:8000/", "http://localhost:8000/v1"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
            ("https://host/api/openai", "https://host/api/openai"),
            ("http://[::1]:1/v1/chat/completions", "http://[::1]:1/v1"),
            ("http://host/v1/completions", "http://host/v1"),
        ] {
            assert_eq!(Endpoint::new(given).unwrap().as_str(), base, "{given}");
        }
        let endpoint = Endpoint::new("http://host:1").unwrap();
        assert_eq!(endpoint.at(Api::Chat.path()), "http://host:1/v1/chat/completions");
        assert_eq!(endpoint.beside("/tokenize"), "http://host:1/tokenize");
    }

    #[test]
    fn other_texts_are_refused_and_passwords_are_not_repeated() {
        for bad in ["localhost:8000", "ftp://x", "http://", "file:///x", "", "http://x/v1?key=1", "a b"] {
            assert!(Endpoint::new(bad).unwrap_err().to_string().starts_with("endpoint: "), "{bad}");
        }
        let error = Endpoint::new("http://me:secret@host/v1").unwrap_err().to_string();
        assert!(error.contains("NIAH_API_KEY") && !error.contains("secret"), "{error}");
    }
}
