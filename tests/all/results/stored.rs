//! What a directory of results says is data: nothing is fetched for it, no size of it takes the machine, and
//! what does not belong to the run is told.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use niah::grid::Depth;
use niah::trial::{AttentionRow, Outcome, TokenRow};
use serde_json::{Value, json};

use super::common::bench::{Bench, stderr};
use super::{ends, mkfifo};

fn run() -> Bench {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens"]);
    bench
}

/// A number of the run's settings, changed in `run.json`.
fn set(bench: &Bench, pointer: &str, value: Value) {
    bench.edit_json("out/run.json", |record| *record.pointer_mut(pointer).unwrap() = value);
}

#[test]
fn a_grid_of_millions_of_cells_is_shown_by_the_cells_that_have_results() {
    let bench = run();
    set(&bench, "/settings/trials", json!(1));
    set(&bench, "/settings/grid/context_lengths", json!((1..=3000).collect::<Vec<_>>()));
    set(&bench, "/settings/grid/depths", json!((0..=3000).map(|i| f64::from(i) / 30.0).collect::<Vec<_>>()));
    for arguments in
        [&["view", "out"][..], &["compare", "out", "out"], &["view", "out", "--output-format=csv"]]
    {
        let output = bench.output(arguments);
        ends(&output, 0, &[]);
        assert!(output.stdout.len() < 20_000, "{arguments:?}: {} bytes", output.stdout.len());
    }
    assert!(!bench.stdout(&["compare", "out", "out", "--width=18446744073709551615"]).is_empty());
    let shown = bench.stdout(&["view", "out"]);
    assert!(shown.contains("9003000 cells are planned"), "{shown}");
    assert!(shown.contains("200") && shown.contains("300"), "{shown}");
    bench.refused(&["view", "out", "--by=layer", "--length=5000"], &["--length", "(3000 in all)"]);
}

#[test]
fn results_all_over_a_large_grid_are_summed_up_and_not_drawn() {
    let bench = run();
    let rows = bench.outcomes("out");
    fs::remove_file(bench.path("out/results.csv")).unwrap();
    let place = |i: usize| Outcome {
        context_length: i + 1,
        depth_percent: Depth::from_percent(i as f64 / 10.0).unwrap(),
        trial: 0,
        row_id: format!("{}:{}:0", i + 1, i as f64 / 10.0),
        prompt_hash: Some(i.to_string()),
        ..rows[0].clone()
    };
    let many: Vec<Outcome> = (0..1001).map(place).collect();
    niah::store::csv::Appender::open(bench.path("out/results.csv")).unwrap().append(&many).unwrap();
    set(&bench, "/settings/grid/context_lengths", json!((1..=1001).collect::<Vec<_>>()));
    set(&bench, "/settings/grid/depths", json!((0..=1000).map(|i| f64::from(i) / 10.0).collect::<Vec<_>>()));
    let shown = bench.stdout(&["view", "out"]);
    assert!(shown.contains("1001 x 1001 cells are too many to draw"), "{shown}");
    assert!(shown.contains("more rows are left out"), "{shown}");
    assert_eq!(bench.stdout(&["view", "out", "--output-format=csv"]).lines().count(), 1002);
    let shown = bench.stdout(&["compare", "out", "out"]);
    assert!(shown.contains("too many to draw"), "{shown}");
}

#[test]
fn heads_without_end_are_not_drawn() {
    let bench = run();
    bench.edit_rows("out/attention.csv", |number, row: &mut AttentionRow| {
        row.row_id = format!("300:50:{}", number % 2);
        (row.layer, row.head) = (number << 40, usize::MAX - number);
    });
    let rows: Vec<AttentionRow> = bench.attention("out");
    let more = (0..300).map(|n| AttentionRow { layer: n, head: n, ..rows[0].clone() }).collect::<Vec<_>>();
    niah::store::csv::Appender::open(bench.path("out/attention.csv")).unwrap().append(&more).unwrap();
    let shown = bench.stdout(&["view", "out", "--by=layer"]);
    assert!(shown.contains("cells are too many to draw"), "{shown}");
}

