//! `niah run` through the binary on a checkpoint of four layers, and what all subcommands have in common.

use crate::common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use common::bench::{Bench, stderr};
use common::grid::{GRID, TRIALS, spoil};
use niah::store::csv;
use niah::trial::{Outcome, Status, TokenRow};
use serde_json::Value;

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
    let table = bench.grid(&["-o", "out", "--output-format", "csv"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("context_length,depth_percent,n,n_correct,accuracy,"));
    assert_eq!(lines.map(|line| line.split(',').count()).collect::<Vec<_>>(), [23; 6]);
    let json: Value = serde_json::from_str(&bench.grid(&["-o", "out", "--output-format", "json"])).unwrap();
    let json = &json["rows"];
    assert_eq!(json.as_array().unwrap().len(), 6);
    assert_eq!((&json[5]["context_length"], &json[5]["n"]), (&300.into(), &2.into()));
}

#[test]
fn the_same_command_again_runs_nothing_and_prints_the_same() {
    let bench = Bench::new();
    let first = bench.grid(&["-o", "out"]);
    let before = (bench.text("out/results.csv"), bench.text("out/attention.csv"), bench.text("out/run.json"));
    let again = bench.output(&[&["run", "--model", "tiny", "-o", "out"], &GRID[..]].concat());
    assert_eq!(String::from_utf8(again.stdout.clone()).unwrap(), first);
    assert_eq!(stderr(&again), "results: out\n");
    let after = (bench.text("out/results.csv"), bench.text("out/attention.csv"), bench.text("out/run.json"));
    assert_eq!(before, after);
}

#[test]
fn a_run_that_grew_by_lengths_depths_and_trials_has_the_rows_of_a_whole_one() {
    let bench = Bench::new();
    bench.grid(&["-o", "whole", "--tokens"]);
    bench.grid(&["-o", "grown", "--tokens", "--context-lengths=300", "--depths=0,50", "--trials=1"]);
    bench.grid(&["-o", "grown", "--tokens", "--depths=0,50"]);
    assert_eq!(bench.outcomes("grown").len(), 8);
    let added = bench.output(&[&["run", "--model=tiny", "--tokens", "-o=grown"], &GRID[..]].concat());
    assert!(stderr(&added).contains("4 trials (8 already done)"), "{}", stderr(&added));
    let timeless = |directory: &str| -> Vec<Outcome> {
        let rows = bench.outcomes(directory).into_iter();
        rows.map(|row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row }).collect()
    };
    assert_eq!(timeless("grown"), timeless("whole"));
    for table in ["attention.csv", "tokens.csv"] {
        assert_eq!(bench.text(&format!("grown/{table}")), bench.text(&format!("whole/{table}")));
    }
    assert_eq!(bench.stdout(&["view", "grown"]), bench.stdout(&["view", "whole"]));
    let fewer = ["run", "--model=tiny", "-o=grown"];
    bench.refused(&[&fewer[..], &GRID[..], &["--trials=1"]].concat(), &["trials: 2 -> 1"]);
}

