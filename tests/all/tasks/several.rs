//! Several tasks in one command.

use crate::common::bench::{Bench, stderr};

const FLAGS: [&str; 5] =
    ["run", "--model=tiny", "--depths=50", "--max-new-tokens=4", "--context-lengths=1200"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FLAGS[..], more].concat()
}

#[test]
fn several_tasks_have_a_directory_each_and_one_table_which_view_draws_again() {
    let bench = Bench::new();
    let command = with(&["--task=kv-phonebook,magic,ruler-niah-single-1", "--trials=2", "-o=s"]);
    let output = bench.output(&command);
    let (table, said) = (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("task 2 of 3: magic") && said.contains("results: s"), "{said}");
    for task in ["kv-phonebook", "magic", "ruler-niah-single-1", "mean of 3 tasks"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(task)), "{task} in {table}");
    }
    assert!(table.contains("needle mass") && !table.contains("RULER"), "{table}");
    assert!(bench.text("s/magic/run.json").contains("\"task\": \"magic\""));
    assert_eq!(bench.text("s/kv-phonebook/results.csv").lines().count(), 3);
    assert_eq!(bench.stdout(&command), table, "nothing is left to run");
    assert_eq!(bench.stdout(&["view", "s"]), table);
    assert!(bench.stdout(&["view", "s/magic"]).contains("task magic"), "each is a run of its own");

    let forms = ["view", "s", "--export=t.md", "--export=t.json", "--export=t.html", "--output-format=csv"];
    let csv = bench.stdout(&forms);
    assert!(
        csv.starts_with("task,control,context_length,n,n_error,score_mean,ci_low,ci_high,ci_method"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 1 + 3 * 2, "a row for the length, one for all");
    assert!(bench.text("t.md").contains("| kv-phonebook |") && bench.text("t.html").contains("kv-phonebook"));
    let json: serde_json::Value = serde_json::from_str(&bench.text("t.json")).unwrap();
    assert_eq!(json["ran"]["tasks"][1], "magic");
    assert_eq!((&json["totals"]["tasks"], &json["totals"]["ruler"]), (&3.into(), &serde_json::Value::Null));
}

#[test]
fn a_part_of_several_tasks_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let tasks = "--task=magic,passkey";
    let whole = bench.stdout(&with(&[tasks, "--trials=2", "-o=whole"]));
    let part = bench.stdout(&with(&[tasks, "--trials=2", "-o=part", "--limit=3"]));
    assert!(part.contains("3 of 4 trials have run"), "{part}");
    assert_eq!(bench.stdout(&with(&[tasks, "--trials=2", "-o=part"])), whole);
    let more = bench.stdout(&with(&["--task=magic,passkey,kv-phonebook", "--trials=2", "-o=part"]));
    assert!(more.contains("mean of 3 tasks"), "{more}");
    let fewer = bench.output(&with(&["--task=magic,passkey", "--trials=2", "-o=part"]));
    let said = stderr(&fewer);
    assert!(
        fewer.status.code() == Some(2) && said.contains("tasks: magic,passkey,kv-phonebook -> magic,passkey")
    );
}

#[test]
fn a_task_that_has_no_room_is_noted_and_only_without_any_task_is_that_an_error() {
    let bench = Bench::new();
    let lengths = "--context-lengths=400,1200";
    let table = bench.stdout(&with(&["--task=magic,ruler-cwe,ruler-vt", lengths, "-o=s"]));
    assert!(table.contains("ruler-cwe is left out: ") && table.contains("ask for at least"), "{table}");
    let csv = bench.stdout(&["view", "s", "--output-format=csv"]);
    let left_out = csv.lines().find(|line| line.starts_with("ruler-cwe,")).unwrap();
    assert!(left_out.contains("ask for at least"), "{left_out}");
    let none = bench.output(&with(&["--task=ruler-cwe,ruler-vt", "--context-lengths=100", "-o=none"]));
    let said = stderr(&none);
    assert!(none.status.code() == Some(2) && said.contains("ask for at least"), "{said}");
    assert!(!bench.path("none").exists());
}

