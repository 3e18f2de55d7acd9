//! README and the pages of `docs/` hold what the program has: flags, commands, names, columns, links. Lists
//! of names and columns are marked by a comment before them, `<!-- names: tasks -->` or
//! `<!-- columns: results.csv -->`: the names are the code in the first cells of a table, or in a paragraph.

use crate::common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::bench::Bench;
use niah::report::Report;
use niah::report::masked::MaskingReport;

/// What fits on a first look.
const README_BYTES: usize = 10 * 1024;
/// A line that stands on two pages is said twice from this many characters on.
const TWICE: usize = 60;

struct Page {
    /// Path below the root of the repository.
    path: PathBuf,
    text: String,
}

impl Page {
    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// What stands between two code fences, and the language behind the first.
    fn blocks(&self) -> Vec<(&str, String)> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
                blocks.push((language, block.join("\n")));
            }
        }
        blocks
    }

    /// Paragraphs, items of lists, headings and rows of tables, each in one line, without code blocks.
    fn prose(&self) -> Vec<String> {
        let mut code = false;
        let mut prose = vec![String::new()];
        for line in self.text.lines() {
            let fence = line.starts_with("```");
            code ^= fence;
            if fence || line.is_empty() || line.starts_with(['|', '#', '-']) {
                prose.push(String::new());
            }
            if !code && !fence {
                let last = prose.last_mut().unwrap();
                *last = format!("{last} {}", line.trim()).trim().to_string();
            }
        }
        prose
    }

    /// The lists that are marked as `kind`: what of, and the names.
    fn lists(&self, kind: &str) -> Vec<(&str, Vec<&str>)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let marked = |(number, line): (usize, &&str)| {
            let of = line_between(lines[number], &format!("<!-- {kind}: "), " -->")?;
            let list = lines[number + 1..].iter().take_while(|line| !line.is_empty());
            let names: Vec<&str> = list
                .flat_map(|line| code(if line.starts_with('|') { first_cell(line) } else { line }))
                .collect();
            assert!(!names.is_empty(), "{}: nothing below {line}", self.name());
            Some((of, names))
        };
        lines.iter().enumerate().filter_map(|(number, line)| marked((number, line))).collect()
    }
}

fn line_between<'t>(line: &'t str, before: &str, after: &str) -> Option<&'t str> {
    line.strip_prefix(before)?.strip_suffix(after)
}

fn first_cell(row: &str) -> &str {
    let cell = row.trim_start_matches('|').split('|').next().unwrap();
    // The head of a table may name the flag that its names are for.
    if cell.trim_start().starts_with("`--") || cell.contains("`niah experiment`") { "" } else { cell }
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README first.
fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.insert(0, root().join("README.md"));
    let page = |path: PathBuf| Page {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().to_path_buf(),
    };
    paths.into_iter().map(page).collect()
}

/// The pages, and those that stand beside what they are about.
fn all_pages() -> Vec<Page> {
    let beside = ["fixtures/README.md", "benches/README.md"].map(PathBuf::from);
    let page = |path: PathBuf| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path };
    pages().into_iter().chain(beside.map(page)).collect()
}

