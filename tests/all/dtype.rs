//! The precisions of weights: what `--dtype` changes, and how far.

use crate::common;

use std::process::Command;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::model::kv_cache::{KV_DTYPES, KvDtype, KvDtypes};
use niah::spec::{DTYPES, Dtype};

fn logits(dtype: Dtype) -> Vec<f32> {
    logits_of(dtype, None::<KvDtype>, 50)
}

fn logits_of(dtype: Dtype, kv_dtype: Option<impl Into<KvDtypes>>, tokens: u32) -> Vec<f32> {
    let folder = common::vector("llama").unwrap();
    let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
    let decoder =
        checkpoint.load(&Device::Cpu, dtype, Decoder::load).unwrap().with_kv_dtype(kv_dtype).unwrap();
    let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
    let variant = (softmax.value)(&VariantInputs::default()).unwrap();
    let tokens: Vec<u32> = (0..tokens).map(|token| token % 256).collect();
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
    // Two parts have mantissas of 16 bits.
    let parts = off(Dtype::Bf16x2);
    assert!(parts > 1e-8 && parts < 28.0 / 131_072.0, "bf16x2 is off by {parts} of the largest logit");
    // Weights and inputs of each map by half of a 127th of the largest of 32.
    let int8 = off(Dtype::Int8);
    assert!(int8 > 2e-3 && int8 < 2.0 * 28.0 / 254.0, "int8 is off by {int8} of the largest logit");
}

/// The largest difference, as a share of the largest number of the second.
fn off(found: &[f32], exact: &[f32]) -> f32 {
    let largest = |numbers: &mut dyn Iterator<Item = f32>| numbers.fold(0f32, |a, b| a.max(b.abs()));
    largest(&mut found.iter().zip(exact).map(|(a, b)| a - b)) / largest(&mut exact.iter().copied())
}

#[test]
fn a_cache_in_bf16_moves_logits_a_little_whatever_the_weights() {
    // More than one page of keys.
    let logits = |dtype, kv_dtype| logits_of(dtype, Some(kv_dtype), 400);
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let off = off(&logits(dtype, KvDtype::Bf16), &logits(dtype, KvDtype::F32));
        // In each of four layers queries, keys, weights and values are rounded by up to 2^-9.
        assert!(off > 1e-4 && off < 16.0 / 512.0, "{}: off by {off} of the largest logit", dtype.name());
    }
}

#[test]
fn a_cache_in_blocks_moves_logits_less_the_more_bits_it_has_and_values_apart_from_keys() {
    let logits = |keys, values| logits_of(Dtype::F32, Some(KvDtypes { keys, values }), 400);
    use KvDtype::{Bf16, F32, Q4_0, Q8_0};
    let exact = logits(F32, F32);
    let off = |keys, values| off(&logits(keys, values), &exact);
    let (q8, q4) = (off(Q8_0, Q8_0), off(Q4_0, Q4_0));
    // In each of four layers keys and values are off by half a step of the largest of 8, of 127 and of 8
    // steps.
    assert!(q8 > 1e-4 && q8 < 8.0 / 254.0, "q8_0 is off by {q8} of the largest logit");
    assert!(q4 > 4.0 * q8 && q4 < 8.0 / 16.0, "q4_0 is off by {q4} of the largest logit");
    let (keys, values) = (off(Q4_0, F32), off(F32, Q4_0));
    assert!(keys > 0.0 && values > 0.0 && keys != values, "{keys} of keys, {values} of values");
    // What bf16 rounds as rows is less than what it rounds with queries and weights.
    let halves = off(Bf16, F32);
    assert!(halves > 1e-5 && halves < 8.0 / 512.0, "bf16 keys alone are off by {halves}");
}

#[test]
fn keys_and_values_have_precisions_of_their_own_and_runs_say_which() {
    for (flags, expected) in [
        (&["--k-dtype", "q8_0"][..], "q8_0 keys, f32 values"),
        (&["--kv-dtype", "q8_0", "--v-dtype", "q4_0"], "q8_0 keys, q4_0 values"),
        (&["--cache-type-k", "q4_0", "--cache-type-v", "q4_0"], "q4_0"),
    ] {
        let (ran, said) = niah(&[flags, &["-o", "out"]].concat());
        let named = said.matches(&format!("\"kv_dtype\": \"{expected}\"")).count();
        // Of the model that ran, and in the identity of the results.
        assert!(ran && named == 2, "{flags:?}: {said}");
    }
    let (ran, said) = niah(&["--k-dtype", "q5_0", "--dry-run"]);
    assert!(!ran && said.contains("q5_0") && said.contains("q8_0, q4_0"), "{said}");
}