/// Writes a checkpoint whose tokenizer has capital letters and digits, and drops what it has no token for.
fn closed_vocabulary(bench: &Bench, name: &str) {
    let (from, to) = (bench.path("tiny"), bench.path(name));
    std::fs::create_dir(&to).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    // The first three ids are special in the configuration.
    let special = ["<0>", "<1>", "<2>"].map(String::from).into_iter();
    let known = ('A'..='Z').chain('0'..='9').chain("=\n".chars()).map(String::from);
    // And every id that the model writes has a token.
    let config = std::fs::read(to.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let size = usize::try_from(config["vocab_size"].as_u64().unwrap()).unwrap();
    let more = (0..).map(|number| format!("<more {number}>"));
    let tokens = special.chain(known).chain(more).take(size).zip(0..);
    let vocab: serde_json::Map<_, _> = tokens.map(|(token, id)| (token, id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "decoder": { "type": "Fuse" },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    std::fs::write(to.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[test]
fn a_task_that_the_tokenizer_cannot_write_is_noted_and_the_others_run() {
    let bench = Bench::new();
    closed_vocabulary(&bench, "closed");
    let tasks = |tasks: &'static str| with(&["--model=closed", "--context-lengths=400", "-o=s", tasks]);
    let table = bench.stdout(&tasks("--task=kv,abcdigits"));
    assert!(table.contains("kv is left out: ") && !table.contains("mean of"), "{table}");
    let csv = bench.stdout(&["view", "s", "--output-format=csv"]);
    assert!(csv.lines().any(|line| line.starts_with("kv,task,,0,0,,")), "{csv}");
    bench.refused(
        &with(&["--model=closed", "--context-lengths=400,500", "-o=none", "--task=kv,ruler-vt"]),
        &["the vocabulary has no token"],
    );
}

#[test]
fn with_controls_each_task_has_those_that_it_can_be_under() {
    let bench = Bench::new();
    let table =
        bench.stdout(&with(&["--task=magic,absence", "--context-lengths=2400", "--controls", "-o=s"]));
    for name in ["task", "distractors", "shuffled", "no-needle", "needle-only", "none", "none-no-needle"] {
        assert!(bench.path(&format!("s/magic/{name}/results.csv")).exists(), "{name}");
        assert!(table.contains(name), "{name} in {table}");
    }
    assert!(bench.path("s/absence/task/results.csv").exists() && !bench.path("s/absence/none").exists());
    assert!(table.contains("false") && table.contains("distractor 0."), "{table}");
    assert_eq!(bench.stdout(&["view", "s"]), table);
}

#[test]
fn what_needs_one_run_names_those_below_a_directory_of_several() {
    let bench = Bench::new();
    bench.stdout(&with(&["--task=magic,passkey", "-o=s"]));
    for command in [
        &["gate", "s", "--min-accuracy=0.5"][..],
        &["attend", "s"],
        &["view", "s", "--by=trial"],
        &["compare", "s", "s"],
    ] {
        bench.refused(command, &["holds several runs", "s/magic", "magic, passkey"]);
    }
    bench.refused(&["view", "s", "--rule=nolima"], &["--rule", "ruler"]);
    bench.refused(&["prompts", "-m=tiny", "--task=ruler"], &["--task", "one task here"]);
    bench.refused(&with(&["--task=magic,rulers"]), &["unknown task", "rulers", "did you mean ruler"]);
}

#[test]
fn a_dry_run_says_what_all_tasks_take_together() {
    let bench = Bench::new();
    let text = bench.stdout(&with(&["--task=magic,ruler-cwe,passkey", "--context-lengths=400", "--dry-run"]));
    assert!(
        text.contains("in all     2 tasks, 2 prompts") && text.contains("ruler-cwe is left out"),
        "{text}"
    );
    let json = bench.stdout(&with(&["--task=magic,passkey", "--dry-run", "--output-format=json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tasks"][1]["task"], "passkey");
    assert!(!bench.path("niah-runs").exists());
}

#[test]
fn groups_are_listed_beside_tasks() {
    let bench = Bench::new();
    let text = bench.stdout(&["list", "tasks"]);
    assert!(text.contains("groups (") && text.contains("  ruler ") && text.contains("  all "), "{text}");
    let json = bench.stdout(&["list", "tasks", "--output-format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["groups"].as_array().unwrap().len(), json["tasks"].as_array().unwrap().len()), (2, 34));
}
