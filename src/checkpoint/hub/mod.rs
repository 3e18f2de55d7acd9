//! The Hugging Face hub: a checkpoint's files from the local cache, or downloaded into it.
//!
//! A name is `org/name[@revision][/folder][/file.gguf]`. Of a repository only the files that a checkpoint is
//! read from are fetched, never pickles. The cache is that of Python's `huggingface_hub`; a commit that it
//! holds is used as it is, and a commit whose files are all there is not asked for again.

mod cache;
mod choice;
mod client;
mod download;
mod fingerprint;
mod listing;
pub(super) mod names;
mod settings;

use std::path::PathBuf;

use cache::RepositoryCache;
use choice::{ADAPTER, CONFIG, Choice, INDEX, WEIGHTS, is_model};
use client::{Client, Expected, Failure, Kind};
use download::{Contents, local, receive};
use fingerprint::Fingerprint;
use listing::Listing;
use names::HubId;
pub use settings::{Limits, Settings, Token};

use super::Named;
use super::gguf::other_parts;
use super::safetensors::shard_names;
use crate::error::{Error, Result};
use crate::printable::listed;

/// Files that a checkpoint may do without.
const OPTIONAL: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    ADAPTER,
];

/// Where a repository keeps chat templates beside the first one.
const MORE_TEMPLATES: &str = "additional_chat_templates/";

/// Brings a checkpoint of the hub into the cache; returns its directory, or the GGUF file (the first part of
/// a split one). `name` is what no file or directory is called.
pub(super) fn fetch(name: &str, named: Named) -> Result<PathBuf> {
    // A mistyped path must not fail for the hub's settings.
    if HubId::parse(name).is_none() {
        return Err(not_found(name));
    }
    let settings = Settings::from_env().map_err(|error| {
        Error::file(
            name,
            format!("no such file or directory here, and as a hub id it cannot be looked up: {error}"),
        )
    })?;
    fetch_as(&settings, name, named)
}

/// A checkpoint that a user has named, under these settings.
///
/// # Errors
/// When `name` is no hub id, the hub does not have it, refuses it or cannot be trusted, or the cache cannot
/// be written.
pub fn fetch_with(settings: &Settings, name: &str) -> Result<PathBuf> {
    fetch_as(settings, name, Named::ByUser)
}

/// Brings a tokenizer of the hub into the cache, without weights; returns its directory, or the GGUF file
/// that was named.
pub(super) fn fetch_tokenizer(name: &str) -> Result<PathBuf> {
    if HubId::parse(name).is_none() {
        return Err(not_found(name));
    }
    let mut fetch = Fetch::new(&Settings::from_env()?, name, Named::ByUser)?;
    match fetch.id.gguf.clone() {
        Some(file) => fetch.gguf(&file),
        None => fetch.tokenizer(),
    }
}

fn fetch_as(settings: &Settings, name: &str, named: Named) -> Result<PathBuf> {
    let mut fetch = Fetch::new(settings, name, named)?;
    match fetch.id.gguf.clone() {
        Some(file) => fetch.gguf(&file),
        None => fetch.checkpoint(),
    }
}

fn not_found(name: &str) -> Error {
    Error::file(
        name,
        "no such file or directory, and not a hub id such as org/name, org/name/folder or org/name/file.gguf",
    )
}

/// One checkpoint on its way.
struct Fetch<'a> {
    /// What the user calls it.
    name: &'a str,
    named: Named,
    id: HubId,
    cache: RepositoryCache,
    /// `None` when the cache alone is used.
    client: Option<Client>,
    /// What files are asked for at: the revision, or the commit once one is known.
    revision: String,
    commit: Option<String>,
    listing: Option<Listing>,
}

impl<'a> Fetch<'a> {
    fn new(settings: &Settings, name: &'a str, named: Named) -> Result<Self> {
        let id = HubId::parse(name).ok_or_else(|| not_found(name))?;
        let cache = RepositoryCache::new(settings, &id);
        let client = (!settings.offline && named == Named::ByUser).then(|| Client::new(settings));
        let revision = id.revision.clone();
        Ok(Self { name, named, id, cache, client, revision, commit: None, listing: None })
    }

    /// The tokenizer of the id's folder, with what stands beside it but for weights.
    fn tokenizer(&mut self) -> Result<PathBuf> {
        let tokenizer = self.id.in_folder(OPTIONAL[0]);
        self.pin_cached(|fetch, commit| Ok(fetch.cache.file(commit, &tokenizer)?.is_some()))?;
        match &self.commit {
            // A tokenizer that is there was fetched with what stands beside it.
            Some(commit) if self.cache.file(commit, &tokenizer)?.is_some() => self.client = None,
            _ => self.list()?,
        }
        let tokenizer = self.required(&tokenizer)?;
        for file in self.beside() {
            self.optional(&file)?;
        }
        let directory = tokenizer.parent().map(PathBuf::from);
        directory.ok_or_else(|| Error::file(&tokenizer, "no directory above it in the cache"))
    }

