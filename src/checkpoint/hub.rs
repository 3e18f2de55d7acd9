//! The Hugging Face hub: a checkpoint's files from the local cache, or downloaded into it.
//!
//! Honours `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`. Ids are `org/name`, `org/name@revision`, or
//! `org/name/file.gguf`.

use std::path::PathBuf;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::config::Config;
use crate::error::{Error, Result};

/// Files that a checkpoint may do without.
const OPTIONAL: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// Brings a checkpoint into the cache; returns its directory, or the GGUF file when `name` ends with one.
pub(super) fn fetch(name: &str) -> Result<PathBuf> {
    let (repo, file) = parse(name)?;
    let hub = Hub::open(repo)?;
    if let Some(file) = file {
        return hub.required(&file, name);
    }
    let config = hub.required("config.json", name)?;
    for file in OPTIONAL {
        hub.optional(file, name)?;
    }
    if hub.optional("model.safetensors", name)?.is_none() {
        let index = hub.required("model.safetensors.index.json", name)?;
        let index = Config::read(&index)?;
        let map = index.get("weight_map").and_then(|map| map.as_object()).into_iter().flatten();
        let mut shards: Vec<_> = map.filter_map(|(_, shard)| shard.as_str()).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            hub.required(shard, name)?;
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
    cache: CacheRepo,
    api: Option<ApiRepo>,
}

impl Hub {
    fn open(repo: Repo) -> Result<Self> {
        let cache = Cache::from_env();
        let cached = cache.repo(repo.clone());
        let offline =
            std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        if offline {
            return Ok(Self { cache: cached, api: None });
        }
        let mut builder = ApiBuilder::from_env().with_progress(false);
        if let Ok(token) = std::env::var("HF_TOKEN") {
            builder = builder.with_token(Some(token.trim().to_string()).filter(|token| !token.is_empty()));
        }
        let api = builder.build().map_err(|error| Error::Message(format!("hub: {error}")))?;
        Ok(Self { cache: cached, api: Some(api.repo(repo)) })
    }

    /// A file from the cache or the hub; `None` when the hub has no such file.
    fn optional(&self, file: &str, name: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.cache.get(file) {
            return Ok(Some(path));
        }
        let Some(api) = &self.api else { return Ok(None) };
        match api.download(file) {
            Ok(path) => Ok(Some(path)),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(name, file, &error)),
        }
    }

    fn required(&self, file: &str, name: &str) -> Result<PathBuf> {
        let place = if self.api.is_some() { "on the hub" } else { "in the cache, and HF_HUB_OFFLINE is set" };
        self.optional(file, name)?.ok_or_else(|| Error::file(name, format!("{file} is not {place}")))
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
        Some(401 | 403) => "no access: accept the model's terms on the hub and set HF_TOKEN",
        _ => "check the id and the network, or set HF_HUB_OFFLINE=1 to use the cache alone",
    };
    Error::file(name, format!("{file}: {error}; {remedy}"))
}
