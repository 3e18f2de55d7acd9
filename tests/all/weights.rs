//! Weights that stay as their file has them, in blocks or in 16 bits: less memory, and the same numbers.

use crate::common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use niah::attention::AttentionVariant;
use niah::attention::variant::{self, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride, SHIPPED};
use niah::model::decoder::{Decoder, Forward};
use niah::spec::{DTYPES, Dtype, WeightForm};
use serde_json::Value;

/// The tiny llama with matrices in several types.
fn quantised(path: &Path) {
    let kind = |name: &str| match name {
        name if name.contains("ffn_down") => GgmlDType::Q5_1,
        name if name.contains("ffn") => GgmlDType::Q4_0,
        name if name.contains("attn_q") => GgmlDType::Q4_1,
        name if name.contains("attn_v") => GgmlDType::F16,
        name if name.contains("attn_output") => GgmlDType::F32,
        _ => GgmlDType::Q8_0,
    };
    common::gguf::write_quantised(path, &common::gguf::metadata(), &common::gguf::tensors(), &kind);
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path.to_str().unwrap(), RopeOverride::default()).unwrap()
}

/// The bits of the logits of a prompt that is read in parts of some lengths.
fn logits(checkpoint: &Checkpoint, form: WeightForm, dtype: Dtype) -> Vec<u32> {
    let decoder = checkpoint.load_in_form(form, &Device::Cpu, dtype, Decoder::load).unwrap();
    let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
    let variant = (softmax.value)(&VariantInputs::default()).unwrap();
    read_in_parts(&decoder, variant.as_ref(), &[150, 30, 9, 8, 1, 1, 1])
}

/// The same under the checkpoint's own rule, in f32 and of so few tokens that every checkpoint has positions
/// for them.
fn own_logits(checkpoint: &Checkpoint, form: WeightForm) -> Vec<u32> {
    let decoder = checkpoint.load_in_form(form, &Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let (own, spec) = (&checkpoint.own_variant, &checkpoint.spec);
    let inputs = VariantInputs {
        layers: &spec.layers,
        heads: spec.num_attention_heads,
        own: Some(own),
        training_length: spec.training_length(),
        screening: spec.screening.as_ref(),
        ..VariantInputs::default()
    };
    let variant = variant::build(own.name, &inputs).unwrap();
    read_in_parts(&decoder, variant.as_ref(), &[30, 9, 1, 1])
}

fn read_in_parts(decoder: &Decoder, variant: &dyn AttentionVariant, parts: &[usize]) -> Vec<u32> {
    let vocab = decoder.spec().vocab_size as u32;
    let tokens: Vec<u32> = (0..parts.iter().sum::<usize>() as u32).map(|token| token * 7 % vocab).collect();
    let mut cache = decoder.new_cache(tokens.len());
    let mut bits = Vec::new();
    let mut rest = &tokens[..];
    for &length in parts {
        let (now, later) = rest.split_at(length);
        let forward = Forward { variant, keep_logits: length, probe: None };
        let logits = decoder.forward(now, &mut cache, forward).unwrap();
        bits.extend(logits.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits));
        rest = later;
    }
    bits
}

#[test]
fn a_model_computes_the_same_bits_from_blocks_as_from_expanded_weights() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tiny.gguf");
    quantised(&path);
    let checkpoint = open(&path);
    // In integers the two are not the same numbers, and a file's blocks always stay.
    for dtype in DTYPES.iter().filter(|dtype| dtype.value != Dtype::Int8) {
        let [expanded, kept] =
            [WeightForm::Expanded, WeightForm::Quantised].map(|form| logits(&checkpoint, form, dtype.value));
        assert!(expanded == kept, "{}", dtype.name);
    }
}

