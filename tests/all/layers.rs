//! The layers of the crate, read from its `use` lines and paths: imports point down only, and some crates are
//! let in at one place alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Imported by everyone.
    Base,
    /// Knows needles and tasks, and no tensor.
    Text,
    /// Knows tensors, and no needle or task.
    Tensor,
    Score,
    Plan,
    Report,
    Export,
    /// Shows what the layers below make, and knows no command.
    Screen,
    Command,
}

use Layer::{Base, Command, Export, Plan, Report, Score, Screen, Tensor, Text};

/// Every module at the top of the crate; the binary is `main`.
const MODULES: &[(&str, Layer)] = &[
    ("allocator", Base),
    ("clock", Base),
    ("error", Base),
    ("escape", Base),
    ("files", Base),
    ("hash", Base),
    ("isolation", Base),
    ("json", Base),
    ("printable", Base),
    ("process", Base),
    ("progress", Base),
    ("registry", Base),
    ("rng", Base),
    ("web", Base),
    ("grid", Text),
    ("haystack", Text),
    ("needle", Text),
    ("prompt", Text),
    ("server", Text),
    ("span", Text),
    ("split", Text),
    ("standing", Text),
    ("task", Text),
    ("tokenizer", Text),
    ("trial", Text),
    ("attention", Tensor),
    ("checkpoint", Tensor),
    ("generate", Tensor),
    ("kernel", Tensor),
    ("logits", Tensor),
    ("loss", Tensor),
    ("model", Tensor),
    ("spec", Tensor),
    ("speed", Tensor),
    ("weights", Tensor),
    ("score", Score),
    ("plan", Plan),
    ("prefix", Plan),
    ("runner", Plan),
    ("train", Plan),
    ("report", Report),
    ("stats", Report),
    ("evaluate", Export),
    ("export", Export),
    ("store", Export),
    ("interactive", Screen),
    ("cli", Command),
    ("commands", Command),
    ("laboratory", Command),
    ("main", Command),
];

/// Crates that are let in at some places alone: the crate, and the beginnings of the paths below `src/` that
/// may name it.
const CONFINED: &[(&str, &[&str])] = &[
    ("candle_core", CANDLE),
    ("candle_nn", CANDLE),
    ("candle_transformers", &["model/black_box/candle/"]),
    ("clap", &["cli/", "commands/", "main.rs"]),
    ("clap_complete", &["cli/", "commands/"]),
    ("clap_mangen", &["commands/"]),
    ("comfy_table", &["export/terminal/table.rs"]),
    ("csv", &["export/csv.rs", "store/csv.rs", "store/csv/", "task/outside/csv.rs"]),
    ("indicatif", &["progress.rs"]),
    ("ratatui", &["interactive/"]),
    ("resvg", &["export/png.rs"]),
    ("safetensors", &["checkpoint/", "kernel/ggml/tests.rs"]), // of ggml: the golden numbers
    ("sha1", &["checkpoint/hub/"]),
    ("strsim", &["registry.rs"]),
    ("tokenizers", &["tokenizer/"]),
    ("unicode_normalization_alignments", &["standing/"]),
    ("ureq", &["checkpoint/hub/", "server/", "web.rs"]),
];

/// The tensor modules, and what opens the device for them.
const CANDLE: &[&str] = &[
    "attention/",
    "checkpoint/",
    "evaluate.rs",
    "generate.rs",
    "model/",
    "lib.rs",
    "weights.rs",
    "plan/",
    "commands/",
];

fn layer(module: &str) -> Layer {
    let found = MODULES.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("module {module} has no layer: add it to this test")).1
}

/// Whether code of layer `from` may name a module of layer `to`: the two columns of text and tensors do not
/// see each other.
fn may_import(from: Layer, to: Layer) -> bool {
    match (from, to) {
        (Tensor, Text) => false,
        _ => to <= from,
    }
}

struct Source {
    /// Path below `src/`, with `/`.
    path: String,
    /// The file without comments and texts.
    code: String,
}

impl Source {
    /// The module at the top of the crate that the file belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let sources = files.iter().map(|file| Source {
        path: file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"),
        code: bare(&fs::read_to_string(file).unwrap()),
    });
    sources.collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Rust code without comments and with empty texts.
fn bare(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let raw_hashes = rest.strip_prefix('r').map(|r| r.len() - r.trim_start_matches('#').len());
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_hashes.filter(|n| rest[1 + n..].starts_with('"') && !ends_word(&out))
        {
            let close = format!("\"{}", "#".repeat(hashes));
            2 + hashes + rest[2 + hashes..].find(&close).unwrap() + close.len()
        } else if c == '"' {
            1 + end_of_text(&rest[1..])
        } else if c == '\'' && rest[1..].starts_with('\\') {
            2 + rest[2..].find('\'').unwrap_or(0) + 1
        } else if c == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    out
}

/// Bytes up to and including the quote that closes a text.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

/// What stands behind every `word` that is a word of its own and does not go on a path.
fn after<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        (!ends_word(before) && !before.ends_with("::") && !after.starts_with(is_word)).then_some(after)
    })
}

/// The modules at the top of the crate that the code names after `root` (`crate`, or `niah` in the binary).
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for path in after(code, root).filter_map(|path| path.trim_start().strip_prefix("::")) {
        match path.strip_prefix('{') {
            None => {
                modules.insert(path.chars().take_while(|&c| is_word(c)).collect());
            }
            Some(group) => modules.extend(group_heads(group)),
        }
    }
    modules
}

