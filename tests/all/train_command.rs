//! `niah train` as a user runs it: the directory it writes, how it goes on, and that every command loads what
//! it made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::bench::last_wins;
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::split::Split;
use niah::stats::size_fit;
use niah::trial::{Outcome, Status};
use serde_json::Value;
use tempfile::TempDir;

/// A model and batches so small that a step takes an instant.
const SMALL: &[&str] = &[
    "--hidden-size=32",
    "--intermediate-size=48",
    "--num-hidden-layers=2",
    "--num-attention-heads=2",
    "--sliding-window=16",
    "--vocab-size=400",
    "--context-length=128",
    "--batch-size=4",
    "--lr=0.01",
    "--variant=ssmax",
    "--save-every=2",
];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn niah(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_niah"))
            .args(last_wins(arguments))
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn train(&self, output: &str, more: &[&str]) -> Output {
        self.niah(&[&["train", "-o", output], SMALL, more].concat())
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", told(output));
}

fn refuses(output: &Output, words: &str) {
    assert!(output.status.code() == Some(2) && told(output).contains(words), "{}", told(output));
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The table without the column that tells time.
fn table(directory: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(directory.join("training.csv")).unwrap();
    let rows = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let mut rows: Vec<_> = rows.collect();
    rows.iter_mut().for_each(|row| drop(row.remove(4)));
    rows
}

#[test]
fn a_training_writes_a_checkpoint_that_every_command_loads() {
    let place = Place::new();
    succeeds(&place.train("out", &["--steps=4"]));
    let out = place.path("out");
    let config = json(&out.join("config.json"));
    assert_eq!(config["attention_variant"], serde_json::json!({"kind": "ssmax", "layers": [1]}));
    assert_eq!(config["max_position_embeddings"], 128);
    let rows = table(&out);
    assert_eq!(rows.len(), 5);
    let columns =
        "step,loss,answer_loss,learning_rate,gradient_norm,s_mean,s_min,s_max,window_max,windows_beyond";
    assert_eq!(rows[0].join(","), columns);
    let finite = |field: &String| field.parse::<f64>().unwrap().is_finite();
    assert!(rows[1..].iter().all(|row| row[..8].iter().all(finite) && row[8..].iter().all(String::is_empty)));
    let record = json(&out.join("training.json"));
    assert_eq!(record["settings"]["seed"], 42);
    assert!(record["settings"]["tokenizer_sha256"].is_string() && record["about"]["command"].is_array());

    let inspected = place.niah(&["inspect", "out", "--output-format=json"]);
    succeeds(&inspected);
    assert!(String::from_utf8_lossy(&inspected.stdout).contains("ssmax"));
    let run = [
        "run",
        "--model=out",
        "--split=held-out",
        "--context-lengths=128,200",
        "--depths=50",
        "-o",
        "results",
    ];
    succeeds(&place.niah(&run));
    let stored = json(&place.path("results/run.json"));
    assert_eq!((&stored["variant"], &stored["training_length"]), (&"ssmax".into(), &128.into()));
}

#[test]
fn a_training_whose_gradient_overflows_leaves_the_table_of_its_steps_and_nothing_to_go_on_from() {
    let place = Place::new();
    let calm = [&["train", "-o", "calm"], SMALL, &["--steps=1"]].concat();
    succeeds(&place.niah(&calm));
    // The first step is as good as any; it throws the parameters out of all bounds, so that the second has no
    // gradient.
    let wild: Vec<&str> = SMALL.iter().copied().filter(|flag| !flag.starts_with("--lr")).collect();
    let output =
        place.niah(&[&["train", "-o", "wild"], &wild[..], &["--steps=9", "--lr=1e38", "--clip=0"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("the gradient of step 2 is not finite"), "{}", told(&output));
    let (calm, wild) = (table(&place.path("calm")), table(&place.path("wild")));
    assert_eq!(wild.len(), 2);
    assert_eq!((&wild[0], &wild[1][..3]), (&calm[0], &calm[1][..3]));
    assert!(!place.path("wild/training-state.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_resume_ends_where_an_unbroken_training_does() {
    let place = Place::new();
    succeeds(&place.train("whole", &["--steps=30", "--threads=1"]));
    let arguments = [&["train", "-o", "parts"], SMALL, &["--steps=30", "--save-every=1"]].concat();
    let arguments = last_wins(&arguments);
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_niah")).args(arguments).current_dir(place.0.path()).spawn().unwrap();
    let state = place.path("parts/training-state.safetensors");
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let interrupted =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success();
    let status = child.wait().unwrap();
    if interrupted && status.code() != Some(0) {
        assert_eq!(status.code(), Some(130));
        assert!(table(&place.path("parts")).len() < 31);
    }
    let settings = ["--steps=30", "--resume"];
    succeeds(&place.train("parts", &settings));
    let read = |name: &str| fs::read(place.path(name).join("model.safetensors")).unwrap();
    assert!(read("whole") == read("parts"), "not bit for bit");
    assert_eq!(table(&place.path("whole")), table(&place.path("parts")));
}

#[test]
fn a_checkpoint_can_be_trained_further_under_another_variant() {
    let place = Place::new();
    succeeds(&place.train("softmax", &["--steps=1", "--variant=softmax"]));
    let swap = [
        "train",
        "-o",
        "swapped",
        "--init=softmax",
        "--variant=ssmax-bias",
        "--steps=0",
        "--context-length=128",
    ];
    succeeds(&place.niah(&swap));
    assert_eq!(
        fs::read(place.path("softmax/tokenizer.json")).unwrap(),
        fs::read(place.path("swapped/tokenizer.json")).unwrap()
    );
    let inspected = place.niah(&["inspect", "swapped"]);
    succeeds(&inspected);
    let page = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(page.contains("ssmax-bias"), "{page}");
    let tuned =
        ["train", "-o", "tuned", "--init=swapped", "--steps=2", "--context-length=128", "--batch-size=2"];
    succeeds(&place.niah(&tuned));
    let config = json(&place.path("tuned/config.json"));
    assert_eq!(config["attention_variant"], serde_json::json!({"kind": "ssmax-bias", "layers": [1]}));
}

#[test]
fn a_swap_is_one_rule_whether_it_is_run_or_written_as_a_checkpoint() {
    let place = Place::new();
    // Trained on 128 tokens; the swap to be written is for rows of another length, which must not count.
    succeeds(&place.train("softmax", &["--steps=1", "--variant=softmax"]));
    succeeds(&place.niah(&[
        "train",
        "-o",
        "swapped",
        "--init=softmax",
        "--variant=ssmax",
        "--steps=0",
        "--context-length=192",
    ]));
    let logits = |name: &str, flags: &[&str]| {
        let to = format!("{name}.safetensors");
        let ids = ["--ids", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"];
        succeeds(&place.niah(&[&["logits", name, "-o", &to], &ids[..], flags].concat()));
        let stored = candle_core::safetensors::load(place.path(&to), &candle_core::Device::Cpu).unwrap();
        stored["logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (run, written) = (logits("softmax", &["--variant=ssmax"]), logits("swapped", &[]));
    assert!(!run.is_empty() && run == written, "the two swaps differ");
    assert_ne!(run, logits("softmax", &[]), "the swap changes nothing");
}

#[test]
fn a_learned_constant_is_trained_and_recognised() {
    let place = Place::new();
    succeeds(&place.train("out", &["--steps=3", "--variant=softmax-scale"]));
    let config = json(&place.path("out/config.json"));
    assert_eq!(config["attention_variant"], serde_json::json!({"kind": "softmax-scale", "layers": [1]}));
    let inspected = place.niah(&["inspect", "out"]);
    succeeds(&inspected);
    let page = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(page.contains("variant     softmax-scale (s learned per layer and head, mean "), "{page}");
    let scales: Vec<f64> = table(&place.path("out"))[1..].iter().map(|row| row[5].parse().unwrap()).collect();
    assert!(scales[2] != 1.0 && (scales[2] - 1.0).abs() < 0.2, "s begins at 1 and learns: {scales:?}");
    // The configuration must not contradict the scales.
    let mut wrong = config.clone();
    wrong["attention_variant"]["kind"] = "ssmax".into();
    fs::write(place.path("out/config.json"), wrong.to_string()).unwrap();
    let refused = place.niah(&["inspect", "out"]);
    assert!(told(&refused).contains("softmax-scale, as the weights have it"), "{}", told(&refused));
}

#[test]
fn a_rule_that_reads_rows_is_trained_and_run_by_its_name_with_rows_that_sum_to_1() {
    let place = Place::new();
    for (variant, words) in [
        ("asentmax", "beta and gamma read from each row on layers 1 of 2"),
        ("forgetting", "keys fade by gates that each row says behind them on layers 1 of 2"),
    ] {
        let flag = format!("--variant={variant}");
        succeeds(&place.train(variant, &["--steps=3", &flag]));
        let config = json(&place.path(variant).join("config.json"));
        assert_eq!(config["attention_variant"], serde_json::json!({"kind": variant, "layers": [1]}));
        let inspected = place.niah(&["inspect", variant]);
        succeeds(&inspected);
        let page =
            String::from_utf8_lossy(&inspected.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(variant) && page.contains(words), "{page}");
        let losses: Vec<f64> =
            table(&place.path(variant))[1..].iter().map(|row| row[1].parse().unwrap()).collect();
        assert!(losses[2] < losses[0], "{variant}: {losses:?}");
        let results = format!("{variant}-results");
        let run = ["run", "--model", variant, "--context-lengths=200", "--depths=50,100", "--trials=2"];
        succeeds(&place.niah(&[&run[..], &["--split=held-out", "-o", &results]].concat()));
        assert_eq!(json(&place.path(&results).join("run.json"))["variant"], variant);
        let rows = fs::read_to_string(place.path(&results).join("attention.csv")).unwrap();
        let mut rows = rows.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let total = rows.next().unwrap().iter().position(|&column| column == "total_mass").unwrap();
        let masses: Vec<f64> = rows.map(|row| row[total].parse().unwrap()).collect();
        assert!(!masses.is_empty() && masses.iter().all(|mass| (mass - 1.0).abs() < 1e-5), "{masses:?}");
        // Prompts that share what they begin with, read in parts or not, are what they are alone.
        let alone = format!("{variant}-alone");
        let parts = ["--no-prefix-sharing", "--chunk-size=7", "--split=held-out", "-o", &alone];
        succeeds(&place.niah(&[&run[..], &parts].concat()));
        let logprobs = |directory: &str| -> Vec<f64> {
            let text = fs::read_to_string(place.path(directory).join("results.csv")).unwrap();
            let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let at = rows.next().unwrap().iter().position(|&column| column == "answer_logprob").unwrap();
            rows.map(|row| row[at].parse().unwrap()).collect()
        };
        let (shared, alone) = (logprobs(&results), logprobs(&alone));
        assert_eq!((shared.len(), alone.len()), (4, 4));
        for (shared, alone) in shared.iter().zip(&alone) {
            assert!((shared - alone).abs() < 1e-3, "{variant}: {shared} and not {alone}");
        }
        // What it reads from rows is no other checkpoint's.
        succeeds(&place.train("softmax", &["--steps=0", "--variant=softmax"]));
        refuses(&place.niah(&["run", "--model=softmax", &flag, "--dry-run"]), "niah train --variant");
        // A training of Softmax goes on under it, at once or behind some steps.
        let swapped = format!("{variant}-swapped");
        let small = ["--context-length=128", "--batch-size=2", "--steps=2"];
        succeeds(&place.niah(&[&["train", "softmax", "-o", &swapped, &flag], &small[..]].concat()));
        succeeds(&place.niah(&["inspect", &swapped]));
        succeeds(&place.train(&format!("{variant}-later"), &["--steps=3", "--swap-at-step=2", &flag]));
        // A training goes on from it under its own rule.
        let further = format!("{variant}-further");
        let arguments =
            ["train", variant, "-o", &further, "--steps=1", "--context-length=128", "--batch-size=2"];
        succeeds(&place.niah(&arguments));
        let config = json(&place.path(&further).join("config.json"));
        assert_eq!(config["attention_variant"], serde_json::json!({"kind": variant, "layers": [1]}));
        fs::remove_dir_all(place.path("softmax")).unwrap();
    }
}

#[test]
fn heads_that_are_subtracted_in_pairs_are_trained_under_any_variant_and_known_again() {
    let place = Place::new();
    succeeds(&place.train("pairs", &["--steps=3", "--differential"]));
    let config = json(&place.path("pairs/config.json"));
    assert_eq!(config["differential_layers"], serde_json::json!([1]));
    assert_eq!(config["attention_variant"], serde_json::json!({"kind": "ssmax", "layers": [1]}));
    let inspected = place.niah(&["inspect", "pairs"]);
    succeeds(&inspected);
    let page = String::from_utf8_lossy(&inspected.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("heads subtracted in pairs"), "{page}");
    let losses: Vec<f64> =
        table(&place.path("pairs"))[1..].iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
    let run = ["run", "--model=pairs", "--context-lengths=200", "--depths=50", "--trials=2", "-o", "results"];
    succeeds(&place.niah(&run));
    let further = ["train", "pairs", "-o", "further", "--steps=1", "--context-length=128", "--batch-size=2"];
    succeeds(&place.niah(&further));
    assert_eq!(json(&place.path("further/config.json"))["differential_layers"], serde_json::json!([1]));
    let odd = ["--steps=0", "--differential", "--num-key-value-heads=1"];
    refuses(&place.train("odd", &odd), "an even number");
}

/// Screening tiles likewise.
const TILES: &[&str] = &[
    "--family=multiscreen",
    "--hidden-size=32",
    "--num-hidden-layers=2",
    "--num-attention-heads=2",
    "--value-dim=16",
    "--vocab-size=400",
    "--context-length=128",
    "--batch-size=4",
];

#[test]
fn screening_tiles_are_trained_go_on_and_run() {
    let place = Place::new();
    let train = |output: &str, more: &[&str]| place.niah(&[&["train", "-o", output], TILES, more].concat());
    succeeds(&train("whole", &["--steps=6"]));
    let config = json(&place.path("whole/config.json"));
    assert_eq!((&config["model_type"], &config["key_dim"]), (&"multiscreen".into(), &16.into()));
    let settings = &json(&place.path("whole/training.json"))["settings"]["training"];
    assert_eq!((&settings["lr"], &settings["clip"]), (&0.0625.into(), &0.0.into()), "not the paper's");
    let rows = table(&place.path("whole"));
    // Windows begin at 2 and 257 tokens in both layers; sequences have 128.
    assert!(rows[1][8].parse::<f64>().unwrap() > 200.0 && rows[1][9] == "2", "{rows:?}");
    assert!(rows[1..].iter().all(|row| row[5..8].iter().all(String::is_empty)), "{rows:?}");

    let sequences = ["--context-length=128", "--batch-size=4"];
    let init =
        |more: &[&str]| place.niah(&[&["train", "-o", "further", "--init=whole"], more, &sequences].concat());
    succeeds(&init(&["--steps=3"]));
    let settings = &json(&place.path("further/training.json"))["settings"]["training"];
    assert_eq!(settings["lr"], 0.0625, "the optimiser of the checkpoint's family");
    let run = [
        "run",
        "--model=further",
        "--split=held-out",
        "--context-lengths=128,200",
        "--depths=50",
        "-o",
        "results",
    ];
    succeeds(&place.niah(&run));
    assert_eq!(json(&place.path("results/run.json"))["variant"], "screening");
    for (more, words) in [
        (&["--variant=ssmax"][..], "--variant"),
        (&["--qk-norm=none"], "--family niah"),
        (&["--key-dim=1"], "at least 2"),
        (&["--mipe-threshold=1"], "--mipe-threshold"),
        (&["--value-dim=0"], "--value-dim"),
        (&["--acceptance-init=inf"], "--acceptance-init"),
    ] {
        let output = train("refused", more);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", told(&output));
        assert!(told(&output).contains(words), "{more:?}: {}", told(&output));
    }
    assert!(told(&init(&["--swap-at-step=1"])).contains("--swap-at-step"));
    let output = place.train("refused", &["--key-dim=8"]);
    assert!(told(&output).contains("--family multiscreen"), "{}", told(&output));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_remedy() {
    let place = Place::new();
    for (more, words) in [
        (&["--steps=1", "--variant=logn"][..], &["attention variant to train", "ssmax-bias"][..]),
        (&["--context-length=20"], &["--context-length", "at least"]),
        (&["--mix=poems=1"], &["poems", "key-values"]),
        (&["--mix=text=0"], &["--mix", "above 0"]),
        (&["--haystack=noise"], &["noise", "more than one sentence"]),
        (&["--lr=0"], &["--lr", "above 0"]),
        (&["--vocab-size=100"], &["--vocab-size", "at least 257"]),
        (&["--num-attention-heads=3"], &["--num-attention-heads"]),
        (&["--layer-pattern=round"], &["round", "local, global"]),
        (&["--steps=3", "--warmup-steps=4"], &["--warmup-steps", "at most"]),
        (&["--resume"], &["training.json", "without --resume"]),
    ] {
        let output = place.train("refused", more);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", told(&output));
        assert!(words.iter().all(|word| told(&output).contains(word)), "{more:?}: {}", told(&output));
        assert!(!place.path("refused").exists(), "{more:?}");
    }
    succeeds(&place.train("out", &["--steps=1"]));
    let again = place.train("out", &["--steps=1"]);
    refuses(&again, "--resume");
    let changed = place.train("out", &["--steps=1", "--seed=7", "--resume"]);
    refuses(&changed, "seed: 42 -> 7");
}

#[test]
fn a_training_goes_on_without_its_flags_and_refuses_those_that_contradict_it() {
    let place = Place::new();
    let odd =
        ["--steps=2", "--beta1=0.8", "--mix=text=1", "--save-dtype=bf16", "--seed=9", "--haystack=synthetic"];
    succeeds(&place.train("out", &odd));
    let before = fs::read(place.path("out/model.safetensors")).unwrap();
    let again = place.niah(&["train", "-o", "out", "--resume"]);
    succeeds(&again);
    assert!(told(&again).contains("all 2 steps are done"), "{}", told(&again));
    assert!(before == fs::read(place.path("out/model.safetensors")).unwrap(), "bf16 stays bf16");
    succeeds(&place.niah(&["train", "-o", "out", "--resume", "--beta1=0.8", "--hidden-size=32", "--seed=9"]));
    for (flag, difference) in [
        ("--seed=42", "seed: 9 -> 42"),
        ("--hidden-size=128", "\"hidden_size\":128"),
        ("--beta1=0.9", "\"betas\":[0.9,0.95]"),
        ("--steps=2000", "\"steps\":2000"),
        ("--curriculum-steps=7", "--curriculum-steps"),
        ("--mix=needles=0.5,key-values=0.5", "mix: "),
        ("--variant=softmax", "variant: "),
    ] {
        let refused = place.niah(&["train", "-o", "out", "--resume", flag]);
        let said = told(&refused);
        assert!(refused.status.code() == Some(2) && said.contains(difference), "{flag}: {said}");
    }
    assert!(before == fs::read(place.path("out/model.safetensors")).unwrap());
}

#[test]
fn a_training_of_screening_tiles_goes_on_without_its_flags() {
    let place = Place::new();
    succeeds(&place.niah(&[&["train", "-o", "tiles"], TILES, &["--steps=1"]].concat()));
    succeeds(&place.niah(&["train", "-o", "tiles", "--resume"]));
    succeeds(&place.niah(&["train", "-o", "tiles", "--resume", "--family=multiscreen"]));
    let refused = place.niah(&["train", "-o", "tiles", "--resume", "--family=niah"]);
    refuses(&refused, "another plan");
}

#[test]
fn abcdigits_runs_on_a_trained_checkpoint_with_values_that_were_held_out() {
    let place = Place::new();
    succeeds(&place.train("out", &["--steps=2"]));
    let run = ["run", "--model=out", "--task=abcdigits", "--split=held-out", "--depths=0,50,100"];
    let lengths = ["--context-lengths=128,256,400", "--trials=2", "--seed=123", "-o", "results"];
    succeeds(&place.niah(&[&run[..], &lengths].concat()));
    let rows: Vec<Outcome> = niah::store::csv::read(place.path("results/results.csv")).unwrap();
    assert_eq!(rows.len(), 18);
    for row in &rows {
        assert_eq!((row.status, row.task.as_str()), (Status::Ok, "abcdigits"), "{:?}", row.error);
        assert!(Split::HeldOut.holds(&row.expected_answer), "{}", row.expected_answer);
        assert_eq!(row.needle, format!("{}{}", row.question, row.expected_answer));
        // Every digit is a token, so a line is 9, and 8 tokens are for the answer.
        let room = row.context_length - 8 - row.prompt_tokens.unwrap();
        assert!(room < 9, "{} tokens are left at {}", room, row.row_id);
        let depth = row.actual_depth_percent.unwrap();
        assert!((depth - row.depth_percent.percent()).abs() < 4.0, "{depth} at {}", row.row_id);
    }
    let stored = json(&place.path("results/run.json"));
    assert_eq!(
        (&stored["identity"]["haystack"], &stored["identity"]["split"]),
        (&"none".into(), &"held-out".into())
    );
    for (more, words) in [
        (&["--haystack=essays"][..], &["--haystack: found essays", "abcdigits writes its own text"][..]),
        (&["--context-lengths=40"], &["4 lines", "ask for at least"]),
    ] {
        let refused = place.niah(&[&run[..], more, &["-o", "refused"]].concat());
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {}", told(&refused));
        assert!(words.iter().all(|word| told(&refused).contains(word)), "{more:?}: {}", told(&refused));
    }
    let trained = place.train("other", &["--steps=1", "--task=abcdigits"]);
    refuses(&trained, "--mix key-values");
}

#[test]
fn adaptive_multipliers_are_learned_and_kept_and_known_up_to_the_training_length() {
    let place = Place::new();
    succeeds(&place.train("out", &["--steps=3", "--variant=adaptive"]));
    let config = json(&place.path("out/config.json"));
    assert_eq!(config["attention_variant"], serde_json::json!({"kind": "adaptive", "layers": [1]}));
    let name = place.path("out").display().to_string();
    let checkpoint = Checkpoint::open(&name, RopeOverride::default()).unwrap();
    let adaptive = checkpoint.own_variant.adaptive.unwrap();
    assert_eq!((adaptive.sizes.len(), adaptive.sizes[0]), (128, 1.0), "one key has no choice to learn from");
    assert!(adaptive.sizes[1..].iter().all(|&p| p != 1.0 && (p - 1.0).abs() < 0.2));
    assert!(adaptive.biases[0].is_none() && adaptive.biases[1].as_ref().unwrap().iter().all(|&b| b != 0.0));
    let sizes: Vec<f64> = adaptive.sizes.iter().map(|&p| f64::from(p)).collect();
    let fit = size_fit(&sizes).unwrap();
    assert!((0.0..=1.0).contains(&fit.logarithm.r_squared) && fit.logarithm.slope.is_finite());

    let run = |length: &str| {
        let length = format!("--context-lengths={length}");
        place.niah(&["run", "--model=out", "--depths=50", &length, "-o", "results"])
    };
    let loss = |length: &str| place.niah(&["loss", "--model=out", "--trials=2", "--context-length", length]);
    succeeds(&run("128"));
    succeeds(&loss("128"));
    for (refused, flag) in [(run("129"), "--context-lengths"), (loss("129"), "--context-length")] {
        assert_eq!(refused.status.code(), Some(2));
        let said = told(&refused);
        assert!(said.contains(flag) && said.contains("at most 128, the training length"), "{said}");
    }
    succeeds(&place.niah(&[
        "loss",
        "--model=out",
        "--trials=2",
        "--context-length=200",
        "--variant=softmax",
    ]));
    // Trained further under its own name it goes on from what it has learned.
    let further = ["train", "-o", "further", "--init=out", "--steps=0", "--context-length=128"];
    succeeds(&place.niah(&further));
    let read = |name: &str| fs::read(place.path(name).join("model.safetensors")).unwrap();
    assert!(read("out") == read("further"));

    let mut silent = config;
    silent.as_object_mut().unwrap().remove("attention_variant");
    fs::write(place.path("out/config.json"), silent.to_string()).unwrap();
    let refused = run("128");
    refuses(&refused, "adaptive");
}

#[test]
fn a_checkpoint_rounded_to_bf16_has_half_the_size_and_runs() {
    let place = Place::new();
    succeeds(&place.train("exact", &["--steps=2"]));
    succeeds(&place.train("rounded", &["--steps=1", "--save-dtype=bf16"]));
    let size = |name: &str| fs::metadata(place.path(name).join("model.safetensors")).unwrap().len();
    assert!(2 * size("rounded") < size("exact") + 4096, "{} and {}", size("rounded"), size("exact"));
    assert_eq!(json(&place.path("rounded/config.json"))["dtype"], "bfloat16");
    succeeds(&place.niah(&["loss", "--model=rounded", "--context-length=192", "--trials=1"]));
    // What training goes on from was not rounded.
    let state = |name: &str| fs::read(place.path(name).join("training-state.safetensors")).unwrap();
    succeeds(&place.train("one", &["--steps=1"]));
    assert!(state("one") == state("rounded"), "rounding must not reach the training");
}

/// The shape of every tensor and its numbers, by name.
fn parameters(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(directory.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut named: Vec<_> =
        tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    named.sort();
    named
}

#[test]
fn a_swap_during_training_is_softmax_before_and_learns_scales_behind() {
    let place = Place::new();
    // Without a limit on the gradient, whose norm is summed over parameters that stand elsewhere.
    let alike = ["--steps=4", "--schedule=constant", "--clip=0"];
    succeeds(&place.train("softmax", &[&alike[..], &["--variant=softmax"]].concat()));
    succeeds(&place.train("late", &[&alike[..], &["--swap-at-step=4"]].concat()));
    let without = |named: Vec<(String, Vec<u8>)>| {
        named.into_iter().filter(|(name, _)| !name.contains("ssmax")).collect::<Vec<_>>()
    };
    let late = parameters(&place.path("late"));
    assert_eq!(without(late.clone()), parameters(&place.path("softmax")), "until the swap both are the same");
    assert_eq!(late.len(), without(late).len() + 1);

    // Scales move only behind the swap.
    let swapped = ["--steps=6", "--schedule=constant", "--swap-at-step=3"];
    succeeds(&place.train("whole", &swapped));
    let rows = table(&place.path("whole"));
    assert_eq!(rows[3][5..8], ["", "", ""], "no scale is in use before the swap");
    assert!(rows[4..].iter().all(|row| !row[5].is_empty()) && rows[4][5] != rows[6][5], "{rows:?}");
    for wrong in [["--swap-at-step=9", "--variant=ssmax"], ["--swap-at-step=1", "--variant=softmax"]] {
        let refused = place.train("wrong", &[&["--steps=6"][..], &wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        assert!(told(&refused).contains("--swap-at-step"), "{}", told(&refused));
    }
}
