//! The Hugging Face hub: a checkpoint's files from the local cache, or downloaded into it.
//!
//! Honours `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`. Ids are `org/name`, `org/name@revision`, or
//! `org/name/file.gguf`.

use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::safetensors::shard_names;
use super::{Named, gguf};
use crate::error::{Error, Result};
use crate::progress::Download;

/// Files that a checkpoint may do without.
const OPTIONAL: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// The download of a smaller file is over before anybody asks how far it is, in bytes.
const SHOWN: usize = 1 << 20;

/// Brings a checkpoint into the cache; returns its directory, or the GGUF file (the first part of a split one) when `name` ends
/// with one.
pub(super) fn fetch(name: &str, named: Named) -> Result<PathBuf> {
    let (repo, file) = parse(name)?;
    let mut hub = Hub::open(repo, named)?;
    if let Some(file) = file {
        let first = hub.required(&file, name)?;
        hub.pin(&first);
        for part in gguf::other_parts(&file) {
            hub.required(&part, name)?;
        }
        return Ok(first);
    }
    let config = hub.required("config.json", name)?;
    hub.pin(&config);
    for file in OPTIONAL {
        hub.optional(file, name)?;
    }
    if hub.optional("model.safetensors", name)?.is_none() {
        let index = hub.required("model.safetensors.index.json", name)?;
        for shard in shard_names(&index)? {
            hub.required(&shard, name)?;
        }
    }
    config
        .parent()
        .map(PathBuf::from)
        .ok_or_else(|| Error::file(&config, "no directory above it in the cache"))
}

/// Splits `org/name[@revision][/file.gguf]`.
fn parse(name: &str) -> Result<(Repo, Option<String>)> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c))
    };
    let file = match parts.as_slice() {
        [_, _] => None,
        [_, _, file] if file.ends_with(".gguf") => Some((*file).to_string()),
        _ => return Err(not_found(name)),
    };
    if !parts.iter().all(plain) {
        return Err(not_found(name));
    }
    let (model, revision) = parts[1].split_once('@').unwrap_or((parts[1], "main"));
    Ok((Repo::with_revision(format!("{}/{model}", parts[0]), RepoType::Model, revision.to_string()), file))
}

fn not_found(name: &str) -> Error {
    Error::file(name, "no such file or directory, and not a hub id such as org/name or org/name/file.gguf")
}

struct Hub {
    repo: Repo,
    cache: Cache,
    named: Named,
    api: Option<Api>,
    /// The directory of the commit that every file is taken from, once one is known.
    snapshot: Option<PathBuf>,
}

impl Hub {
    fn open(repo: Repo, named: Named) -> Result<Self> {
        let cache = Cache::from_env();
        let variable = |name| std::env::var(name).ok().map(|value: String| value.trim().to_string());
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
        if named == Named::ByFile || !matches!(offline.as_str(), "" | "0" | "false" | "no" | "off") {
            return Ok(Self { repo, cache, named, api: None, snapshot: None });
        }
        let mut builder = ApiBuilder::from_env();
        if let Some(token) = variable("HF_TOKEN").filter(|token| !token.is_empty()) {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().map_err(|error| Error::Message(format!("hub: {error}")))?;
        Ok(Self { repo, cache, named, api: Some(api), snapshot: None })
    }

    /// Takes every further file from the commit of this one: a repository that changes between two files, or between two
    /// attempts at a download, must not give a mixture.
    fn pin(&mut self, cached: &Path) {
        let Some(snapshot) = cached.parent() else { return };
        let Some(commit) = snapshot.file_name().and_then(|commit| commit.to_str()) else { return };
        self.repo = Repo::with_revision(self.repo.url(), RepoType::Model, commit.to_string());
        self.snapshot = Some(snapshot.to_path_buf());
    }

    fn cached(&self, file: &str) -> Option<PathBuf> {
        match &self.snapshot {
            Some(snapshot) => Some(snapshot.join(file)).filter(|path| path.exists()),
            None => self.cache.repo(self.repo.clone()).get(file),
        }
    }

    /// A file from the cache or the hub; `None` when the hub has no such file.
    fn optional(&self, file: &str, name: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.cached(file) {
            return Ok(Some(path));
        }
        let Some(api) = &self.api else { return Ok(None) };
        let shown = Shown { name, download: None };
        match api.repo(self.repo.clone()).download_with_progress(file, shown) {
            Ok(path) => Ok(Some(path)),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(name, file, &error)),
        }
    }

    fn required(&self, file: &str, name: &str) -> Result<PathBuf> {
        let place = match self.api {
            Some(_) => "on the hub; check the id",
            None if self.named == Named::ByFile => {
                "in the cache; what a run names is never downloaded, name it yourself with --model to allow it"
            }
            None => "in the cache; unset HF_HUB_OFFLINE to download it",
        };
        let problem = || format!("no such file or directory here, and as a hub id its {file} is not {place}");
        self.optional(file, name)?.ok_or_else(|| Error::file(name, problem()))
    }
}

/// Tells of the download of a file, when it is large.
struct Shown<'a> {
    /// The id of the checkpoint.
    name: &'a str,
    download: Option<Download>,
}

impl Progress for Shown<'_> {
    /// Called at the beginning of every attempt; what is there already is then told as an update.
    fn init(&mut self, size: usize, filename: &str) {
        match &mut self.download {
            Some(download) => download.set(0),
            None if size < SHOWN => {}
            None => {
                // The id of a GGUF file names it already.
                let what = match self.name.ends_with(filename) {
                    true => self.name.to_string(),
                    false => format!("{}: {filename}", self.name),
                };
                self.download = Some(Download::new(&what, size as u64));
            }
        }
    }

    fn update(&mut self, size: usize) {
        if let Some(download) = &mut self.download {
            download.advance(size as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(download) = &mut self.download {
            download.finish();
        }
    }
}

fn status_of(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(code) => Some(*code),
            _ => None,
        },
        _ => None,
    }
}

fn failed(name: &str, file: &str, error: &ApiError) -> Error {
    let remedy = match status_of(error) {
        // The hub also answers so, lest it give away what is private, for what does not exist.
        Some(401 | 403) => {
            "no access, or no such model: check the id, accept the model's terms on the hub and set HF_TOKEN"
        }
        _ => "check the id and the network, or set HF_HUB_OFFLINE=1 to use the cache alone",
    };
    let error = error.to_string();
    let first = error.lines().next().unwrap_or_default();
    Error::file(
        name,
        format!("no such file or directory here, and not from the hub ({file}: {first}); {remedy}"),
    )
}