#[test]
fn a_cache_follows_the_weights_unless_it_is_asked_for() {
    for (dtype, followed) in [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::Int8]
        .map(|dtype| (dtype, if dtype == Dtype::Bf16 { KvDtype::Bf16 } else { KvDtype::F32 }))
    {
        assert_eq!(
            logits_of(dtype, None::<KvDtype>, 50),
            logits_of(dtype, Some(followed), 50),
            "{}",
            dtype.name()
        );
    }
}

#[test]
fn run_json_says_which_cache_ran_and_another_one_is_another_run() {
    for (dtype, asked, expected) in [("bf16", "f32", "f32"), ("f32", "bf16", "bf16"), ("f16", "f32", "f32")] {
        let (ran, said) = niah(&["--dtype", dtype, "--kv-dtype", asked, "-o", "out"]);
        let named = said.matches(&format!("\"kv_dtype\": \"{expected}\"")).count();
        // Among the settings, of the model that ran, and in the identity of the results.
        assert!(ran && named == 3, "{dtype} with a cache in {asked}: {said}");
    }
    let (_, said) = niah(&["--dtype", "bf16", "-o", "out"]);
    assert_eq!(said.matches("\"kv_dtype\": \"bf16\"").count(), 2, "{said}");
    let (ran, said) = niah(&["--kv-dtype", "f16", "--dry-run"]);
    let known: Vec<_> = KV_DTYPES.iter().map(|entry| entry.name).collect();
    assert!(!ran && said.contains("f16") && said.contains(&known.join(", ")), "{said}");
}

#[test]
fn regression_every_report_of_a_model_says_what_was_rounded() {
    let bench = Bench::new();
    std::fs::write(bench.path("note.txt"), "A short note.").unwrap();
    std::fs::write(bench.path("list"), "tiny\nother").unwrap();
    std::fs::create_dir(bench.path("other")).unwrap();
    common::tiny_checkpoint(&bench.path("other"));
    let grid = ["--context-lengths=200", "--depths=50", "--trials=1"];
    let loss = ["loss", "tiny", "--context-length=100", "--trials=1"];
    let attend = ["attend", "tiny", "--text=note.txt", "--query=Who?"];
    let heads = ["heads", "tiny", "-o=heads", "--task=magic", "--all-answers", "--max-new-tokens=2"];
    let rounded = ["--dtype=int8", "--kv-dtype=q4_0"];
    let words = "weights in int8, cache in q4_0";
    for command in [
        [&["fade", "tiny"], &grid[..]].concat(),
        loss.to_vec(),
        attend.to_vec(),
        [&heads, &grid[..]].concat(),
        [&["run", "--models=list", "-o=models"], &grid[..]].concat(),
    ] {
        let page = bench.stdout(&[&command[..], &rounded, &["--width=300"]].concat());
        assert!(page.contains(words), "{command:?}: {page}");
    }
    bench.stdout(&[&["run", "-m=tiny", "-o=run", "--tokens"], &grid[..], &rounded].concat());
    let page = bench.stdout(&["attend", "run", "--width=300"]);
    assert!(page.contains(words), "{page}");
    let exact = bench.stdout(&[&["fade", "tiny"], &grid[..]].concat());
    assert!(!exact.contains(" in f32") && !exact.contains("cache in"), "{exact}");
}

#[test]
fn regression_weights_in_integers_are_not_told_as_numbers() {
    let bench = Bench::new();
    let page = bench.stdout(&["inspect", "tiny", "--dtype=int8", "--context-lengths=200", "--width=250"]);
    assert!(page.contains("rounded to blocks of 34 bytes") && !page.contains("widened"), "{page}");
    let bench_of = ["bench", "tiny", "--dtype=int8", "--context-lengths=60", "--repeats=1"];
    let page = bench.stdout(&[&bench_of[..], &["--max-new-tokens=1", "--no-peak-memory"]].concat());
    assert!(page.contains("Weights are held rounded: the only form that there is."), "{page}");
    let (_, said) = niah(&["--dtype", "int8", "-o", "out"]);
    assert!(said.contains("\"weights\": \"rounded\""), "{said}");
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
    assert!(!ran && said.contains("int3") && said.contains("f32, bf16, bf16x2, f16, int8"), "{said}");
}