/// The first word of every member of a `use` group, the opening brace left out.
fn group_heads(group: &str) -> BTreeSet<String> {
    let (mut depth, mut word, mut heads, mut open) = (0, String::new(), BTreeSet::new(), true);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => open = true,
            c if depth == 0 && open && is_word(c) => {
                word.push(c);
                continue;
            }
            c if c.is_whitespace() => {}
            _ => open = false,
        }
        if !word.is_empty() {
            heads.insert(std::mem::take(&mut word));
            open &= c == ',';
        }
    }
    heads.extend((!word.is_empty()).then_some(word));
    heads
}

#[test]
fn imports_point_down_only() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let from = source.module();
        let root = if from == "main" { "niah" } else { "crate" };
        for to in imports(&source.code, root).iter().filter(|to| to.as_str() != from) {
            if !may_import(layer(from), layer(to)) {
                wrong.push(format!(
                    "{}: {from} ({:?}) names {to} ({:?})",
                    source.path,
                    layer(from),
                    layer(to)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules of one layer that do not see each other: a module, and what it must not name.
const APART: &[(&str, &[&str])] = &[
    ("spec", &["attention", "checkpoint", "generate", "model", "weights"]),
    ("weights", &["attention", "checkpoint", "generate", "model"]),
    ("attention", &["checkpoint", "generate", "model"]),
    ("checkpoint", &["generate", "model"]),
    ("model", &["checkpoint", "generate"]),
];

#[test]
fn checkpoint_and_model_meet_in_the_spec_and_not_in_each_other() {
    let mut wrong = Vec::new();
    for source in sources() {
        let apart = APART.iter().find(|(from, _)| *from == source.module()).map_or(&[][..], |(_, to)| to);
        let named = imports(&source.code, "crate");
        let seen = apart.iter().filter(|to| named.contains(**to));
        wrong.extend(seen.map(|to| format!("{} names {to}", source.path)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer_and_every_layer_names_modules_that_exist() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let layered: BTreeSet<&str> =
        MODULES.iter().map(|(name, _)| *name).filter(|name| *name != "main").collect();
    assert_eq!(declared, layered);
}

#[test]
fn some_crates_are_let_in_at_one_place_alone() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, places) in CONFINED {
            // `csv::` is the crate, or a module of ours that the file declares or uses.
            let named = after(&source.code, name).any(|rest| rest.trim_start().starts_with("::"))
                && !has_own(&source.code, name);
            if named && !places.iter().any(|place| source.path.starts_with(place)) {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_attention_flag_is_told_of_in_the_command_line_and_the_one_noun_alone() {
    // And where it acts: the cache, and the memory that the cache takes.
    let places = ["cli/", "plan/model", "plan/memory.rs", "model/decoder.rs", "model/kv_cache"];
    let others = |source: &&Source| !places.iter().any(|place| source.path.starts_with(place));
    let sources = sources();
    let wrong: Vec<_> = { sources.iter() }
        .filter(others)
        .filter(|source| after(&source.code, "kv_dtype").next().is_some())
        .map(|source| source.path.as_str())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} name kv_dtype; plan/model.rs is the place");
}

/// Whether the file has a module of this crate by the name `name`: declared (`mod csv;`) or used
/// (`use super::csv::...`).
fn has_own(code: &str, name: &str) -> bool {
    let own =
        |line: &&str| ["mod ", "pub mod ", "use crate::", "use super::"].iter().any(|s| line.starts_with(s));
    code.lines()
        .map(str::trim)
        .filter(own)
        .any(|line| line.split(|c: char| !is_word(c)).any(|word| word == name))
}

#[test]
fn library_code_does_not_print() {
    let mut wrong = Vec::new();
    for source in sources() {
        let may = |what: &str| match what {
            // Warnings and headings of a command are no data, so they go to stderr.
            "eprintln" | "eprint" => matches!(source.module(), "commands" | "main"),
            _ => false,
        };
        for what in ["println", "print", "eprintln", "eprint", "dbg"] {
            let found = after(&source.code, what).any(|rest| rest.starts_with('!'));
            if found && !may(what) {
                wrong.push(format!("{}: {what}!", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules whose errors are the command line's.
const KNOW_FLAGS: &[&str] = &["cli/", "commands/", "laboratory/", "main.rs"];

#[test]
fn no_library_error_is_about_a_flag() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for source in
        sources().iter().filter(|source| !KNOW_FLAGS.iter().any(|place| source.path.starts_with(place)))
    {
        let text = fs::read_to_string(root.join(&source.path)).unwrap();
        let about = text.split("Error::invalid(").skip(1).map(str::trim_start);
        wrong.extend(
            about
                .filter(|rest| rest.starts_with("\"--"))
                .map(|rest| format!("{}: {}", source.path, rest.lines().next().unwrap_or_default())),
        );
    }
    assert!(wrong.is_empty(), "call it by its words, `context length`: {}", wrong.join("\n"));
}

#[test]
fn comments_and_texts_are_no_code_and_groups_are_taken_apart() {
    let code = "use crate::{grid::{Cell, Depth}, task, rng as r};\n// crate::cli\nlet x \
                = \"crate::cli\\\"\"; crate::plan::f('\"');\nr#\"crate::main\"#;";
    let modules: Vec<_> = imports(&bare(code), "crate").into_iter().collect();
    assert_eq!(modules, ["grid", "plan", "rng", "task"]);
    assert!(may_import(Score, Text) && may_import(Plan, Tensor) && may_import(Export, Plan));
    assert!(!may_import(Text, Tensor) && !may_import(Tensor, Text) && !may_import(Report, Export));
}
