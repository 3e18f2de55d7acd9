//! The list of a repository's files at a commit, as the hub's API gives it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{Client, Expected, Failure, Kind};
use super::fingerprint::Fingerprint;
use super::names::{self, HubId};

/// The files of a commit whose names can be used.
pub(super) struct Listing {
    pub(super) commit: String,
    files: BTreeMap<String, Listed>,
}

/// What the list says of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Listed {
    pub(super) size: Option<u64>,
    pub(super) fingerprint: Option<Fingerprint>,
}

#[derive(Deserialize)]
struct Answered {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Asks for the list; `None` where there is none: no such repository, or a mirror without this part of
    /// the API.
    pub(super) fn fetch(client: &Client, id: &HubId, revision: &str) -> Result<Option<Self>, Failure> {
        let answer = match client.get(&id.listing_address(revision), 0, Expected::Small) {
            Ok(answer) => answer,
            Err(Failure { kind: Kind::Status(400 | 404 | 405 | 410 | 501), .. }) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let bytes = client.read_all(answer, client.limits().listing)?;
        let listing = Self::parse(&bytes)?;
        if names::is_commit(revision) && listing.commit != revision {
            return Err(Failure::untrusted("the list is of another commit than was asked for"));
        }
        Ok(Some(listing))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let answered: Answered = serde_json::from_slice(bytes)
            .map_err(|error| Failure::untrusted(format!("not a list of files ({error})")))?;
        if !names::is_commit(&answered.sha) {
            return Err(Failure::untrusted("the list names a commit that is none"));
        }
        // A name that could lead elsewhere cannot be that of a file that is wanted.
        let usable = answered.siblings.into_iter().filter(|sibling| names::is_relative(&sibling.rfilename));
        let files = usable.map(|sibling| {
            let large = sibling.lfs.as_ref();
            let hash = match large {
                Some(lfs) => lfs.sha256.as_deref(),
                None => sibling.blob_id.as_deref(),
            };
            let fingerprint = hash.and_then(Fingerprint::of_etag);
            let size = large.and_then(|lfs| lfs.size).or(sibling.size);
            (sibling.rfilename, Listed { size, fingerprint })
        });
        Ok(Self { commit: answered.sha, files: files.collect() })
    }

    /// What the list says of a file, when it is there.
    pub(super) fn get(&self, file: &str) -> Option<&Listed> {
        self.files.get(file)
    }

    /// The files of a folder and of those below it, sorted, with their names in the repository.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = &str> {
        let within = move |file: &str| {
            folder.is_empty() || file.strip_prefix(folder).is_some_and(|f| f.starts_with('/'))
        };
        self.files.keys().map(String::as_str).filter(move |file| within(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &serde_json::Value) -> Result<Listing, String> {
        Listing::parse(json.to_string().as_bytes()).map_err(|failure| failure.problem)
    }

    #[test]
    fn names_that_lead_elsewhere_are_left_out() {
        let (commit, sha256, git) = ("a".repeat(40), "b".repeat(64), "c".repeat(40));
        let listing = parse(&serde_json::json!({ "id": "org/name", "sha": commit, "siblings": [
            { "rfilename": "config.json", "size": 5, "blobId": git },
            { "rfilename": "sub/m.gguf", "size": 7, "blobId": git, "lfs": { "sha256": sha256, "size": 7, "pointerSize": 1 } },
            { "rfilename": "../m.gguf" }, { "rfilename": "/etc/m.gguf" }, { "rfilename": "a\\b.gguf" }, { "rfilename": "subx/a" },
        ] }))
        .unwrap();
        assert_eq!(listing.below("").collect::<Vec<_>>(), ["config.json", "sub/m.gguf", "subx/a"]);
        assert_eq!(listing.below("sub").collect::<Vec<_>>(), ["sub/m.gguf"]);
        let of = |file| listing.get(file).unwrap().clone();
        assert_eq!(of("config.json"), Listed { size: Some(5), fingerprint: Some(Fingerprint::Git(git)) });
        assert_eq!(
            of("sub/m.gguf"),
            Listed { size: Some(7), fingerprint: Some(Fingerprint::Sha256(sha256)) }
        );
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for bad in [
            serde_json::json!({ "sha": "../../x", "siblings": [] }),
            serde_json::json!({ "siblings": [] }),
            serde_json::json!([]),
            serde_json::json!({ "sha": "a".repeat(40), "siblings": [{ "rfilename": 3 }] }),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
