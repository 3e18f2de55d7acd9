//! Bad input gets one line that says what is wrong and what to do, and nothing that was computed is lost.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use candle_core::quantized::gguf_file::Value as Gguf;
use candle_core::{DType, Device, Tensor};
use common::gguf::Metadata;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The exit code of a usage or configuration error.
const USAGE: i32 = 2;
/// The exit code of a run that failed.
const FAILED: i32 = 1;

/// A directory with a tiny checkpoint in `model`, in which commands run.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("model")).unwrap();
        common::tiny_checkpoint(&place.path("model"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let cache = self.path("cache");
        // With backtraces on, so that none can reach a message.
        let variables = [("HF_HUB_OFFLINE", "1"), ("RUST_BACKTRACE", "1"), ("NO_COLOR", "1")];
        command.current_dir(self.0.path()).envs(variables).env("HF_HOME", cache);
        command
    }

    /// Runs `niah` with these arguments, separated by spaces.
    fn niah(&self, arguments: &str) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_niah"));
        Ran::of(arguments, command.args(arguments.split_whitespace()).output().unwrap())
    }

    /// Runs one small cell on the checkpoint, with more arguments.
    fn run(&self, arguments: &str) -> Ran {
        self.niah(&format!("run -m model --context-lengths 400 --depths 50 -o out {arguments}"))
    }

    fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        edit(&mut value);
        self.write(name, value.to_string());
    }

    fn edit_weights(&self, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let path = self.path("model/model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        edit(&mut tensors);
        candle_core::safetensors::save(&tensors, &path).unwrap();
    }

    /// The trials that `results.csv` holds.
    fn rows(&self) -> usize {
        fs::read_to_string(self.path("out/results.csv")).unwrap().lines().count() - 1
    }
}

/// How a command ended.
struct Ran {
    what: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(what: &str, output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Self {
            what: what.to_string(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for noise in ["panicked", "Os {", "stack backtrace", "RUST_BACKTRACE", "Some(", "Err("] {
            assert!(!ran.stderr.contains(noise), "niah {}: {}", ran.what, ran.stderr);
        }
        ran
    }

    /// It worked, and said these words on stderr.
    #[track_caller]
    fn works(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(0), "niah {}: {}", self.what, self.stderr);
        self.says(words)
    }

    /// It ended with this code and a message of one line that holds these words.
    #[track_caller]
    fn refuses(self, code: i32, words: &[&str]) -> Self {
        let messages: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("niah: ")).collect();
        assert_eq!(messages.len(), 1, "niah {}: {}", self.what, self.stderr);
        assert_eq!(self.stderr.lines().last(), messages.first().copied(), "niah {}", self.what);
        if std::env::var_os("NIAH_SHOW_MESSAGES").is_some() {
            eprintln!("{}", messages[0]);
        }
        self.ends(code, words)
    }

    /// Clap refused it: the message goes on with a usage line.
    #[track_caller]
    fn misuses(self, words: &[&str]) -> Self {
        assert!(self.stderr.starts_with("error: "), "niah {}: {}", self.what, self.stderr);
        self.ends(USAGE, words)
    }

    #[track_caller]
    fn ends(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "niah {}: {}", self.what, self.stderr);
        self.says(words)
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "niah {} does not say {word:?}: {}", self.what, self.stderr);
        }
        self
    }
}

const DOWNLOAD: &str = "download";