#[test]
fn a_run_without_a_terminal_says_how_far_it_is_in_lines_and_more_or_less_when_asked() {
    let bench = Bench::new();
    let said = |more: &[&str]| {
        let arguments = [&["run", "--model=tiny"], &GRID[..], &["--limit=2"], more].concat();
        let output = bench.output(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let plain = said(&["-o", "plain"]);
    assert!(plain.contains("2 of 12 trials, 0 of 6 cells, ") && plain.contains("results: plain"), "{plain}");
    assert!(!plain.contains('\r') && !plain.contains('\x1b'), "{plain:?}");
    assert_eq!(said(&["-o", "quiet", "-q"]), "");
    let verbose = said(&["-o", "verbose", "-v"]);
    for row in bench.outcomes("verbose") {
        let line = format!("{} {}, needle mass ", row.row_id, row.outcome.unwrap().word());
        assert!(verbose.contains(&line), "{line} in {verbose}");
    }
    let both = bench.output(&["run", "tiny", "-q", "-v"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_run_in_two_parts_has_the_rows_of_a_whole_one() {
    let bench = Bench::new();
    bench.grid(&["-o", "whole"]);
    let part = bench.grid(&["-o", "parts", "--limit", "2", "--output-format", "csv"]);
    assert_eq!(bench.outcomes("parts").len(), 2);
    assert!(
        part.contains("\n300,100.0,0,0,,,,,0,0,,,,,,0,,,,,,,\n"),
        "cells that have not run are missing: {part}"
    );
    let rest = bench.output(&[&["run", "--model", "tiny", "-o", "parts"], &GRID[..]].concat());
    assert!(stderr(&rest).contains("10 trials (2 already done)"), "{}", stderr(&rest));
    same_rows(&bench, "whole", "parts");
}

#[test]
fn threads_make_no_difference() {
    let bench = Bench::new();
    bench.grid(&["-o", "one", "--threads", "1"]);
    bench.grid(&["-o", "two", "--threads", "2"]);
    same_rows(&bench, "one", "two");
    let threads = |directory| bench.run_json(directory)["machine"]["threads"].clone();
    assert_eq!((threads("one"), threads("two")), (1.into(), 2.into()));
}

#[test]
fn another_plan_in_the_same_directory_is_refused() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--limit", "1"]);
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
        bench.grid(&[&["-o", name, "--limit", "1"], more].concat());
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
    let own = bench.grid(&["-o", "own", "--limit", "1"]);
    let learned = "ssmax (s learned per layer and head, mean 0.4000, range 0.4000 to 0.4000)";
    let words: Vec<_> = own.split_whitespace().collect();
    assert!(words.join(" ").contains(learned), "{own}");
    let swapped =
        "softmax (m = 1, by --variant softmax: the learned ssmax scales of this checkpoint are not used)";
    let softmax = ["-o", "plain", "--limit", "1", "--variant", "softmax"];
    for page in [
        bench.grid(&[&softmax[..], &["--dry-run"]].concat()),
        bench.grid(&softmax),
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
    bench.grid(&["-o", "out", "--limit", "2", "--tokens"]);
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
    let plan = bench.grid(&["--dry-run"]);
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
        "rules",
        "experiments",
        "exporters",
    ] {
        let one = bench.stdout(&["list", kind]);
        assert!(one.starts_with(&format!("{kind} (")) && all.contains(&one), "{one}");
    }
    assert!(all.contains("\n  ssmax-fixed ") && all.contains("\n  llama ") && all.contains("\n  synthetic "));
    bench.refused(&["list", "things"], &["known: variants, families"]);
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
        bench.refused(&["run", "--config", "bad.toml"], &[message]);
    }
    bench.refused(&["run", "--config", "none.toml"], &["none.toml"]);
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
        (&["run", "--model", "tiny", "--palette", "pink"], "known: viridis, rag"),
        (&["view", "nowhere"], "no run here"),
    ] {
        bench.refused(arguments, &[message]);
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

#[test]
fn a_run_of_whose_trials_one_failed_goes_on_and_fails_where_that_is_wanted() {
    let bench = Bench::new();
    // The needle of the last trial is a letter longer than the length has room for.
    let run = ["run", "--model=tiny", "--context-lengths=150", "--depths=0", "--trials=3", "--seed=3"];
    let said = "1 of 3 trials failed; the first (150:0:2): prompt of length 150";
    let lenient = bench.output(&[&run[..], &["-o", "lenient"]].concat());
    assert_eq!(lenient.status.code(), Some(0), "{}", stderr(&lenient));
    assert!(stderr(&lenient).contains(&format!("warning: {said}")), "{}", stderr(&lenient));
    assert!(String::from_utf8_lossy(&lenient.stdout).contains("; one trial failed and is not counted."));
    let strict = bench.output(&[&run[..], &["-o", "strict", "--fail-on-error"]].concat());
    assert_eq!(strict.status.code(), Some(1), "{}", stderr(&strict));
    assert!(stderr(&strict).contains(&format!("niah: {said}")), "{}", stderr(&strict));
    assert_eq!(strict.stdout, lenient.stdout);
    // Of what runs now all fails.
    let again = bench.output(&[&run[..], &["-o", "lenient"]].concat());
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
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
    assert_eq!(child.0.wait().unwrap().code(), Some(130), "{message}");

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