#[test]
fn blocks_take_their_size_in_the_file_and_what_is_not_smaller_is_expanded() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tiny.gguf");
    quantised(&path);
    let kept = open(&path).kept_weights(Dtype::F32).unwrap();
    // Four layers of hidden size 32, inner size 64 and 4 and 2 heads of 8, 256 tokens, tied.
    let (q, k, v, o) = (32 * 20, 16 * 34, 16 * 64, 4 * 32 * 32);
    let mlp = 2 * 64 * 18 + 32 * 2 * 24;
    let expected = 256 * 34 + 4 * (q + k + v + o + mlp) + 4 * 32 * (2 * 4 + 1);
    assert_eq!((kept.bytes, kept.largest_expanded, kept.table), (expected, 32 * 32, true));
    // Half-precision numbers are no smaller than halves.
    assert_eq!(open(&path).kept_weights(Dtype::F16).unwrap().largest_expanded, 32 * 32);
    common::gguf::write(&path, &common::gguf::metadata());
    assert_eq!(open(&path).kept_weights(Dtype::F32), None);
}

/// The weights of a directory in 16 bits, in a directory of their own.
fn in_16_bits(folder: &Path, dtype: DType, place: &Path) {
    std::fs::create_dir_all(place).unwrap();
    std::fs::copy(folder.join("config.json"), place.join("config.json")).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let rounded = |(name, tensor): (String, Tensor)| (name, tensor.to_dtype(dtype).unwrap());
    let tensors: HashMap<String, Tensor> = tensors.into_iter().map(rounded).collect();
    candle_core::safetensors::save(&tensors, place.join("model.safetensors")).unwrap();
}

/// The checkpoints below a folder of fixtures.
fn folders(fixtures: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(common::fixture(fixtures)).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("config.json").exists());
    folders.sort();
    folders
}

#[test]
fn every_family_computes_the_bits_of_its_expanded_numbers_from_16_bits() {
    let place = tempfile::tempdir().unwrap();
    let mut names: Vec<String> = SHIPPED.iter().map(|entry| format!("shipped:{}", entry.name)).collect();
    for (index, folder) in [folders("config_cases"), folders("vectors")].concat().iter().enumerate() {
        let rounded = place.path().join(index.to_string()).join(folder.file_name().unwrap());
        in_16_bits(folder, [DType::BF16, DType::F16][index % 2], &rounded);
        names.push(rounded.to_str().unwrap().to_string());
    }
    assert!(names.len() > 40, "{names:?}");
    for name in &names {
        let checkpoint = Checkpoint::open(name, RopeOverride::default()).unwrap();
        let kept = checkpoint.kept_weights(Dtype::F32).unwrap();
        assert_eq!(kept.form, WeightForm::Halves, "{name}");
        assert!(kept.bytes < 4 * checkpoint.spec.parameter_count(), "{name}: {kept:?}");
        let [expanded, kept] =
            [WeightForm::Expanded, WeightForm::Halves].map(|form| own_logits(&checkpoint, form));
        assert!(expanded == kept, "{name}");
    }
}

#[test]
fn a_matrix_of_16_bits_takes_half_and_what_needs_its_numbers_is_expanded() {
    let kept = |name: &str| {
        let folder = common::fixture("config_cases").join(name);
        let checkpoint = open(&folder);
        let numbers = checkpoint.spec.parameter_count();
        (checkpoint.kept_weights(Dtype::F32).unwrap(), numbers)
    };
    // All but the vectors.
    let (llama, numbers) = kept("llama");
    assert!(llama.table && llama.bytes < 9 * numbers / 4, "{llama:?} of {numbers}");
    // Matrices that are stored the other way round.
    let (gpt2, numbers) = kept("gpt2");
    assert!(gpt2.table && gpt2.bytes > 3 * numbers, "{gpt2:?} of {numbers}");
}

