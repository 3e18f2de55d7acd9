//! The checkpoints that come with the tool, named `shipped:NAME`: they are in the binary, which needs no
//! file.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::registry::{self, Entry};

/// What the names of shipped checkpoints begin with.
pub const SHIPPED_PREFIX: &str = "shipped:";
/// The checkpoint that is used where none is named.
pub const DEFAULT_CHECKPOINT: &str = "shipped:ssmax";
/// Where their files and the tables of their trainings lie, below the source tree or the folder of the
/// binary.
const FOLDER: &str = "fixtures/checkpoints";

/// Files by name, with what they hold.
type Contents = &'static [(&'static str, &'static [u8])];

/// The files of a checkpoint as parts of the binary.
macro_rules! embedded {
    ($name:literal) => {
        &[
            embedded!($name, "config.json"),
            embedded!($name, "tokenizer.json"),
            embedded!($name, "model.safetensors"),
        ]
    };
    ($name:literal, $file:literal) => {
        ($file, include_bytes!(concat!("../../fixtures/checkpoints/", $name, "/", $file)))
    };
}

/// The checkpoints, by name, with their files.
pub const SHIPPED: &[Entry<Contents>] = &[
    Entry {
        name: "softmax-scale",
        about: "trained on sequences of 256 tokens with Softmax whose sharpness is learned, a constant a head",
        value: embedded!("softmax-scale"),
    },
    Entry {
        name: "ssmax",
        about: "trained alike with Scalable-Softmax, whose sharpness grows with ln n",
        value: embedded!("ssmax"),
    },
    Entry {
        name: "multiscreen",
        about: "screening tiles, trained on data of the same kind",
        value: embedded!("multiscreen"),
    },
    Entry {
        name: "softmax-capped",
        about: "Softmax with norms without a gain: they bound scores at 5.7, so that its attention must fade",
        value: embedded!("softmax-capped"),
    },
];

/// A checkpoint in the binary.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedCheckpoint {
    name: &'static str,
    contents: Contents,
}

impl EmbeddedCheckpoint {
    /// What stands for its directory in messages and records.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{SHIPPED_PREFIX}{}", self.name))
    }

    /// What the file of this name holds.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it has no such file.
    pub fn read(&self, file: &str) -> io::Result<&'static [u8]> {
        let found = self.contents.iter().find(|(name, _)| *name == file);
        found.map(|(_, bytes)| *bytes).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The checkpoint of the table by this name, without [`SHIPPED_PREFIX`].
///
/// # Errors
/// When there is none of this name.
pub(super) fn find(name: &str) -> Result<EmbeddedCheckpoint> {
    let entry = registry::find("shipped checkpoint", SHIPPED, name)?;
    Ok(EmbeddedCheckpoint { name: entry.name, contents: entry.value })
}

/// The directory of a shipped checkpoint, with the table of its training: beside the binary, or in the source
/// tree.
///
/// # Errors
/// [`Error::File`] saying how to train it when it is in neither.
pub fn shipped_directory(name: &str) -> Result<PathBuf> {
    let binary = std::env::current_exe().ok();
    let beside = binary.as_deref().and_then(Path::parent);
    find_directory(name, beside.into_iter().chain([Path::new(env!("CARGO_MANIFEST_DIR"))]))
}

fn find_directory<'a>(name: &str, roots: impl Iterator<Item = &'a Path>) -> Result<PathBuf> {
    let folders: Vec<PathBuf> = roots.map(|root| root.join(FOLDER).join(name)).collect();
    folders.iter().find(|folder| folder.join("config.json").is_file()).cloned().ok_or_else(|| {
        let places: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let problem = format!(
            "no checkpoint there (looked in {}); train it as fixtures/README.md says and name its directory",
            places.join(" and ")
        );
        Error::file(Path::new(FOLDER).join(name), problem)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Checkpoint, RopeOverride};
    use super::*;

    #[test]
    fn the_first_place_that_holds_it_is_taken_and_a_missing_one_says_where_it_was_looked_for() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let roots = || [first.path(), second.path()].into_iter();
        let error = find_directory("ssmax", roots()).unwrap_err().to_string();
        assert!(error.contains("fixtures/README.md"), "{error}");
        assert!(roots().all(|root| error.contains(&*root.to_string_lossy())), "{error}");
        let folder = second.path().join(FOLDER).join("ssmax");
        std::fs::create_dir_all(&folder).unwrap();
        assert!(find_directory("ssmax", roots()).is_err(), "an empty folder is no checkpoint");
        std::fs::write(folder.join("config.json"), "{}").unwrap();
        assert_eq!(find_directory("ssmax", roots()).unwrap(), folder);
    }

    #[test]
    fn every_checkpoint_of_the_table_is_the_one_that_its_directory_holds() {
        let open = |name: &str| Checkpoint::open(name, RopeOverride::default()).unwrap();
        for entry in SHIPPED {
            let shipped = open(&format!("{SHIPPED_PREFIX}{}", entry.name));
            let stored = open(&shipped_directory(entry.name).unwrap().to_string_lossy());
            assert_eq!(shipped.sha256().unwrap(), stored.sha256().unwrap(), "{}", entry.name);
            assert_eq!(shipped.file_bytes(), stored.file_bytes(), "{}", entry.name);
            assert_eq!(shipped.own_variant.name, stored.own_variant.name, "{}", entry.name);
        }
    }

    #[test]
    fn the_default_is_among_them() {
        assert!(find(DEFAULT_CHECKPOINT.strip_prefix(SHIPPED_PREFIX).unwrap()).is_ok());
    }

    #[test]
    fn a_name_that_is_not_shipped_is_refused_with_those_that_are() {
        let error = Checkpoint::open("shipped:sigmoid", RopeOverride::default()).err().unwrap().to_string();
        assert!(error.contains("sigmoid") && error.contains("softmax-scale, ssmax"), "{error}");
    }
}
