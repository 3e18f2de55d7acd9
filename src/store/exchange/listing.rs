//! The files that are named, and those of JSON in the folders that are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Levels of folders that are looked through, at most: RULER has four.
const LEVELS: usize = 5;

/// Files that are looked at, at most.
const MOST_FILES: usize = 100_000;

/// A file to look at.
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Whether it was named itself, and not a folder above it alone.
    pub(super) is_named: bool,
}

/// The files that are named, and those of JSON in the directories that are.
///
/// # Errors
/// [`Error::File`] for a folder that cannot be read or holds too much.
pub(super) fn listed(paths: &[PathBuf]) -> Result<Vec<Listed>> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => below(path, LEVELS, &mut files)?,
            false => files.push(Listed { path: path.clone(), is_named: true }),
        }
    }
    Ok(files)
}

fn below(directory: &Path, levels: usize, files: &mut Vec<Listed>) -> Result<()> {
    let cannot_read = |error| Error::file(directory, format!("cannot read: {error}; name a file in it"));
    let mut entries =
        fs::read_dir(directory).map_err(cannot_read)?.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot_read)?);
        let is_json = path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
        if kind.is_dir() && levels > 0 {
            below(&path, levels - 1, files)?;
        } else if kind.is_file() && is_json {
            files.push(Listed { path, is_named: false });
        }
        if files.len() > MOST_FILES {
            return Err(Error::file(
                directory,
                format!("more than {MOST_FILES} files; name those to import"),
            ));
        }
    }
    Ok(())
}
