//! The precisions of weights: what `--dtype` changes, and how far.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::process::Command;

use candle_core::Device;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::Forward;
use niah::model::dtype::{DTYPES, Dtype};

fn logits(dtype: Dtype) -> Vec<f32> {
    let folder = common::vector("llama").unwrap();
    let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
    let decoder = checkpoint.decoder(&Device::Cpu, dtype).unwrap();
    let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
    let variant = (softmax.value)(&VariantInputs::default()).unwrap();
    let tokens: Vec<u32> = (0..50).collect();
    let forward = Forward { variant: variant.as_ref(), keep_logits: tokens.len(), probe: None };
    let logits = decoder.forward(&tokens, &mut decoder.new_cache(tokens.len()), forward).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_coarser_dtype_moves_logits_a_little_and_f16_less_than_bf16() {
    let exact = logits(Dtype::F32);
    let spread = exact.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let off = |dtype| {
        let differences = logits(dtype).into_iter().zip(&exact).map(|(found, exact)| (found - exact).abs());
        differences.fold(0f32, f32::max) / spread
    };
    let (bf16, f16) = (off(Dtype::Bf16), off(Dtype::F16));
    // Mantissas of 8 and of 11 bits round by up to 2^-9 and 2^-12 at each of 28 maps, 8 times apart.
    assert!(bf16 > 2e-3 && bf16 < 28.0 / 512.0, "bf16 is off by {bf16} of the largest logit");
    assert!(f16 > 2e-4 && f16 < 28.0 / 4096.0, "f16 is off by {f16} of the largest logit");
}

fn niah(arguments: &[&str]) -> (bool, String) {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    let output = Command::new(env!("CARGO_BIN_EXE_niah"))
        .args(["run", "--model", ".", "--context-lengths=200", "--depths=50", "--apply-chat-template=never"])
        .args(arguments)
        .current_dir(place.path())
        .output()
        .unwrap();
    let record = std::fs::read_to_string(place.path().join("out/run.json")).unwrap_or_default();
    (output.status.success(), String::from_utf8(output.stderr).unwrap() + &record)
}

#[test]
fn every_dtype_runs_and_run_json_says_which() {
    for entry in DTYPES {
        let (ran, said) = niah(&["--dtype", entry.name, "-o", "out"]);
        assert!(ran && said.contains(&format!("\"dtype\": \"{}\"", entry.name)), "{}: {said}", entry.name);
        assert!(said.contains("\"matmul\""), "{said}");
    }
}

#[test]
fn an_unknown_dtype_is_answered_with_the_known_ones() {
    let (ran, said) = niah(&["--dtype", "int3", "--dry-run"]);
    assert!(!ran && said.contains("int3") && said.contains("f32, bf16, f16"), "{said}");
}
