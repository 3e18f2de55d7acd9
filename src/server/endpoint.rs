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
    /// What stands behind the path of every request, `?` among it; often nothing.
    query: String,
    named: Option<Api>,
}

/// Words in the name of a value that is a secret.
const SECRET: &[&str] = &["key", "token", "secret", "sig", "code", "pass", "pwd", "auth", "cred", "jwt"];

/// Characters of a value that is none, at most.
const LONGEST_VALUE: usize = 40;

/// What begins the address of a deployment on Azure, behind its host.
const DEPLOYMENTS: &str = "/openai/deployments/";

impl Endpoint {
    /// An endpoint of its address; without a path that of `/v1`, and with the path of an interface that below
    /// which the interface is. What stands behind `?` is sent with every request.
    ///
    /// # Errors
    /// When it is no web address, or holds a password or a key: neither may stand in results.
    pub fn new(address: &str) -> Result<Self> {
        let wrong = |found: &str, expected: &str| Err(Error::invalid("endpoint", found, expected));
        let expected = "an address such as http://localhost:8000/v1";
        let without_key = "one without; a key stands in NIAH_API_KEY, OPENAI_API_KEY or a file";
        let (path, query) = address.trim().split_once('?').unwrap_or((address.trim(), ""));
        let base = path.trim_end_matches('/');
        let Ok(uri) = base.parse::<Uri>() else { return wrong("another text", expected) };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return wrong("an address with a name or password in it", without_key);
        }
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return wrong(base, expected);
        }
        if query.split('&').any(is_secret) {
            return wrong("an address with what may be a key behind ?", without_key);
        }
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        if format!("{base}/{query}").parse::<Uri>().is_err() {
            return wrong("another text", expected);
        }
        // The longer path first, as it ends with the other one.
        let interfaces = [Api::Chat, Api::Completions];
        let named = interfaces.into_iter().find(|api| base.ends_with(api.path()));
        let base = named.and_then(|api| base.strip_suffix(api.path())).unwrap_or(base);
        let path = if matches!(uri.path(), "" | "/") { "/v1" } else { "" };
        Ok(Self { base: format!("{base}{path}"), query, named })
    }

    /// What lies at `path` below it.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}{}", self.base, self.query)
    }

    /// What lies at `path` of the server, beside the interface.
    pub(super) fn beside(&self, path: &str) -> String {
        format!("{}{path}{}", self.base.strip_suffix("/v1").unwrap_or(&self.base), self.query)
    }

    /// The interface that the address names, where it does.
    #[must_use]
    pub fn api(&self) -> Option<Api> {
        self.named
    }

    /// The deployment that the address is of, on Azure: a model by the name that its owner gave it.
    #[must_use]
    pub fn deployment(&self) -> Option<&str> {
        let (_, behind) = self.base.split_once(DEPLOYMENTS)?;
        behind.split('/').next().filter(|name| !name.is_empty())
    }

    /// Whether the key goes into the header `api-key`, as Azure has it.
    pub(super) fn takes_api_key(&self) -> bool {
        const HOSTS: &[&str] =
            &[".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"];
        let host = self.base.parse::<Uri>().ok().and_then(|uri| Some(uri.host()?.to_lowercase()));
        self.deployment().is_some()
            || host.is_some_and(|host| HOSTS.iter().any(|azure| host.ends_with(azure)))
    }

    /// The address below which the interfaces are, with what stands behind `?`.
    #[must_use]
    pub fn address(&self) -> String {
        self.at("")
    }
}

/// Whether one of the values behind `?` may be a key.
fn is_secret(pair: &str) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let name = name.to_lowercase();
    value.len() > LONGEST_VALUE || SECRET.iter().any(|word| name.contains(word))
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
            assert_eq!(Endpoint::new(given).unwrap().address(), base, "{given}");
        }
        let endpoint = Endpoint::new("http://host:1").unwrap();
        assert_eq!(endpoint.at(Api::Chat.path()), "http://host:1/v1/chat/completions");
        assert_eq!(endpoint.beside("/tokenize"), "http://host:1/tokenize");
    }

    #[test]
    fn an_address_may_name_an_interface_a_deployment_and_a_version() {
        let azure = "https://me.openai.azure.com/openai/deployments/gpt-4o";
        let endpoint = Endpoint::new(&format!("{azure}/chat/completions?api-version=2024-10-21")).unwrap();
        assert_eq!(endpoint.address(), format!("{azure}?api-version=2024-10-21"));
        assert_eq!((endpoint.api(), endpoint.deployment()), (Some(Api::Chat), Some("gpt-4o")));
        let asked = endpoint.at(Api::Completions.path());
        assert_eq!(asked, format!("{azure}/completions?api-version=2024-10-21"));
        assert_eq!(Endpoint::new(&endpoint.address()).unwrap().at("/models"), endpoint.at("/models"));
        for (address, api, api_key) in [
            ("https://me.openai.azure.com/openai/v1/", None, true),
            ("https://gate.example/a/openai/deployments/x/completions", Some(Api::Completions), true),
            ("https://azure.com.example/v1/chat/completions", Some(Api::Chat), false),
            ("https://openai.azure.com.example", None, false),
        ] {
            let endpoint = Endpoint::new(address).unwrap();
            assert_eq!((endpoint.api(), endpoint.takes_api_key()), (api, api_key), "{address}");
        }
    }

    #[test]
    fn other_texts_are_refused_and_passwords_are_not_repeated() {
        for bad in ["localhost:8000", "ftp://x", "http://", "file:///x", "", "http://x/v1?a b", "a b"] {
            assert!(Endpoint::new(bad).unwrap_err().to_string().starts_with("endpoint: "), "{bad}");
        }
        let long = format!("http://host/v1?x=secret{}", "0".repeat(64));
        for bad in [
            "http://me:secret@host/v1",
            "http://host/v1?api-version=1&Subscription-Key=secret",
            "http://host/v1?code=secret",
            long.as_str(),
        ] {
            let error = Endpoint::new(bad).unwrap_err().to_string();
            assert!(error.contains("NIAH_API_KEY") && !error.contains("secret"), "{error}");
        }
    }
}
