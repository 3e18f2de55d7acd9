//! Lines fit the width that `rustfmt.toml` names: rustfmt sees to code alone, and this to comments.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The numbers of the lines that are too wide and could be broken: no text in quotes, nothing without a
/// space, no row of a table, nothing in a block of formulas.
fn too_wide(source: &str, width: usize) -> Vec<usize> {
    let mut formulas = false;
    let mut wide = Vec::new();
    for (line, number) in source.lines().zip(1..) {
        let comment =
            line.trim_start().strip_prefix("//").map(|text| text.trim_start_matches(['/', '!', ' ']));
        formulas = match comment {
            Some(text) if text.starts_with("```") => !formulas,
            Some(_) => formulas,
            None => false,
        };
        let whole = comment.map_or_else(
            || line.contains('"') || !line.trim().contains(' '),
            |text| formulas || text.starts_with('|'),
        );
        if line.chars().count() > width && !whole {
            wide.push(number);
        }
    }
    wide
}

#[test]
fn no_line_that_can_be_broken_is_wider_than_the_formatter_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let format: toml::Table = fs::read_to_string(root.join("rustfmt.toml")).unwrap().parse().unwrap();
    let width = usize::try_from(format["max_width"].as_integer().unwrap()).unwrap();
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        sources(&root.join(folder), &mut files);
    }
    let places = files.iter().flat_map(|file| {
        let wide = too_wide(&fs::read_to_string(file).unwrap(), width);
        wide.into_iter().map(move |number| format!("{}:{number}", file.display()))
    });
    let places: Vec<String> = places.collect();
    assert!(places.is_empty(), "wider than {width}:\n{}", places.join("\n"));
}

#[test]
fn a_comment_is_held_and_what_cannot_be_broken_is_not() {
    let source = "// four words of it\n//! | a row of a table\n/// ```text\n/// a formula of it\n/// ```\n\
                  let text = \"words\";\nlet a = b + c;\n";
    assert_eq!(too_wide(source, 13), [1, 7]);
}
