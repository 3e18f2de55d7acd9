//! Every subcommand through the binary, on a checkpoint of four layers.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use common::bench::Bench;
use niah::export::csv;
use niah::trial::{AttentionRow, Outcome, Status, TokenRow};
use serde_json::Value;

/// Two lengths, three depths, two trials: twelve prompts.
const GRID: [&str; 7] = [
    "--context-lengths=200,300",
    "--depths=0,50,100",
    "--trials",
    "2",
    "--seed",
    "3",
    "--apply-chat-template=never",
];
const TRIALS: usize = 12;

impl Bench {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        for variable in ["NO_COLOR", "COLUMNS", "RAYON_NUM_THREADS"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs `niah`; the output whatever comes of it.
    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `niah` writes to stdout when all goes well.
    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `niah run` of the grid with `more`.
    fn run(&self, more: &[&str]) -> String {
        self.stdout(&[&["run", "--model", "tiny"], &GRID[..], more].concat())
    }

    fn outcomes(&self, directory: &str) -> Vec<Outcome> {
        csv::read(self.path(directory).join("results.csv")).unwrap()
    }

    fn attention(&self, directory: &str) -> Vec<AttentionRow> {
        csv::read(self.path(directory).join("attention.csv")).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run_json(&self, directory: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{directory}/run.json"))).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows without their durations.
fn timeless(rows: Vec<Outcome>) -> Vec<Outcome> {
    rows.into_iter().map(|row| Outcome { duration_seconds: None, ..row }).collect()
}

fn same_rows(bench: &Bench, one: &str, other: &str) {
    assert_eq!(timeless(bench.outcomes(one)), timeless(bench.outcomes(other)));
    let attention = |directory| bench.text(&format!("{directory}/attention.csv"));
    assert_eq!(attention(one), attention(other));
}

#[test]
fn a_run_leaves_its_record_and_says_where() {
    let bench = Bench::new();
    let output = bench.output(&[&["run", "--model", "tiny", "-o", "out"], &GRID[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let drawn = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(drawn.contains("Accuracy by context length and depth\n"), "{drawn}");
    assert!(drawn.contains("n = 2 per cell") && drawn.contains("found "), "{drawn}");
    assert!(!drawn.contains('\x1b'), "a pipe has no colours");
    let progress = stderr(&output);
    assert!(progress.contains("tiny: 12 trials, completion prompts, variant softmax (m = 1)"), "{progress}");
    assert!(progress.ends_with("results: out\n"), "{progress}");

    let rows = bench.outcomes("out");
    assert_eq!(rows.len(), TRIALS);
    let (first, run) = (&rows[0], bench.run_json("out"));
    assert_eq!(
        (first.model.as_str(), first.variant.as_str(), first.task.as_str()),
        ("tiny", "softmax", "magic")
    );
    assert_eq!((first.row_id.as_str(), first.seed, first.status), ("200:0:0", 3, Status::Ok));
    assert_eq!(first.timestamp_utc, "2023-11-14T22:13:20Z");
    assert_eq!(run["config_hash"], first.config_hash.as_str());
    assert_eq!(run["run_id"], first.run_id.as_str());
    assert_eq!((&run["variant"], &run["training_length"]), (&"softmax".into(), &512.into()));
    assert_eq!(run["settings"]["apply_chat_template"], "never");
    assert_eq!(run["model"]["spec"]["hidden_size"], 32);
    for row in &rows {
        assert!(row.prompt_tokens.unwrap() <= row.context_length - 16, "room for the answer: {}", row.row_id);
        assert!(row.answer_logprob.unwrap() < 0.0 && row.answer_rank.unwrap() >= 1);
        assert!(row.duration_seconds.unwrap() > 0.0);
    }
    let attention = bench.attention("out");
    assert_eq!(attention.len(), TRIALS * 4 * 4);
    assert!(attention.iter().all(|row| (row.total_mass - 1.0).abs() < 1e-5));
    for row in rows {
        let own = attention.iter().filter(|head| head.row_id == row.row_id);
        let top = own.map(|head| head.needle_mass).fold(0.0, f64::max);
        assert_eq!(row.needle_mass_top, Some(top));
    }
    assert!(!bench.path("out/tokens.csv").exists());
}

#[test]
fn stdout_is_clean_data() {
    let bench = Bench::new();
    let table = bench.run(&["-o", "out", "--output-format", "csv"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("context_length,depth_percent,n,n_correct,accuracy,"));
    assert_eq!(lines.map(|line| line.split(',').count()).collect::<Vec<_>>(), [13; 6]);
    let json: Value = serde_json::from_str(&bench.run(&["-o", "out", "--output-format", "json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 6);
    assert_eq!((&json[5]["context_length"], &json[5]["n"]), (&300.into(), &2.into()));
}

#[test]
fn the_same_command_again_runs_nothing_and_prints_the_same() {
    let bench = Bench::new();
    let first = bench.run(&["-o", "out"]);
    let before = (bench.text("out/results.csv"), bench.text("out/attention.csv"), bench.text("out/run.json"));
    let again = bench.output(&[&["run", "--model", "tiny", "-o", "out"], &GRID[..]].concat());
    assert_eq!(String::from_utf8(again.stdout.clone()).unwrap(), first);
    assert_eq!(stderr(&again), "results: out\n");
    let after = (bench.text("out/results.csv"), bench.text("out/attention.csv"), bench.text("out/run.json"));
    assert_eq!(before, after);
}

#[test]
fn a_run_in_two_parts_has_the_rows_of_a_whole_one() {
    let bench = Bench::new();
    bench.run(&["-o", "whole"]);
    let part = bench.run(&["-o", "parts", "--limit", "2", "--output-format", "csv"]);
    assert_eq!(bench.outcomes("parts").len(), 2);
    assert!(part.contains("\n300,100.0,0,0,,,,0,,,,,\n"), "cells that have not run are missing: {part}");
    let rest = bench.output(&[&["run", "--model", "tiny", "-o", "parts"], &GRID[..]].concat());
    assert!(stderr(&rest).contains("10 trials (2 already done)"), "{}", stderr(&rest));
    same_rows(&bench, "whole", "parts");
}

#[test]
fn threads_make_no_difference() {
    let bench = Bench::new();
    bench.run(&["-o", "one", "--threads", "1"]);
    bench.run(&["-o", "two", "--threads", "2"]);
    same_rows(&bench, "one", "two");
    let threads = |directory| bench.run_json(directory)["machine"]["threads"].clone();
    assert_eq!((threads("one"), threads("two")), (1.into(), 2.into()));
}

#[test]
fn another_plan_in_the_same_directory_is_refused() {
    let bench = Bench::new();
    bench.run(&["-o", "out", "--limit", "1"]);
    let output =
        bench.output(&[&["run", "--model", "tiny", "-o", "out"], &GRID[..], &["--seed", "4"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("seed: 3 -> 4"), "{}", stderr(&output));
    assert_eq!(bench.outcomes("out").len(), 1);
}

#[test]
fn results_go_to_a_directory_named_after_model_variant_and_task() {
    let bench = Bench::new();
    for (more, directory) in [
        (&["--limit", "1"][..], "niah-runs/tiny-softmax-magic"),
        (&["--limit", "1", "--variant", "ssmax"], "niah-runs/tiny-ssmax-magic"),
        (&["--limit", "1", "--task", "passkey"], "niah-runs/tiny-softmax-passkey"),
    ] {
        let all = ["run", "--model", "tiny", "--context-lengths=450"];
        bench.stdout(&[&all[..], more].concat());
        assert_eq!(bench.outcomes(directory).len(), 1);
    }
    let mut found: Vec<_> =
        fs::read_dir(bench.path("niah-runs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["tiny-softmax-magic", "tiny-softmax-passkey", "tiny-ssmax-magic"]);
}

#[test]
fn variants_say_which_scale_they_use_and_change_the_attention() {
    let bench = Bench::new();
    let mut entropies = Vec::new();
    for (name, more, variant, description) in [
        ("plain", &[][..], "softmax", "m = 1"),
        ("swap", &["--variant", "ssmax"], "ssmax", "zero-shot swap, s = 0.1906 from train length 512"),
        ("fixed", &["--variant", "ssmax-fixed"], "ssmax-fixed", "s = 1 for every head"),
        (
            "given",
            &["--variant", "ssmax", "--ssmax-scale", "0.17"],
            "ssmax",
            "s = 0.17 for every head, from --ssmax-scale",
        ),
    ] {
        bench.run(&[&["-o", name, "--limit", "1"], more].concat());
        let run = bench.run_json(name);
        assert_eq!(
            (run["variant"].as_str(), run["variant_description"].as_str()),
            (Some(variant), Some(description))
        );
        assert_eq!(bench.outcomes(name)[0].variant, variant);
        entropies.push(bench.attention(name)[0].entropy.unwrap());
    }
    let [plain, swap, fixed, given] = entropies[..] else { panic!("four variants") };
    assert!(fixed < plain, "ln n sharpens");
    assert!(swap != plain && given != swap && given != plain);
}

#[test]
fn a_checkpoint_with_scales_runs_as_softmax_only_when_asked_to_and_every_report_says_so() {
    let bench = Bench::new();
    let file = bench.path("tiny/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    for layer in 0..4 {
        let scale = candle_core::Tensor::new(&[0.4f32; 4], &Device::Cpu).unwrap();
        tensors.insert(format!("model.layers.{layer}.self_attn.ssmax_scale"), scale);
    }
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let own = bench.run(&["-o", "own", "--limit", "1"]);
    let learned = "ssmax (s learned per layer and head, mean 0.4000, range 0.4000 to 0.4000)";
    let words: Vec<_> = own.split_whitespace().collect();
    assert!(words.join(" ").contains(learned), "{own}");
    let swapped =
        "softmax (m = 1, by --variant softmax: the learned ssmax scales of this checkpoint are not used)";
    let softmax = ["-o", "plain", "--limit", "1", "--variant", "softmax"];
    for page in [
        bench.run(&[&softmax[..], &["--dry-run"]].concat()),
        bench.run(&softmax),
        bench.stdout(&["view", "plain"]),
    ] {
        let words: Vec<_> = page.split_whitespace().collect();
        assert!(words.join(" ").contains(swapped), "{page}");
    }
    assert_eq!(bench.run_json("plain")["model"]["own_variant"], "ssmax");
    assert!(bench.attention("plain")[0].entropy > bench.attention("own")[0].entropy);
}

#[test]
fn tokens_are_kept_when_asked_for() {
    let bench = Bench::new();
    bench.run(&["-o", "out", "--limit", "2", "--tokens"]);
    let tokens: Vec<TokenRow> = csv::read(bench.path("out/tokens.csv")).unwrap();
    for outcome in bench.outcomes("out") {
        let own: Vec<_> = tokens.iter().filter(|row| row.row_id == outcome.row_id).collect();
        assert_eq!(own.len(), outcome.prompt_tokens.unwrap());
        let needle: String = own[outcome.needle_start.unwrap()..outcome.needle_end.unwrap()]
            .iter()
            .map(|row| row.token.as_str())
            .collect();
        assert_eq!(needle, outcome.needle);
        for mass in [|row: &TokenRow| row.mass_mean, |row: &TokenRow| row.mass_top_head] {
            let total: f64 = own.iter().map(|row| mass(row)).sum();
            assert!((total - 1.0).abs() < 1e-4, "{total}");
        }
    }
}

#[test]
fn a_dry_run_says_what_a_run_would_cost_and_leaves_nothing() {
    let bench = Bench::new();
    let plan = bench.run(&["--dry-run"]);
    for line in [
        "model      tiny (llama)",
        "variant    softmax (m = 1)",
        "task       magic, completion form, haystack essays",
        "lengths    200, 300",
        "depths     0, 50, 100",
        "cells      6, 2 trials each: 12 prompts",
    ] {
        assert!(plan.lines().any(|found| found == line), "{line:?} in\n{plan}");
    }
    assert!(
        plan.contains("\ntokens     ") && plan.contains("\nmemory     ") && plan.contains("\ntime       ")
    );
    assert!(!bench.path("niah-runs").exists());
}

#[test]
fn a_run_is_viewed_without_its_model() {
    let bench = Bench::new();
    let drawn = bench.run(&["-o", "out"]);
    let csv = bench.run(&["-o", "out", "--output-format", "csv"]);
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    assert_eq!(bench.stdout(&["view", "out"]), drawn);
    assert_eq!(bench.stdout(&["view", "out", "--output-format", "csv"]), csv);
    let json: Value = serde_json::from_str(&bench.stdout(&["view", "out", "--output-format=json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 6);

    let layers = bench.stdout(&["view", "out", "--by", "layer", "--length", "200", "--depth", "0"]);
    assert!(layers.contains("Needle mass by layer and head, 200 tokens, depth 0%\n"), "{layers}");
    let default = bench.stdout(&["view", "out", "--by", "layer"]);
    assert!(default.contains("Needle mass by layer and head, 300 tokens, depth 50%\n"), "{default}");
    let masses: Vec<f64> = bench
        .attention("out")
        .iter()
        .filter(|row| row.row_id.starts_with("300:50:") && (row.layer, row.head) == (3, 3))
        .map(|row| row.needle_mass)
        .collect();
    let last = format!("{:.2}", masses.iter().sum::<f64>() / 2.0);
    let line = default.lines().find(|line| line.trim_start().starts_with("3 ")).unwrap();
    assert!(line.contains(&last), "{last} in {line}");
    let table = bench.stdout(&["view", "out", "--by", "layer", "--output-format", "csv"]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!((rows[0], rows.len()), ("layer,head,n,needle_mass,total_mass", 1 + 4 * 4));
    let mean = masses.iter().sum::<f64>() / 2.0;
    assert!(rows[16].starts_with(&format!("3,3,2,{mean},")), "{}", rows[16]);
    let json = bench.stdout(&["view", "out", "--by", "layer", "--output-format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let total = json[15]["total_mass"].as_f64().unwrap();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
    let head = serde_json::json!({"layer": 3, "head": 3, "n": 2, "needle_mass": mean, "total_mass": total});
    assert_eq!((json.as_array().unwrap().len(), &json[15]), (16, &head));

    for (arguments, message) in [
        (
            &["view", "out", "--by", "layer", "--length", "250"][..],
            "--length: found 250, expected a length of the run: 200, 300",
        ),
        (
            &["view", "out", "--by", "layer", "--depth", "10"],
            "--depth: found 10, expected a depth of the run: 0, 50, 100",
        ),
        (&["view", "tiny"], "no run here"),
        (&["view", "out", "--output-format", "xml"], "table, csv, json"),
    ] {
        let output = bench.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{message} in {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_prompt_is_shaded_from_kept_tokens_and_from_the_model_alike() {
    let bench = Bench::new();
    bench.run(&["-o", "kept", "--tokens"]);
    bench.run(&["-o", "bare"]);
    let cell = ["--length", "200", "--depth", "100", "--trial", "1"];
    let attend = |directory: &str, more: &[&str]| {
        let output = bench.output(&[&["attend", directory], &cell[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let again = "running the trial again";
    for head in ["mean", "top"] {
        let (stored, progress) = attend("kept", &["--head", head]);
        assert!(!progress.contains(again), "{progress}");
        let (computed, progress) = attend("bare", &["--head", head]);
        assert!(progress.contains(again), "{progress}");
        assert_eq!(stored, computed);
        assert!(stored.starts_with("tiny, softmax: length 200 depth 100% trial 1\nexpected \""), "{stored}");
    }
    let (one, progress) = attend("kept", &["--head", "1.2", "--top", "3"]);
    assert!(progress.contains(again) && one.contains("head 1.2\n"), "{one}");
    let heads = one.split_once("heads by needle mass\n").unwrap().1;
    assert_eq!(heads.lines().count(), 2 + 3, "{heads}");
    assert_ne!(one, attend("kept", &["--head", "1.3", "--top", "3"]).0);

    for (arguments, message) in [
        (&["attend", "kept", "--head", "9.9"][..], "a head from 0.0 to 3.3"),
        (&["attend", "kept", "--head", "first"], "mean, top, or LAYER.HEAD"),
        (&["attend", "kept", "--trial", "5"], "trial"),
        (&["attend"], "<DIRECTORY>"),
    ] {
        let output = bench.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{message} in {}", stderr(&output));
    }
}

#[test]
fn a_model_that_has_changed_since_the_run_is_not_shown_for_it() {
    let bench = Bench::new();
    bench.run(&["-o", "out", "--limit", "12"]);
    spoil(&bench.path("tiny"), "model.norm.weight", 2.0);
    let output = bench.output(&["attend", "out"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("model_sha256"), "{}", stderr(&output));
}

#[test]
fn a_text_of_ones_own_is_shaded() {
    let bench = Bench::new();
    let needle = "The cat is called Maud.";
    fs::write(bench.path("cat.txt"), format!("It rains today. {needle} The door is red.\n")).unwrap();
    let ask = ["--model", "tiny", "--query", "What is the cat called?"];
    let page = bench.stdout(&[&["attend", "--text", "cat.txt", "--needle", needle], &ask[..]].concat());
    let first = page.lines().next().unwrap();
    assert_eq!(first, "tiny, softmax (m = 1): 81 tokens of cat.txt");
    assert!(page.contains("attention of the last token, mean over all heads"), "{page}");
    assert!(page.contains("heads by needle mass") && !page.contains("-0.0000"), "{page}");
    let bare = bench.stdout(&[&["attend", "--text", "cat.txt", "--head=0.0"], &ask[..]].concat());
    assert!(bare.contains("head 0.0") && !bare.contains("heads by needle mass"), "{bare}");

    let mut child = bench.command(&[&["attend", "--text", "-"], &ask[..]].concat());
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.as_ref().unwrap(), b"A text from a pipe.").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("tokens of -"), "{}", stderr(&output));

    for (more, message) in [
        (&["--text", "cat.txt", "--needle", "The dog"][..], "letter by letter"),
        (&["--text", "cat.txt", "--needle", "is"], "occurs once"),
        (&["--text", "none.txt"], "none.txt"),
        (&["--text", "cat.txt", "--variant", "sofmax"], "known: softmax, ssmax"),
    ] {
        let output = bench.output(&[&["attend"], more, &ask[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(stderr(&output).contains(message), "{message} in {}", stderr(&output));
    }
}

#[test]
fn prompts_are_lines_of_json_that_a_seed_decides() {
    let bench = Bench::new();
    let prompts = |more: &[&str]| bench.stdout(&[&["prompts", "--model", "tiny"], &GRID[..], more].concat());
    let all = prompts(&[]);
    assert_eq!(all, prompts(&["-o", "all.jsonl"]) + &bench.text("all.jsonl"));
    let two: String = all.split_inclusive('\n').take(2).collect();
    assert_eq!(prompts(&["--limit", "2"]), two);
    assert_ne!(prompts(&["--seed", "4"]), all);
    bench.run(&["-o", "out"]);
    let outcomes = bench.outcomes("out");
    assert_eq!(all.lines().count(), TRIALS);
    for (line, outcome) in all.lines().zip(outcomes) {
        let line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let keys: Vec<_> = line.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "row_id",
                "context_length",
                "depth_percent",
                "actual_depth_percent",
                "trial",
                "seed",
                "prompt",
                "prompt_tokens",
                "special_tokens",
                "answer_budget",
                "needles",
                "needle_spans",
                "value_spans",
                "question",
                "expected",
                "haystack_loops",
                "haystack_sha256",
                "prompt_sha256",
            ]
        );
        let prompt = line["prompt"].as_str().unwrap();
        let span = |key: &str| {
            let ends = |at: usize| line[key][0][at].as_u64().unwrap() as usize;
            (ends(0), ends(1))
        };
        let (needle, value) = (span("needle_spans"), span("value_spans"));
        // A token a byte, and no BOS.
        assert_eq!(&prompt[needle.0..needle.1], line["needles"][0].as_str().unwrap());
        assert_eq!(&prompt[value.0..value.1], line["expected"][0].as_str().unwrap());
        assert_eq!((needle.0, needle.1), (outcome.needle_start.unwrap(), outcome.needle_end.unwrap()));
        assert_eq!((value.0, value.1), (outcome.value_start.unwrap(), outcome.value_end.unwrap()));
        assert_eq!(line["prompt_tokens"], prompt.len());
        assert_eq!(line["prompt_tokens"], outcome.prompt_tokens.unwrap());
        assert_eq!((&line["special_tokens"], &line["answer_budget"]), (&0.into(), &16.into()));
        assert_eq!((&line["haystack_loops"], &line["seed"]), (&0.into(), &3.into()));
        assert_eq!(line["row_id"], outcome.row_id.as_str());
        assert_eq!(line["context_length"], outcome.context_length);
        assert_eq!(line["depth_percent"], outcome.depth_percent);
        assert_eq!(line["actual_depth_percent"], outcome.actual_depth_percent.unwrap());
        assert_eq!((&line["trial"], &line["question"]), (&outcome.trial.into(), &outcome.question.into()));
        let ids: Vec<u8> = prompt.bytes().flat_map(|byte| u32::from(byte).to_le_bytes()).collect();
        assert_eq!(line["prompt_sha256"], niah::hash::sha256_hex(ids));
        assert_eq!(line["haystack_sha256"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn list_names_every_table() {
    let bench = Bench::new();
    let all = bench.stdout(&["list"]);
    for kind in [
        "variants",
        "families",
        "architectures",
        "checkpoints",
        "tasks",
        "haystacks",
        "sequences",
        "scorers",
        "experiments",
        "exporters",
    ] {
        let one = bench.stdout(&["list", kind]);
        assert!(one.starts_with(&format!("{kind} (")) && all.contains(&one), "{one}");
    }
    assert!(all.contains("\n  ssmax-fixed ") && all.contains("\n  llama ") && all.contains("\n  synthetic "));
    let output = bench.output(&["list", "things"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("known: variants, families"), "{}", stderr(&output));
}

#[test]
fn a_configuration_file_stands_in_for_flags_and_the_command_line_wins() {
    let bench = Bench::new();
    let config = r#"
        model = "tiny"
        context_lengths = [200, "0.25k"]
        depths = [0, 33.5]
        trials = 2
        seed = 9
        apply-chat-template = "never"
        tokens = true
        dry-run = false
        output = "configured"
        ssmax_scale = 0.17
        variant = "ssmax"
        width = 60
        ascii = true
    "#;
    fs::write(bench.path("run.toml"), config).unwrap();
    let settings = |directory: &str| bench.run_json(directory)["settings"].clone();

    let drawn = bench.stdout(&["run", "--config", "run.toml"]);
    let configured = settings("configured");
    assert_eq!(configured["grid"]["context_lengths"], serde_json::json!([200, 256]));
    assert_eq!(configured["grid"]["depths"], serde_json::json!([0.0, 33.5]));
    assert_eq!((&configured["seed"], &configured["ssmax_scale"]), (&9.into(), &0.17.into()));
    assert!(bench.path("configured/tokens.csv").exists());
    assert!(drawn.is_ascii() && drawn.lines().all(|line| line.len() <= 60), "{drawn}");

    // Underscores, short flags, flags before the file, and flags that exclude one of the file.
    bench.stdout(&[
        "run",
        "--context_lengths",
        "300",
        "--config=run.toml",
        "-n1",
        "--depths=50",
        "-oother",
        "--ssmax_scale=0.2",
    ]);
    let other = settings("other");
    assert_eq!(
        other["grid"]["context_lengths"],
        serde_json::json!([300]),
        "a list is replaced, not added to"
    );
    assert_eq!(other["grid"]["depths"], serde_json::json!([50.0]));
    assert_eq!(
        (&other["trials"], &other["seed"], &other["ssmax_scale"]),
        (&1.into(), &9.into(), &0.2.into())
    );
    bench.stdout(&[
        "run",
        "--config",
        "run.toml",
        "--context-lengths-min=200",
        "--context-lengths-max=280",
        "--context-lengths-num",
        "3",
        "--depths-num=1",
        "-o",
        "spaced",
        "--limit=1",
    ]);
    let spaced = settings("spaced");
    assert_eq!(spaced["grid"]["context_lengths"], serde_json::json!([200, 240, 280]));
    assert_eq!(spaced["grid"]["depths"], serde_json::json!([0.0]));

    for (toml, message) in [
        ("modle = \"tiny\"", "key \"modle\""),
        ("help = true", "key \"help\""),
        ("config = \"run.toml\"", "key \"config\""),
        ("tokens = 1", "true or false"),
        ("model = true", "a string, a number or a list"),
        ("model = ", "broken TOML"),
        ("trials = \"many\"", "--trials"),
    ] {
        fs::write(bench.path("bad.toml"), toml).unwrap();
        let output = bench.output(&["run", "--config", "bad.toml"]);
        assert_eq!(output.status.code(), Some(2), "{toml}");
        assert!(stderr(&output).contains(message), "{message} in {}", stderr(&output));
    }
    let output = bench.output(&["run", "--config", "none.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("none.toml"), "{}", stderr(&output));
}

#[test]
fn exit_codes_tell_a_failed_run_from_one_that_could_not_begin() {
    let bench = Bench::new();
    for (arguments, message) in [
        (&["train"][..], "--output"),
        (&["run", "--model", "tiny", "--no-such-flag"], "--no-such-flag"),
        (&["run", "--model", "./nowhere"], "nowhere"),
        (&["run", "--model", "tiny", "--variant", "sofmax"], "known: softmax"),
        (&["run", "--model", "tiny", "--context-lengths", "100"], "length 100"),
        (&["run", "--model", "tiny", "--apply-chat-template"], "this one has none"),
        (&["run", "--model", "tiny", "--threads", "0"], "--threads"),
        (&["run", "--model", "tiny", "--device", "gpu"], "cpu, cuda, cuda:N or metal"),
        (&["run", "--model", "tiny", "--palette", "pink"], "known: rag, viridis"),
        (&["view", "nowhere"], "no run here"),
    ] {
        let output = bench.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{message} in {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert_eq!(bench.output(arguments).status.code(), Some(0));
    }

    // Finite weights whose scores are not.
    for (tensor, value) in [("input_layernorm", 1e6), ("self_attn.q_proj", 1e17), ("self_attn.k_proj", 1e17)]
    {
        spoil(&bench.path("tiny"), &format!("model.layers.0.{tensor}.weight"), value);
    }
    let output = bench.output(&[&["run", "--model", "tiny", "-o", "out"], &GRID[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("12 of 12 trials failed; the first (200:0:0): the logits"),
        "{}",
        stderr(&output)
    );
    let rows = bench.outcomes("out");
    assert!(rows.len() == TRIALS && rows.iter().all(|row| row.status == Status::Error));
    assert!(String::from_utf8_lossy(&output.stdout).contains("12 failed trials are left out"));
}

/// Sets every number of one tensor.
fn spoil(model: &Path, tensor: &str, value: f32) {
    let file = model.join("model.safetensors");
    let mut tensors: HashMap<_, _> = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let old = &tensors[tensor];
    let new = (old.zeros_like().unwrap().to_dtype(DType::F32).unwrap() + f64::from(value)).unwrap();
    tensors.insert(tensor.to_string(), new);
    candle_core::safetensors::save(&tensors, &file).unwrap();
}

/// Kills what a failed test leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for `done`, and for nothing longer than a minute.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done_and_the_same_command_goes_on() {
    let bench = Bench::new();
    let long =
        ["run", "--model", "tiny", "-o", "out", "--context-lengths=480,500", "--trials", "500", "--limit"];
    let errors = fs::File::create(bench.path("stderr")).unwrap();
    let mut command = bench.command(&[&long[..], &["4000"]].concat());
    let mut child = Running(command.stdout(Stdio::null()).stderr(errors).spawn().unwrap());
    let results = bench.path("out/results.csv");
    wait_until("a trial is done", || csv::read::<Outcome>(&results).is_ok_and(|rows| !rows.is_empty()));
    let sent = Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    wait_until("the run ends", || child.0.try_wait().unwrap().is_some());
    let message = bench.text("stderr");
    assert_eq!(child.0.wait().unwrap().code(), Some(1), "{message}");

    let done = bench.outcomes("out").len();
    let expected = format!(
        "stopped after {done} of 5000 trials; they are kept in out. Run the same command again to go on"
    );
    assert!(message.contains(&expected), "{expected} in {message}");
    assert_eq!(bench.attention("out").len(), done * 16);
    bench.stdout(&[&long[..], &["1"]].concat());
    let rows = bench.outcomes("out");
    assert_eq!(rows.len(), done + 1);
    let keys: std::collections::HashSet<_> = rows.iter().map(|row| &row.row_id).collect();
    assert_eq!(keys.len(), done + 1);
}