#[test]
fn settings_that_no_run_has_are_refused() {
    let bench = run();
    let record = bench.text("out/run.json");
    for (pointer, value) in [
        ("/settings/trials", json!(0)),
        ("/settings/trials", json!(u64::MAX)),
        ("/settings/trials", json!(-1)),
        ("/settings/trials", json!(1e300)),
        ("/settings/grid/context_lengths", json!([])),
        ("/settings/grid/context_lengths", json!([0])),
        ("/settings/grid/context_lengths", json!([1u64 << 63])),
        ("/settings/grid/context_lengths", json!([-5])),
        ("/settings/grid/depths", json!([-1])),
        ("/settings/grid/depths", json!([1e300])),
        ("/settings/grid/depths", json!([null])),
        ("/settings/chunk_size", json!(0)),
        ("/settings/max_new_tokens", json!(0)),
        ("/settings/rope_theta", json!(-1)),
        ("/identity", json!("no object")),
    ] {
        set(&bench, pointer, value.clone());
        for arguments in [&["view", "out"][..], &["attend", "out"], &["compare", "out", "out"]] {
            bench.refused(arguments, &["run.json", "damaged, or of another version"]);
        }
        fs::write(bench.path("out/run.json"), &record).unwrap();
    }
    // Depths and lengths that stand twice are one.
    set(&bench, "/settings/grid/depths", json!([100.0, 0.0, 50.0, 50.0, 0.0]));
    assert!(!bench.stdout(&["view", "out"]).is_empty());
    fs::write(bench.path("out/run.json"), format!("{record}{}", " ".repeat(5 << 20))).unwrap();
    bench.refused(&["view", "out"], &["run.json", "bytes"]);
}

#[test]
fn rows_of_another_run_are_told_of_and_never_continued() {
    let bench = run();
    bench.copy("out", "mixed");
    let again = [&["run", "--model=tiny"], &super::common::grid::GRID[..], &["--tokens"]].concat();
    bench.edit_rows("mixed/results.csv", |number, row: &mut Outcome| {
        if number == 3 {
            row.config_hash = "0123456789abcdef".to_string();
        }
    });
    for arguments in [&["view", "mixed"][..], &["attend", "mixed"], &["compare", "mixed", "out"]] {
        bench.refused(arguments, &["rows of 2 runs", "0123456789abcdef"]);
    }
    let before = bench.text("mixed/results.csv");
    bench.refused(&[&again[..], &["-o", "mixed"]].concat(), &["1 of 12 rows are of another run", "-o"]);
    assert_eq!(bench.text("mixed/results.csv"), before);

    bench.edit_rows("out/results.csv", |_, row: &mut Outcome| row.config_hash = "other".to_string());
    let output = bench.output(&["view", "out"]);
    ends(&output, 0, &["warning", "of another run than run.json tells of"]);
    bench.refused(&[&again[..], &["-o", "out"]].concat(), &["12 of 12 rows are of another run"]);

    bench.edit_rows("out/results.csv", |_, row: &mut Outcome| {
        row.trial += 7;
        row.row_id = format!("{}:{}:{}", row.context_length, row.depth_percent, row.trial);
    });
    ends(&bench.output(&["view", "out"]), 0, &["12 of 12 rows are of no trial that was planned"]);
}

