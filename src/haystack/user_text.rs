//! Haystacks of the user: a text file, or every text file of a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sentences::sentence_ends;
use super::{Source, known_names};
use crate::error::{Error, Result};
use crate::files;

/// A file of a haystack, at most: it is held in memory, and no run reads that much.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a file, or all files below a directory that are not hidden, in the order of their names.
///
/// Byte order marks and outer white space are dropped, `\r\n` becomes `\n`, files are joined by an empty line.
///
/// # Errors
/// [`Error::File`] naming the path when it is missing, unreadable, empty, not text, or a directory without text.
pub(super) fn read(path: &Path) -> Result<String> {
    let is_dir = fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir();
    if !is_dir {
        return match read_file(path)? {
            text if text.is_empty() => {
                Err(Error::file(path, "the file holds no text; name a file with sentences in it"))
            }
            text => Ok(text),
        };
    }
    let mut files = Vec::new();
    list(path, &mut files)?;
    let mut texts = Vec::new();
    for file in &files {
        texts.push(read_file(file)?);
    }
    texts.retain(|text| !text.is_empty());
    if texts.is_empty() {
        return Err(Error::file(
            path,
            "the directory holds no text; put .txt or .md files of UTF-8 text into it",
        ));
    }
    Ok(texts.join("\n\n"))
}

/// Files below `directory`, sorted by name at every level: the order of a directory listing depends on the machine.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| unreadable(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        if kind.is_dir() {
            list(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<String> {
    let bytes = files::read(path, MOST_BYTES).map_err(|error| unreadable(path, &error))?;
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
        let known = known_names();
        return Error::file(path, format!("no such haystack: give a file, a directory, or one of {known}"));
    }
    Error::file(path, format!("cannot be read: {error}; give a readable file or directory of text"))
}

struct UserText {
    text: Arc<str>,
    start: usize,
    at_start: bool,
}

impl Source for UserText {
    fn push_piece(&mut self, out: &mut String) {
        let (before, after) = self.text.split_at(self.start);
        if self.at_start {
            out.push_str(after);
            out.push_str("\n\n");
        } else {
            out.push_str(before);
        }
        self.at_start = !self.at_start;
    }

    fn period(&self) -> Option<usize> {
        Some(self.text.len() + "\n\n".len())
    }
}

/// The text, begun anew when it ends. Trial 0 starts at the top, every other trial at a paragraph of its own,
/// so that the trials of a cell are not one prompt measured again and again.
#[must_use]
pub(super) fn open(text: &Arc<str>, trial: usize) -> Box<dyn Source> {
    Box::new(UserText { text: Arc::clone(text), start: start_of_trial(text, trial), at_start: true })
}

fn start_of_trial(text: &str, trial: usize) -> usize {
    // Multiples of the golden ratio spread any number of trials evenly over the text.
    let mut offset = ((trial as f64 * 0.618_033_988_749_894_9).fract() * text.len() as f64) as usize;
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    if offset == 0 {
        return 0;
    }
    let rest = &text[offset..];
    let end = rest.find("\n\n").or_else(|| sentence_ends(rest).first().copied()).unwrap_or(rest.len());
    let start = text.len() - rest[end..].trim_start().len();
    if start == text.len() { 0 } else { start }
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
        assert_eq!(read(dir.path()).unwrap(), "First.\n\nSecond.\n\nThird.");
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

    #[test]
    fn trials_start_at_different_paragraphs_and_loops_wrap_around() {
        let text: Arc<str> = "One a.\n\nTwo b.\n\nThree c.\n\nFour d.".into();
        let first = |trial| {
            let mut out = String::new();
            let mut source = open(&text, trial);
            (0..3).for_each(|_| source.push_piece(&mut out));
            out
        };
        assert!(first(0).starts_with("One a."));
        let later = first(1);
        assert!(!later.starts_with("One a."), "{later}");
        assert_eq!(later.matches("One a.").count(), 1, "{later}");
        assert!(later.contains("Four d.\n\nOne a."), "{later}");
    }
}
