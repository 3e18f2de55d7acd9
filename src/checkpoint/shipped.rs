//! The checkpoints that come with the tool.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where they lie, below the source tree or the folder of the binary.
const FOLDER: &str = "fixtures/checkpoints";

/// The directory of the shipped checkpoint of this name (`softmax`, `ssmax`): beside the binary, or in the source tree.
///
/// # Errors
/// [`Error::File`] saying how to train it when it is in neither.
pub fn shipped(name: &str) -> Result<PathBuf> {
    let binary = std::env::current_exe().ok();
    let beside = binary.as_deref().and_then(Path::parent);
    find(name, beside.into_iter().chain([Path::new(env!("CARGO_MANIFEST_DIR"))]))
}

fn find<'a>(name: &str, roots: impl Iterator<Item = &'a Path>) -> Result<PathBuf> {
    let folders: Vec<PathBuf> = roots.map(|root| root.join(FOLDER).join(name)).collect();
    folders.iter().find(|folder| folder.join("config.json").is_file()).cloned().ok_or_else(|| {
        let places: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let problem = format!(
            "no checkpoint there (looked in {}); train it with niah train -o {name} --variant {name} and give it with --{name} {name}",
            places.join(" and ")
        );
        Error::file(Path::new(FOLDER).join(name), problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_holds_it_is_taken_and_a_missing_one_says_how_to_train_it() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let roots = || [first.path(), second.path()].into_iter();
        let error = find("ssmax", roots()).unwrap_err().to_string();
        assert!(
            error.contains("niah train -o ssmax --variant ssmax") && error.contains("--ssmax"),
            "{error}"
        );
        assert!(roots().all(|root| error.contains(&*root.to_string_lossy())), "{error}");
        let folder = second.path().join(FOLDER).join("ssmax");
        std::fs::create_dir_all(&folder).unwrap();
        assert!(find("ssmax", roots()).is_err(), "an empty folder is no checkpoint");
        std::fs::write(folder.join("config.json"), "{}").unwrap();
        assert_eq!(find("ssmax", roots()).unwrap(), folder);
    }
}
