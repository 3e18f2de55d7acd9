//! `niah view`, `niah attend` and `niah prompts` through the binary: a run and its prompts looked at.

use crate::common;

use std::fs;
use std::process::Stdio;

use common::bench::{Bench, stderr};
use common::grid::{GRID, TRIALS, spoil};
use serde_json::Value;

#[test]
fn a_screen_of_its_own_takes_a_terminal_and_one_run() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    let needs =
        ["--interactive: found stdin that is no terminal", "leave the flag out to have the report printed"];
    bench.refused(&["view", "out", "--interactive"], &needs);
    bench.refused(&["run", "--model", "tiny", "--interactive", "-o", "new"], &needs);
    assert!(!bench.path("new").exists(), "nothing has run");
    bench.refused(&["run", "--model", "tiny", "--interactive", "--task", "ruler"], &["one task beside it"]);
    for beside in [&["--by", "head"][..], &["--export", "a.svg"], &["--depth", "50"]] {
        bench.refused(&[&["view", "out", "--interactive"], beside].concat(), &["cannot be used with"]);
    }
}

/// Opens a terminal, starts a program in it, and closes the terminal once its screen is taken; ends well when
/// the program does.
#[cfg(unix)]
const CLOSED: &str = r"
import fcntl, os, pty, signal, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
shown = b''
while b'\x1b[?1049h' not in shown:
    shown += os.read(terminal, 65536)
signal.signal(signal.SIGALRM, lambda *_: (os.kill(pid, signal.SIGKILL), sys.exit('still running')))
signal.alarm(60)
os.close(terminal)
os.waitpid(pid, 0)
";

#[test]
#[cfg(unix)]
fn a_screen_whose_terminal_is_closed_ends() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    let mut python = std::process::Command::new("python3");
    python.args(["-c", CLOSED, env!("CARGO_BIN_EXE_niah"), "view"]).arg(bench.path("out"));
    match python.arg("--interactive").env("TERM", "xterm").output() {
        Ok(ended) => assert!(ended.status.success(), "{}", stderr(&ended)),
        Err(error) => eprintln!("skipped: no python3 ({error})"),
    }
}

#[test]
fn masses_and_margins_are_drawn_by_length_where_scores_were_kept() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--variant=ssmax", "--ssmax-scale=0.25"]);
    let rows = bench.attention("out");
    assert!(rows.iter().all(|row| row.inverse_scale == Some(4.0) && row.score_margin <= row.needle_score));
    assert!(rows.iter().all(|row| row.score_margin_mean <= row.score_margin && row.score_margin.is_some()));
    bench.stdout(&["view", "out", "--export", "page.html", "--export", "margins.svg", "--figure", "margins"]);
    assert!(bench.text("page.html").contains("Scores and margins"));
    let svg = bench.text("margins.svg");
    assert!(svg.contains("needle score minus the largest elsewhere") && svg.contains("1/s of "), "{svg}");
    let old = bench.text("out/attention.csv");
    let columns = old.lines().next().unwrap().split(',').position(|name| name == "needle_score").unwrap();
    let shortened = |line: &str| line.split(',').take(columns).collect::<Vec<_>>().join(",") + "\n";
    fs::write(bench.path("out/attention.csv"), old.lines().map(shortened).collect::<String>()).unwrap();
    bench.stdout(&["view", "out", "--export", "page.html"]);
    assert!(!bench.text("page.html").contains("Scores and margins"), "a run of an earlier version");
}

#[test]
fn a_run_is_viewed_without_its_model() {
    let bench = Bench::new();
    let drawn = bench.grid(&["-o", "out"]);
    let csv = bench.grid(&["-o", "out", "--output-format", "csv"]);
    fs::remove_dir_all(bench.path("tiny")).unwrap();
    assert_eq!(bench.stdout(&["view", "out"]), drawn);
    assert_eq!(bench.stdout(&["view", "out", "--output-format", "csv"]), csv);
    let json: Value = serde_json::from_str(&bench.stdout(&["view", "out", "--output-format=json"])).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 6);
    assert_eq!((&json["report"], &json["totals"]["n"]), (&"run".into(), &TRIALS.into()));
    assert_eq!(json["ran"]["run_id"], bench.outcomes("out")[0].run_id.as_str());

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
    let json = &json["rows"];
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
        bench.refused(arguments, &[message]);
    }
}

