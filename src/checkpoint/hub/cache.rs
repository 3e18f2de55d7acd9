//! One repository in the cache, laid out as Python's `huggingface_hub` does.
//!
//! ```text
//! models--org--name/refs/main                   the commit that a revision was found to be
//! models--org--name/blobs/ETAG                  contents of a file
//! models--org--name/snapshots/COMMIT/FILE       a relative link to its contents
//! models--org--name/.no_exist/COMMIT/FILE       an empty file: this commit has no such file
//! .locks/models--org--name/ETAG.lock            held while the contents are downloaded
//! ```
//!
//! Nothing is written outside the cache: folders are made one by one, and a link that leads out is an error.
//! What a user moved elsewhere and linked is still read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::names::{self, HubId};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::progress::say;

/// The folder of a repository.
pub(super) struct RepositoryCache {
    /// The folder of the whole cache.
    root: PathBuf,
    /// That of the repository in it.
    folder: String,
    symlinks: bool,
}

/// Holds the contents of one etag for this process.
pub(super) struct Lock {
    _file: Option<File>,
    /// Whether another process held it before.
    pub(super) waited: bool,
}

impl RepositoryCache {
    pub(super) fn new(settings: &Settings, id: &HubId) -> Self {
        Self { root: settings.cache.clone(), folder: id.cache_folder(), symlinks: settings.symlinks }
    }

    fn repository(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository().join("snapshots").join(commit)
    }

    /// The commit of a revision, as far as the cache knows.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if names::is_commit(revision) {
            return Some(revision.to_string());
        }
        let path = self.repository().join("refs").join(revision);
        // A commit is short; whatever else is there is none.
        let regular = path.metadata().is_ok_and(|found| found.is_file() && found.len() < 1024);
        let commit = if regular { fs::read_to_string(path).ok()? } else { return None };
        Some(commit.trim().to_string()).filter(|commit| names::is_commit(commit))
    }

    /// Remembers the commit of a revision.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if names::is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.place(&format!("{}/refs/{revision}", self.folder))?;
        replace(&path, |temporary| fs::write(temporary, commit))
    }

    /// A file of a commit, if the cache has it.
    pub(super) fn file(&self, commit: &str, name: &str) -> Result<Option<PathBuf>> {
        self.readable(self.snapshot(commit).join(name))
    }

    /// Whether a commit is known not to have a file.
    pub(super) fn lacks(&self, commit: &str, name: &str) -> bool {
        self.repository().join(".no_exist").join(commit).join(name).is_file()
    }

    /// Remembers that a commit does not have a file. Where that cannot be written, it is asked for again.
    pub(super) fn set_lacking(&self, commit: &str, name: &str) {
        if let Ok(path) = self.place(&format!("{}/.no_exist/{commit}/{name}", self.folder)) {
            let _ = replace(&path, |temporary| fs::write(temporary, ""));
        }
    }

    /// The contents of an etag, when the cache has them whole: with `size` bytes, where that is known.
    pub(super) fn blob(&self, etag: &str, size: Option<u64>) -> Result<Option<PathBuf>> {
        let path = self.readable(self.repository().join("blobs").join(etag))?;
        let whole =
            |path: &PathBuf| size.is_none_or(|size| path.metadata().is_ok_and(|found| found.len() == size));
        Ok(path.filter(whole))
    }

    /// Where the contents of an etag go.
    pub(super) fn blob_place(&self, etag: &str) -> Result<PathBuf> {
        self.place(&format!("{}/blobs/{etag}", self.folder))
    }

    /// Opens the contents of an etag as far as they came, or none, for reading and writing.
    pub(super) fn partial(&self, etag: &str) -> Result<(PathBuf, File)> {
        let path = self.place(&format!("{}/blobs/{etag}.incomplete", self.folder))?;
        let file = open_regular(&path).map_err(|error| unwritable(&path, &error))?;
        Ok((path, file))
    }

    /// Takes the contents of an etag for this process; waits while another has them.
    pub(super) fn lock(&self, etag: &str) -> Result<Lock> {
        let path = self.place(&format!(".locks/{}/{etag}.lock", self.folder))?;
        let file = open_regular(&path).map_err(|error| unwritable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file), waited: false }),
            Err(TryLockError::WouldBlock) => {
                say(&format!("another process downloads the same file of {}: waiting for it", self.folder));
                let held = file.lock().is_ok();
                Ok(Lock { _file: held.then_some(file), waited: true })
            }
            // Some file systems have no locks; then each process downloads, and the last one's file stays.
            Err(TryLockError::Error(_)) => Ok(Lock { _file: None, waited: false }),
        }
    }

    /// Makes a commit's file from the contents of an etag, which are moved there when they are `new` and
    /// links are not used, and copied when they are not new.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &str, new: bool) -> Result<PathBuf> {
        let path = self.place(&format!("{}/snapshots/{commit}/{name}", self.folder))?;
        let blob = self.repository().join("blobs").join(etag);
        let up = "../".repeat(2 + name.matches('/').count());
        replace(&path, |temporary| {
            if self.symlinks && symlink(&format!("{up}blobs/{etag}"), temporary).is_ok() {
                return Ok(());
            }
            if new { fs::rename(&blob, temporary) } else { fs::copy(&blob, temporary).map(|_| ()) }
        })?;
        Ok(path)
    }

    /// `path` when it is a regular file of this cache; `None` when nothing is there.
    fn readable(&self, path: PathBuf) -> Result<Option<PathBuf>> {
        match path.metadata() {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(Error::file(&path, "not a regular file; delete it from the cache")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(Error::file(&path, format!("cannot read: {error}; delete it from the cache")));
            }
        }
        let real = path.canonicalize().map_err(|error| Error::file(&path, error))?;
        let within = |folder: &Path| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
        if within(&self.root) || within(&self.repository()) {
            return Ok(Some(path));
        }
        Err(leads_out(&path, &real))
    }

    /// A place for a file below the root, with all folders above it.
    fn place(&self, below: &str) -> Result<PathBuf> {
        fs::create_dir_all(&self.root).map_err(|error| unwritable(&self.root, &error))?;
        let root = self.root.canonicalize().map_err(|error| unwritable(&self.root, &error))?;
        let (folders, file) = below.rsplit_once('/').unwrap_or(("", below));
        let mut path = self.root.clone();
        for folder in Path::new(folders).components() {
            let Component::Normal(folder) = folder else {
                return Err(Error::file(&path, format!("no place in the cache: {below}")));
            };
            path.push(folder);
            match fs::create_dir(&path) {
                Ok(()) => continue,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, &error)),
            }
            let real = path.canonicalize().map_err(|error| unwritable(&path, &error))?;
            if !real.starts_with(&root) {
                return Err(leads_out(&path, &real));
            }
        }
        Ok(path.join(file))
    }
}