#[test]
fn rows_that_are_no_trial_are_refused() {
    let bench = run();
    let whole = bench.text("out/results.csv");
    for (length, depth) in
        [(200, f64::NAN), (200, -0.5), (200, f64::INFINITY), (200, 101.0), (0, 50.0), (usize::MAX, 50.0)]
    {
        let fields = |line: &str| line.splitn(7, ',').map(str::to_string).collect::<Vec<_>>();
        let mut lines: Vec<String> = whole.lines().map(str::to_string).collect();
        let mut third = fields(&lines[3]);
        let key = format!(",{}:{}:", third[4], third[5].trim_end_matches(".0"));
        third[6] = third[6].replace(&key, &format!(",{length}:{depth}:"));
        (third[4], third[5]) = (length.to_string(), depth.to_string());
        lines[3] = third.join(",");
        assert!(lines[3].contains(&format!(",{length}:{depth}:")), "{}", lines[3]);
        fs::write(bench.path("out/results.csv"), lines.join("\n") + "\n").unwrap();
        bench.refused(&["view", "out"], &["results.csv", "delete the line"]);
        fs::write(bench.path("out/results.csv"), &whole).unwrap();
    }
    bench.edit_rows("out/results.csv", |_, row: &mut Outcome| {
        (row.needle_mass_top, row.answer_logprob) = (Some(f64::NAN), Some(f64::NEG_INFINITY));
    });
    let shown = bench.stdout(&["view", "out", "--output-format=csv"]);
    assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
}

#[test]
fn tables_that_are_no_tables_are_refused_in_few_words() {
    let bench = run();
    let whole = bench.text("out/results.csv");
    let header = whole.lines().next().unwrap().to_string();
    let columns: String = (0..1_000_000).map(|n| format!("c{n},")).collect();
    let long = format!("{header}\n\"{}", "x".repeat(17 << 20));
    let twice = whole.replacen('\n', &format!("\n{header}\n"), 1);
    for (bytes, words) in [
        (format!("{columns}\n").into_bytes(), &["missing run_id", "in all)"][..]),
        (long.into_bytes(), &["a row of more than 16 MiB"]),
        (twice.into_bytes(), &["line 2", "column context_length"]),
        ([whole.as_bytes(), b"\xff\xfe\x00\n"].concat(), &["line"]),
        (vec![0; 4096], &[]),
        (b"\x7fELF\x02\x01\x01\n\n\n".to_vec(), &["other columns than expected"]),
        (whole.replace("run_id,", "").into_bytes(), &["missing run_id"]),
        (whole.replace("run_id,model", "run_id,run_id").into_bytes(), &["missing model"]),
    ] {
        fs::write(bench.path("out/results.csv"), bytes).unwrap();
        for arguments in [&["view", "out"][..], &["attend", "out"], &["compare", "out", "out"]] {
            let output = bench.output(arguments);
            if words.is_empty() {
                assert!(matches!(output.status.code(), Some(0 | 2)), "{}", stderr(&output));
            } else {
                ends(&output, 2, words);
            }
        }
    }
}

#[test]
fn tokens_of_another_prompt_are_not_shown_for_it() {
    let bench = run();
    bench.edit_rows("out/tokens.csv", |number, row: &mut TokenRow| {
        row.position += usize::from(number % 7 == 3)
    });
    bench.refused(&["attend", "out"], &["tokens.csv", "not the tokens of its prompt", "computed again"]);
}

#[test]
#[cfg(unix)]
fn only_regular_files_are_read_and_written() {
    let bench = run();
    fs::write(bench.path("outside"), "").unwrap();
    let again =
        [&["run", "--model=tiny"], &super::common::grid::GRID[..], &["--tokens", "-o", "out"]].concat();
    for name in ["run.json", "results.csv", "attention.csv", "tokens.csv"] {
        let path = bench.path("out").join(name);
        let whole = fs::read(&path).unwrap();
        for special in ["/dev/zero", "pipe", "directory"] {
            fs::remove_file(&path).unwrap();
            match special {
                "pipe" => mkfifo(&path),
                "directory" => fs::create_dir(&path).unwrap(),
                device => std::os::unix::fs::symlink(device, &path).unwrap(),
            }
            let reader: &[&str] = match name {
                "attention.csv" => &["view", "out", "--by=layer"],
                "tokens.csv" => &["attend", "out"],
                _ => &["view", "out"],
            };
            bench.refused(reader, &[name]);
            bench.refused(&again, &[name]);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            fs::write(&path, &whole).unwrap();
        }
        if name != "run.json" {
            // Rows must not go through a link to a file that somebody else has chosen.
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(bench.path("outside"), &path).unwrap();
            bench.refused(&again, &[name, "a link"]);
            assert_eq!(bench.text("outside"), "");
            fs::remove_file(&path).unwrap();
            fs::write(&path, &whole).unwrap();
        }
    }
    bench.stdout(&again);
}

