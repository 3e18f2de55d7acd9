//! `--engine candle`: architectures without a decoder here against their references at 2,100 tokens, and what
//! becomes of them in every command.

use crate::common;

use std::fs;
use std::path::Path;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::AttentionVariant;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::families::BLACK_BOXES;
use niah::checkpoint::{Checkpoint, Named, NamedTensor, Numbers, RopeOverride, write_safetensors};
use niah::generate::{Completion, DecoderModel, LanguageModel, Request};
use niah::model::black_box::BlackBox;
use niah::model::causal_lm::CausalLm;
use niah::model::decoder::Forward;
use niah::model::kv_cache::KvCache;
use niah::spec::{Dtype, Engine};
use serde_json::{Value, json};

/// Folders of `fixtures/black_boxes/`.
const FOLDERS: [&str; 5] = ["rwkv5", "rwkv6", "rwkv7", "chatglm", "mixformer"];
const TOKENS: usize = 2100;
const VOCAB: usize = 256;

/// `count` numbers of 64 bits that follow from a name: SplitMix64, begun with the name's FNV-1a hash
/// (`fixtures/make_black_boxes.py`).
fn mixed(name: &str, count: usize) -> Vec<u64> {
    let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| next()).collect()
}

/// A tensor of the list in `tensors.json`.
fn numbers(tensor: &Value) -> (String, Vec<usize>, Vec<f32>) {
    let name = tensor["name"].as_str().unwrap().to_string();
    let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
    let [middle, spread] = ["middle", "spread"].map(|key| tensor[key].as_f64().unwrap() as f32);
    let number = |z: u64| middle + spread * ((z >> 40) as f32 / (1 << 23) as f32 - 1.0);
    let numbers = mixed(&name, shape.iter().product()).into_iter().map(number).collect();
    (name, shape, numbers)
}

/// Writes the checkpoint of a folder, with `change` made to its configuration.
fn write(folder: &str, directory: &Path, change: impl FnOnce(&mut Value)) {
    let from = common::fixture("black_boxes").join(folder);
    let read = |file: &str| serde_json::from_slice::<Value>(&fs::read(from.join(file)).unwrap()).unwrap();
    let mut config = read("config.json");
    change(&mut config);
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    let tensors: Vec<_> = read("tensors.json").as_array().unwrap().iter().map(numbers).collect();
    let named: Vec<_> = tensors
        .iter()
        .map(|(name, shape, numbers)| NamedTensor {
            name,
            shape: shape.clone(),
            numbers: Numbers::F32(numbers),
        })
        .collect();
    let file = fs::File::create(directory.join("model.safetensors")).unwrap();
    write_safetensors(file, &named, &[]).unwrap();
}

fn open(directory: &Path) -> niah::Result<Checkpoint> {
    let name = directory.display().to_string();
    Checkpoint::open_as(&name, Named::ByUser, Engine::Candle, RopeOverride::default())
}

fn black_box_with(folder: &str, change: impl FnOnce(&mut Value)) -> BlackBox {
    let directory = tempfile::tempdir().unwrap();
    write(folder, directory.path(), change);
    open(directory.path()).unwrap().load(&Device::Cpu, Dtype::F32, BlackBox::load).unwrap()
}

fn black_box(folder: &str) -> BlackBox {
    black_box_with(folder, |_| {})
}

fn softmax() -> Box<dyn AttentionVariant> {
    (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&VariantInputs::default()).unwrap()
}

/// The logits of the last `keep` of `tokens` behind a cache.
fn run(model: &BlackBox, cache: &mut KvCache, tokens: &[u32], keep: usize) -> Vec<Vec<f32>> {
    let variant = softmax();
    let forward = Forward { variant: variant.as_ref(), keep_logits: keep, probe: None };
    model.forward(tokens, cache, forward).unwrap().to_vec2().unwrap()
}

fn input_ids() -> Vec<u32> {
    mixed("input_ids", TOKENS).into_iter().map(|z| (z % VOCAB as u64) as u32).collect()
}

/// Rows of the reference, each with its logits.
fn expected(folder: &str) -> Vec<(usize, Vec<f32>)> {
    let file = common::fixture("black_boxes").join(folder).join("expected.safetensors");
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let rows: Vec<i64> = tensors["rows"].to_vec1().unwrap();
    let logits: Vec<Vec<f32>> = tensors["logits"].to_vec2().unwrap();
    rows.into_iter().map(|row| row as usize).zip(logits).collect()
}

/// How far a row is from the reference, as a share of what is allowed: 1e-4, absolute and relative.
fn off(found: &[f32], expected: &[f32]) -> f32 {
    let allowed = |x: f32| 1e-4 + 1e-4 * x.abs();
    assert_eq!(found.len(), VOCAB);
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / allowed(*b)).fold(0.0, f32::max)
}

