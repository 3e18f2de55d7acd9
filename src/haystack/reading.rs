//! Reading the user's haystack: a text file, or every text file of a directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::HAYSTACKS;
use crate::error::{Error, Result};
use crate::files;
use crate::registry::{closest, did_you_mean};

/// All of a haystack, at most: it is held in memory, and no run reads that much.
const MOST_BYTES: u64 = 1 << 30;
/// Files and directories that are looked at, at most. A name such as `/` stands for a whole machine.
const MOST_MET: usize = 100_000;

/// What stands in a file or a directory.
#[derive(Debug)]
pub(super) struct Read {
    /// The text.
    pub(super) text: String,
    /// What the user should know about how it was read.
    pub(super) notes: Vec<String>,
}

/// Reads a file, or all files below a directory that are not hidden, in the order of their names. Links are
/// followed; what several names lead to counts once, at the first of them.
///
/// Byte order marks and outer white space are dropped, `\r\n` becomes `\n`, files are joined by an empty
/// line.
///
/// # Errors
/// [`Error::File`] naming the path when it is missing, unreadable, empty, not text, no regular file, or a
/// directory without text.
pub(super) fn read(path: &Path) -> Result<Read> {
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        return match read_file(path)? {
            text if text.is_empty() => {
                Err(Error::file(path, "the file holds no text; name a file with sentences in it"))
            }
            text => Ok(Read { text, notes: Vec::new() }),
        };
    }
    let mut walk = Walk::default();
    walk.enter(path)?;
    // Before any of them is read: of files without an end the system says no size.
    let sizes = walk.files.iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len());
    let bytes: u64 = sizes.fold(0, u64::saturating_add);
    if bytes > MOST_BYTES {
        let (found, most) = (bytes >> 20, MOST_BYTES >> 20);
        let problem =
            format!("its files have {found} MiB, of which at most {most} are read; name fewer of them");
        return Err(Error::file(path, problem));
    }
    let mut texts = walk.files.iter().map(|file| read_file(file)).collect::<Result<Vec<_>>>()?;
    texts.retain(|text| !text.is_empty());
    if texts.is_empty() {
        return Err(Error::file(
            path,
            "the directory holds no text; put .txt or .md files of UTF-8 text into it",
        ));
    }
    Ok(Read { text: texts.join("\n\n"), notes: walk.notes(path) })
}

/// The files below a directory.
#[derive(Default)]
struct Walk {
    /// The directory, by the name that no link is a part of.
    root: Option<PathBuf>,
    files: Vec<PathBuf>,
    /// What was met, by the names that no link is a part of.
    met: BTreeSet<PathBuf>,
    /// Names of what was met before, as those of a link back to where it stands.
    again: Vec<PathBuf>,
    /// Links that lead nowhere.
    broken: Vec<PathBuf>,
}

impl Walk {
    /// Whether it is met for the first time. What the directory stands in is met with it: a link to that
    /// leads back.
    fn is_new(&mut self, path: &Path) -> Result<bool> {
        let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
        let around = self.root.as_ref().is_some_and(|root| root.starts_with(&real));
        self.root.get_or_insert_with(|| real.clone());
        let new = !around && self.met.insert(real);
        if self.met.len() > MOST_MET {
            let problem = format!("more than {MOST_MET} files and directories; name fewer of them");
            return Err(Error::file(path, problem));
        }
        if !new {
            self.again.push(path.to_path_buf());
        }
        Ok(new)
    }

    /// Adds what is below `directory`, sorted by name at every level: the order of a directory listing
    /// depends on the machine.
    fn enter(&mut self, directory: &Path) -> Result<()> {
        if !self.is_new(directory)? {
            return Ok(());
        }
        let mut entries = fs::read_dir(directory)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|error| unreadable(directory, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => self.enter(&path)?,
                Ok(_) => {
                    if self.is_new(&path)? {
                        self.files.push(path);
                    }
                }
                Err(_) if path.is_symlink() => self.broken.push(path),
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    fn notes(&self, directory: &Path) -> Vec<String> {
        let note = |paths: &[PathBuf], what: &str| {
            let first = paths.first()?.display();
            let others = match paths.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} others"),
            };
            Some(format!("haystack {}: {first}{others} {what}", directory.display()))
        };
        let again = note(&self.again, "lead to what is read already; each file counts once");
        let broken = note(&self.broken, "lead nowhere and are left out");
        again.into_iter().chain(broken).collect()
    }
}