#[test]
fn weights_that_are_damaged_are_refused_in_blocks_as_well() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tiny.gguf");
    let mut tensors = common::gguf::tensors();
    for (name, tensor) in &mut tensors {
        if name == "blk.2.ffn_up.weight" {
            *tensor = (&*tensor * f64::from(f32::MAX)).unwrap();
        }
    }
    common::gguf::write_quantised(&path, &common::gguf::metadata(), &tensors, &|_| GgmlDType::Q8_0);
    let checkpoint = open(&path);
    let message = |form| {
        let loaded = checkpoint.load_in_form(form, &Device::Cpu, Dtype::F32, Decoder::load);
        loaded.unwrap_err().to_string()
    };
    let expanded = message(WeightForm::Expanded);
    assert!(expanded.contains("mlp.up_proj") && expanded.contains("damaged"), "{expanded}");
    assert_eq!(message(WeightForm::Quantised), expanded);
}

#[test]
fn numbers_of_16_bits_that_are_damaged_are_refused_as_expanded_ones_are() {
    let place = tempfile::tempdir().unwrap();
    let folder = common::fixture("config_cases").join("llama");
    let weights = folder.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let damaged = tensors.get_mut("model.layers.1.mlp.up_proj.weight").unwrap();
    *damaged = (&*damaged * f64::INFINITY).unwrap();
    candle_core::safetensors::save(&tensors, place.path().join("model.safetensors")).unwrap();
    std::fs::copy(folder.join("config.json"), place.path().join("config.json")).unwrap();
    let checkpoint = open(place.path());
    let message = |form| {
        let loaded = checkpoint.load_in_form(form, &Device::Cpu, Dtype::F32, Decoder::load);
        loaded.unwrap_err().to_string()
    };
    let expanded = message(WeightForm::Expanded);
    assert!(expanded.contains("mlp.up_proj") && expanded.contains("damaged"), "{expanded}");
    assert_eq!(message(WeightForm::Halves), expanded);
}

fn niah(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_niah")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_run_goes_on_in_the_other_form_and_says_which_it_was() {
    let place = tempfile::tempdir().unwrap();
    let model = place.path().join("tiny.gguf");
    quantised(&model);
    let model = model.to_str().unwrap();
    goes_on(model, "quantised");
    goes_on("shipped:softmax-scale", "16bit");
    let (fine, shown, error) = niah(&["inspect", model, "--weights", "quantised", "--output-format", "json"]);
    assert!(fine, "{error}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["ran"]["weights"], "quantised");
    let memory = &shown["ran"]["memory"][0];
    // 45,344 numbers.
    assert!(memory["weights"].as_u64().unwrap() < 2 * 45_344, "{memory}");
    let (fine, _, error) = niah(&["inspect", "shipped:ssmax", "--weights", "quantised"]);
    assert!(!fine && error.contains("weights") && error.contains("GGUF"), "{error}");
}

/// Runs a checkpoint with its weights as the file has them, and goes on with expanded ones.
fn goes_on(model: &str, kept: &str) {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("run");
    let directory = directory.to_str().unwrap();
    let run = |trials: &str, form: &str| {
        niah(&[
            "run",
            "-m",
            model,
            "-o",
            directory,
            "--context-lengths",
            "400",
            "--depths",
            "0.5",
            "--trials",
            trials,
            "--max-new-tokens",
            "2",
            "--weights",
            form,
            "--quiet",
        ])
    };
    let (fine, _, error) = run("1", kept);
    assert!(fine, "{error}");
    let record = std::fs::read(Path::new(directory).join("run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["model"]["weights"], kept);
    assert_eq!(record["model"]["weights_because"]["reason"], "asked");
    let (fine, _, error) = run("2", "expanded");
    assert!(fine, "{error}");
}

#[test]
fn what_was_measured_stays_until_it_is_to_be_forgotten() {
    let place = tempfile::tempdir().unwrap();
    let known = place.path().join("niah/forms/known.json");
    std::fs::create_dir_all(known.parent().unwrap()).unwrap();
    std::fs::write(&known, "{}").unwrap();
    let dry = |more: &[&str]| {
        let args = [&["run", "-m", "shipped:ssmax", "--context-lengths", "300", "--dry-run"], more].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_niah"));
        let output = command.args(args).env("XDG_CACHE_HOME", place.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    dry(&[]);
    assert!(known.exists());
    dry(&["--recalibrate"]);
    assert!(!known.exists());
}
