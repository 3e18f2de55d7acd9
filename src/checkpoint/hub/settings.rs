//! Where the hub is, who asks it and where its files are kept, from the variables that Python's
//! `huggingface_hub` reads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// The hub that is asked when no other is named.
const ENDPOINT: &str = "https://huggingface.co";

/// What a download depends on beside the name of the model.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Who asks; goes to the endpoint alone.
    pub token: Option<Token>,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Whether the cache alone is used.
    pub offline: bool,
    /// Whether a snapshot links to its files; else it holds them itself.
    pub symlinks: bool,
    /// How long and how much.
    pub limits: Limits,
}

/// A token of the hub; it is never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token from its text.
    ///
    /// # Errors
    /// When it holds characters that cannot stand in a header; the message does not show it.
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::invalid("HF_TOKEN", "characters that no token has", "letters, digits and _"));
        }
        Ok(Self(text.to_string()))
    }

    /// The value of the header that tells who asks.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Limits of time, size and patience.
#[derive(Debug, Clone)]
pub struct Limits {
    /// To find the server and to connect to it.
    pub connect: Duration,
    /// From a request to the end of the answer's headers.
    pub answer: Duration,
    /// Without any byte of a body, or with fewer than a kilobyte.
    pub silence: Duration,
    /// For the whole body of a small file.
    pub small_body: Duration,
    /// Addresses that one request may be sent on to.
    pub redirects: usize,
    /// Further attempts after an answer that may pass (429, 5xx) or a connection that breaks.
    pub retries: u32,
    /// Before the first further attempt; twice as long before each one after it.
    pub backoff: Duration,
    /// The longest wait that the hub may ask for.
    pub longest_wait: Duration,
    /// Bytes of the list of a repository's files.
    pub listing: u64,
    /// Bytes of a file that holds no weights.
    pub small_file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            small_body: Duration::from_secs(600),
            redirects: 5,
            retries: 3,
            backoff: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            listing: 64 << 20,
            small_file: 128 << 20,
        }
    }
}

impl Settings {
    /// The settings of this process's environment.
    ///
    /// # Errors
    /// When a variable cannot be used, or neither a variable nor a home directory says where the cache is.
    pub fn from_env() -> Result<Self> {
        let read = |name: &str| match std::env::var_os(name).map(std::ffi::OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
            Some(Err(value)) => Err(Error::invalid(name, format!("{value:?}"), "text in UTF-8")),
        };
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        Self::from_variables(&read, home.as_deref())
    }

    /// The settings of these variables, of which none is empty; `home` stands for `~`.
    fn from_variables(read: &dyn Fn(&str) -> Result<Option<String>>, home: Option<&Path>) -> Result<Self> {
        let is_true = |name: &str| Ok::<_, Error>(read(name)?.is_some_and(|value| means_true(&value)));
        let variables = Variables { read, home };
        let (etag, download) =
            (variables.seconds("HF_HUB_ETAG_TIMEOUT")?, variables.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?);
        let defaults = Limits::default();
        let offline = read("HF_HUB_OFFLINE")?.or(read("TRANSFORMERS_OFFLINE")?);
        let token = if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")? { None } else { variables.token()? };
        Ok(Self {
            endpoint: endpoint(read("HF_ENDPOINT")?)?,
            token,
            cache: variables.cache()?,
            offline: offline.is_some_and(|value| means_true(&value)),
            symlinks: !is_true("HF_HUB_DISABLE_SYMLINKS")?,
            limits: Limits {
                answer: etag.unwrap_or(defaults.answer),
                silence: download.unwrap_or(defaults.silence),
                ..defaults
            },
        })
    }
}

struct Variables<'a> {
    read: &'a dyn Fn(&str) -> Result<Option<String>>,
    home: Option<&'a Path>,
}

