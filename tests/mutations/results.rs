//! Seeded mutations of a run's files through everything that reads them, and of configuration files.

use std::fs;

use clap::FromArgMatches;
use niah::cli::{AttendArgs, Cli, Command, CompareArgs, ScoreArgs, ViewArgs};
use niah::commands::{Shown, attend, compare, config_file, score, view};
use niah::error::{Error, Result};
use niah::export::style::Style;
use niah::printable::is_hidden;
use niah::store::directory::{RunDirectory, RunRecord};

use super::common::bench::Bench;
use super::mutate::{Mutator, survives};

/// Inputs of a target without `NIAH_FUZZ_ITERATIONS`: a quarter of a minute.
const FEW: u64 = 200;

fn command(arguments: &[&str]) -> Command {
    let matches = niah::cli::command().try_get_matches_from([&["niah"], arguments].concat()).unwrap();
    Cli::from_arg_matches(&matches).unwrap().command
}

/// The files of a run.
const TABLES: [&str; 4] = ["run.json", "results.csv", "attention.csv", "tokens.csv"];

/// Everything that reads a run's directory.
struct Readers {
    bench: Bench,
    record: RunRecord,
    views: Vec<ViewArgs>,
    scores: Vec<ScoreArgs>,
    attends: Vec<AttendArgs>,
    compare: CompareArgs,
}

impl Readers {
    /// With a whole run in `out`, and the same in `whole`.
    fn new() -> Self {
        let bench = Bench::new();
        // Two trials: what is read of one file again and again had better be small.
        bench.stdout(&[
            "run",
            "--model=tiny",
            "--context-lengths=160,300",
            "--depths=50",
            "--trials=1",
            "--tokens",
            "-o=out",
        ]);
        fs::create_dir(bench.path("whole")).unwrap();
        for name in TABLES {
            fs::copy(bench.path("out").join(name), bench.path("whole").join(name)).unwrap();
        }
        let [out, whole] = ["out", "whole"].map(|name| bench.path(name).to_str().unwrap().to_string());
        let view = |more: &[&str]| match command(&[&["view", &out], more].concat()) {
            Command::View(args) => args,
            _ => unreachable!("it is a view"),
        };
        let attend = |more: &[&str]| match command(&[&["attend", &out], more].concat()) {
            Command::Attend(args) => *args,
            _ => unreachable!("it is an attend"),
        };
        let Command::Compare(compare) = command(&["compare", &out, &whole]) else {
            unreachable!("it is a comparison")
        };
        let score = |more: &[&str]| match command(&[&["score", &out], more].concat()) {
            Command::Score(args) => args,
            _ => unreachable!("it is a score"),
        };
        Self {
            scores: vec![score(&["--scorer=edit", "--normalise=numbers"])],
            record: RunRecord::read(&bench.path("out")).unwrap(),
            views: vec![
                view(&[]),
                view(&["--output-format=csv"]),
                view(&["--output-format=html"]),
                view(&["--by=layer"]),
                view(&["--by=layer", "--length=160", "--depth=50", "--output-format=json"]),
            ],
            // A model that is not there: what is not stored is not computed.
            attends: vec![attend(&["--model=none/such"]), attend(&["--head=top", "--model=none/such"])],
            compare: *compare,
            bench,
        }
    }

    fn seed(&self, name: &str) -> Vec<u8> {
        fs::read(self.bench.path("whole").join(name)).unwrap()
    }

    /// Has every reader read `bytes` in the place of one file of the run.
    fn read(&self, name: &str, bytes: &[u8]) {
        let put = |content: &[u8]| fs::write(self.bench.path("out").join(name), content).unwrap();
        put(bytes);
        let style = Style::plain(80);
        self.views.iter().for_each(|args| harmless(view::page(args, &style), name));
        self.scores.iter().for_each(|args| harmless(score::page(args, &style), name));
        self.attends.iter().for_each(|args| harmless(attend::page(args, &style), name));
        harmless(compare::page_of_stored(&self.compare, &style), name);
        let opened = RunDirectory::open(&self.bench.path("out"), &self.record, true);
        harmless(opened.map(|store| drop(store.done())).map(|()| nothing()), name);
        for table in TABLES {
            let _ = fs::remove_file(self.bench.path("out").join(table));
            let _ = fs::copy(self.bench.path("whole").join(table), self.bench.path("out").join(table));
        }
    }

    fn survive(&self, name: &str, mutate: impl Fn(&mut Mutator, &[Vec<u8>]) -> Vec<u8>) {
        let seeds = [self.seed(name)];
        survives(name, FEW, |mutator| mutate(mutator, &seeds), |bytes| self.read(name, bytes));
    }
}

fn nothing() -> Shown {
    Shown::default()
}

/// Whatever comes of it, it is shown in few words and without what a terminal would obey.
fn harmless(shown: Result<Shown>, what: &str) {
    match shown {
        Ok(shown) => {
            let text = String::from_utf8(shown.output).unwrap();
            let raw = text.chars().find(|&c| c != '\n' && is_hidden(c));
            assert!(raw.is_none(), "{what}: {raw:?} is shown");
            assert!(text.len() < 4 << 20, "{what}: {} bytes are shown", text.len());
        }
        Err(error) => is_said(&error),
    }
}

