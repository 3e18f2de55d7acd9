//! Weights that stay in the blocks of a GGUF file: less memory, and the same numbers.

use crate::common;

use std::path::Path;
use std::process::Command;

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
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
    let tokens: Vec<u32> = (0..200).map(|token| token * 7 % 256).collect();
    let mut cache = decoder.new_cache(tokens.len());
    let mut bits = Vec::new();
    let mut rest = &tokens[..];
    for length in [150, 30, 9, 8, 1, 1, 1] {
        let (now, later) = rest.split_at(length);
        let forward = Forward { variant: variant.as_ref(), keep_logits: length, probe: None };
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
    for dtype in DTYPES {
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
    let directory = place.path().join("run");
    let (model, directory) = (model.to_str().unwrap(), directory.to_str().unwrap());
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
    let form = || {
        let record = std::fs::read(Path::new(directory).join("run.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        record["model"]["weights"].as_str().unwrap().to_string()
    };
    let (fine, _, error) = run("1", "quantised");
    assert!(fine, "{error}");
    assert_eq!(form(), "quantised");
    let (fine, _, error) = run("2", "expanded");
    assert!(fine, "{error}");
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