#[test]
fn a_prompt_is_shaded_from_kept_tokens_and_from_the_model_alike() {
    let bench = Bench::new();
    bench.grid(&["-o", "kept", "--tokens"]);
    bench.grid(&["-o", "bare"]);
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
        (&["attend"], "<RUN|MODEL>"),
    ] {
        bench.refused(arguments, &[message]);
    }
}

#[test]
fn a_model_that_has_changed_since_the_run_is_not_shown_for_it() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--limit", "12"]);
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
    let heads = page.split_once("heads by needle mass\n").unwrap().1;
    assert!(heads.starts_with(" head   needle    total     sink"), "a value mass of no value: {heads}");
    let both = ["attend", "--text", "cat.txt", "--needle", needle, "--needle", "The door is red.", "--top=1"];
    let two = bench.stdout(&[&both[..], &ask].concat());
    let marks = |page: &str| page.matches("[[").count();
    assert!(marks(&two) > marks(&page), "the second passage is not marked: {two}");
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
        (&["--text", "cat.txt", "--needle", needle, "--needle", "The dog"], "The dog"),
        (&["--text", "cat.txt", "--variant", "sofmax"], "known: softmax, ssmax"),
    ] {
        bench.refused(&[&["attend"], more, &ask[..]].concat(), &[message]);
    }
}

#[test]
fn a_run_that_is_not_complete_says_how_far_it_is_and_one_that_is_does_not() {
    let bench = Bench::new();
    let said = "\n2 of 12 trials have run\n";
    let part = bench.grid(&["-o", "out", "--limit=2"]);
    assert!(part.contains(said) && bench.stdout(&["view", "out"]) == part, "{part}");
    assert!(!bench.grid(&["-o", "out"]).contains("trials have run"));
}

#[test]
fn answers_are_listed_and_those_of_one_outcome_alone() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    let rows = bench.outcomes("out");
    let all = bench.stdout(&["view", "out", "--by=trial", "--width=300"]);
    assert!(all.contains("12 of 12 trials\n"), "{all}");
    for row in &rows {
        let answer = row.model_response.as_deref().unwrap().trim();
        let shown = niah::printable::line(answer).into_owned();
        assert!(all.contains(&row.expected_answer) && all.is_ascii(), "{all}");
        assert!(!shown.is_ascii() || all.contains(&shown), "{shown:?} in {all}");
    }
    let missed = |row: &&niah::trial::Outcome| row.outcome == Some(niah::trial::Finding::Missed);
    let expected: Vec<_> = rows.iter().filter(missed).map(|row| row.row_id.clone()).collect();
    let csv = bench.stdout(&["view", "out", "--by=trial", "--outcome=missed", "--output-format=json"]);
    let json: Value = serde_json::from_str(&csv).unwrap();
    let found: Vec<_> = json["rows"].as_array().unwrap().iter().map(|row| row["row_id"].clone()).collect();
    assert_eq!(found, expected);
    assert_eq!(json["totals"]["n"], TRIALS, "totals are of the run");
    let none = bench.stdout(&["view", "out", "--by=trial", "--outcome=found"]);
    assert!(none.contains("0 of 12 trials\n"), "{none}");
    let one = bench.stdout(&["view", "out", "--by=trial", "--length=200", "--depth=50"]);
    assert!(one.contains("2 of 12 trials\n"), "{one}");
    bench.refused(&["view", "out", "--outcome=missed"], &["--outcome", "--by trial"]);
}