impl Variables<'_> {
    /// A path, with `~` and variables in it filled in.
    fn path(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(value) = (self.read)(name)? else { return Ok(None) };
        let value = match value.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) => format!("{}{rest}", self.home(name)?),
            None => value,
        };
        let path = PathBuf::from(self.filled_in(&value)?);
        std::path::absolute(&path).map(Some).map_err(|error| Error::file(&path, error))
    }

    fn home(&self, name: &str) -> Result<String> {
        let home = self.home.and_then(Path::to_str).map(String::from);
        home.ok_or_else(|| Error::invalid(name, "~ without a home directory", "a folder with its whole path"))
    }

    /// `$NAME` and `${NAME}` of a value; those that are not set stay.
    fn filled_in(&self, value: &str) -> Result<String> {
        let mut parts = value.split('$');
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, rest) = match part.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
                Some(split) => split,
                None => part.split_at(part.find(|c| !plain(c)).unwrap_or(part.len())),
            };
            match (self.read)(name).ok().flatten().filter(|_| !name.is_empty()) {
                Some(value) => out.extend([value.as_str(), rest]),
                None => out.extend(["$", part]),
            }
        }
        Ok(out)
    }

    fn hub_home(&self) -> Result<PathBuf> {
        if let Some(home) = self.path("HF_HOME")? {
            return Ok(home);
        }
        let cache = match self.path("XDG_CACHE_HOME")? {
            Some(cache) => cache,
            None => self.home.ok_or_else(no_home)?.join(".cache"),
        };
        Ok(cache.join("huggingface"))
    }

    fn cache(&self) -> Result<PathBuf> {
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(cache) = self.path(name)? {
                return Ok(cache);
            }
        }
        Ok(self.hub_home()?.join("hub"))
    }

    /// The token of the environment, or that of the file where a login keeps it.
    fn token(&self) -> Result<Option<Token>> {
        let given = (self.read)("HF_TOKEN")?.or((self.read)("HUGGING_FACE_HUB_TOKEN")?);
        let kept = || {
            let file = self.path("HF_TOKEN_PATH").ok().flatten();
            let file = file.or_else(|| Some(self.hub_home().ok()?.join("token")))?;
            // Without a token that can be read, what is public can still be had.
            let regular = file.metadata().is_ok_and(|found| found.is_file() && found.len() < 1 << 16);
            regular.then(|| std::fs::read_to_string(file).ok()).flatten()
        };
        // A variable that holds nothing but spaces is none.
        let token = given.filter(|token| !token.trim().is_empty()).or_else(kept).unwrap_or_default();
        let token = token.replace(['\r', '\n'], "");
        Some(token.trim()).filter(|token| !token.is_empty()).map(Token::new).transpose()
    }

    /// A whole number of seconds; 0 stands for the default.
    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = (self.read)(name)? else { return Ok(None) };
        let seconds: u32 =
            value.trim().parse().map_err(|_| Error::invalid(name, &value, "a whole number of seconds"))?;
        Ok(Some(seconds).filter(|&seconds| seconds > 0).map(|seconds| Duration::from_secs(seconds.into())))
    }
}

fn no_home() -> Error {
    Error::Message(
        "no home directory to keep hub files in; set HF_HOME to a folder, or HF_HUB_CACHE to the cache \
         itself"
            .to_string(),
    )
}

fn endpoint(given: Option<String>) -> Result<String> {
    let endpoint = given.as_deref().map_or(ENDPOINT, str::trim).trim_end_matches('/');
    let uri: Option<ureq::http::Uri> = endpoint.parse().ok();
    let usable = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !usable {
        // What was given may hold a password.
        return Err(Error::invalid(
            "HF_ENDPOINT",
            "another text",
            "an address such as https://huggingface.co",
        ));
    }
    Ok(endpoint.to_string())
}