/// Puts a new file in the place of whatever is at `path`: a link there is replaced, never followed.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Short, since the name itself may be as long as names can be.
    let short: String = name.chars().take(40).collect();
    // Processes of two containers may have one number, so chance tells them apart.
    let chance = RandomState::new().build_hasher().finish();
    let temporary = path.with_file_name(format!(".{short}.{chance:016x}.tmp"));
    let made = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if made.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    made.map_err(|error| unwritable(path, &error))
}

/// Opens a regular file for reading and writing; a link is taken away, not followed.
fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => return options.open(path),
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    match options.create_new(true).open(path) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create_new(false).open(path),
        opened => opened,
    }
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &str, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &str, _link: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn leads_out(path: &Path, real: &Path) -> Error {
    Error::file(
        path,
        format!(
            "leads out of the cache, to {}; delete this link, or set HF_HUB_CACHE to where the cache is",
            real.display()
        ),
    )
}

/// An error of writing to the cache, with what to do about it.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room there, or set HF_HOME to a folder with more"
        }
        ErrorKind::FileTooLarge => "raise the limit for the size of files (ulimit -f)",
        _ => "set HF_HOME to a folder that can be written",
    };
    Error::file(path, format!("cannot write: {error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "1111111111111111111111111111111111111111";

    struct Scene {
        folder: tempfile::TempDir,
        cache: RepositoryCache,
    }

    impl Scene {
        fn new(symlinks: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("outside")).unwrap();
            fs::write(folder.path().join("outside/victim"), "kept").unwrap();
            let root = folder.path().join("hub");
            let cache = RepositoryCache { root, folder: "models--org--name".to_string(), symlinks };
            Self { folder, cache }
        }

        fn outside(&self, name: &str) -> PathBuf {
            self.folder.path().join("outside").join(name)
        }

        fn keep(&self, etag: &str, contents: &str) {
            fs::write(self.cache.blob_place(etag).unwrap(), contents).unwrap();
        }

        /// Nothing outside has changed.
        fn assert_nothing_outside(&self) {
            let names: Vec<_> =
                fs::read_dir(self.outside("")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["victim"]);
            assert_eq!(fs::read_to_string(self.outside("victim")).unwrap(), "kept");
        }
    }

    #[test]
    fn files_of_a_commit_are_relative_links_or_copies() {
        for symlinks in [cfg!(unix), false] {
            let scene = Scene::new(symlinks);
            scene.keep("abc", "words");
            for (name, target) in [("a.json", "../../blobs/abc"), ("x/y/a.json", "../../../../blobs/abc")] {
                assert_eq!(scene.cache.file(COMMIT, name).unwrap(), None);
                let path = scene.cache.link(COMMIT, name, "abc", false).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), "words");
                assert_eq!(scene.cache.file(COMMIT, name).unwrap(), Some(path.clone()));
                assert_eq!(path.read_link().ok(), symlinks.then(|| target.into()));
            }
            assert_eq!(scene.cache.blob("abc", Some(4)).unwrap(), None, "cut short");
            assert!(scene.cache.blob("abc", Some(5)).unwrap().is_some());
        }
        let scene = Scene::new(false);
        scene.keep("abc", "words");
        scene.cache.link(COMMIT, "a.json", "abc", true).unwrap();
        assert_eq!(scene.cache.blob("abc", None).unwrap(), None, "moved, since there is room for one alone");
    }

    #[test]
    fn revisions_and_what_a_commit_lacks_are_remembered() {
        let scene = Scene::new(true);
        assert_eq!(scene.cache.commit_of("main"), None);
        scene.cache.set_commit("main", COMMIT).unwrap();
        scene.cache.set_commit("refs/pr/1", COMMIT).unwrap();
        assert_eq!(scene.cache.commit_of("refs/pr/1").as_deref(), Some(COMMIT));
        for bad in ["../../../outside", "", "main", "1111"] {
            fs::write(scene.cache.repository().join("refs/main"), bad).unwrap();
            assert_eq!(scene.cache.commit_of("main"), None, "{bad}");
        }
        assert!(!scene.cache.lacks(COMMIT, "sub/a.json"));
        scene.cache.set_lacking(COMMIT, "sub/a.json");
        assert!(scene.cache.lacks(COMMIT, "sub/a.json"));
    }

    #[cfg(unix)]
    #[test]
    fn folders_that_are_links_out_of_the_cache_are_not_written_to() {
        for linked in
            ["snapshots", "blobs", "refs", "snapshots/1111111111111111111111111111111111111111", ".no_exist"]
        {
            let scene = Scene::new(true);
            let link = scene.cache.repository().join(linked);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(scene.outside("").to_str().unwrap(), &link).unwrap();
            let cache = &scene.cache;
            let written = cache.partial("abc").map(|_| ()).and_then(|()| {
                cache.link(COMMIT, "a.json", "abc", false).map(|_| ()).or_else(|error| match linked {
                    // Without contents there is nothing to copy, and a link to nothing is allowed.
                    "blobs" => Ok(()),
                    _ => Err(error),
                })?;
                cache.set_commit("main", COMMIT)
            });
            cache.set_lacking(COMMIT, "b.json");
            scene.assert_nothing_outside();
            if linked != ".no_exist" {
                let message = written.unwrap_err().to_string();
                assert!(message.contains("leads out of the cache"), "{linked}: {message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_that_are_links_out_of_the_cache_are_replaced_or_refused() {
        let scene = Scene::new(true);
        let cache = &scene.cache;
        scene.keep("abc", "words");
        let victim = scene.outside("victim");
        let plant = |name: &str, target: &Path| {
            let link = cache.root.join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target.to_str().unwrap(), &link).unwrap();
        };
        let snapshot = format!("models--org--name/snapshots/{COMMIT}");
        plant(&format!("{snapshot}/a.json"), &victim);
        let message = cache.file(COMMIT, "a.json").unwrap_err().to_string();
        assert!(message.contains("leads out of the cache"), "{message}");
        plant(&format!("{snapshot}/b.json"), &scene.outside("new"));
        assert_eq!(cache.file(COMMIT, "b.json").unwrap(), None);
        plant("models--org--name/blobs/def", &victim);
        assert!(cache.blob("def", None).is_err());
        plant("models--org--name/blobs/ghi.incomplete", &victim);
        plant("models--org--name/refs/main", &victim);
        plant(".locks/models--org--name/ghi.lock", &scene.outside("lock"));
        plant(&format!("models--org--name/snapshots/{COMMIT}/c.json"), Path::new("/dev/null"));
        assert!(cache.file(COMMIT, "c.json").unwrap_err().to_string().contains("not a regular file"));

        cache.link(COMMIT, "a.json", "abc", false).unwrap();
        cache.link(COMMIT, "b.json", "abc", false).unwrap();
        let (_, mut partial) = cache.partial("ghi").unwrap();
        io::Write::write_all(&mut partial, b"more").unwrap();
        cache.set_commit("main", COMMIT).unwrap();
        drop(cache.lock("ghi").unwrap());
        assert_eq!(fs::read_to_string(cache.file(COMMIT, "a.json").unwrap().unwrap()).unwrap(), "words");
        scene.assert_nothing_outside();
    }

    #[cfg(unix)]
    #[test]
    fn a_repository_that_was_moved_and_linked_is_read_and_not_written() {
        let scene = Scene::new(true);
        scene.keep("abc", "words");
        scene.cache.link(COMMIT, "a.json", "abc", false).unwrap();
        let moved = scene.folder.path().join("moved");
        fs::rename(scene.cache.repository(), &moved).unwrap();
        symlink(moved.to_str().unwrap(), &scene.cache.repository()).unwrap();
        assert!(scene.cache.file(COMMIT, "a.json").unwrap().is_some());
        assert!(scene.cache.partial("def").is_err());
    }

    #[test]
    fn the_contents_of_an_etag_are_held_by_one_process_at_a_time() {
        let scene = Scene::new(true);
        let lock = scene.cache.lock("abc").unwrap();
        let other = File::open(scene.cache.root.join(".locks/models--org--name/abc.lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let message = |kind: ErrorKind| unwritable(Path::new("blobs/x"), &kind.into()).to_string();
        assert!(message(ErrorKind::StorageFull).contains("make room"));
        assert!(message(ErrorKind::PermissionDenied).contains("set HF_HOME"));
    }
}
