//! The key of a server: from the environment or a file, never shown and never stored.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::Endpoint;
use crate::error::{Error, Result};
use crate::files;

/// Variables that a key may stand in; the first that is set counts.
const VARIABLES: &[&str] = &["NIAH_API_KEY", "OPENAI_API_KEY"];

/// Bytes of a file with a key, at most.
const MOST_BYTES: u64 = 1 << 16;

/// Bytes of a key that is a secret, at least.
const SECRET: usize = 16;

/// Who asks; it is never shown.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key from its text; `place` says where it stood.
    ///
    /// # Errors
    /// When it holds characters that cannot stand in a header; the message does not show it.
    pub fn new(text: &str, place: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::invalid(
                place,
                "no key, or characters that no key has",
                "one line with a key",
            ));
        }
        Ok(Self(text.to_string()))
    }

    /// The key of this file, or else of a variable; none where there is neither.
    ///
    /// # Errors
    /// When the file cannot be read, or what stands there is no key.
    pub fn find(file: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        if let Some(path) = file {
            let text = files::read_text(path, MOST_BYTES)
                .map_err(|error| Error::file(path, files::problem(&error)))?;
            return Self::new(&text, "api key file").map(Some);
        }
        let set = VARIABLES.iter().filter_map(|name| Some((*name, variable(name)?)));
        let first = { set }.find(|(_, key)| !key.trim().is_empty());
        first.map(|(name, key)| Self::new(&key, name)).transpose()
    }

    /// The header that tells an endpoint who asks, and its value: `Authorization`, or `api-key` on Azure,
    /// where only tokens of its directory are bearers.
    pub(super) fn header(&self, endpoint: &Endpoint) -> (&'static str, String) {
        match endpoint.takes_api_key() && !self.is_signed() {
            true => ("api-key", self.0.clone()),
            false => ("Authorization", format!("Bearer {}", self.0)),
        }
    }

    /// Whether it is a signed token: three parts, the first of which is an object of JSON in base 64.
    fn is_signed(&self) -> bool {
        self.0.starts_with("eyJ") && self.0.split('.').count() == 3
    }

    /// A text in which the key is not readable, though a server may have repeated it.
    pub(super) fn hidden_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match text.contains(&self.0) {
            true => Cow::Owned(text.replace(&self.0, "[key]")),
            false => Cow::Borrowed(text),
        }
    }

    /// The same of what is kept as a result, where it is long enough for a secret: a word that a server of
    /// one's own is given in the place of a key, such as `EMPTY`, may well stand in an answer.
    pub(super) fn struck_out(&self, text: String) -> String {
        match self.0.len() >= SECRET && text.contains(&self.0) {
            true => text.replace(&self.0, "[key]"),
            false => text,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_in_a_file_or_a_variable_and_is_never_shown() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("key");
        std::fs::write(&file, "of-file\n").unwrap();
        let of = |variables: &[(&str, &str)], file: Option<&Path>| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
            };
            ApiKey::find(file, variable).unwrap().map(|key| key.0)
        };
        let both = [("OPENAI_API_KEY", "openai"), ("NIAH_API_KEY", "own")];
        assert_eq!(of(&both, None).as_deref(), Some("own"));
        assert_eq!(of(&both[..1], None).as_deref(), Some("openai"));
        assert_eq!(of(&[("NIAH_API_KEY", " "), both[0]], None).as_deref(), Some("openai"));
        assert_eq!(of(&both, Some(&file)).as_deref(), Some("of-file"));
        assert_eq!(of(&[], None), None);
        let wrong = ApiKey::new("two words", "NIAH_API_KEY").unwrap_err().to_string();
        assert!(wrong.starts_with("NIAH_API_KEY") && !wrong.contains("two"), "{wrong}");
        let azure = Endpoint::new("https://me.openai.azure.com/openai/deployments/x").unwrap();
        let header = |text: &str, endpoint: &Endpoint| ApiKey::new(text, "").unwrap().header(endpoint);
        assert_eq!(header("a", &azure), ("api-key", "a".to_string()));
        assert_eq!(header("eyJ0.e30.x", &azure), ("Authorization", "Bearer eyJ0.e30.x".to_string()));
        let other = Endpoint::new("https://host/v1").unwrap();
        assert_eq!(header("a", &other), ("Authorization", "Bearer a".to_string()));
        let long = ApiKey::new("sk-0123456789abcdef", "").unwrap();
        assert_eq!(long.struck_out("a sk-0123456789abcdef".to_string()), "a [key]");
        let word = ApiKey::new("EMPTY", "").unwrap();
        assert_eq!(word.struck_out("the box is EMPTY".to_string()), "the box is EMPTY");
        let key = ApiKey::new("secret", "").unwrap();
        assert_eq!(
            (format!("{key:?}"), key.hidden_in("no secret").into_owned()),
            ("ApiKey(hidden)".into(), "no [key]".into())
        );
    }
}
