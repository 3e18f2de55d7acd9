//! Directories of results as data of somebody else: what they hold is shown without being obeyed, what they
//! name is not fetched, no size of theirs takes the machine, and what a run has computed is not lost.
//!
//! More of one of these tests by hand: `NIAH_KILLS=200` for [`kill`].

use crate::common;
mod kill;
mod lost;
mod names;
mod stored;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::bench::{Bench, stderr};
use niah::store::csv::{Appender, Row};
use serde_json::Value;

impl Bench {
    /// Changes a JSON file.
    fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_str(&self.text(name)).unwrap();
        edit(&mut value);
        fs::write(self.path(name), value.to_string()).unwrap();
    }

    /// Writes a table anew, each row changed.
    fn edit_rows<R: Row>(&self, name: &str, mut edit: impl FnMut(usize, &mut R)) {
        let path = self.path(name);
        let mut rows: Vec<R> = niah::store::csv::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        rows.iter_mut().enumerate().for_each(|(number, row)| edit(number, row));
        Appender::open(&path).unwrap().append(&rows).unwrap();
    }

    /// A copy of a directory of results.
    fn copy(&self, from: &str, to: &str) {
        fs::create_dir(self.path(to)).unwrap();
        for name in ["run.json", "results.csv", "attention.csv", "tokens.csv"] {
            let source = self.path(from).join(name);
            if source.exists() {
                fs::copy(source, self.path(to).join(name)).unwrap();
            }
        }
    }
}

/// It ended with this code, without a panic, and said these words in one line that begins with `niah: `.
#[track_caller]
fn ends(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.len() < 20_000, "{} bytes on stderr", said.len());
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

fn mkfifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}