#[test]
fn what_is_no_checkpoint_is_refused() {
    let place = Place::new();
    let run = |model: &str| place.niah(&format!("run -m {model} --dry-run"));
    fs::create_dir(place.path("empty")).unwrap();
    for (name, content) in [
        ("empty.gguf", ""),
        ("empty.bin", ""),
        ("notes.txt", "hello"),
        ("lfs.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("wrong.gguf", "GGML and more"),
        ("other.safetensors", "x"),
    ] {
        place.write(name, content);
    }
    fs::copy(place.path("other.safetensors"), place.path("model/other.safetensors")).unwrap();
    for (model, words) in [
        ("gone", &["gone", "no such file or directory", "hub id"][..]),
        ("/gone/model", &["/gone/model", "no such file or directory"]),
        ("gone/model", &["gone/model", "no such file or directory", "config.json", "HF_HUB_OFFLINE"]),
        ("a/b/../../c.gguf", &["no such file or directory"]),
        ("empty", &["config.json", "not found", "tokenizer.json and weights"]),
        ("empty.gguf", &["empty.gguf", "empty", DOWNLOAD]),
        ("lfs.gguf", &["lfs.gguf", "git lfs pull"]),
        ("wrong.gguf", &["wrong.gguf", "not a GGUF file"]),
        ("empty.bin", &["empty.bin", "pickles", "safe_serialization"]),
        ("notes.txt", &["notes.txt", "not a checkpoint", ".gguf", "config.json"]),
        ("model/other.safetensors", &["other.safetensors", "rename it to model.safetensors"]),
    ] {
        run(model).refuses(USAGE, words);
    }
    run("model/model.safetensors").works(&[]);
}

#[test]
fn a_broken_config_json_is_refused_with_key_and_expectation() {
    let place = Place::new();
    let dry = |words: &[&str]| place.run("--dry-run").refuses(USAGE, words);
    let original = fs::read(place.path("model/config.json")).unwrap();
    for (content, words) in [
        ("", &["config.json", "broken JSON", DOWNLOAD][..]),
        ("{\"model_type\": \"llama\"", &["config.json", "broken JSON", "line 1"]),
        ("[1, 2]", &["config.json", "expected a JSON object"]),
        ("{}", &["config.json", "model_type", "found nothing", "expected a string"]),
        ("\u{1b}[2J", &["config.json", "broken JSON"]),
    ] {
        place.write("model/config.json", content);
        dry(words);
    }
    let size = "a whole number from 1 to 2^31";
    for (key, value, words) in [
        (
            "model_type",
            json!("mystery\n\u{1b}[2J"),
            &["config.json: model_type", r#""mystery\n"#, "known families: llama"][..],
        ),
        ("model_type", json!(7), &["model_type", "found 7", "expected a string"]),
        ("hidden_size", Value::Null, &["hidden_size", "found nothing", size]),
        ("hidden_size", json!("32"), &["hidden_size", "found \"32\"", size]),
        ("hidden_size", json!(-32), &["hidden_size", "found -32", size]),
        ("hidden_size", json!(32.5), &["hidden_size", size]),
        ("hidden_size", json!(1e300), &["hidden_size", size]),
        ("hidden_size", json!(u64::MAX), &["hidden_size", size]),
        ("hidden_size", json!(1_000_000_000), &["embed_tokens.weight", "[256, 1000000000]", "[256, 32]"]),
        ("hidden_size", json!(16), &["embed_tokens.weight", "shape [256, 16]", "shape [256, 32]", DOWNLOAD]),
        ("vocab_size", json!(2_000_000_000), &["embed_tokens.weight", "[2000000000, 32]"]),
        ("num_hidden_layers", json!(1_000_000_000), &["num_hidden_layers", "at most 4096"]),
        ("num_hidden_layers", json!(5), &["model.layers.4.", "no such tensor", DOWNLOAD]),
        ("num_hidden_layers", json!(0), &["num_hidden_layers", "found 0", size]),
        ("intermediate_size", json!(2_147_483_648u64), &["mlp.gate_proj", "[2147483648, 32]"]),
        ("num_attention_heads", json!(0), &["num_attention_heads", "found 0", size]),
        (
            "num_attention_heads",
            json!(3),
            &["num_key_value_heads", "found 2", "a divisor of num_attention_heads = 3"],
        ),
        ("num_attention_heads", json!(2_000_000_000), &["self_attn.q_proj.weight", "16000000000"]),
        ("num_key_value_heads", json!(3), &["num_key_value_heads", "found 3", "a divisor"]),
        ("head_dim", json!(7), &["head_dim", "found 7", "even"]),
        ("head_dim", json!(2_147_483_648u64), &["self_attn.q_proj.weight", "8589934592"]),
        ("rms_norm_eps", json!(-1), &["rms_norm_eps", "found -1", "a number above 0"]),
        ("hidden_act", json!("swoosh"), &["hidden_act", "found swoosh", "silu, gelu"]),
        ("attention_bias", json!("yes"), &["attention_bias", "true or false"]),
        ("attention_bias", json!(true), &["q_proj.bias", "no such tensor"]),
        ("rope_parameters", json!([]), &["rope_parameters", "an object"]),
        (
            "rope_parameters",
            json!({"rope_type": "default"}),
            &["rope_parameters.rope_theta", "found nothing"],
        ),
        ("rope_parameters", json!({"rope_theta": 0}), &["rope_parameters.rope_theta", "found 0", "above 0"]),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "spiral"}),
            &["found spiral", "default, linear, dynamic, llama3, longrope or yarn"],
        ),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "linear", "factor": 0}),
            &["rope_parameters.factor", "found 0"],
        ),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "llama3", "factor": 8}),
            &["low_freq_factor", "found nothing"],
        ),
        (
            "attention_variant",
            json!({"kind": "mystery"}),
            &["config.json", "attention_variant.kind", "mystery", "ssmax-bias"],
        ),
        ("attention_variant", json!("ssmax"), &["attention_variant", "an object"]),
        (
            "attention_variant",
            json!({"kind": "ssmax"}),
            &["attention_variant", "ssmax without them", "self_attn.ssmax_scale"],
        ),
        ("use_ssmax", json!(true), &["ssmax without them", "self_attn.ssmax_scale"]),
        (
            "attention_variant",
            json!({"kind": "logn", "layers": [0, 4]}),
            &["attention_variant.layers", "layer numbers from 0 to 3"],
        ),
        ("use_logn_attn", json!("yes"), &["use_logn_attn", "true or false"]),
        ("attn_temperature_tuning", json!("high"), &["attn_temperature_tuning", "true or false"]),
        ("llama_4_scaling_beta", json!(0.1), &["original_max_position_embeddings", "found nothing"]),
        ("llama_4_scaling", json!({"beta": "much"}), &["llama_4_scaling.beta", "a number"]),
        (
            "sparse_indexer_softmax_variant",
            json!("ssmax"),
            &[
                "sparse_indexer_softmax_variant",
                "not published",
                "rename the tensors to self_attn.ssmax_scale",
            ],
        ),
        (
            "sparse_config",
            json!({"sparse_indexer_softmax_variant": "ssmax"}),
            &["sparse_config.sparse_indexer_softmax_variant", "not published"],
        ),
    ] {
        place.write("model/config.json", &original);
        place.edit_json("model/config.json", |config| config[key] = value);
        dry(words);
    }
}

#[test]
fn both_generations_of_rotary_settings_are_read() {
    let place = Place::new();
    let theta = |place: &Place, edit: &dyn Fn(&mut Value)| {
        fs::copy(common::fixture("vectors/llama/config.json"), place.path("model/config.json")).unwrap();
        place.edit_json("model/config.json", |config| edit(config));
        let _ = fs::remove_dir_all(place.path("out"));
        place.run("--limit 0").works(&[]);
        let record: Value = serde_json::from_slice(&fs::read(place.path("out/run.json")).unwrap()).unwrap();
        record["model"]["spec"]["layers"][0]["rope"].clone()
    };
    let new = theta(&place, &|config| {
        config["rope_parameters"] = json!({"rope_theta": 500.0, "rope_type": "linear", "factor": 2});
    });
    let old = theta(&place, &|config| {
        config["rope_parameters"] = Value::Null;
        config["rope_theta"] = json!(500.0);
        config["rope_scaling"] = json!({"type": "linear", "factor": 2.0});
    });
    assert_eq!(new["theta"], 500.0);
    assert_eq!(new, old);
}