#[test]
fn heads_are_ranked_over_the_whole_grid_with_their_spread() {
    let bench = Bench::new();
    bench.grid(&["-o", "out"]);
    let rows = bench.attention("out");
    let masses = |layer, head| -> Vec<f64> {
        let own = rows.iter().filter(|row| (row.layer, row.head) == (layer, head));
        own.map(|row| row.needle_mass).collect()
    };
    let mean = |masses: &[f64]| masses.iter().sum::<f64>() / masses.len() as f64;
    let mut heads: Vec<(usize, usize)> =
        (0..4).flat_map(|layer| (0..4).map(move |head| (layer, head))).collect();
    heads.sort_by(|a, b| mean(&masses(b.0, b.1)).total_cmp(&mean(&masses(a.0, a.1))));
    let json = bench.stdout(&["view", "out", "--by=head", "--output-format=json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let ranked = json["rows"].as_array().unwrap();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let found: Vec<_> =
        ranked.iter().map(|row| (number(row, "layer") as usize, number(row, "head") as usize)).collect();
    assert_eq!(found, heads);
    let first = masses(heads[0].0, heads[0].1);
    assert_eq!(ranked[0]["n"], TRIALS);
    assert!((number(&ranked[0], "needle_mass") - mean(&first)).abs() < 1e-12);
    assert_eq!(number(&ranked[0], "needle_mass_max"), first.iter().copied().fold(0.0, f64::max));
    let leads: f64 = ranked.iter().map(|row| number(row, "n_top")).sum();
    assert_eq!(leads, TRIALS as f64, "every trial has one head that leads");
    let page = bench.stdout(&["view", "out", "--by=head"]);
    let (layer, head) = heads[0];
    assert!(page.contains(&format!("{layer}.{head}")) && page.contains("the whole grid"), "{page}");
    assert!(page.contains("* the largest (layer.head): "), "{page}");
    let cell = ["view", "out", "--by=head", "--length=200", "--depth=50", "--output-format=json"];
    let cell: Value = serde_json::from_str(&bench.stdout(&cell)).unwrap();
    assert_eq!(cell["rows"][0]["n"], 2);
}

#[test]
fn a_cell_that_ran_is_shown_where_none_is_named() {
    let bench = Bench::new();
    // The first cell alone: neither the longest nor the middle one.
    bench.grid(&["-o", "out", "--tokens", "--limit=1"]);
    let row = bench.outcomes("out").remove(0);
    let layers = bench.stdout(&["view", "out", "--by=layer"]);
    assert!(
        layers.contains(&format!("{} tokens, depth {}%", row.context_length, row.depth_percent)),
        "{layers}"
    );
    let prompt = bench.stdout(&["attend", "out"]);
    assert!(prompt.contains(&format!("length {} depth {}% trial 0", row.context_length, row.depth_percent)));
    bench.refused(&["attend", "out", "--trial=1"], &["trial 1 has not run", "same niah run command"]);
    bench.refused(&["view", "out", "--by=layer", "--depth=100"], &["no depth 100 has run"]);
}

#[test]
fn the_position_of_the_largest_weight_comes_with_its_token() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens", "--limit=1"]);
    let shown = bench.stdout(&["attend", "out", "--width=200"]);
    let top =
        bench.attention("out").into_iter().reduce(|a, b| if b.needle_mass > a.needle_mass { b } else { a });
    let position = top.unwrap().argmax_position;
    let tokens: Vec<niah::trial::TokenRow> = niah::store::csv::read(bench.path("out/tokens.csv")).unwrap();
    let with_token = format!("{position} {:?}", tokens[position].token);
    assert!(shown.contains(&with_token), "{with_token} in {shown}");
}

#[test]
fn a_needle_may_begin_with_a_hyphen() {
    let bench = Bench::new();
    let prompts = ["prompts", "-m", "tiny", "--context-lengths", "400", "--depths", "50"];
    let text = "- The answer is five today.";
    let line = bench
        .stdout(&[&prompts[..], &["--needle", text, "--question", "- What?", "--answer", "five"]].concat());
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["needles"][0], &line["question"]), (&text.into(), &"- What?".into()));
}