/// `niah` that may go to the network, where a server waits.
fn online(bench: &Bench, server: &TcpListener, arguments: &[&str]) -> std::process::Output {
    let endpoint = format!("http://{}", server.local_addr().unwrap());
    let mut command = bench.command(arguments);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", endpoint).output().unwrap()
}

#[test]
fn what_a_run_names_is_not_downloaded() {
    let bench = run();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    for model in ["somebody/else", "somebody/else@main", "somebody/else/weights.gguf"] {
        set(&bench, "/settings/model", json!(model));
        let output = online(&bench, &server, &["attend", "out", "--head=0.0"]);
        ends(&output, 2, &[model, "never downloaded", "--model"]);
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody was asked");
    }
    // The user's own words are enough: the run's model from where it lies.
    let shown = bench.stdout(&["attend", "out", "--head=0.0", "-m=tiny"]);
    assert!(shown.contains("head 0.0"), "{shown}");
}

#[test]
fn a_prompt_longer_than_memory_is_not_built_for_a_record() {
    let bench = run();
    for length in [1u64 << 40, 1 << 33] {
        bench.edit_json("out/run.json", |record| {
            record["settings"]["grid"]["context_lengths"] = json!([length]);
            record["identity"]["context_lengths"] = json!([length]);
        });
        bench.edit_rows("out/results.csv", |_, row: &mut Outcome| {
            row.context_length = length as usize;
            row.row_id = format!("{length}:{}:{}", row.depth_percent, row.trial);
        });
        bench.refused(&["attend", "out", "--head=0.0"], &["memory"]);
    }
}

#[test]
#[cfg(unix)]
fn what_a_run_names_is_compared_before_it_is_used() {
    let bench = run();
    let again = ["attend", "out", "--head=0.0"];
    mkfifo(&bench.path("pipe"));
    for name in ["/dev/zero", "/dev/stdin", "pipe"] {
        set(&bench, "/settings/model", json!(name));
        bench.refused(&again, &[name]);
    }
    // Other weights: neither their tokenizer nor anything else is read.
    fs::create_dir(bench.path("other")).unwrap();
    super::common::tiny_checkpoint(&bench.path("other"));
    super::common::grid::spoil(&bench.path("other"), "model.norm.weight", 2.0);
    fs::write(bench.path("other/tokenizer.json"), "broken").unwrap();
    set(&bench, "/settings/model", json!("other"));
    ends(&bench.output(&again), 1, &["has changed since", "model_sha256"]);

    set(&bench, "/settings/model", json!("tiny"));
    // A file of zeros without blocks, and one of a system that says no size and may wait for its next line.
    fs::create_dir(bench.path("large")).unwrap();
    fs::File::create(bench.path("large/zeros")).unwrap().set_len(1 << 40).unwrap();
    for name in ["/dev/zero", "pipe", "large", "large/zeros"] {
        set(&bench, "/settings/haystack", json!(name));
        bench.refused(&again, &[name]);
    }
    if cfg!(target_os = "linux") {
        set(&bench, "/settings/haystack", json!("/proc/kmsg"));
        bench.refused(&again, &["/proc/kmsg"]);
    }
    fs::write(bench.path("secret"), "Nobody is to see this. It is long enough to be a text.").unwrap();
    set(&bench, "/settings/haystack", json!("secret"));
    ends(&bench.output(&again), 1, &["has changed since", "haystack_sha256"]);
}
