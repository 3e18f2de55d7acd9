//! Names: what a user calls a model of the hub, and which names of a server may become names of files.
//!
//! A server is not trusted with names: a commit, an etag or a file that could lead out of the cache is
//! refused before anything is written.

/// A model of the hub, as a user names it: `org/name[@revision][/folder][/file.gguf]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubId {
    org: String,
    model: String,
    /// A branch, a tag or a commit.
    pub(super) revision: String,
    /// The folder of the checkpoint in the repository, empty for its top.
    pub(super) folder: String,
    /// The GGUF file that was named, with its folder.
    pub(super) gguf: Option<String>,
}

/// What a name ends with that means a file in a mistyped path, and no folder of a repository.
const FILES: &[&str] =
    &[".json", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".jinja", ".model", ".txt", ".csv"];

impl HubId {
    /// Reads a name; `None` when it cannot be one of the hub.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let (org, model) = (parts.next()?, parts.next()?);
        let (model, mut revision) = match model.split_once('@') {
            Some((model, revision)) => (model, revision.to_string()),
            None => (model, "main".to_string()),
        };
        if revision == "refs" {
            // Pull requests and conversions: refs/pr/1.
            revision = format!("refs/{}/{}", parts.next()?, parts.next()?);
        }
        let below: Vec<&str> = parts.collect();
        let plain = [org, model].into_iter().chain(revision.split('/')).all(is_plain);
        // Two hyphens stand for the slash in the name of the cache's folder.
        if !plain || [org, model].iter().any(|part| part.contains("--")) {
            return None;
        }
        let path = below.join("/");
        let gguf = is_gguf(&path);
        let is_file = FILES.iter().any(|ending| path.to_lowercase().ends_with(ending));
        let hidden = below.iter().any(|part| part.starts_with('.'));
        if !below.is_empty() && (!is_relative(&path) || hidden || is_file) {
            return None;
        }
        let folder = if gguf { String::new() } else { path.clone() };
        let (org, model) = (org.to_string(), model.to_string());
        Some(Self { org, model, revision, folder, gguf: gguf.then_some(path) })
    }

    /// `org/name`.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.org, self.model)
    }

    /// The folder of the repository in the cache.
    pub(super) fn cache_folder(&self) -> String {
        format!("models--{}--{}", self.org, self.model)
    }

    /// A file of the checkpoint's folder, as the repository names it.
    pub(super) fn in_folder(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_string() } else { format!("{}/{file}", self.folder) }
    }

    /// Where the hub serves a file, below the endpoint.
    pub(super) fn file_address(&self, revision: &str, file: &str) -> String {
        format!("/{}/resolve/{}/{}", self.repository(), escaped(revision, false), escaped(file, true))
    }

    /// Where the hub lists the repository's files, below the endpoint.
    pub(super) fn listing_address(&self, revision: &str) -> String {
        format!("/api/models/{}/revision/{}?blobs=true", self.repository(), escaped(revision, false))
    }
}

/// Whether a file is a GGUF file by its name.
pub(super) fn is_gguf(file: &str) -> bool {
    file.to_lowercase().ends_with(".gguf")
}

/// Whether a file holds weights, which may be large.
pub(super) fn is_weights(file: &str) -> bool {
    is_gguf(file) || file.ends_with(".safetensors")
}

/// A part of an id or of a revision: letters, digits and `-_.`, not hidden.
fn is_plain(part: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    part.starts_with(first)
        && part.len() <= 128
        && !part.contains("..")
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether `commit` is one: 40 hex digits, or 64 in repositories that count with SHA-256.
pub(super) fn is_commit(commit: &str) -> bool {
    matches!(commit.len(), 40 | 64) && is_hex(commit)
}

/// Whether there are hex digits only.
pub(super) fn is_hex(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The name of a file's contents in the cache from an `ETag` header, without its quotes and the mark of a
/// weak one; `None` when it could be anything but a plain name.
pub(super) fn etag(header: &str) -> Option<String> {
    let header = header.trim();
    let etag = header.strip_prefix("W/").unwrap_or(header).trim_matches('"');
    let plain = etag.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let own = [".incomplete", ".lock", ".tmp"].iter().any(|ending| etag.ends_with(ending));
    (plain && !own && !etag.starts_with('.') && (1..=200).contains(&etag.len())).then(|| etag.to_string())
}

/// Whether a file name with `/` stays below the folder it is put in, on any system.
pub(in crate::checkpoint) fn is_relative(name: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    let foreign = |c: char| c.is_control() || matches!(c, '\\' | ':');
    name.len() <= 1024 && !name.contains(foreign) && name.split('/').all(plain)
}

/// Escapes a text for the path of an address; `/` stays when it separates folders.
fn escaped(text: &str, folders: bool) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (folders && byte == b'/');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_a_revision_a_folder_or_a_gguf_file() {
        let id = HubId::parse("org/name").unwrap();
        assert_eq!((id.revision.as_str(), id.folder.as_str(), &id.gguf), ("main", "", &None));
        assert_eq!((id.repository(), id.cache_folder()), ("org/name".into(), "models--org--name".into()));
        let id = HubId::parse("org/name@v1.0/sub/dir").unwrap();
        assert_eq!(
            (id.revision.as_str(), id.in_folder("config.json")),
            ("v1.0", "sub/dir/config.json".into())
        );
        let id = HubId::parse("org/name@refs/pr/3/Q 4/m.GGUF").unwrap();
        assert_eq!((id.revision.as_str(), id.gguf.as_deref()), ("refs/pr/3", Some("Q 4/m.GGUF")));
        let address = id.file_address(&id.revision, "Q 4/m.GGUF");
        assert_eq!(address, "/org/name/resolve/refs%2Fpr%2F3/Q%204/m.GGUF");
    }

    #[test]
    fn paths_that_are_mistyped_are_no_ids() {
        for name in [
            "name",
            "/abs/path",
            "./a/b",
            "../a",
            "~/models",
            "a/../b",
            "a/b/../c",
            "a/b/",
            "a//b",
            "a/b/config.json",
            "a/b/w.safetensors",
            "a/b c",
            "a\\b/c",
            "C:/models/x",
            "a/b@",
            "a/b@../x",
            "a/b@refs",
            "a--b/c",
            "a/b/.git",
            "a/b/c:d",
            "a/b/\0",
            "",
        ] {
            assert_eq!(HubId::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn only_plain_names_of_a_server_are_taken() {
        assert_eq!(etag("\"abc-1_2.3\"").as_deref(), Some("abc-1_2.3"));
        assert_eq!(etag(" W/\"abc\" ").as_deref(), Some("abc"));
        let long = "a".repeat(201);
        for bad in [
            "",
            "\"\"",
            "..",
            ".",
            "../x",
            "/etc/x",
            "a/b",
            "a\\b",
            "a b",
            "x.incomplete",
            "\u{1b}[31m",
            long.as_str(),
        ] {
            assert_eq!(etag(bad), None, "{bad:?}");
        }
        assert!(is_commit(&"aF".repeat(20)) && is_commit(&"0".repeat(64)));
        for bad in ["main", "", "../../../../x", &"g".repeat(40), &"a".repeat(39), &"é".repeat(20)] {
            assert!(!is_commit(bad), "{bad:?}");
        }
        assert!(is_relative("a/b c/d-00001-of-00002.gguf"));
        for bad in ["", "/a", "../a", "a/../b", "a/./b", "a//b", "a\\b", "c:/x", "a\0", "a/", ".."] {
            assert!(!is_relative(bad), "{bad:?}");
        }
    }
}
