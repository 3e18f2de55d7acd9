//! Tells `main.rs` in which file the commit stands that is being built (`NIAH_COMMIT_FILE`).
//!
//! Of a branch that is git's own file: a commit changes it and no other, so that only the binary is linked
//! again and not the library compiled. A packaged crate has the commit in a file of cargo's; elsewhere it is
//! unknown.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What cargo writes into a packaged crate.
const PACKAGED: &str = ".cargo_vcs_info.json";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let file = match git_file(&root) {
        Some(file) => file,
        None => written(&packaged_commit(&root).unwrap_or_else(|| "unknown".to_string()))?,
    };
    println!("cargo::rustc-env=NIAH_COMMIT_FILE={}", file.display());
    Ok(())
}

/// The file of the branch, or `HEAD` where no branch is checked out; `None` where `root` is not the top of a
/// repository, or the branch has no file of its own.
fn git_file(root: &Path) -> Option<PathBuf> {
    if !git(root, &["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let head = root.join(git(root, &["rev-parse", "--git-path", "HEAD"])?);
    println!("cargo::rerun-if-changed={}", head.display());
    let Some(branch) = git(root, &["symbolic-ref", "--quiet", "HEAD"]) else { return Some(head) };
    let file = root.join(git(root, &["rev-parse", "--git-path", &branch])?);
    if file.is_file() {
        return Some(file);
    }
    // A branch that is packed with others has none until its next commit, which this log knows.
    let log = root.join(git(root, &["rev-parse", "--git-path", "logs/HEAD"])?);
    if log.is_file() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    written(&git(root, &["rev-parse", "HEAD"])?).ok()
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The commit that a crate was packaged from.
fn packaged_commit(root: &Path) -> Option<String> {
    let file = root.join(PACKAGED);
    // By its whole path: what was built here may be built elsewhere next, into the same target directory.
    println!("cargo::rerun-if-changed={}", file.display());
    let text = fs::read_to_string(file).ok()?;
    text.split_once("\"sha1\": \"")?.1.split('"').next().map(String::from)
}

/// A file with this commit.
fn written(commit: &str) -> io::Result<PathBuf> {
    let file = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("commit");
    fs::write(&file, commit)?;
    Ok(file)
}
