//! `niah compare` and `niah demo` through the binary: stored runs without their models, models that are run
//! for it, what is refused, and the demo on checkpoints that were trained for an instant.

use crate::common;

use std::fs;

use common::bench::Bench;
use niah::stats::{mean_interval, share_interval};
use niah::store::csv::{self, Appender};
use niah::trial::{Outcome, Status};
use serde_json::Value;

const GRID: [&str; 5] =
    ["--context-lengths=200,300", "--depths=0,100", "--trials=3", "--seed=3", "--threads=1"];

impl Bench {
    fn run(&self, directory: &str, more: &[&str]) {
        self.stdout(&[&["run", "--model=tiny", "-o", directory], &GRID[..], more].concat());
    }

    fn rows(&self, directory: &str) -> Vec<Outcome> {
        csv::read(self.path(directory).join("results.csv")).unwrap()
    }

    /// A run like `source`, its rows changed by a rule.
    fn derive(&self, source: &str, directory: &str, change: impl Fn(usize, Outcome) -> Outcome) {
        fs::create_dir(self.path(directory)).unwrap();
        fs::copy(self.path(source).join("run.json"), self.path(directory).join("run.json")).unwrap();
        let rows: Vec<_> = self.rows(source).into_iter().enumerate().map(|(i, row)| change(i, row)).collect();
        Appender::open(self.path(directory).join("results.csv")).unwrap().append(&rows).unwrap();
    }