/// As `huggingface_hub` reads its switches.
fn means_true(value: &str) -> bool {
    matches!(value.trim().to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn settings(variables: &[(&str, &str)], home: Option<&str>) -> Result<Settings> {
        let map: HashMap<_, _> = variables.iter().copied().collect();
        let read = |name: &str| Ok(map.get(name).map(|value| (*value).to_string()));
        Settings::from_variables(&read, home.map(Path::new))
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        settings(variables, Some("/home/me")).unwrap().cache
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), Path::new("/home/me/hf/hub"));
        let legacy = [("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")];
        assert_eq!(cache(&legacy), Path::new("/old"));
        assert_eq!(cache(&[legacy.as_slice(), &[("HF_HUB_CACHE", "~")]].concat()), Path::new("/home/me"));
        let filled = [("DISK", "/big"), ("HF_HUB_CACHE", "$DISK/${DISK}x/$NO/a$")];
        assert_eq!(cache(&filled), Path::new("/big//bigx/$NO/a$"));
    }

    #[test]
    fn without_a_home_the_message_says_what_to_set() {
        let message = settings(&[], None).unwrap_err().to_string();
        assert!(message.contains("set HF_HOME"), "{message}");
        assert!(settings(&[("HF_HOME", "~/x")], None).unwrap_err().to_string().contains("HF_HOME"));
        assert_eq!(settings(&[("HF_HOME", "/hf")], None).unwrap().cache, Path::new("/hf/hub"));
    }

    #[test]
    fn switches_are_read_as_python_reads_them() {
        for (value, offline) in
            [("1", true), ("on", true), ("Yes", true), ("TRUE", true), ("0", false), ("2", false)]
        {
            for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
                assert_eq!(
                    settings(&[(name, value)], Some("/h")).unwrap().offline,
                    offline,
                    "{name}={value}"
                );
            }
        }
        assert!(!settings(&[("HF_HUB_DISABLE_SYMLINKS", "1")], Some("/h")).unwrap().symlinks);
        let limits = settings(&[("HF_HUB_ETAG_TIMEOUT", "7"), ("HF_HUB_DOWNLOAD_TIMEOUT", "0")], Some("/h"))
            .unwrap()
            .limits;
        assert_eq!((limits.answer, limits.silence), (Duration::from_secs(7), Limits::default().silence));
        assert!(settings(&[("HF_HUB_ETAG_TIMEOUT", "soon")], Some("/h")).is_err());
    }

    #[test]
    fn tokens_are_taken_in_pythons_order_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        std::fs::write(&kept, "kept\r\n").unwrap();
        let path = ("HF_TOKEN_PATH", kept.to_str().unwrap());
        let token =
            |variables: &[(&str, &str)]| settings(variables, Some("/h")).unwrap().token.map(|token| token.0);
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[path]).as_deref(), Some("kept"));
        assert_eq!(token(&[path, ("HUGGING_FACE_HUB_TOKEN", "old")]).as_deref(), Some("old"));
        assert_eq!(
            token(&[("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", " new\n")]).as_deref(),
            Some("new")
        );
        assert_eq!(token(&[("HF_TOKEN", "new"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let shown = format!("{:?}", settings(&[("HF_TOKEN", "hf_secret")], Some("/h")).unwrap());
        assert!(!shown.contains("hf_secret"), "{shown}");
        let wrong = settings(&[("HF_TOKEN", "hf_sec ret")], Some("/h")).unwrap_err().to_string();
        assert!(wrong.contains("HF_TOKEN") && !wrong.contains("ret"), "{wrong}");
    }

    #[test]
    fn an_endpoint_is_a_web_address() {
        let of = |value| settings(&[("HF_ENDPOINT", value)], Some("/h")).map(|settings| settings.endpoint);
        assert_eq!(of("http://127.0.0.1:1/hub/").unwrap(), "http://127.0.0.1:1/hub");
        for bad in ["huggingface.co", "file:///etc", "ftp://x", "https://", "https://x/?a=b"] {
            assert!(of(bad).unwrap_err().to_string().contains("HF_ENDPOINT"), "{bad}");
        }
    }
}