    /// A GGUF file that was named, with the other parts of a split one.
    fn gguf(&mut self, file: &str) -> Result<PathBuf> {
        self.pin_cached(|fetch, commit| Ok(fetch.cache.file(commit, file)?.is_some()))?;
        let first = match self.optional(file)? {
            Some(first) => first,
            None => return Err(self.no_such_gguf(file)),
        };
        for part in other_parts(file) {
            self.required(&part)?;
        }
        Ok(first)
    }

    /// The checkpoint of the id's folder: safetensors with their configuration, or else its one GGUF file.
    fn checkpoint(&mut self) -> Result<PathBuf> {
        let config = self.id.in_folder(CONFIG);
        self.pin_cached(|fetch, commit| Ok(fetch.cache.file(commit, &config)?.is_some()))?;
        if self.is_complete()? {
            // All that is wanted is there, and nothing need be asked.
            self.client = None;
        } else {
            self.list()?;
            if let Some(file) = self.only_gguf()? {
                return self.gguf(&file);
            }
        }
        let config = self.required(&config)?;
        for file in self.beside() {
            self.optional(&file)?;
        }
        if self.optional(&self.id.in_folder(WEIGHTS))?.is_none() {
            let index = self.required(&self.id.in_folder(INDEX))?;
            for shard in shard_names(&index)? {
                self.required(&self.id.in_folder(&shard))?;
            }
        }
        let directory = config.parent().map(PathBuf::from);
        directory.ok_or_else(|| Error::file(&config, "no directory above it in the cache"))
    }

    /// Takes every file from the commit that the cache knows the revision by, when `holds` says that it is
    /// begun there: a repository that changes between two files, or between two attempts, must not give a
    /// mixture.
    fn pin_cached(&mut self, holds: impl Fn(&Self, &str) -> Result<bool>) -> Result<()> {
        let Some(commit) = self.commit.is_none().then(|| self.cache.commit_of(&self.revision)).flatten()
        else {
            return Ok(());
        };
        // A commit is what it is, and without the hub there is nothing else to take.
        if commit == self.revision || self.client.is_none() || holds(self, &commit)? {
            self.pin(&commit);
        }
        Ok(())
    }

    fn pin(&mut self, commit: &str) {
        self.revision = commit.to_string();
        self.commit = Some(commit.to_string());
    }