#[test]
fn every_black_box_gives_the_logits_of_its_reference_at_two_thousand_tokens() {
    let ids = input_ids();
    for folder in FOLDERS {
        let (model, rows) = (black_box(folder), expected(folder));
        let found = |cache: &mut KvCache, tokens: &[u32]| run(&model, cache, tokens, 1).remove(0);
        // Behind one cache, row after row.
        let mut cache = model.new_cache(TOKENS);
        for (row, expected) in &rows {
            let read = cache.len();
            let logits = found(&mut cache, &ids[read..=*row]);
            assert!(off(&logits, expected) < 1.0, "{folder}: row {row} is off by {}", off(&logits, expected));
        }
        // From the beginning, in chunks without logits before the row.
        for (row, expected) in rows.iter().filter(|(row, _)| [63, 700, 2099].contains(row)) {
            let mut cache = model.new_cache(TOKENS);
            for chunk in ids[..*row].chunks(512) {
                assert!(run(&model, &mut cache, chunk, 0).is_empty());
            }
            assert_eq!(cache.len(), *row);
            let logits = found(&mut cache, &ids[*row..=*row]);
            assert!(off(&logits, expected) < 1.0, "{folder}: row {row} is off by {}", off(&logits, expected));
        }
    }
    let names: Vec<_> = BLACK_BOXES.iter().map(|entry| entry.name).collect();
    let of = |folder: &&str| {
        let config = fs::read(common::fixture("black_boxes").join(folder).join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        config["model_type"].as_str().unwrap().to_string()
    };
    assert_eq!(FOLDERS.iter().map(of).collect::<Vec<_>>(), names, "each has a reference");
}

#[test]
fn heads_of_rwkv_5_and_6_are_normed_as_they_were_trained() {
    let ids = input_ids();
    for folder in ["rwkv5", "rwkv6"] {
        let undivided = black_box_with(folder, |config| config["head_size_divisor"] = json!(1));
        let (row, expected) = &expected(folder)[2];
        let logits = run(&undivided, &mut undivided.new_cache(TOKENS), &ids[..=*row], 1).remove(0);
        assert!(off(&logits, expected) > 20.0, "{folder} does not depend on the division");
    }
}

#[test]
fn a_black_box_goes_back_to_a_mark_and_reads_on_from_there() {
    let ids = input_ids();
    for folder in FOLDERS {
        let model = black_box(folder);
        let fresh = run(&model, &mut model.new_cache(90), &ids[..80], 3);
        let mut cache = model.new_cache(90);
        run(&model, &mut cache, &ids[..30], 0);
        cache.mark();
        run(&model, &mut cache, &ids[30..50], 1);
        cache.mark();
        run(&model, &mut cache, &[7, 8, 9], 2);
        assert_eq!(cache.truncate(51), 50, "{folder}");
        let again = run(&model, &mut cache, &ids[50..80], 3);
        assert_eq!(cache.truncate(49), 30, "{folder}");
        let from_first = run(&model, &mut cache, &ids[30..80], 3);
        assert_eq!(cache.truncate(29), 0, "{folder}: nothing was marked before");
        for rows in [again, from_first, run(&model, &mut cache, &ids[..80], 3)] {
            for (found, expected) in rows.iter().zip(&fresh) {
                assert!(off(found, expected) < 1.0, "{folder}");
            }
        }
    }
}

#[test]
fn what_black_boxes_share_changes_no_answer() {
    let text = &input_ids()[..70];
    let with = |place: usize, end: &[u32]| [&text[..place], &[9, 8, 7], &text[place..], end].concat();
    let prompts = [with(20, &[1, 2]), with(35, &[1, 2]), with(50, &[3, 2, 1])];
    let ask = |model: &mut DecoderModel, prompt: &[u32], answer: &[u32], forks: &[usize]| -> Completion {
        let request = Request {
            tokens: prompt,
            thinking: None,
            answer,
            max_new_tokens: 4,
            end_tokens: &[],
            spans: &[vec![20..23]],
            items: &[],
            chosen_head: None,
            forks,
            scored: &[],
            ..Request::default()
        };
        model.complete(request, &mut |_| true).unwrap()
    };
    for folder in FOLDERS {
        let mut alone = DecoderModel::new(black_box(folder), softmax(), 100);
        let mut sharing = DecoderModel::new(black_box(folder), softmax(), 16).sharing_prefixes(100);
        let expected = ask(&mut alone, &prompts[0], &[], &[]).tokens;
        for answer in [&expected[..2], &[expected[0], (expected[1] + 1) % 256, 3]] {
            for (number, prompt) in prompts.iter().enumerate() {
                let expected = ask(&mut alone, prompt, answer, &[]);
                let found = ask(&mut sharing, prompt, answer, &[15 * number + 12, prompt.len() - 6]);
                assert_eq!(found.tokens, expected.tokens, "{folder}: prompt {number}");
                assert_eq!(found.answer_ranks, expected.answer_ranks, "{folder}: prompt {number}");
                for (a, b) in found.answer_logprobs.iter().zip(&expected.answer_logprobs) {
                    assert!((a - b).abs() < 1e-3, "{folder}: prompt {number}: {a}, not {b}");
                }
                assert!(found.attention.heads.is_empty(), "{folder}: nothing is seen");
            }
        }
    }
}

/// A directory with the checkpoint of a folder under `tiny`, and a tokenizer of single bytes.
fn bench_of(folder: &str) -> Bench {
    let bench = Bench::new();
    write(folder, &bench.path("tiny"), |_| {});
    bench
}

#[test]
fn a_grid_on_a_black_box_has_answers_without_attention_and_goes_on_where_it_stopped() {
    for folder in ["rwkv7", "chatglm"] {
        let bench = bench_of(folder);
        let engine = ["--engine", "candle"];
        let page = bench.grid(&[&engine[..], &["-o", "whole"]].concat());
        assert!(page.contains("black box"), "{page}");
        bench.grid(&[&engine[..], &["-o", "stopped", "--limit", "5"]].concat());
        bench.grid(&[&engine[..], &["-o", "stopped"]].concat());
        bench.grid(&[&engine[..], &["-o", "alone", "--no-prefix-sharing"]].concat());
        let [whole, stopped, alone] = ["whole", "stopped", "alone"].map(|run| {
            let mut rows = bench.outcomes(run);
            rows.sort_by(|a, b| a.row_id.cmp(&b.row_id));
            rows
        });
        assert_eq!(whole.len(), common::grid::TRIALS);
        for ((a, b), c) in whole.iter().zip(&stopped).zip(&alone) {
            assert_eq!((&a.row_id, &a.error), (&b.row_id, &None));
            assert!(a.needle_mass_top.is_none() && a.answer_rank.is_some() && a.score.is_some());
            for other in [b, c] {
                assert_eq!((&a.model_response, a.answer_rank), (&other.model_response, other.answer_rank));
                let [x, y] = [a, other].map(|row| row.answer_logprob.unwrap());
                assert!((x - y).abs() < 1e-3, "{folder}: {x}, not {y}");
            }
        }
        assert!(bench.attention("whole").is_empty());
        let record = bench.run_json("whole");
        assert_eq!(record["model"]["engine"], "candle");
        assert_eq!(record["settings"]["engine"], "candle");
        assert_eq!(record["identity"]["engine"], "candle");
        assert!(record["warnings"].to_string().contains("black box"), "{record}");
        let tokens = &record["tokens"];
        assert_eq!(folder == "chatglm", tokens["computed"] == tokens["prompt"], "{folder}: {tokens}");
        assert!(bench.stdout(&["view", "whole"]).contains("black box"));
    }
}

#[test]
fn every_command_reads_a_black_box_or_says_why_not() {
    let bench = bench_of("rwkv6");
    let inspected = bench.stdout(&["inspect", "tiny", "--engine", "candle", "--width", "160"]);
    for words in ["candle's RWKV 6, a black box", "in 2 of 2 layers", "rwkv6"] {
        assert!(inspected.contains(words), "no {words:?} in {inspected}");
    }
    let candle = ["--engine", "candle"];
    let logits = ["logits", "tiny", "--ids", "1,2,3", "-o", "o.safetensors"];
    bench.stdout(&[&logits[..], &candle].concat());
    let loss = ["loss", "--model", "tiny", "--context-length", "64", "--trials", "1"];
    bench.stdout(&[&loss[..], &candle].concat());
    let speed =
        ["bench", "--model", "tiny", "--context-lengths", "32", "--max-new-tokens", "1", "--repeats", "1"];
    let table = bench.stdout(&[&speed[..], &candle].concat());
    assert!(!table.contains('%'), "where time goes is not seen: {table}");
    bench.stdout(&[&["run", "--model", "tiny", "--dry-run", "--context-lengths=200"][..], &candle].concat());
    assert!(bench.stdout(&["list", "black-boxes"]).contains("rwkv6"));

    let attentions = [&logits[..], &candle, &["--attentions", "last"]].concat();
    bench.refused(&attentions, &["--attentions", "black box"]);
    bench.grid(&[&candle[..], &["-o", "run"]].concat());
    let place = ["attend", "run", "--length", "200", "--depth", "50"];
    for head in [&[][..], &["--head", "0.0"], &["--head", "top"]] {
        bench.refused(&[&place[..], head].concat(), &["there is no attention to show", "black box"]);
    }
    let bench_run = ["run", "--model", "tiny", "--context-lengths=200", "--depths=0", "--trials", "1"];
    for (more, words) in [
        (&["--variant", "ssmax"][..], &["--variant: found ssmax", "black box"][..]),
        (&["--ssmax-scale", "0.2"], &["--ssmax-scale"]),
        (&["--dtype", "bf16"], &["--dtype: found bf16", "f32", "black box"]),
        (&["--kv-dtype", "bf16"], &["--kv-dtype: found bf16", "black box"]),
        (&["--rope-theta", "1000"], &["--rope-theta: found 1000", "black box"]),
        (&["--rope", "none"], &["--rope: found none", "black box"]),
    ] {
        bench.refused(&[&bench_run[..], &candle, more].concat(), words);
    }
}

#[test]
fn the_engine_is_named_where_it_helps_and_refused_where_it_does_not() {
    let bench = bench_of("rwkv7");
    let grid = ["run", "--model", "tiny", "--context-lengths=200", "--depths=0", "--trials", "1"];
    let candle = ["--engine", "candle"];
    bench.refused(&grid, &["model_type", "rwkv7", "--engine candle runs this one as a black box"]);
    bench.refused(&["inspect", "tiny"], &["--engine candle"]);
    common::tiny_checkpoint(&bench.path("tiny"));
    let own = ["model_type", "niah has its own for this one, so leave out --engine"];
    bench.refused(&[&grid[..], &candle].concat(), &own);
    fs::write(bench.path("file.gguf"), b"GGUF").unwrap();
    bench.refused(&["inspect", "file.gguf", "--engine", "candle"], &["GGUF", "leave out --engine"]);
    bench.refused(&["inspect", "tiny", "--engine", "torch"], &["torch", "candle"]);
}

#[test]
fn configurations_that_candle_would_compute_otherwise_are_refused_by_name() {
    for (folder, key, value) in [
        ("rwkv5", "attention_hidden_size", json!(32)),
        ("rwkv5", "hidden_size", json!(80)),
        ("rwkv6", "tie_word_embeddings", json!(true)),
        ("rwkv6", "hidden_size", json!(2560)),
        ("rwkv7", "head_dim", json!(32)),
        ("rwkv7", "norm_eps", json!(1e-6)),
        ("rwkv7", "hidden_act", json!("relu")),
        ("rwkv7", "attn", json!({"layers": [1]})),
        ("rwkv7", "num_heads", json!(4)),
        ("chatglm", "rmsnorm", json!(false)),
        ("chatglm", "add_bias_linear", json!(true)),
        ("chatglm", "quantization_bit", json!(4)),
        ("chatglm", "kv_channels", json!(18)),
        ("chatglm", "rope_ratio", json!(1.5)),
        ("chatglm", "_name_or_path", json!("THUDM/chatglm2-6b-32k")),
        ("mixformer", "activation_function", json!("relu")),
        ("mixformer", "rotary_dim", json!(7)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let change = |config: &mut Value| {
            // One width in both of two keys, so that it is the one that is looked at.
            if key == "hidden_size" {
                config["attention_hidden_size"] = value.clone();
            }
            config[key] = value;
        };
        write(folder, directory.path(), change);
        let error = open(directory.path()).err().map(|error| error.to_string()).unwrap_or_default();
        let key = if key == "_name_or_path" { "rope_ratio" } else { key };
        assert!(error.contains(&format!("config.json: {key}: found")), "{folder}: {key}: {error}");
    }
}

#[test]
fn a_missing_tensor_a_foreign_one_and_a_long_prompt_are_told_before_anything_is_computed() {
    let directory = tempfile::tempdir().unwrap();
    write("mixformer", directory.path(), |config| config["n_layer"] = json!(3));
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("layers.3"), "{error}");
    write("mixformer", directory.path(), |config| config["n_layer"] = json!(1));
    let error = open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("layers.2"), "{error}");

    let bench = bench_of("mixformer");
    let long = ["run", "--model", "tiny", "--context-lengths=8k", "--depths=0", "--engine", "candle"];
    bench.refused(&long, &["8192", "at most 4096"]);
    let directory = bench.path("tiny");
    common::grid::spoil(&directory, "layers.1.mlp.fc1.weight", f32::NAN);
    let loaded = open(&directory).unwrap().load(&Device::Cpu, Dtype::F32, BlackBox::load);
    let error = loaded.err().unwrap().to_string();
    assert!(error.contains("layers.1.mlp.fc1.weight") && error.contains("NaN"), "{error}");
}