#[test]
fn a_haystack_that_begins_again_is_said_by_every_command_that_reads_it() {
    let bench = Bench::new();
    fs::write(bench.path("short.txt"), "The river carried a boat. Nobody saw it pass the mill.").unwrap();
    let plan = ["-m", "tiny", "--context-lengths=300,500", "--depths=50", "--haystack=short.txt"];
    let ran = |command: &[&str]| {
        let output = bench.output(&[command, &plan].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let (_, said) = ran(&["run", "-o", "out"]);
    assert_eq!(said.matches("begins again: 300 holds it 3 times, 500 holds it ").count(), 1, "{said}");
    let record: Value = serde_json::from_str(&bench.text("out/run.json")).unwrap();
    assert!(record["warnings"].to_string().contains("begins again"), "{record}");
    assert_eq!(record["tokens"]["haystack_loops"]["300"], 2);
    let (dry, said) = ran(&["run", "--dry-run"]);
    assert!(dry.contains("the longest prompt goes round ") && said.contains("begins again"), "{dry}{said}");
    let (limited, _) = ran(&["run", "--dry-run", "--limit=1"]);
    assert!(limited.contains("2 prompts (--limit: 1 of them now)\n"), "{limited}");
    let (lines, said) = ran(&["prompts"]);
    assert!(lines.contains("\"haystack_loops\":2,") && said.contains("one of them holds it "), "{said}");
}

#[test]
fn a_scorer_that_counts_a_part_of_a_word_is_warned_of_once() {
    let bench = Bench::new();
    let run = |scorer: &str, needle: &str, question: &str| {
        let flags =
            ["run", "-m", "tiny", "--context-lengths=400", "--depths=50", "--haystack=noise", "--dry-run"];
        let own = ["--scorer", scorer, "--needle", needle, "--question", question, "--answer", "red"];
        stderr(&bench.output(&[&flags[..], &own].concat())).matches("--scorer contains finds").count()
    };
    assert_eq!(run("contains", "Fred says the secret is red.", "Which?"), 1);
    assert_eq!(run("contains", "The secret is red.", "Which colour is preferred?"), 1);
    assert_eq!(run("contains", "The secret is red.", "Which?"), 0);
    let compare = ["compare", "tiny", "tiny", "--context-lengths=400", "--depths=50", "--haystack=noise"];
    let own = ["--scorer=contains", "--needle=Fred is red.", "--question=Which?", "--answer=red"];
    let said = stderr(&bench.output(&[&compare[..], &own].concat()));
    assert_eq!(said.matches("--scorer contains finds").count(), 1, "{said}");
    assert_eq!(run("match", "Fred says the secret is red.", "Which?"), 0);
}

#[test]
fn trials_that_are_one_prompt_were_counted_as_many() {
    let bench = Bench::new();
    let flags = ["run", "-m", "tiny", "--context-lengths=400", "--depths=0,50", "--trials=3"];
    let own = ["--needle", "The secret is red.", "--question", "What is the secret?", "--answer", "red"];
    let said = |haystack: &str| {
        let ran = bench.output(&[&flags[..], &own, &["--haystack", haystack, "-o", haystack]].concat());
        assert!(ran.status.success(), "{}", stderr(&ran));
        (stderr(&ran), bench.stdout(&["view", haystack]))
    };
    let (told, page) = said("noise");
    assert!(told.contains("all 3 trials of a cell are the same prompt"), "{told}");
    assert!(page.contains("2 of the trials ask what another one asks, word for word"), "{page}");
    assert!(page.contains("No interval of one prompt"), "{page}");
    let all = page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert!({ all }.any(|words| words.starts_with(&["all", "6", "1"])), "six prompts of one trial: {page}");
    let (told, page) = said("synthetic");
    assert!(!told.contains("same prompt") && !page.contains("word for word"), "{told} {page}");
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
    bench.grid(&["-o", "out"]);
    let outcomes = bench.outcomes("out");
    assert_eq!(all.lines().count(), TRIALS);
    for (line, outcome) in all.lines().zip(outcomes) {
        let line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let keys: Vec<_> = line.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "id",
                "row_id",
                "context_length",
                "depth_percent",
                "actual_depth_percent",
                "trial",
                "seed",
                "task",
                "control",
                "distractors",
                "prompt",
                "messages",
                "answer_prefix",
                "prompt_tokens",
                "special_tokens",
                "answer_budget",
                "spans",
                "needles",
                "needle_spans",
                "value_spans",
                "question",
                "expected",
                "answer_text",
                "scorer",
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
        assert_eq!(line["depth_percent"], outcome.depth_percent.percent());
        assert_eq!(line["actual_depth_percent"], outcome.actual_depth_percent.unwrap());
        assert_eq!((&line["trial"], &line["question"]), (&outcome.trial.into(), &outcome.question.into()));
        let ids: Vec<u8> = prompt.bytes().flat_map(|byte| u32::from(byte).to_le_bytes()).collect();
        assert_eq!(line["prompt_sha256"], niah::hash::sha256_hex(ids));
        assert_eq!(line["haystack_sha256"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn the_rows_of_a_run_are_shown_for_a_spreadsheet_with_no_cell_that_is_a_formula() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens"]);
    let stored = bench.text("out/results.csv");
    let with_formula = |text: &str| text.replacen(",What", ",=1+1 What", 1);
    assert_ne!(with_formula(&stored), stored);
    fs::write(bench.path("out/results.csv"), with_formula(&stored)).unwrap();
    let rows =
        |more: &[&str]| bench.stdout(&[&["view", "out", "--by", "trial", "--output-format"], more].concat());
    assert_eq!(rows(&["csv"]), with_formula(&stored), "to the letter unless asked otherwise");
    let safe = rows(&["csv", "--csv-safe"]);
    assert!(safe.contains(",'=1+1 What") && !safe.contains(",=1+1"), "{safe}");
    let numbers = |text: &str| text.lines().nth(2).unwrap().matches(",-").count();
    assert_eq!(numbers(&safe), numbers(&stored), "numbers stay numbers");
    let json: Value = serde_json::from_str(&rows(&["json", "--csv-safe"])).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), TRIALS);

    let tokens = ["view", "out", "--by", "token", "--output-format", "csv", "--csv-safe"];
    let tokens = bench.stdout(&tokens);
    assert!(tokens.starts_with("run_id,row_id,position,token,"), "{}", &tokens[..80]);
    assert_eq!(tokens.lines().next(), bench.text("out/tokens.csv").lines().next());
    bench.refused(&["view", "out", "--by", "token"], &["--output-format", "csv or json"]);
}

#[test]
fn regression_tables_of_two_runs_do_not_mix_where_they_are_joined() {
    let bench = Bench::new();
    bench.grid(&["-o", "one", "--tokens", "--limit=1"]);
    bench.grid(&["-o", "two", "--tokens", "--limit=1", "--variant=ssmax-fixed"]);
    let keys = |directory: &str| {
        let outcome = bench.outcomes(directory).remove(0);
        let attention = bench.attention(directory);
        assert!(attention.iter().all(|row| (&row.run_id, &row.row_id) == (&outcome.run_id, &outcome.row_id)));
        let tokens = bench.text(&format!("{directory}/tokens.csv"));
        let key = format!("{},{},", outcome.run_id, outcome.row_id);
        assert!(tokens.lines().skip(1).all(|row| row.starts_with(&key)), "a row is a line");
        (outcome.run_id, outcome.row_id)
    };
    let (one, two) = (keys("one"), keys("two"));
    assert_eq!(one.1, two.1);
    assert_ne!(one.0, two.0);
}

#[test]
fn every_report_comes_in_every_form() {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens", "--limit=1"]);
    let reports: &[&[&str]] = &[
        &["view", "out"],
        &["view", "out", "--by", "layer", "--length=200", "--depth=0"],
        &["compare", "out", "out"],
        &["attend", "out", "--length=200", "--depth=0"],
        &["inspect", "tiny"],
        &["loss", "-m", "tiny", "--context-length=64", "-n=1"],
    ];
    let beginnings =
        [("csv", ""), ("json", ""), ("markdown", "# "), ("html", "<!DOCTYPE html>"), ("svg", "<svg ")];
    for report in reports {
        for (form, beginning) in beginnings {
            let written = bench.stdout(&[report, &["--output-format", form][..]].concat());
            assert!(
                written.starts_with(beginning) && written.lines().count() > 1,
                "{report:?} {form}: {written}"
            );
        }
        let json = bench.stdout(&[report, &["--output-format", "json"][..]].concat());
        serde_json::from_str::<Value>(&json).unwrap();
    }
}