fn read_file(path: &Path) -> Result<String> {
    let unreadable = |error| unreadable(path, &error);
    // What the system says no size of, as files of /proc, may wait for ever.
    let file = files::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() == 0 {
        return Ok(String::new());
    }
    let bytes = files::read(path, MOST_BYTES).map_err(unreadable)?;
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        return Err(not_text(path, "a zero byte", offset));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| not_text(path, "a byte that is not UTF-8", error.utf8_error().valid_up_to()))?;
    let text = text.trim_start_matches('\u{FEFF}').trim();
    Ok(if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_string() })
}

fn not_text(path: &Path, what: &str, offset: usize) -> Error {
    let problem = format!(
        "{what} at offset {offset}: a haystack is UTF-8 text; convert the file or take it out of the haystack"
    );
    Error::file(path, problem)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        let known: Vec<&str> = HAYSTACKS.iter().map(|entry| entry.name).collect();
        let meant = did_you_mean(closest(&path.to_string_lossy(), &known).as_deref());
        let known = known.join(", ");
        return Error::file(
            path,
            format!("no such haystack{meant}: give a file, a directory, or one of {known}"),
        );
    }
    Error::file(path, format!("cannot be read: {error}; give a readable file or directory of text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_the_order_of_names_not_of_the_listing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for (name, text) in [
            ("c.txt", "Third.\r\n"),
            ("b/x.md", "\u{FEFF}Second.\n"),
            ("a", "First."),
            (".hidden", "No."),
            ("d", " "),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let Read { text, notes } = read(dir.path()).unwrap();
        assert_eq!((text.as_str(), notes.is_empty()), ("First.\n\nSecond.\n\nThird.", true));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_loops_end() {
        use std::os::unix::fs::symlink;
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::write(elsewhere.path().join("x.txt"), "From elsewhere.").unwrap();
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/own.txt"), "Own.").unwrap();
        symlink(elsewhere.path(), at("a")).unwrap();
        let clean = read(dir.path()).unwrap();
        assert_eq!((clean.text.as_str(), clean.notes.len()), ("From elsewhere.\n\nOwn.", 0));
        symlink(dir.path(), at("d/loop")).unwrap();
        symlink("/", at("d/root")).unwrap();
        symlink(at("d"), at("e")).unwrap();
        symlink(at("d/own.txt"), at("f.txt")).unwrap();
        symlink(at("gone"), at("g.txt")).unwrap();
        let Read { text, notes } = read(dir.path()).unwrap();
        assert_eq!(text, "From elsewhere.\n\nOwn.");
        assert!(notes[0].contains("d/loop and 3 others lead to what is read already"), "{notes:?}");
        assert!(notes[1].contains("g.txt lead nowhere"), "{notes:?}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_alone_and_in_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [socket.as_path(), dir.path(), Path::new("/dev/zero")] {
            let message = read(path).unwrap_err().to_string();
            assert!(message.contains("where a file is needed"), "{message}");
        }
    }

    #[test]
    fn what_is_not_text_is_refused_with_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let problem = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            fs::remove_file(&path).unwrap();
            assert!(message.contains(name), "{message}");
            message
        };
        assert!(problem("latin", b"caf\xe9 au lait").contains("not UTF-8 at offset 3"));
        assert!(problem("binary", b"ab\0c").contains("zero byte at offset 2"));
        assert!(problem("empty", b" \n").contains("no text"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("no text"));
        let missing = read(&dir.path().join("gone")).unwrap_err().to_string();
        assert!(missing.contains("essays") && missing.contains("no such haystack"), "{missing}");
    }
}