    /// Whether the cache has every file of the commit that there is.
    fn is_complete(&self) -> Result<bool> {
        let Some(commit) = &self.commit else { return Ok(false) };
        let has = |file: &str| Ok::<_, Error>(self.cache.file(commit, &self.id.in_folder(file))?.is_some());
        if !has(CONFIG)? {
            return Ok(false);
        }
        for file in OPTIONAL {
            if !has(file)? && !self.cache.lacks(commit, &self.id.in_folder(file)) {
                return Ok(false);
            }
        }
        if has(WEIGHTS)? {
            return Ok(true);
        }
        let Some(index) = self.cache.file(commit, &self.id.in_folder(INDEX))? else { return Ok(false) };
        for shard in shard_names(&index)? {
            if !has(&shard)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gets the list of files, where the hub has one, and remembers what the commit lacks.
    fn list(&mut self) -> Result<()> {
        let Some(client) = &self.client else { return Ok(()) };
        let listing = Listing::fetch(client, &self.id, &self.revision)
            .map_err(|failure| self.failed("the list of its files", &failure))?;
        let Some(listing) = listing else { return Ok(()) };
        self.pin(&listing.commit.clone());
        self.listing = Some(listing);
        Ok(())
    }

    /// The files beside configuration and weights that are wanted and, as far as is known, there.
    fn beside(&self) -> Vec<String> {
        let mut files: Vec<_> = OPTIONAL.iter().map(|file| self.id.in_folder(file)).collect();
        if let Some(listing) = &self.listing {
            let templates = self.id.in_folder(MORE_TEMPLATES);
            let more = listing.below(&self.id.folder).filter(|file| {
                file.strip_prefix(&templates)
                    .is_some_and(|rest| rest.ends_with(".jinja") && !rest.contains('/'))
            });
            files.extend(more.map(String::from));
        }
        files
    }

    /// The one GGUF file of a folder without safetensors, when it is listed; several must be chosen from.
    fn only_gguf(&self) -> Result<Option<String>> {
        let files: Vec<String> = match (&self.listing, &self.commit, &self.client) {
            (Some(listing), ..) => listing.below(&self.id.folder).map(String::from).collect(),
            (None, Some(commit), None) => self.cached_files(commit),
            _ => return Ok(None),
        };
        match Choice::of(&self.id, &files) {
            Choice::Safetensors => Ok(None),
            Choice::Gguf(file) => Ok(Some(file)),
            Choice::Several(several) => {
                let base = self.name.strip_suffix(&format!("/{}", self.id.folder)).unwrap_or(self.name);
                let names = several.into_iter().map(|file| format!("{base}/{file}"));
                Err(Error::file(
                    self.name,
                    format!("holds several GGUF files; name one of them: {}", listed(names)),
                ))
            }
            // What is not in the cache is said by the name of the first file that is missing.
            Choice::Nothing(_) if self.client.is_none() => Ok(None),
            Choice::Nothing(problem) => Err(Error::file(self.name, problem)),
        }
    }

    /// The files of a commit's folder that are in the cache.
    fn cached_files(&self, commit: &str) -> Vec<String> {
        let folder = self.cache.snapshot(commit).join(&self.id.folder);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = self.id.in_folder(&entry.file_name().to_string_lossy());
            if self.cache.file(commit, &name).is_ok_and(|file| file.is_some()) {
                files.push(name);
            }
        }
        files.sort();
        files
    }

    fn no_such_gguf(&mut self, file: &str) -> Error {
        if self.client.is_some() && self.listing.is_none() {
            // It serves the message alone.
            let _ = self.list();
        }
        let files = self.listing.iter().flat_map(|listing| listing.below(""));
        let others = listed(files.filter(|file| is_model(file)).map(String::from));
        match self.missing(file) {
            Error::File { path, problem } if !others.is_empty() => {
                Error::file(path, format!("{problem} ({} has: {others})", self.id.repository()))
            }
            error => error,
        }
    }

    fn required(&mut self, file: &str) -> Result<PathBuf> {
        match self.optional(file)? {
            Some(path) => Ok(path),
            None => Err(self.missing(file)),
        }
    }

    fn missing(&self, file: &str) -> Error {
        let place = match self.client {
            Some(_) => "on the hub; check the id or the path",
            None if self.named == Named::ByFile => {
                "in the cache; what a run names is never downloaded, name it yourself with `model` to allow \
                 it"
            }
            None => "in the cache; unset HF_HUB_OFFLINE to download it",
        };
        Error::file(
            self.name,
            format!("no such file or directory here, and as a hub id its {file} is not {place}"),
        )
    }

    /// A file from the cache or the hub; `None` when there is no such file.
    fn optional(&mut self, file: &str) -> Result<Option<PathBuf>> {
        if let Some(commit) = &self.commit {
            if let Some(path) = self.cache.file(commit, file)? {
                return Ok(Some(path));
            }
            let unlisted = self.listing.as_ref().is_some_and(|listing| listing.get(file).is_none());
            if unlisted || self.client.is_none() {
                if unlisted {
                    self.cache.set_lacking(commit, file);
                }
                return Ok(None);
            }
        }
        let Some(client) = &self.client else { return Ok(None) };
        match self.download(client, file) {
            Ok((commit, path)) => {
                if self.commit.is_none() {
                    self.pin(&commit);
                }
                Ok(Some(path))
            }
            Err(Failure { kind: Kind::Status(404), .. }) => {
                if let Some(commit) = &self.commit {
                    self.cache.set_lacking(commit, file);
                }
                Ok(None)
            }
            Err(failure) => Err(self.failed(file, &failure)),
        }
    }

    /// A file from the hub, with the commit that holds it.
    fn download(&self, client: &Client, file: &str) -> Result<(String, PathBuf), Failure> {
        let address = self.id.file_address(&self.revision, file);
        let expected = if names::is_weights(file) { Expected::Weights } else { Expected::Small };
        let answer = client.get(&address, 0, expected)?;
        let commit = answer.identity.commit()?.to_string();
        if self.commit.as_ref().is_some_and(|pinned| *pinned != commit) {
            return Err(Failure::untrusted("the answer is of another commit than was asked for"));
        }
        let etag = answer.identity.etag()?;
        let listed = self.listing.as_ref().and_then(|listing| listing.get(file)).cloned().unwrap_or_default();
        let contents = Contents {
            address,
            expected,
            size: listed.size.or(answer.identity.size),
            fingerprint: listed.fingerprint.or_else(|| Fingerprint::of_etag(&etag)),
            // The id of a GGUF file names it already.
            shown: match self.name.ends_with(file) {
                true => self.name.to_string(),
                false => format!("{}: {file}", self.name),
            },
            etag,
        };
        let new = receive(client, &self.cache, &contents, answer)?;
        let path = self.cache.link(&commit, file, &contents.etag, new).map_err(local)?;
        self.cache.set_commit(&self.id.revision, &commit).map_err(local)?;
        Ok((commit, path))
    }

    fn failed(&self, file: &str, failure: &Failure) -> Error {
        let remedy = match failure.kind {
            Kind::Local => return Error::Message(failure.problem.clone()),
            // The hub also answers so, lest it give away what is private, for what does not exist.
            Kind::Status(401 | 403) => {
                "no access, or no such model: check the id, accept the model's terms on the hub and set \
                 HF_TOKEN"
            }
            Kind::Status(429) => {
                "the hub limits how often it is asked: wait, or set HF_TOKEN for a higher limit"
            }
            Kind::Status(_) | Kind::Broken | Kind::Network => {
                "check the id and the network and run the same again, or set HF_HUB_OFFLINE=1 to use the \
                 cache alone"
            }
            Kind::Untrusted | Kind::Damaged => {
                "such an answer is not used: check the network and, if it is set, HF_ENDPOINT"
            }
        };
        let problem = &failure.problem;
        Error::file(
            self.name,
            format!("no such file or directory here, and not from the hub ({file}: {problem}); {remedy}"),
        )
    }
}