    /// The rows of a comparison at one level.
    fn compared(&self, arguments: &[&str], level: &str) -> Vec<Value> {
        let text = self.stdout(&[&["compare", "--output-format=json"], arguments].concat());
        let report: Value = serde_json::from_str(&text).unwrap();
        let rows = report["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["level"] == level).cloned().collect()
    }
}

#[test]
fn stored_runs_are_compared_pair_by_pair_without_their_models() {
    let bench = Bench::new();
    bench.run("source", &[]);
    // A is right in every other row; B always but in the first, and its masses are larger by the trial's
    // number.
    bench.derive("source", "a", |i, row| Outcome {
        correct: Some(i % 2 == 0),
        needle_mass_top: Some(0.125),
        ..row
    });
    bench.derive("source", "b", |i, row| Outcome {
        correct: Some(i != 0),
        needle_mass_top: Some(0.125 * (1 + row.trial) as f64),
        ..row
    });
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    let all = &bench.compared(&["a", "b"], "all")[0];
    let number = |key: &str| all[key].as_f64().unwrap();
    assert_eq!(
        (all["n"].as_u64(), all["n_left_out"].as_u64(), all["n_trials"].as_u64()),
        (Some(12), Some(0), Some(3))
    );
    assert_eq!((number("accuracy_a"), number("accuracy_b")), (0.5, 11.0 / 12.0));
    assert_eq!((number("ci_low_a"), number("ci_high_a")), share_interval(&[(2, 4); 3]).ends().unwrap());
    assert_eq!(all["ci_method_a"], "wilson");
    assert_eq!((all["only_a"].as_u64(), all["only_b"].as_u64()), (Some(1), Some(6)));
    assert!(number("accuracy_difference_low") < 0.0 && number("mcnemar_p") > 0.05, "{all}");
    assert_eq!(all["accuracy_difference_method"], "paired-score");
    assert_eq!(number("needle_mass_difference"), 0.125);
    let trials = [0.0, 0.125, 0.25].map(|difference| vec![difference; 4]);
    let interval = mean_interval(&trials, Some((-1.0, 1.0))).ends().unwrap();
    assert_eq!((number("needle_mass_difference_low"), number("needle_mass_difference_high")), interval);

    let lengths = bench.compared(&["a", "b"], "length");
    assert_eq!(
        lengths.iter().map(|row| row["context_length"].as_u64().unwrap()).collect::<Vec<_>>(),
        [200, 300]
    );
    assert_eq!(bench.compared(&["a", "b"], "cell").len(), 4);
    let table = bench.stdout(&["compare", "a", "b", "--output-format", "csv"]);
    assert_eq!(table.lines().count(), 1 + 4 + 2 + 1);
    assert_eq!(bench.stdout(&["compare", "a", "-m", "b", "--output-format", "csv"]), table);
    let page = bench.stdout(&["compare", "a", "b", "--width=80"]);
    for part in ["B - A in points", "+42", "not corrected", "not shown to differ", "paired score interval"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let ascii = bench.stdout(&["compare", "a", "b", "--width=160", "--ascii"]);
    assert!(ascii.is_ascii() && ascii.lines().all(|line| line.len() <= 160));
    assert!(ascii.contains("B - A in points   ") && ascii.contains("   Needle mass by context"), "{ascii}");
    let painted = bench.stdout(&["compare", "a", "b", "--color=always", "--palette=viridis"]);
    assert!(painted.contains("\x1b[48;"));
}

#[test]
fn failed_and_missing_rows_are_left_out_and_counted() {
    let bench = Bench::new();
    bench.run("a", &[]);
    bench.derive("a", "b", |i, row| match i {
        0 => Outcome { status: Status::Error, correct: None, prompt_hash: None, ..row },
        _ => Outcome { correct: Some(true), ..row },
    });
    bench.run("part", &["--limit=4"]);
    let all = &bench.compared(&["a", "b"], "all")[0];
    assert_eq!(
        (all["n"].as_u64(), all["n_left_out"].as_u64(), all["n_correct_b"].as_u64()),
        (Some(11), Some(1), Some(11))
    );
    let page = bench.stdout(&["compare", "b", "part", "--width=100"]);
    assert!(page.contains("Left out: 9 of the prompts (1 failed in A, 8 not run in B)"), "{page}");
}

#[test]
fn one_checkpoint_runs_under_two_variants_and_leaves_nothing_unless_asked_to() {
    let bench = Bench::new();
    bench.run("a", &[]);
    bench.run("b", &["--variant=ssmax-fixed"]);
    let stored = bench.stdout(&["compare", "a", "b"]);
    let models = [&["compare", "tiny", "tiny", "--variant-b", "ssmax-fixed"], &GRID[..]].concat();
    assert_eq!(bench.stdout(&models), stored);
    assert!(stored.contains("A  tiny, softmax") && stored.contains("B  tiny, ssmax-fixed"), "{stored}");
    let mut files: Vec<_> =
        fs::read_dir(bench.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["a", "b", "tiny"]);

    let kept = [&models[..], &["-o", "kept"]].concat();
    assert_eq!(bench.stdout(&kept), stored);
    let before = fs::read(bench.path("kept/a/results.csv")).unwrap();
    assert_eq!(bench.stdout(&kept), stored);
    assert_eq!(fs::read(bench.path("kept/a/results.csv")).unwrap(), before, "nothing runs twice");
    assert_eq!(bench.stdout(&["compare", "kept/a", "kept/b"]), stored);
    // A stored run beside a model that is run with its flags.
    assert_eq!(
        bench.stdout(&[&["compare", "a", "tiny", "--variant-b=ssmax-fixed"], &GRID[..]].concat()),
        stored
    );
}

#[test]
fn one_checkpoint_runs_under_several_variants_on_one_set_of_prompts() {
    let bench = Bench::new();
    let variants = ["softmax", "ssmax", "constant", "topk:8", "entmax15"];
    let listed = variants.join(",");
    let scales = ["--attention-scale=2", "--ssmax-scale=0.3", "-o", "kept"];
    let compare = [&["compare", "tiny", "--variants", &listed], &scales[..], &GRID[..]].concat();
    let page = bench.stdout(&compare);
    let directories = variants.map(|variant| format!("kept/{}", variant.replace(':', "-")));
    let results =
        || directories.each_ref().map(|kept| fs::read(bench.path(kept).join("results.csv")).unwrap());
    let before = results();
    assert_eq!(bench.stdout(&compare), page);
    assert_eq!(results(), before, "nothing runs twice");
    let stored: Vec<&str> = ["compare"].into_iter().chain(directories.iter().map(String::as_str)).collect();
    assert_eq!(bench.stdout(&stored), page);
    for words in ["A  tiny, softmax", "D  tiny, topk:8", "E  tiny, entmax15", "E AGAINST A", "Holm"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let overview = page.split("All that A and each").nth(1).unwrap();
    let header = overview.lines().find(|line| line.contains("prompts")).unwrap();
    assert!(header.ends_with("it is") && overview.contains("accuracy of A: "), "what is found fits: {page}");
    // Each has its own of the scales that were given.
    let settings = |variant: &str| -> Value {
        serde_json::from_str(&bench.text(&format!("kept/{variant}/run.json"))).unwrap()
    };
    let scale = |variant: &str, key: &str| settings(variant)["settings"][key].as_f64();
    assert_eq!((scale("constant", "attention_scale"), scale("constant", "ssmax_scale")), (Some(2.0), None));
    assert_eq!((scale("ssmax", "attention_scale"), scale("ssmax", "ssmax_scale")), (None, Some(0.3)));
    assert_eq!(scale("softmax", "attention_scale"), None);
    for (arguments, words) in [
        (&["tiny", "--variants", "softmax"][..], &["--variants", "two or more"][..]),
        (&["tiny", "--variants", "softmax,softmax"], &["--variants", "each variant once"]),
        (&["tiny", "tiny", "--variants", "softmax,ssmax"], &["--variants", "one checkpoint"]),
        (&["kept/softmax", "--variants", "softmax,ssmax"], &["--variants", "has its variant"]),
        (&["tiny", "--variants", "softmax,topk"], &["topk:64"]),
        (&["tiny", "--variants", "softmax,ssmax", "--attention-scale=2"], &["--attention-scale", "constant"]),
        (&["tiny", "--variants", "softmax,topk:8", "--ssmax-scale=2"], &["--ssmax-scale", "ssmax"]),
    ] {
        bench.refused(&[&["compare"], arguments].concat(), words);
    }
    let both = bench.output(&["compare", "tiny", "--variants=softmax,ssmax", "--variant=logn"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn one_checkpoint_runs_with_two_caches_that_the_titles_name() {
    let bench = Bench::new();
    bench.run("a", &[]);
    bench.run("b", &["--kv-dtype=q4_0"]);
    let stored = bench.stdout(&["compare", "a", "b"]);
    let models = [&["compare", "tiny", "tiny", "--kv-dtype-b=q4_0"], &GRID[..]].concat();
    assert_eq!(bench.stdout(&models), stored);
    let titles: Vec<_> = stored.lines().filter(|line| line.contains("tiny, softmax")).collect();
    assert!(!titles[0].contains("q4_0") && titles[1].contains("cache in q4_0"), "{stored}");
    // What is named for one side takes the place of what is named for both.
    let both = ["compare", "-m=tiny", "--kv-dtype-a=f32", "--k-dtype=q8_0", "--v-dtype=q4_0"];
    let page = bench.stdout(&[&both, &GRID[..]].concat());
    let titles: Vec<_> = page.lines().filter(|line| line.contains("tiny, softmax")).collect();
    assert!(titles[0].contains("cache in f32") && !titles[0].contains("keys"), "{page}");
    assert!(titles[1].contains("keys in q8_0, values in q4_0"), "{page}");
}

#[test]
fn regression_a_setting_is_refused_under_the_flag_of_its_side() {
    let bench = Bench::new();
    for (flags, said) in [
        (&["--kv-dtype-b=q4_0"][..], "--kv-dtype-b: found q4_0"),
        (&["--variant-b=ssmax"], "--variant-b: found ssmax"),
        (&["--kv-dtype=q4_0"], "--kv-dtype: found q4_0"),
        (&["--variant=ssmax", "--kv-dtype-a=q4_0"], "--variant: found ssmax"),
    ] {
        bench.refused(&[&["compare", "tiny", "shipped:multiscreen"], flags, &GRID[..]].concat(), &[said]);
    }
    let variants = ["compare", "shipped:multiscreen", "--variants=screening,ssmax"];
    bench.refused(&[&variants, &GRID[..]].concat(), &["--variants: found ssmax"]);
}

#[test]
fn regression_runs_on_different_prompts_are_refused_and_the_prompts_named() {
    let bench = Bench::new();
    bench.run("a", &[]);
    bench.run("other-seed", &["--seed=4"]);
    bench.refused(
        &["compare", "a", "other-seed"],
        &["12 of 12 prompts", "200:0:0, 200:0:1, 200:0:2", "seed: 3 -> 4"],
    );
    bench.derive("a", "one-differs", |i, row| match i {
        5 => Outcome { prompt_hash: Some("another".into()), ..row },
        _ => row,
    });
    bench.refused(&["compare", "a", "one-differs"], &["1 of 12 prompts"]);
    bench.run("other-scorer", &["--scorer=contains"]);
    bench.refused(&["compare", "a", "other-scorer"], &["--scorer contains", "--scorer match"]);
    bench.stdout(&[
        "run",
        "--model=tiny",
        "-o",
        "elsewhere",
        "--context-lengths=400",
        "--depths=0",
        "--seed=3",
    ]);
    bench.refused(&["compare", "a", "elsewhere"], &["share no trial"]);
    // Models are refused before one of them runs.
    let message =
        bench.refused(&[&["compare", "a", "tiny"], &GRID[..], &["--seed=5"]].concat(), &["4 of 4 prompts"]);
    assert!(!message.contains("trials, completion"), "a model ran: {message}");
}

#[test]
fn several_runs_are_each_held_against_the_first() {
    let bench = Bench::new();
    bench.run("source", &[]);
    let derive = |name: &str, right: fn(usize) -> bool| {
        bench.derive("source", name, |i, row| Outcome { correct: Some(right(i)), ..row });
    };
    derive("a", |_| false);
    derive("b", |i| i % 2 == 0);
    derive("c", |_| true);
    let rows = bench.compared(&["a", "b", "c"], "all");
    let field = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(field("run"), ["B", "C"]);
    assert_eq!(field("pairing"), ["paired", "paired"]);
    assert_eq!(field("accuracy_difference"), [0.5, 1.0]);
    let [alone, last] = [&["a", "c"], &["a", "b"]].map(|pair| bench.compared(pair, "all")[0].clone());
    assert_eq!(
        (&alone["accuracy_difference"], &alone["run"]),
        (&rows[1]["accuracy_difference"], &"B".into())
    );
    assert_eq!(last, rows[0]);

    let page = bench.stdout(&["compare", "a", "b", "c", "--width=140"]);
    for part in ["C  tiny", "B AGAINST A", "C AGAINST A", "depth: C - A in points", "accuracy C %", "C only"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    let overview = page.split("All that A and each").nth(1).unwrap();
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let row =
        overview.lines().map(words).find(|words| words.starts_with(&["C".into(), "same".into()])).unwrap();
    assert!(row[2] == "12" && row.contains(&"+100".to_string()), "{overview}");
    bench.refused(&["compare", "a"], &["two or more"]);
    bench.refused(&["compare", "a", "b", "-m", "c"], &["--model", "a third"]);
    bench.refused(&["compare", "a", "b", "nowhere"], &["nowhere"]);
    bench.run("other-seed", &["--seed=4"]);
    bench.refused(&["compare", "a", "b", "other-seed"], &["A and C were not asked the same"]);
}

#[test]
fn the_same_questions_in_the_tokens_of_another_checkpoint_are_compared_unpaired() {
    let bench = Bench::new();
    train(&bench, "words", &[]);
    train(&bench, "other-words", &["--vocab-size=280"]);
    let grid = ["--context-lengths=300,400", "--depths=0", "--trials=4", "--threads=1"];
    let models = [&["compare", "words", "other-words", "words", "-o", "kept"], &grid[..]].concat();
    let output = bench.output(&models);
    let said = common::bench::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the prompts of A and B differ: they are compared unpaired"), "{said}");
    let page = String::from_utf8(output.stdout).unwrap();
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "B is compared unpaired: it was asked the same in other words than A (another tokenizer)",
        "B unpaired 8",
        "C same 8",
        "with Newcombe's interval of the difference",
    ] {
        assert!(words.contains(part), "{part} in {page}");
    }
    let stored = bench.stdout(&["compare", "kept/a", "kept/b", "kept/c"]);
    assert_eq!(stored, page);
    let row = &bench.compared(&["kept/a", "kept/b"], "all")[0];
    assert_eq!(
        (&row["pairing"], &row["accuracy_difference_method"]),
        (&"unpaired".into(), &"newcombe".into())
    );
    assert_eq!((row["n"].as_u64(), row["n_b"].as_u64(), &row["only_a"]), (Some(8), Some(8), &Value::Null));
    assert_eq!((&row["mcnemar_p"], &row["needle_mass_difference_low"]), (&Value::Null, &Value::Null));
    // What could be asked in the same way must be.
    bench.stdout(&["run", "words", "-o", "seed", "--context-lengths=300", "--depths=0", "--seed=7"]);
    bench.refused(&["compare", "kept/b", "seed"], &["not asked the same", "seed: 42 -> 7"]);
    bench.refused(&["gate", "kept/b", "--baseline=kept/a", "--max-drop=20%"], &["not asked the same"]);
}

#[test]
fn flags_that_have_nothing_to_run_are_refused() {
    let bench = Bench::new();
    bench.run("a", &[]);
    bench.refused(&["compare", "a", "a", "--variant-b=ssmax"], &["--variant-b", "a is a run"]);
    bench.refused(&["compare", "a", "a", "--kv-dtype-a=q8_0"], &["--kv-dtype-a", "a is a run"]);
    bench.refused(&["compare", "a", "a", "-o", "out"], &["--output", "stored already"]);
    bench.refused(
        &["compare", "a", "a", "--context-lengths=200,300"],
        &["--context-lengths", "200,300", "stored already"],
    );
    // That it is the default makes it no less a wish.
    bench.refused(&["compare", "a", "a", "-n=1"], &["--trials", "stored already"]);
    fs::write(bench.path("grid.toml"), "depths = [0, 100]\n").unwrap();
    bench.refused(&["compare", "a", "a", "--config=grid.toml"], &["--depths", "0,100", "stored already"]);
    bench.stdout(&["compare", "a", "a", "--threads=1", "--output-format=csv", "--width=90"]);
    bench.refused(&["compare", "a", "nowhere"], &["nowhere"]);
}

/// Two checkpoints of one tokenizer, trained for a step.
fn trained(bench: &Bench) {
    for variant in ["softmax", "ssmax"] {
        train(bench, variant, &["--variant", variant]);
    }
}

fn train(bench: &Bench, output: &str, more: &[&str]) {
    let small = [
        "train",
        "-o",
        output,
        "--hidden-size=16",
        "--intermediate-size=16",
        "--num-hidden-layers=2",
        "--num-attention-heads=1",
        "--vocab-size=300",
        "--context-length=128",
        "--batch-size=1",
        "--steps=1",
        "--haystack=essays",
    ];
    bench.stdout(&[&small[..], more].concat());
}

#[test]
fn the_demo_draws_both_and_ends_with_the_result() {
    let bench = Bench::new();
    trained(&bench);
    let demo = |more: &[&str]| {
        bench.stdout(&[&["demo", "--softmax=softmax", "--ssmax=ssmax", "-n=2", "--ascii"], more].concat())
    };
    let wide = demo(&["--width=160", "--threads=1"]);
    let [prose, lines] = ["ONE NEEDLE IN PROSE", "A LINE AMONG KEY-VALUE LINES"].map(|part| {
        let found = wide.find(part).unwrap_or_else(|| panic!("no {part}: {wide}"));
        &wide[found..]
    });
    assert!(prose.len() > lines.len(), "{wide}");
    for part in [prose, lines] {
        assert!(part.contains("softmax: Accuracy") && part.contains("   ssmax: Accuracy"), "{wide}");
    }
    assert!(wide.contains("128    | 512      4k"), "{wide}");
    let joined = |page: &str| page.split_whitespace().collect::<Vec<_>>().join(" ");
    let result = joined(&lines[lines.find("Beyond").unwrap()..]);
    assert!(result.starts_with("Beyond the training length of 128 tokens softmax answers "), "{result}");
    assert!(result.contains("of the same 12 prompts right") && result.contains("over 2 trials"), "{result}");
    assert!(
        result.contains("There the needle has ") && result.contains(" of its top head with "),
        "{result}"
    );
    let narrow = demo(&["--width=80", "--threads=2"]);
    assert!(narrow.lines().all(|line| line.len() <= 80), "{narrow}");
    for map in ["Accuracy by", "Needle mass by"] {
        assert_eq!(narrow.matches(map).count(), 4, "{narrow}");
    }
    assert!(joined(&narrow).ends_with(&joined(&result)), "not the same on other threads: {narrow}");
}

#[test]
fn the_demo_holds_a_third_checkpoint() {
    let bench = Bench::new();
    trained(&bench);
    let tiles = ["train", "-o", "tiles", "--family=multiscreen", "--hidden-size=16", "--num-hidden-layers=1"];
    let data =
        ["--tokenizer=softmax", "--context-length=128", "--batch-size=1", "--steps=1", "--haystack=essays"];
    bench.stdout(&[&tiles[..], &data, &["--num-attention-heads=2", "--value-dim=8"]].concat());
    let demo = [
        "demo",
        "--softmax=softmax",
        "--ssmax=ssmax",
        "--multiscreen=tiles",
        "-n=1",
        "--ascii",
        "--width=200",
    ];
    let page = bench.stdout(&demo);
    let first = page.lines().find(|line| line.contains("Accuracy")).unwrap();
    assert!(first.contains("ssmax: Accuracy") && first.contains("screening: Accuracy"), "{page}");
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for other in ["softmax", "screening"] {
        assert!(words.contains(&format!("tokens {other} answers 0% and ssmax ")), "{words}");
    }
}

#[test]
fn a_demo_of_checkpoints_that_do_not_belong_together_is_refused() {
    let bench = Bench::new();
    trained(&bench);
    train(&bench, "longer", &["--context-length=160"]);
    train(&bench, "other-words", &["--vocab-size=280"]);
    bench.refused(&["demo", "--softmax=softmax", "--ssmax=longer"], &["--ssmax", "160 tokens", "128 tokens"]);
    bench.refused(
        &["demo", "--softmax=softmax", "--ssmax=other-words"],
        &["9 of 9 prompts", "tokenizer_sha256"],
    );
    bench.refused(&["demo", "--softmax=softmax", "--ssmax=nowhere"], &["nowhere"]);
}