fn niah(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_niah")).args(arguments).output().unwrap();
    assert!(output.status.success(), "niah {}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands, as `niah --help` lists them in two places.
fn commands() -> Vec<String> {
    let help = niah(&["--help"]);
    let below = |head: &'static str| {
        help.lines().skip_while(move |line| *line != head).skip(1).take_while(|line| !line.is_empty())
    };
    let listed = below("Commands:").chain(below("More commands:"));
    // What a command does may go on in a line that begins further to the right.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(String::from).collect()
}

/// The flags of every command, from its `--help`.
fn flags() -> BTreeMap<String, BTreeSet<String>> {
    let of = |command: String| {
        let help = niah(&[&command, "--help"]);
        let heads = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let long =
            heads.filter_map(|line| line.split_whitespace().take(2).find(|word| word.starts_with("--")));
        let aliases = help.split("[alias").skip(1).filter_map(|rest| rest.split(']').next());
        let aliases =
            aliases.flat_map(|list| list.split([' ', ':', ','])).filter(|word| word.starts_with("--"));
        let short = help.lines().map(str::trim_start).filter_map(|line| line.strip_prefix('-'));
        let short =
            short.filter(|rest| !rest.starts_with('-')).filter_map(|rest| rest.split([',', ' ']).next());
        let names = long.chain(aliases).map(flag_name).chain(short.map(|letter| format!("-{letter}")));
        (command, names.collect())
    };
    commands().into_iter().map(of).collect()
}

/// A flag without its value.
fn flag_name(word: &str) -> String {
    word.split(['=', '[']).next().unwrap().trim_end_matches(['.', ',', ';', ':']).to_string()
}

/// The flags in a command line.
fn flags_in(text: &str) -> impl Iterator<Item = String> {
    let flag = |word: &&str| {
        let letters = word.trim_start_matches('-');
        word.starts_with('-') && letters.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    text.split_whitespace().filter(flag).map(flag_name)
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read(root().join("README.md")).unwrap();
    assert!(readme.len() <= README_BYTES, "README.md has {} bytes, at most {README_BYTES}", readme.len());
}

#[test]
fn the_readme_leads_to_every_page() {
    let pages = pages();
    for page in &pages[1..] {
        assert!(
            pages[0].text.contains(&format!("]({})", page.name())),
            "README.md has no link to {}",
            page.name()
        );
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for page in all_pages() {
        let folder = root().join(page.path.parent().unwrap());
        let prose = page.prose().join("\n");
        for target in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, a)| (file, Some(a)));
            let path = if file.is_empty() { root().join(&page.path) } else { folder.join(file) };
            assert!(path.exists(), "{}: {target} is not there", page.name());
            if let Some(anchor) = anchor {
                assert!(anchors(&path).contains(anchor), "{}: {target} has no such heading", page.name());
            }
        }
    }
}

/// The headings of a page as a link names them: lower case, hyphens for spaces, letters and digits alone.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = |c: char| match c {
            ' ' | '-' => Some('-'),
            _ if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        };
        line.trim_start_matches('#').trim().chars().filter_map(kept).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_list_of_names_is_that_of_the_program() {
    let mut lists = 0;
    for page in pages() {
        for (kind, names) in page.lists("names") {
            if kind == "black-boxes" && !cfg!(feature = "candle-engine") {
                continue;
            }
            let expected: Vec<String> = if kind == "commands" {
                commands()
            } else {
                let listed = niah(&["list", kind]);
                let rows = listed.lines().filter_map(|line| line.strip_prefix("  "));
                rows.filter_map(|row| row.split_whitespace().next()).map(String::from).collect()
            };
            let name = |text: &str| {
                text.strip_prefix("niah ").map_or(text, |t| t.split(' ').next().unwrap()).to_string()
            };
            let named: Vec<String> = names.into_iter().map(name).collect();
            assert_eq!(named, expected, "{}: {kind}", page.name());
            lists += 1;
        }
    }
    assert!(lists >= 9, "{lists} lists");
}