#[test]
fn damaged_safetensors_are_refused() {
    let place = Place::new();
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let with_length = |length: u64| [&length.to_le_bytes()[..], &weights[8..]].concat();
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hostile = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let wide = r#"{"a": {"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 18446744073709551615]}}"#;
    for (content, words) in [
        (vec![], &["model.safetensors", "empty", DOWNLOAD][..]),
        (weights[..5].to_vec(), &["model.safetensors", "cut short", "5 bytes", DOWNLOAD]),
        (weights[..8 + header / 2].to_vec(), &["cut short", DOWNLOAD]),
        (weights[..8 + header].to_vec(), &["cut short", DOWNLOAD]),
        (weights[..weights.len() - 1].to_vec(), &["cut short", DOWNLOAD]),
        ([&weights[..], b"x"].concat(), &["model.safetensors", DOWNLOAD]),
        (noise, &["model.safetensors", DOWNLOAD]),
        (with_length(1 << 40), &["model.safetensors", DOWNLOAD]),
        (with_length(u64::MAX), &["model.safetensors", DOWNLOAD]),
        (with_length(90_000_000), &["model.safetensors", DOWNLOAD]),
        (hostile(wide), &["model.safetensors", DOWNLOAD]),
        (hostile("[]"), &["model.safetensors", DOWNLOAD]),
        (b"<!doctype html><title>404</title>".to_vec(), &["model.safetensors", DOWNLOAD]),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), &["git lfs pull"]),
    ] {
        place.write("model/model.safetensors", content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    fs::remove_file(place.path("model/model.safetensors")).unwrap();
    place.run("--dry-run").refuses(USAGE, &["holds neither model.safetensors nor", DOWNLOAD]);
    place.write("model/pytorch_model.bin", "x");
    place.run("--dry-run").refuses(USAGE, &["pickles", "safe_serialization=True"]);
}

#[test]
fn an_index_that_misleads_is_refused() {
    let place = Place::new();
    fs::rename(place.path("model/model.safetensors"), place.path("model/one.safetensors")).unwrap();
    let map = |map: Value| json!({"weight_map": map}).to_string();
    for (content, words) in [
        ("{".to_string(), &["model.safetensors.index.json", "broken JSON"][..]),
        ("{}".to_string(), &["weight_map", "found nothing"]),
        (map(json!({})), &["weight_map", "at least one file"]),
        (map(json!({"a": 3})), &["weight_map", "found 3", "file names without a path"]),
        (map(json!({"a": "../model/one.safetensors"})), &["weight_map", "../model", "without a path"]),
        (map(json!({"a": ".."})), &["weight_map", "without a path"]),
        (map(json!({"a": "/etc/passwd"})), &["weight_map", "without a path"]),
        (
            map(json!({"a": "one.safetensors", "b": "two.safetensors"})),
            &["two.safetensors", "missing", "download it"],
        ),
    ] {
        place.write("model/model.safetensors.index.json", content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    place.write("model/model.safetensors.index.json", map(json!({"a": "one.safetensors"})));
    place.run("--dry-run").works(&[]);
}

#[test]
fn wrong_tensors_are_refused_by_name_and_a_repaired_file_runs_with_the_same_command() {
    let place = Place::new();
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let name = "model.layers.2.mlp.up_proj.weight";
    let filled = |value: f32| {
        move |tensor: &Tensor| {
            let mut numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers[77] = value;
            Tensor::from_vec(numbers, tensor.dims(), &Device::Cpu).unwrap()
        }
    };
    let narrow = |tensor: &Tensor| tensor.narrow(0, 0, 63).unwrap().contiguous().unwrap();
    let whole = |tensor: &Tensor| tensor.to_dtype(DType::I64).unwrap();
    let file = "model/model.safetensors";
    let change = |edit: &dyn Fn(&Tensor) -> Tensor| {
        place.write(file, &weights);
        place.edit_weights(|tensors| {
            let changed = edit(&tensors[name]);
            tensors.insert(name.to_string(), changed);
        });
    };
    change(&narrow);
    place.run("--dry-run").refuses(USAGE, &[file, name, "shape [64, 32]", "shape [63, 32]", DOWNLOAD]);
    change(&whole);
    place.run("--dry-run").refuses(USAGE, &[file, name, "F32, F16 or BF16", "I64", "convert it"]);
    place.write(file, &weights);
    place.edit_weights(|tensors| drop(tensors.remove(name)));
    place.run("--dry-run").refuses(USAGE, &[file, name, "shape [64, 32]", "no such tensor", DOWNLOAD]);
    for value in [f32::NAN, f32::INFINITY] {
        change(&filled(value));
        place.run("").refuses(USAGE, &[file, name, "finite", "NaN", DOWNLOAD]);
    }
    place.write(file, &weights);
    place.run("").works(&["results: out"]);
    assert_eq!(place.rows(), 1);
}

#[test]
fn scales_that_do_not_fit_are_refused_and_none_is_invented() {
    let place = Place::new();
    place.edit_json("model/config.json", |config| config["attention_variant"] = json!({"kind": "ssmax"}));
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let with_scales = |layers: usize, numbers: &[f32]| {
        place.write("model/model.safetensors", &weights);
        place.edit_weights(|tensors| {
            for layer in 0..layers {
                let scale = Tensor::new(numbers, &Device::Cpu).unwrap();
                tensors.insert(format!("model.layers.{layer}.self_attn.ssmax_scale"), scale);
            }
        });
    };
    with_scales(4, &[0.4; 3]);
    place
        .run("--dry-run")
        .refuses(USAGE, &["layers.0.self_attn.ssmax_scale", "4 finite numbers", "shape [3]"]);
    with_scales(3, &[0.4; 4]);
    place.run("--dry-run").refuses(USAGE, &["layers.3.self_attn.ssmax_scale", "no such tensor"]);
    place.edit_weights(|tensors| {
        let square = Tensor::new(&[[0.4f32, 0.4], [0.4, 0.4]], &Device::Cpu).unwrap();
        tensors.insert("model.layers.3.self_attn.ssmax_scale".to_string(), square);
    });
    place.run("--dry-run").refuses(USAGE, &["layers.3.self_attn.ssmax_scale", "shape [2, 2]"]);
    with_scales(4, &[0.4, f32::NAN, 0.4, 0.4]);
    place.run("--dry-run").refuses(USAGE, &["ssmax_scale", "4 finite numbers", "NaN"]);
    with_scales(4, &[0.4; 4]);
    place.run("--dry-run").works(&[]);
    place
        .run("--dry-run --variant ssmax-bias")
        .refuses(USAGE, &["--variant", "ssmax_bias", "use --variant ssmax"]);
    place
        .edit_json("model/config.json", |config| config["attention_variant"] = json!({"kind": "ssmax-bias"}));
    place.run("--dry-run").refuses(USAGE, &["ssmax-bias", "self_attn.ssmax_bias"]);
}

#[test]
fn a_checkpoint_that_contradicts_itself_about_its_attention_rule_is_refused() {
    let place = Place::new();
    let (config, weights) = ("model/config.json", fs::read(place.path("model/model.safetensors")).unwrap());
    let original = fs::read(place.path(config)).unwrap();
    let scale = || Tensor::new(&[0.4f32; 4], &Device::Cpu).unwrap();
    let dry = |keys: Value, tensors: &[(&str, &[usize])], words: &[&str]| {
        place.write("model/model.safetensors", &weights);
        place.write(config, &original);
        place.edit_json(config, |config| {
            config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        });
        place.edit_weights(|stored| {
            for (name, layers) in tensors {
                let names = layers.iter().map(|layer| format!("model.layers.{layer}.self_attn.{name}"));
                stored.extend(names.map(|name| (name, scale())));
            }
        });
        place.run("--dry-run").refuses(USAGE, words);
    };
    let all = &[0, 1, 2, 3][..];
    for (keys, tensors, words) in [
        (
            json!({"scalable_softmax": false}),
            &[("ssmax_scale", all)][..],
            &["scalable_softmax", "found false"][..],
        ),
        (
            json!({"use_ssmax": false}),
            &[("ssmax_scale", all)],
            &["use_ssmax", "--variant softmax runs without"],
        ),
        (
            json!({"attention_variant": {"kind": "softmax"}}),
            &[("ssmax_scale", all)],
            &["attention_variant", "softmax, but learned scales in self_attn.ssmax_scale"],
        ),
        (
            json!({"use_logn_attn": true}),
            &[("seq_scale", all)],
            &["use_logn_attn", "logn, but learned scales"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax"}}),
            &[("ssmax_scale", all), ("ssmax_bias", all)],
            &["attention_variant", "ssmax, but biases in self_attn.ssmax_bias", "expected ssmax-bias"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax-bias"}}),
            &[("ssmax_scale", all)],
            &["attention_variant", "ssmax-bias, but no self_attn.ssmax_bias"],
        ),
        (json!({}), &[("ssmax_bias", all)], &["layers.0.self_attn.ssmax_scale", "no such tensor"]),
        (
            json!({}),
            &[("ssmax_scale", all), ("softmax_scaler", all)],
            &["scales under one name", "self_attn.softmax_scaler and self_attn.ssmax_scale"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax", "layers": [1, 3]}}),
            &[("ssmax_scale", &[1, 2, 3])],
            &["layers.2.self_attn.ssmax_scale", "does not follow the rule", "\"layers\": [...]"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax", "layers": [1, 3]}}),
            &[("ssmax_scale", &[1])],
            &["layers.3.self_attn.ssmax_scale", "no such tensor"],
        ),
        (json!({"scalable_softmax": true}), &[], &["scalable_softmax", "ssmax without them"]),
        (
            json!({"use_logn_attn": true, "attn_temperature_tuning": true}),
            &[],
            &["attn_temperature_tuning", "temperature beside logn", "take out the key"],
        ),
        (json!({"use_logn_attn": true, "seq_length": 1}), &[], &["seq_length", "found 1", "above 1"]),
        (
            json!({"attn_temperature_tuning": 4, "llama_4_scaling": {"beta": 0.1, "original_max_position_embeddings": 64}}),
            &[],
            &["attn_temperature_tuning", "Llama 4's rule beside Ministral 3's"],
        ),
        (
            json!({}),
            &[("ssmax_s", all)],
            &["layers.0.self_attn.ssmax_s", "not published", "rename the tensors"],
        ),
    ] {
        dry(keys, tensors, words);
    }
}

#[test]
fn a_scale_for_a_rule_without_one_is_refused() {
    let place = Place::new();
    for name in ["auto", "softmax", "ssmax-fixed", "logn"] {
        let ran = place.run(&format!("--dry-run --ssmax-scale 0.2 --variant {name}"));
        ran.refuses(USAGE, &["--ssmax-scale", "found 0.2", "--variant ssmax or ssmax-bias"]);
    }
    place.run("--dry-run --variant temperature").refuses(USAGE, &["--variant", "without rotary positions"]);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let place = Place::new();
    let file = "model/tokenizer.json";
    let original = fs::read(place.path(file)).unwrap();
    fs::remove_file(place.path(file)).unwrap();
    place.run("--dry-run").refuses(USAGE, &[file, "missing", "save_pretrained"]);
    for (content, words) in [
        ("", &[file, "broken JSON", DOWNLOAD][..]),
        ("{\"model\": ", &[file, "broken JSON", DOWNLOAD]),
        ("{}", &[file, "not a tokenizer"]),
        ("[]", &[file, "not a tokenizer"]),
    ] {
        place.write(file, content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    place.write(file, &original);
    place.edit_json(file, |tokenizer| tokenizer["model"]["vocab"]["more"] = json!(256));
    place.run("--dry-run").refuses(USAGE, &["model", "257 tokens", "256 rows", "tokenizer.json"]);
    place.write("text", "Some text.");
    place.niah("attend --text text --query q -m model").refuses(USAGE, &["257 tokens", "256 rows"]);
}

#[test]
fn a_gguf_file_cut_anywhere_is_refused_and_never_a_panic() {
    let place = Place::new();
    common::gguf::write(&place.path("whole.gguf"), &common::gguf::metadata());
    place.niah("run -m whole.gguf --context-lengths 400 --depths 50 -o out").works(&["results: out"]);
    let whole = fs::read(place.path("whole.gguf")).unwrap();
    let header: Vec<usize> = (1..36).map(|i| i * i * 7 % 5900).collect();
    let data = (1..25).map(|i| whole.len() * i / 25);
    for end in header.into_iter().chain(data).chain([1, 3, 4, 8, 23, whole.len() - 1]) {
        place.write("cut.gguf", &whole[..end]);
        let words: &[&str] = match end {
            0 => &["empty"],
            1..4 => &["not a GGUF file"],
            _ => &["cut short", "download it again"],
        };
        place.niah("run -m cut.gguf --dry-run").refuses(USAGE, &["cut.gguf"]).says(words);
    }
}

#[test]
fn flipped_bytes_in_a_gguf_header_never_panic() {
    let place = Place::new();
    common::gguf::write(&place.path("flipped.gguf"), &common::gguf::metadata());
    let whole = fs::read(place.path("flipped.gguf")).unwrap();
    let tensors = whole.windows(5).position(|window| window == b"token").unwrap();
    for at in (4..tensors).step_by(97).chain((tensors..tensors + 400).step_by(11)).chain(4..40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xFF;
        place.write("flipped.gguf", &flipped);
        let ran = place.niah("run -m flipped.gguf --dry-run --context-lengths 400 --depths 50");
        assert!(matches!(ran.code, Some(0 | USAGE)), "byte {at}: {:?} {}", ran.code, ran.stderr);
    }
}

#[test]
fn wrong_metadata_of_a_gguf_file_is_refused_by_key() {
    let place = Place::new();
    let run = |edit: &dyn Fn(&mut Metadata)| {
        let mut metadata = common::gguf::metadata();
        edit(&mut metadata);
        common::gguf::write(&place.path("m.gguf"), &metadata);
        place.niah("run -m m.gguf --dry-run --context-lengths 400 --depths 50")
    };
    fn set(key: &'static str, value: Gguf) -> impl Fn(&mut Metadata) {
        move |metadata| {
            metadata.retain(|(name, _)| *name != key);
            metadata.push((key, value.clone()));
        }
    }
    run(&|_| {}).works(&[]);
    for (key, _) in common::gguf::metadata() {
        let ran = run(&|metadata| metadata.retain(|(name, _)| *name != key));
        let optional = ["head_count_kv", "context_length", "freq_base", "token_type", "merges"];
        match optional.iter().any(|name| key.ends_with(name)) {
            // Without the number of key-value heads the tensors have another shape.
            _ if key.ends_with("head_count_kv") => ran.refuses(USAGE, &["m.gguf", "k_proj", "[16, 32]"]),
            true => ran.works(&[]),
            false => ran.refuses(USAGE, &[key]),
        };
    }
    let text = |text: &str| Gguf::String(text.to_string());
    for (key, value, words) in [
        (
            "general.architecture",
            text("mystery"),
            &["m.gguf: general.architecture", "mystery", "known architectures: llama"][..],
        ),
        ("general.architecture", Gguf::U32(1), &["m.gguf", "general.architecture", "a string", "U32"]),
        ("general.alignment", Gguf::U32(0), &["m.gguf", "general.alignment is 0", DOWNLOAD]),
        ("llama.block_count", Gguf::U32(1_000_000_000), &["m.gguf", "num_hidden_layers", "at most 4096"]),
        ("llama.block_count", Gguf::U32(0), &["num_hidden_layers", "found 0"]),
        ("llama.block_count", text("4"), &["llama.block_count", "a whole number"]),
        ("llama.embedding_length", Gguf::U64(u64::MAX), &["hidden_size", "2^31"]),
        ("llama.attention.head_count", Gguf::U32(0), &["num_attention_heads", "found 0"]),
        ("llama.rope.freq_base", Gguf::F32(0.0), &["rope_theta", "above 0"]),
        ("llama.rope.scaling.type", text("spiral"), &["llama.rope.scaling.type", "spiral", "yarn"]),
        ("split.count", Gguf::U16(2), &["m.gguf", "split", "llama-gguf-split --merge"]),
        ("tokenizer.ggml.model", text("bert"), &["m.gguf", "bert", "gpt2, llama", "tokenizer.json beside"]),
        ("tokenizer.ggml.pre", text("mystery"), &["mystery", "llama-bpe", "tokenizer.json beside"]),
        ("tokenizer.ggml.tokens", text("a"), &["tokenizer.ggml.tokens", "a list of strings"]),
        ("tokenizer.ggml.bos_token_id", Gguf::U32(999), &["bos token is 999", "256 tokens"]),
    ] {
        run(&set(key, value)).refuses(USAGE, words);
    }
    let mut words: Vec<Gguf> = common::byte_tokens().into_iter().map(Gguf::String).collect();
    words.push(text("more"));
    run(&|metadata| {
        set("tokenizer.ggml.tokens", Gguf::Array(words.clone()))(metadata);
        metadata.retain(|(name, _)| *name != "tokenizer.ggml.token_type");
    })
    .refuses(USAGE, &["257 tokens", "256 rows"]);
    // The remedy that the message names.
    fs::copy(place.path("model/tokenizer.json"), place.path("tokenizer.json")).unwrap();
    run(&set("tokenizer.ggml.pre", text("mystery"))).works(&[]);
}

#[test]
fn an_unknown_quantisation_is_refused() {
    let place = Place::new();
    common::gguf::write(&place.path("m.gguf"), &common::gguf::metadata());
    let mut bytes = fs::read(place.path("m.gguf")).unwrap();
    let name = b"token_embd.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    // After the name: the number of dimensions, two of them, and the kind of numbers.
    let kind = at + 4 + 16;
    bytes[kind] = 39;
    place.write("m.gguf", &bytes);
    place
        .niah("run -m m.gguf --dry-run")
        .refuses(USAGE, &["m.gguf", "quantisation", "39", "Q8_0", "quantise the model again"]);
    bytes[kind] = 0;
    bytes[at + 4..at + 12].copy_from_slice(&(1u64 << 62).to_le_bytes());
    place.write("m.gguf", &bytes);
    place.niah("run -m m.gguf --dry-run").refuses(USAGE, &["m.gguf", "cut short", "token_embd.weight"]);
}

#[test]
fn names_that_are_in_no_table_get_the_table() {
    let place = Place::new();
    for (flags, words) in [
        ("--variant hardmax", &["unknown variant", "hardmax", "softmax, ssmax"][..]),
        ("--task riddle", &["unknown task", "riddle", "magic, gkamradt, passkey, abcdigits"]),
        ("--scorer vibes", &["unknown scorer", "vibes", "match, contains"]),
        ("--haystack barn", &["barn", "no such haystack", "essays, noise, synthetic"]),
        ("--palette plaid", &["unknown palette", "plaid", "rag, viridis"]),
        ("--device tpu", &["--device", "tpu", "cpu, cuda, cuda:N or metal"]),
        ("--device cuda:x", &["--device", "cuda:x", "a device number"]),
        ("--apply-chat-template=always", &["--apply-chat-template", "this one has none"]),
        ("--system-instruction hello", &["--system-instruction", "plain text"]),
        ("--needle x", &["--question", "found nothing"]),
        ("--needle cats --question why --answer dogs", &["dogs"]),
    ] {
        place.run(&format!("--dry-run {flags}")).refuses(USAGE, words);
    }
    place.niah("list barns").refuses(USAGE, &["unknown kind", "barns", "variants, families"]);
    place.run("--output-format pdf").misuses(&["--output-format", "pdf", "table, csv, json"]);
    place.run("--apply-chat-template=maybe").misuses(&["maybe", "always, auto, never"]);
    place.run("--snap word").misuses(&["--snap", "word", "sentence, none"]);
    place.run("--no-such-flag").misuses(&["--no-such-flag"]);
    place.niah("rum").misuses(&["rum", "run"]);
    place.niah("train").misuses(&["--output"]);
    if cfg!(not(feature = "cuda")) {
        place.run("--device cuda --dry-run").refuses(USAGE, &["--device", "cuda", "use --device cpu"]);
    }
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_is_allocated() {
    let place = Place::new();
    let most = u64::MAX;
    for (flags, words) in [
        ("--trials 0".to_string(), &["--trials", "found 0", "at least 1"][..]),
        (format!("--trials {most}"), &["--trials", "at most"]),
        ("--max-new-tokens 0".to_string(), &["--max-new-tokens", "at least 1"]),
        (format!("--max-new-tokens {most}"), &["length 400", "ask for at least"]),
        ("--threads 0".to_string(), &["--threads", "found 0", "1 to"]),
        ("--threads 1000000".to_string(), &["--threads", "found 1000000", "1 to"]),
        (
            format!("--context-lengths-min 1 --context-lengths-max 9 --context-lengths-num {most}"),
            &["--context-lengths-num"],
        ),
        ("--rope-theta 0".to_string(), &["--rope-theta", "above 0"]),
        ("--rope-theta-scale nan".to_string(), &["--rope-theta-scale", "above 0"]),
        ("--ssmax-scale inf".to_string(), &["--ssmax-scale", "0.17"]),
    ] {
        place.niah(&format!("run -m model --dry-run {}", with_lengths(&flags))).refuses(USAGE, words);
    }
    for count in [0, most] {
        let flags = format!("run -m model --dry-run --context-lengths 400 --depths-num {count}");
        place.niah(&flags).refuses(USAGE, &["--depths-num", "1 to"]);
    }
    for (flags, words) in [
        ("--depths 101", &["--depths", "101", "between 0"][..]),
        ("--depths=-5", &["--depths", "-5", "between 0"]),
        ("--depths half", &["--depths", "half", "between 0"]),
        ("--context-lengths 0", &["--context-lengths", "4096"]),
        ("--context-lengths 2^63", &["--context-lengths", "4096"]),
        ("--context-lengths 1e30", &["--context-lengths", "4096"]),
        ("--seed -1", &["-1", "--seed"]),
        ("--trials -1", &["-1", "--trials"]),
        ("--threads -1", &["-1", "--threads"]),
        ("--limit -1", &["-1", "--limit"]),
        ("--trials 1.5", &["1.5", "--trials"]),
    ] {
        place.run(flags).misuses(words);
    }
    for width in ["0", "1", "4294967296", "18446744073709551615"] {
        place.run(&format!("--width {width}")).works(&[]);
    }
}

fn with_lengths(flags: &str) -> String {
    if flags.contains("--context-lengths") {
        flags.to_string()
    } else {
        format!("--context-lengths 400 {flags}")
    }
}

#[test]
fn lengths_that_are_too_short_too_long_or_too_much_are_said_before_the_run() {
    let place = Place::new();
    place.run("--context-lengths 10").refuses(USAGE, &["length 10 ", "depth 50", "ask for at least"]);
    for command in ["--dry-run", ""] {
        let ran = place.run(&format!("--context-lengths 1000m {command}"));
        ran.refuses(USAGE, &["the run needs", "GiB", "is available", "--context-lengths"]);
    }
    assert!(!place.path("out").exists());
    place.run("--context-lengths 600").works(&["warning", "600", "512 positions", "--rope-theta-scale"]);
    let record: Value = serde_json::from_slice(&fs::read(place.path("out/run.json")).unwrap()).unwrap();
    assert!(record["warnings"][0].as_str().unwrap().contains("512 positions"), "{record}");
    if let Some(gpt2) = common::vector("gpt2") {
        for file in ["config.json", "model.safetensors"] {
            fs::copy(gpt2.join(file), place.path("model").join(file)).unwrap();
        }
        let ran = place.run("--context-lengths 600");
        ran.refuses(USAGE, &["--context-lengths", "found 600", "512 positions", "has learned"]);
        place.write("text", "word ".repeat(200));
        let ran = place.niah("attend --text text --query q -m model");
        ran.refuses(USAGE, &["--text", "512 positions", "has learned"]);
        common::tiny_checkpoint(&place.path("model"));
    }
    place.write("text", "word ".repeat(200));
    place.niah("attend --text text --query q -m model").works(&[
        "warning",
        "512 positions",
        "shorter --text",
    ]);
}

#[test]
fn haystacks_that_are_no_text_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("hollow")).unwrap();
    place.write("empty", " \n");
    place.write("binary", b"text\0more");
    place.write("latin", b"caf\xe9 au lait");
    for (haystack, words) in [
        ("empty", &["empty", "no text", "sentences"][..]),
        ("hollow", &["hollow", "no text", ".txt or .md"]),
        ("binary", &["binary", "zero byte at offset 4", "UTF-8"]),
        ("latin", &["latin", "not UTF-8 at offset 3", "convert"]),
        ("model/config.json/x", &["model/config.json/x", "cannot be read"]),
        ("model", &["model", "zero byte"]),
    ] {
        place.run(&format!("--haystack {haystack}")).refuses(USAGE, words);
    }
    place.edit_json("model/tokenizer.json", |tokenizer| {
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        vocab.remove("ÿ");
        vocab.insert("<|end|>".to_string(), json!(255));
        tokenizer["added_tokens"] = json!([{
            "id": 255, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }]);
    });
    place.write("special", "A sentence. ".repeat(9) + "It ends <|end|> here. ");
    place.run("--haystack special").refuses(USAGE, &["haystack", "special token", "<|end|>", "take it out"]);
    place.write("said", "The best thing is to eat a sandwich and sit in Dolores Park. ");
    let flags = "--task gkamradt --context-lengths 500 --haystack said";
    place.run(flags).refuses(USAGE, &["says the answer", "--haystack"]);
    assert!(!place.path("out").exists());
}

#[test]
fn output_that_cannot_be_written_is_refused_before_the_weights_load() {
    let place = Place::new();
    place.write("file", "mine");
    for output in ["file", "file/below"] {
        let ran = place.niah(&format!("run -m model --context-lengths 400 --depths 50 -o {output}"));
        ran.refuses(USAGE, &[output, "cannot make this directory", "another with -o"]);
        let ran = place.niah(&format!("prompts -m model --context-lengths 400 --depths 50 -o {output}/x"));
        ran.refuses(USAGE, &[output, "cannot write", "-o"]);
    }
    let ran = place.niah("prompts -m model --context-lengths 10,400 --depths 50 -o file");
    ran.refuses(USAGE, &["ask for at least"]);
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "mine");
    assert!(!place.path("file.new").exists());
    place.niah("prompts -m model --context-lengths 400 --depths 50 -o file").works(&[]);
    assert!(fs::read_to_string(place.path("file")).unwrap().starts_with('{'));
}

#[test]
fn results_of_another_kind_are_never_mixed_nor_touched() {
    let place = Place::new();
    place.run("").works(&[]);
    let [record, results] =
        ["out/run.json", "out/results.csv"].map(|name| fs::read_to_string(place.path(name)).unwrap());
    let intact = |name: &str, expected: &str| {
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), expected);
    };

    place.run("--seed 7").refuses(USAGE, &["out", "another plan", "seed: 42 -> 7", "-o"]);
    place.run("--depths 0,50").refuses(USAGE, &["depths: [50.0] -> [0.0,50.0]"]);
    intact("out/results.csv", &results);

    let other = results.replacen("run_id,", "run_name,", 1);
    place.write("out/results.csv", &other);
    for ran in [place.run(""), place.niah("view out")] {
        ran.refuses(USAGE, &["results.csv", "missing run_id", "unknown run_name", "-o"]);
    }
    intact("out/results.csv", &other);

    place.write("out/results.csv", results.replacen(",ok,", ",perhaps,", 1));
    for ran in [place.run(""), place.niah("view out"), place.niah("attend out")] {
        ran.refuses(USAGE, &["results.csv", "line 2", "perhaps", "delete the line"]);
    }
    place.write("out/results.csv", &results);

    for broken in ["", "{", "[]", "{}", &record[..record.len() / 2]] {
        place.write("out/run.json", broken);
        for ran in [place.run(""), place.niah("view out"), place.niah("attend out")] {
            ran.refuses(USAGE, &["run.json", "damaged, or of another version", "-o"]);
        }
        intact("out/run.json", broken);
        intact("out/results.csv", &results);
    }
    let mut lists: Value = serde_json::from_str(&record).unwrap();
    lists["settings"]["grid"]["context_lengths"] = json!([]);
    place.write("out/run.json", lists.to_string());
    for ran in [place.niah("view out --by layer"), place.niah("attend out")] {
        ran.refuses(USAGE, &["run.json", "at least one length"]);
    }

    fs::remove_file(place.path("out/run.json")).unwrap();
    place.run("").refuses(USAGE, &["out", "results.csv without run.json", "-o"]);
    intact("out/results.csv", &results);
    place.write("out/run.json", &record);
    place.run("").works(&["results: out"]);
    intact("out/results.csv", &results);
}

#[test]
fn a_torn_table_is_continued() {
    let place = Place::new();
    place.run("--trials 2").works(&[]);
    let results = fs::read_to_string(place.path("out/results.csv")).unwrap();
    place.write("out/results.csv", &results[..results.len() - 40]);
    let attention = fs::read_to_string(place.path("out/attention.csv")).unwrap();
    place.write("out/attention.csv", &attention[..attention.len() - 9]);
    place.run("--trials 2").works(&["1 trials (1 already done)"]);
    assert_eq!(place.rows(), 2);
    let rows = fs::read_to_string(place.path("out/attention.csv")).unwrap().lines().count();
    assert_eq!(rows, attention.lines().count());
}

/// A limit on the size of files stands for a full disk: it needs no privilege, and writes fail in the same way.
#[test]
#[cfg(unix)]
fn a_full_disk_ends_the_run_and_keeps_what_was_finished() {
    let place = Place::new();
    let arguments = "run -m model --context-lengths 400 --depths 0,50,100 -n 4 -o out";
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let mut limited = place.command("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_niah")]).args(arguments.split_whitespace());
    let ran = Ran::of(arguments, limited.output().unwrap());
    ran.refuses(FAILED, &["cannot append", "everything before it is kept", "run the same command again"]);
    let kept = fs::read_to_string(place.path("out/results.csv")).unwrap();
    assert!(kept.ends_with('\n') && (1..12).contains(&place.rows()), "{} rows", place.rows());
    place.niah(arguments).works(&["already done"]);
    assert!(fs::read_to_string(place.path("out/results.csv")).unwrap().starts_with(&kept));
    assert_eq!(place.rows(), 12);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_behind_stdout_or_stderr_is_no_panic() {
    let place = Place::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = "run -m model --context-lengths 400 --depths 50 -o out";
    let command = || {
        let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
        command.args(arguments.split_whitespace());
        command
    };
    let silent = command().stderr(full()).output().unwrap();
    assert_eq!(silent.status.code(), Some(0));
    let ran = Ran::of(arguments, command().stdout(full()).output().unwrap());
    ran.refuses(FAILED, &["stdout", "cannot write", "No space left"]);
    assert_eq!(place.rows(), 1);
    for arguments in [&["list"][..], &["prompts", "-m", "model", "--context-lengths", "400"]] {
        let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
        Ran::of("", command.args(arguments).stdout(full()).output().unwrap()).refuses(FAILED, &["stdout"]);
    }
}

#[test]
#[cfg(unix)]
fn a_command_line_that_is_no_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
    command.args(["run", "-m"]).arg(OsStr::from_bytes(b"caf\xe9"));
    Ran::of("run -m (latin)", command.output().unwrap()).refuses(USAGE, &["caf", "UTF-8"]);
}

#[test]
fn a_configuration_file_that_cannot_be_used_is_refused() {
    let place = Place::new();
    let run = |content: &[u8]| {
        place.write("niah.toml", content);
        place.niah("run -m model --config niah.toml")
    };
    place.niah("run -m model --config gone.toml").refuses(USAGE, &["gone.toml", "cannot read", "--config"]);
    place.niah("run -m model --config model").refuses(USAGE, &["model", "cannot read"]);
    place.niah("run -m model --config").misuses(&["--config"]);
    for (content, words) in [
        (&b"trials = 2\ndepths = "[..], &["niah.toml", "broken TOML in line 2"][..]),
        (b"= 3", &["niah.toml", "broken TOML in line 1"]),
        (b"trials = 2\ntrials = 3", &["niah.toml", "broken TOML in line 2", "duplicate"]),
        (b"\xff", &["niah.toml", "cannot read"]),
        (b"trails = 2", &["niah.toml", "key \"trails\"", "trials", "context-lengths"]),
        (b"config = 'other.toml'", &["niah.toml", "key \"config\""]),
        (b"dry-run = 'yes'", &["niah.toml: dry-run", "\"yes\"", "true or false"]),
        (b"trials = true", &["niah.toml: trials", "found true", "a number"]),
        (b"[trials]\nn = 3", &["niah.toml: trials", "a number"]),
    ] {
        run(content).refuses(USAGE, words);
    }
    let wins = "run -m model --config niah.toml --dry-run --depths 50";
    place.write("niah.toml", "context-lengths = 400\ndepths = [0, 100]");
    let ran = place.niah(wins).works(&[]);
    assert!(ran.stdout.contains("depths     50\n"), "{}", ran.stdout);
    run(b"trials = 'many'").misuses(&["--trials", "many"]);
    run(b"depths = [50, 200]").misuses(&["--depths", "200"]);
    let dashes = run(b"context_lengths = [400, '0.5k']\ndepths = 50\ndry_run = true").works(&[]);
    assert!(dashes.stdout.contains("lengths    400, 512"), "{}", dashes.stdout);
}

#[test]
fn what_cannot_be_shown_is_said() {
    let place = Place::new();
    fs::create_dir(place.path("hollow")).unwrap();
    for command in ["view hollow", "view gone", "attend hollow", "attend gone"] {
        place.niah(command).refuses(USAGE, &["no run here", "run.json", "niah run -o"]);
    }
    place.niah("run -m model --context-lengths 400 --depths 0,100 --limit 1 -o out").works(&[]);
    for (command, words) in [
        ("attend out --depth 100", &["depth 100", "has not run", "same niah run command"][..]),
        ("attend out --depth 50", &["--depth", "found 50", "0, 100"]),
        ("attend out --length 1k", &["--length", "found 1k", "400"]),
        ("attend out --depth 0 --trial 3", &["--trial", "found 3", "0 to 0"]),
        ("attend out --depth 0 --head 4.0", &["--head", "found 4.0", "0.0 to 3.3"]),
        ("attend out --depth 0 --head 0.4", &["--head", "found 0.4", "0.0 to 3.3"]),
        ("attend out --depth 0 --head best", &["--head", "best", "LAYER.HEAD"]),
        ("attend out --depth 0 --head 1.x", &["--head", "1.x", "LAYER.HEAD"]),
        ("attend out --depth 0 --head 1.2.3", &["--head", "1.2.3", "LAYER.HEAD"]),
        ("attend out --depth 0 --head -1.0", &[]),
        ("view out --by layer --depth 100", &["depth 100", "has run"]),
        ("view out --by layer --length 7", &["--length", "found 7", "400"]),
    ] {
        place.niah(command).ends(USAGE, words);
    }
    place.niah("attend out --depth 0 --head 3.3").works(&["running the trial again"]);
    place.niah("attend out --depth 101").misuses(&["--depth", "101"]);
    place.niah("attend").misuses(&["<DIRECTORY>"]);

    place.write("text", "The cat sleeps. The cat eats.");
    place.write("blank", " \n");
    place.write("latin", b"caf\xe9");
    for (flags, words) in [
        ("--text gone", &["gone", "cannot read", "--text"][..]),
        ("--text latin", &["latin", "cannot read", "UTF-8"]),
        ("--text blank", &["blank", "empty"]),
        ("--text text --needle dog", &["--needle", "dog", "letter by letter"]),
        ("--text text --needle cat", &["--needle", "cat", "once"]),
        ("--text text --head 9.9", &["--head", "0.0 to 3.3"]),
        ("--text text --variant hardmax", &["hardmax", "softmax"]),
    ] {
        place.niah(&format!("attend {flags} --query why -m model")).refuses(USAGE, words);
    }
    place.niah("attend --text text").misuses(&["--query"]);
    place.niah("attend --text text --query why -m model --needle sleeps").works(&[]);

    fs::remove_file(place.path("out/results.csv")).unwrap();
    for command in ["view out", "attend out"] {
        place.niah(command).refuses(USAGE, &["results.csv", "cannot read", "niah run"]);
    }
}

#[test]
fn numbers_that_are_no_numbers_in_the_results_are_drawn_as_missing() {
    let place = Place::new();
    place.run("").works(&[]);
    for number in ["NaN", "inf", "-1e300", "1e300"] {
        for name in ["out/results.csv", "out/attention.csv"] {
            let original = fs::read_to_string(place.path(name)).unwrap();
            let column = if name.contains("results") { "needle_mass_top" } else { "needle_mass" };
            let at = original.lines().next().unwrap().split(',').position(|c| c == column).unwrap();
            let changed: Vec<String> = original
                .lines()
                .enumerate()
                .map(|(i, line)| {
                    let mut fields: Vec<&str> = line.split(',').collect();
                    if i > 0 && fields.len() > at {
                        fields[at] = number;
                    }
                    fields.join(",")
                })
                .collect();
            place.write(name, changed.join("\n") + "\n");
            for command in ["view out", "view out --by layer", "view out --output-format json"] {
                let ran = place.niah(command);
                assert!(matches!(ran.code, Some(0 | USAGE)), "{number}: {:?} {}", ran.code, ran.stderr);
            }
            place.write(name, original);
        }
    }
}
