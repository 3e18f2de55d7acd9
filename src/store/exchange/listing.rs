//! The files that are named, and those of JSON in the folders that are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::theirs::Notes;
use crate::error::{Error, Result};

/// Levels of folders that are looked through, at most: RULER has four.
const LEVELS: usize = 5;

/// Files that are looked at, at most.
const MOST_FILES: usize = 100_000;

/// A file to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Whether it was named itself, and not a folder above it alone.
    pub(super) is_named: bool,
}

/// Every file once, by whatever ways it is reached, and what the folders hold beside.
///
/// # Errors
/// [`Error::File`] for a folder that cannot be read or holds too much, and for a link in it that leads
/// nowhere.
pub(super) fn listed(paths: &[PathBuf], notes: &mut Notes) -> Result<Vec<Listed>> {
    let mut folders = Folders::default();
    for path in paths {
        match path.is_dir() {
            true => folders.look_through(path, LEVELS)?,
            false => folders.files.push(Listed { path: path.clone(), is_named: true }),
        }
    }
    notes.count(folders.too_deep, format!("folders are more than {LEVELS} levels down and are passed over"));
    notes.count(
        folders.evals,
        "logs of inspect are .eval and are passed over: `inspect log convert --to json` makes JSON of them",
    );
    let mut files: Vec<Listed> = Vec::new();
    let mut at: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for file in folders.files {
        match at.get(&whole(&file.path)) {
            Some(&first) => files[first].is_named |= file.is_named,
            None => {
                at.insert(whole(&file.path), files.len());
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The path of a file from the root on, with its own name: what a link is called may say whose results it
/// leads to.
pub(super) fn whole(path: &Path) -> PathBuf {
    let (folder, name) = (fs::canonicalize(folder_of(path)), path.file_name());
    folder.ok().zip(name).map_or_else(|| path.to_path_buf(), |(folder, name)| folder.join(name))
}

/// The folder of a file, also of one that is named without any.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Whether it is a pipe or a device: no tool writes results into one.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|of| !of.is_file())
}

#[derive(Default)]
struct Folders {
    files: Vec<Listed>,
    /// The folders that were looked through: a link may lead to one again.
    seen: BTreeSet<PathBuf>,
    too_deep: usize,
    evals: usize,
}

impl Folders {
    fn look_through(&mut self, folder: &Path, levels: usize) -> Result<()> {
        let cannot_read = |error| Error::file(folder, format!("cannot read: {error}; name a file in it"));
        if !self.seen.insert(fs::canonicalize(folder).map_err(cannot_read)?) {
            return Ok(());
        }
        let mut entries =
            fs::read_dir(folder).map_err(cannot_read)?.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for path in entries.iter().map(fs::DirEntry::path) {
            let extension = path.extension().and_then(OsStr::to_str);
            let is_json = matches!(extension, Some("json" | "jsonl"));
            if path.is_dir() {
                match levels {
                    0 => self.too_deep += 1,
                    _ => self.look_through(&path, levels - 1)?,
                }
            } else if is_json && !is_special(&path) {
                self.files.push(Listed { path, is_named: false });
            } else if extension == Some("eval") {
                self.evals += 1;
            }
            if self.files.len() > MOST_FILES {
                return Err(Error::file(
                    folder,
                    format!("more than {MOST_FILES} files; name those to import"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_listed_once_whatever_leads_to_it_and_is_named_if_it_is_anywhere() {
        let place = tempfile::tempdir().unwrap();
        let (below, file) = (place.path().join("a"), place.path().join("a/x.json"));
        fs::create_dir(&below).unwrap();
        fs::write(&file, "{}").unwrap();
        fs::write(below.join("y.eval"), "").unwrap();
        let mut notes = Notes::default();
        let ways = [place.path().to_path_buf(), below.clone(), below.join("../a/x.json")];
        let files = listed(&ways, &mut notes).unwrap();
        assert_eq!(files, [Listed { path: file, is_named: true }]);
        assert!(notes.lines()[0].starts_with("1 logs of inspect are .eval"), "{notes:?}");
    }

    #[test]
    fn what_lies_too_deep_is_said() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("1/2/3/4/5/6");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x.json"), "{}").unwrap();
        let mut notes = Notes::default();
        assert_eq!(listed(&[place.path().to_path_buf()], &mut notes).unwrap(), []);
        assert_eq!(notes.lines(), ["1 folders are more than 5 levels down and are passed over"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_files_and_folders_are_followed_and_circles_end() {
        let place = tempfile::tempdir().unwrap();
        let (folder, elsewhere) = (place.path().join("folder"), place.path().join("elsewhere"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(place.path().join("x.json"), "{}").unwrap();
        fs::write(elsewhere.join("y.json"), "{}").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        link(&place.path().join("x.json"), "link.json");
        link(&elsewhere, "there");
        link(&folder, "round");
        let files = listed(std::slice::from_ref(&folder), &mut Notes::default()).unwrap();
        let paths: Vec<PathBuf> = files.into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [folder.join("link.json"), folder.join("there/y.json")]);
    }
}