#[test]
fn every_table_of_columns_is_that_of_the_file() {
    let bench = Bench::new();
    bench.grid(&["-o", "run", "--tokens", "--retrieval"]);
    bench.grid(&["-o", "kinds", "--task=magic-multikey", "--context-lengths=600"]);
    let head = |text: &str| text.lines().next().unwrap().split(',').map(String::from).collect::<Vec<_>>();
    let csv = |arguments: &[&str]| head(&bench.stdout(&[arguments, &["--output-format", "csv"]].concat()));
    let file = |name: &str| head(&bench.text(name));
    bench.stdout(&["loss", "--model", "tiny", "--context-length", "64", "-n", "1", "-o", "loss"]);
    let small = "--hidden-size 16 --num-attention-heads 2 --num-hidden-layers 2 --vocab-size 300 \
                 --context-length 128 --batch-size 1 --steps 1";
    let small: Vec<&str> = small.split_whitespace().collect();
    bench.stdout(&[&["train", "-o", "trained"], &small[..]].concat());
    let bench_arguments = [
        "bench",
        "-m",
        "tiny",
        "--context-lengths",
        "64",
        "--repeats",
        "1",
        "--max-new-tokens",
        "1",
        "--no-peak-memory",
    ];
    let masking = MaskingReport { title: String::new(), notes: Vec::new(), runs: Vec::new() };
    let masking = Report::from(masking).data.table.columns().to_vec();
    let expected: HashMap<&str, Vec<String>> = HashMap::from([
        ("results.csv", file("run/results.csv")),
        ("attention.csv", file("run/attention.csv")),
        ("tokens.csv", file("run/tokens.csv")),
        ("spans.csv", file("run/spans.csv")),
        ("kinds.csv", file("kinds/kinds.csv")),
        ("served.csv", head(&niah::store::csv::text::<niah::trial::ServedRow>(&[]).unwrap())),
        ("retrieval.csv", file("run/retrieval.csv")),
        ("retrieval csv", csv(&["heads", "run", "--all-answers"])),
        ("loss.csv", file("loss/loss.csv")),
        ("training.csv", file("trained/training.csv")),
        ("cells csv", csv(&["view", "run"])),
        ("heads csv", csv(&["view", "run", "--by", "layer"])),
        ("ranking csv", csv(&["view", "run", "--by", "head"])),
        ("compare csv", csv(&["compare", "run", "run"])),
        ("fade csv", csv(&["fade", "tiny", "--context-lengths=200", "--depths=50"])),
        ("bench csv", csv(&bench_arguments)),
        ("masking csv", masking),
    ]);
    let mut found = BTreeSet::new();
    for page in pages() {
        for (table, columns) in page.lists("columns") {
            let expected = expected.get(table).unwrap_or_else(|| panic!("{}: no table {table}", page.name()));
            assert_eq!(&columns, expected, "{}: {table}", page.name());
            found.insert(table.to_string());
        }
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn every_command_line_has_the_flags_of_its_command() {
    let flags = flags();
    for page in all_pages() {
        let shell = page.blocks().into_iter().filter(|(language, _)| *language == "sh");
        let lines: Vec<String> = shell
            .flat_map(|(_, block)| block.replace("\\\n", " ").lines().map(String::from).collect::<Vec<_>>())
            .collect();
        let prose = page.prose();
        let inline = prose.iter().flat_map(|text| code(text)).map(String::from);
        for line in lines.into_iter().chain(inline) {
            let Some(words) = line.strip_prefix("niah ") else { continue };
            let command = words.split(' ').next().unwrap();
            if command == "COMMAND" || command.starts_with('-') {
                continue;
            }
            let known = flags.get(command).unwrap_or_else(|| panic!("{}: no command {command}", page.name()));
            for flag in flags_in(words) {
                assert!(known.contains(&flag), "{}: niah {command} has no {flag}", page.name());
            }
        }
    }
}

#[test]
fn every_flag_in_the_text_is_one_of_a_command() {
    let mut known: BTreeSet<String> = flags().into_values().flatten().collect();
    // Of niah without a command, of cargo, of sbatch, and of a server.
    known.extend(
        ["--version", "--path", "--features", "--no-default-features", "--release"].map(String::from),
    );
    known.extend(["--array", "--dependency", "--max-model-len", "--model-path", "--wrap"].map(String::from));
    for page in pages() {
        for line in page.prose() {
            let neighbours = page.path.ends_with("migrating.md") && line.starts_with('|');
            // A table of two tools has the flags of the other one in the first cell.
            let text =
                if neighbours { line.trim_end_matches('|').rsplit('|').next().unwrap() } else { &line };
            for flag in code(text).flat_map(flags_in).filter(|flag| flag.starts_with("--")) {
                assert!(known.contains(&flag), "{}: no command has {flag}: {line}", page.name());
            }
        }
    }
}

#[test]
fn nothing_is_said_on_two_pages() {
    let mut said: HashMap<String, String> = HashMap::new();
    for page in pages() {
        let prose = page.prose().join(" ");
        for sentence in
            prose.split(['.', ';', ':', '|']).map(str::trim).filter(|s| s.chars().count() >= TWICE)
        {
            let other = said.insert(sentence.to_string(), page.name().to_string());
            let other = other.filter(|other| other != page.name());
            assert!(other.is_none(), "{} and {} both say: {sentence}", other.unwrap(), page.name());
        }
    }
}

#[test]
fn tests_run_as_the_readme_says() {
    let readme = &pages()[0];
    let tests = readme.text.split("## Tests").nth(1).unwrap();
    let command = tests.split("```sh\n").nth(1).unwrap().lines().next().unwrap();
    let checks = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(checks.lines().any(|line| line.starts_with(command)), ".ci/run does not run: {command}");
}