fn is_said(error: &Error) {
    let said = error.one_line();
    assert!(!said.contains(is_hidden) && said.len() < 50_000, "{} bytes: {said:.200}", said.len());
}

#[test]
fn run_json_of_any_content_is_read_or_refused() {
    Readers::new().survive("run.json", |mutator, seeds| mutator.json_text(seeds));
}

/// A table with a few changes of its fields, and now and then of its bytes.
fn table(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    const FIELDS: &[&str] = &[
        "",
        "NaN",
        "inf",
        "-1",
        "1e308",
        "18446744073709551615",
        "-0",
        "1e-320",
        "\"",
        "\"\n\"",
        "\"a,\"\"b\"",
        "ok",
        "error",
        "skipped",
        "true",
        "0:0:0",
        "300:50:0",
        "\u{1b}[2J",
        "\u{202e}",
        "0x10",
        "100.0001",
        " 1",
        "=1+1",
    ];
    if mutator.once_in(3) {
        return mutator.bytes(seeds);
    }
    let text = String::from_utf8(seeds[0].clone()).unwrap();
    let mut lines: Vec<Vec<String>> =
        text.split('\n').map(|line| line.split(',').map(str::to_string).collect()).collect();
    for _ in 0..=mutator.below(6) {
        let (row, other) = (mutator.below(lines.len()), mutator.below(lines.len()));
        let column = mutator.below(lines[row].len());
        match mutator.below(8) {
            0 => lines.swap(row, other),
            1 => drop(lines.remove(row)),
            2 => {
                let line = lines[row].clone();
                lines.splice(other..other, vec![line; 1 + mutator.below(200)]);
            }
            3 => drop(lines[row].remove(column)),
            4 => lines[row].insert(column, (*mutator.pick(FIELDS)).to_string()),
            // A whole column: the same change in every row.
            5 => {
                let field = (*mutator.pick(FIELDS)).to_string();
                lines
                    .iter_mut()
                    .skip(1)
                    .filter_map(|line| line.get_mut(column))
                    .for_each(|old| old.clone_from(&field));
            }
            6 => {
                let field = lines[other].get(column).cloned().unwrap_or_default();
                lines[row][column] = field;
            }
            _ => lines[row][column] = (*mutator.pick(FIELDS)).to_string(),
        }
        if lines.iter().all(Vec::is_empty) || lines.is_empty() {
            break;
        }
        lines.retain(|line| !line.is_empty());
    }
    lines.iter().map(|line| line.join(",")).collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
fn results_csv_of_any_content_is_read_or_refused() {
    Readers::new().survive("results.csv", table);
}

#[test]
fn attention_csv_of_any_content_is_read_or_refused() {
    Readers::new().survive("attention.csv", table);
}

#[test]
fn tokens_csv_of_any_content_is_read_or_refused() {
    Readers::new().survive("tokens.csv", table);
}

/// Flags of every kind, as a user writes them and in every form that TOML has for them.
const FILES: [&str; 3] = [
    "model = \"tiny\"\ncontext_lengths = [1024, \"2k\", 4096]\ndepths = [0, 50.5, 1e2]\ntrials = \
     3\nno-prefix-sharing = true\n",
    "# a comment\ntask = 'magic'\nneedle = \"\"\"\nThe \\u00e9 \\\"thing\\\" is 7.\n\"\"\"\nquestion \
     = \"What?\"\nanswer = \"7\"\nseed = 0x2a\n",
    "\"variant\" = \"softmax\"\nsplit = \"held-out\"\nssmax-scale = 0.17\ntokens = false\nlimit = \
     1_000\nrope_theta = inf\n[table]\na = { b = [1, [2]] }\n[[list]]\nd = 1979-05-27T07:32:00Z\n",
];

#[test]
fn configuration_files_of_any_content_are_read_or_refused() {
    let bench = Bench::new();
    let path = bench.path("flags.toml");
    let seeds: Vec<Vec<u8>> = FILES.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mutate = |mutator: &mut Mutator| {
        let mut bytes = mutator.bytes(&seeds);
        if mutator.once_in(8) {
            let depth = *mutator.pick(&[50, 100, 1000, 100_000]);
            let nested = match mutator.below(3) {
                0 => format!("trials = {}{}\n", "[".repeat(depth), "]".repeat(depth)),
                1 => format!("trials = {}1{}\n", "{ a = ".repeat(depth), " }".repeat(depth)),
                _ => format!("{}a = 1\n", "a.".repeat(depth)),
            };
            bytes.extend(nested.bytes());
        }
        bytes
    };
    survives("configuration file", FEW, mutate, |bytes| {
        fs::write(&path, bytes).unwrap();
        let typed = ["niah", "run", "--config", path.to_str().unwrap()].map(str::to_string);
        match config_file::expand(typed.to_vec()) {
            Ok(arguments) => drop(niah::cli::command().try_get_matches_from(arguments)),
            Err(error) => is_said(&error),
        }
    });
}
