//! Rules that a checkpoint was not made with, against an independent implementation
//! (`fixtures/make_rule_vectors.py`), and through the binary.

use crate::common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use common::bench::Bench;
use niah::attention::variant::{VariantInputs, build, trained_rule};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::logits::{LogitsRequest, logits};
use niah::model::decoder::Decoder;
use niah::spec::Dtype;
use serde_json::{Value, json};

/// The rules of the vectors, in the words of `--variant`.
const RULES: &[&str] = &[
    "constant:1.5",
    "log-floor",
    "topk:8",
    "entmax15",
    "adaptive-temperature",
    "scale-invariant",
    "softpick",
    "stick-breaking",
];

/// Those with weights that sum to 1.
const NORMALISED: &[&str] =
    &["constant", "log-floor", "topk:8", "entmax15", "adaptive-temperature", "scale-invariant"];

/// Writes the golden checkpoint `folder` with query projections of six times the size.
fn sharper(folder: &Path, place: &Path) {
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    config["log_scaling_n_floor"] = json!(16);
    config["log_scaling_alpha"] = json!(0.5);
    std::fs::write(place.join("config.json"), config.to_string()).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let larger = |(name, tensor): (String, Tensor)| match name.contains("q_proj") {
        true => (name, (tensor * 6.0).unwrap()),
        false => (name, tensor),
    };
    let tensors: HashMap<_, _> = tensors.into_iter().map(larger).collect();
    candle_core::safetensors::save(&tensors, place.join("model.safetensors")).unwrap();
}

fn assert_close(found: &[f32], expected: &Tensor, what: &str) {
    let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() <= 1e-4 + 1e-4 * e.abs(), "{what}: {f} instead of {e}");
    }
}

/// Grouped heads in one; sliding windows and a soft cap in the other.
#[test]
fn logits_and_rows_of_attention_equal_an_independent_implementation_whatever_the_chunk() {
    let expected =
        candle_core::safetensors::load(common::fixture("rules.safetensors"), &Device::Cpu).unwrap();
    for name in ["llama", "gemma2"] {
        let Some(folder) = common::vector(name) else { continue };
        let place = tempfile::tempdir().unwrap();
        sharper(&folder, place.path());
        let checkpoint = Checkpoint::open(place.path().to_str().unwrap(), RopeOverride::default()).unwrap();
        assert_eq!(checkpoint.own_variant.name, "log-floor");
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let ids = expected[&format!("{name}.input_ids")].to_vec1::<i64>().unwrap();
        let tokens: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
        let t = tokens.len();
        for rule in RULES {
            let inputs = VariantInputs {
                layers: &checkpoint.spec.layers,
                heads: checkpoint.spec.num_attention_heads,
                own: Some(&checkpoint.own_variant),
                training_length: checkpoint.spec.training_length(),
                ..VariantInputs::default()
            };
            let variant = build(rule, &inputs).unwrap();
            let of = |what: &str| &expected[&format!("{name}.{}.{what}", rule.replace(":1.5", ""))];
            for chunk in [1, 7, t] {
                let request = LogitsRequest { tokens: &tokens, attention_rows: Some(t - 1..t), chunk };
                let found = logits(&decoder, variant.as_ref(), &request, &mut |_| true).unwrap();
                let rows = (0..t - 1).step_by(16).chain([t - 1]);
                let rows: Vec<f32> = rows
                    .flat_map(|row| &found.logits[row * found.vocab_size..][..found.vocab_size])
                    .copied()
                    .collect();
                assert_close(&rows, of("logits"), &format!("{name}, {rule}, chunk {chunk}"));
                let weights = found.attentions.unwrap();
                assert_close(
                    weights.weights(),
                    of("attention"),
                    &format!("{name}, {rule}, chunk {chunk}: rows"),
                );
            }
        }
    }
}

#[test]
fn every_rule_runs_a_grid_with_masses_of_1_or_less_and_answers_that_sharing_does_not_change() {
    let bench = Bench::new();
    for rule in [NORMALISED, &["softpick", "stick-breaking"]].concat() {
        let rule_flags = ["--variant", rule, "--context-lengths=200", "--depths=0,100", "--trials", "1"];
        let directory = rule.replace(':', "-");
        bench.grid(&[&rule_flags[..], &["-o", &directory]].concat());
        let alone = format!("{directory}-alone");
        bench.grid(&[&rule_flags[..], &["-o", &alone, "--no-prefix-sharing", "--chunk-size", "7"]].concat());
        let run = bench.run_json(&directory);
        assert_eq!(run["variant"], rule);
        let rows = bench.attention(&directory);
        assert!(!rows.is_empty(), "{rule}");
        for (row, alone) in rows.iter().zip(bench.attention(&alone)) {
            let sums = (row.total_mass - 1.0).abs() < 1e-5;
            let less = row.total_mass >= 0.0 && row.total_mass < 1.0 + 1e-5;
            assert!(sums || (less && !NORMALISED.contains(&rule)), "{rule}: {}", row.total_mass);
            assert!((row.needle_mass - alone.needle_mass).abs() < 1e-4, "{rule}");
        }
        let (shared, alone) = (bench.outcomes(&directory), bench.outcomes(&alone));
        for (shared, alone) in shared.iter().zip(&alone) {
            assert_eq!(shared.prompt_hash, alone.prompt_hash);
            let off = (shared.answer_logprob.unwrap() - alone.answer_logprob.unwrap()).abs();
            assert!(off < 1e-3, "{rule}: off by {off}");
        }
    }
    // Few keys leave zeros, which entropies know.
    let entropy = |directory: &str| -> f64 {
        let rows = bench.attention(directory);
        rows.iter().map(|row| row.entropy.unwrap()).fold(0.0, f64::max)
    };
    assert!(entropy("topk-8") <= 8f64.ln() + 1e-6, "{}", entropy("topk-8"));
    assert!(entropy("constant") > 8f64.ln());
}

#[test]
fn rules_are_refused_where_they_cannot_be_and_runs_of_two_numbers_do_not_mix() {
    let bench = Bench::new();
    let run = ["run", "--model", "tiny", "--dry-run"];
    for (flags, words) in [
        (&["--variant", "topk"][..], &["--variant", "topk:64"][..]),
        (&["--variant", "topk:none"], &["--variant", "topk:none", "topk:64"]),
        (&["--variant", "entmax15:2"], &["entmax15:2", "takes no number"]),
        (&["--variant", "topk:8", "--kv-dtype", "bf16"], &["--kv-dtype", "f32", "topk:8"]),
        (&["--variant", "softmax", "--attention-scale", "2"], &["--attention-scale", "constant"]),
        (&["--variant", "constant", "--attention-scale", "0"], &["--attention-scale", "above 0"]),
        (&["--variant", "constant:2", "--attention-scale", "2"], &["--attention-scale", "not both"]),
    ] {
        bench.refused(&[&run[..], flags].concat(), words);
    }
    bench.grid(&["--variant", "topk:8", "-o", "out", "--limit", "1"]);
    let again = bench.output(
        &[&["run", "--model", "tiny"], &common::grid::GRID[..], &["--variant", "topk:9", "-o", "out"]]
            .concat(),
    );
    assert_eq!(again.status.code(), Some(2), "{}", common::bench::stderr(&again));
    let hashes = |scale: &str| {
        let directory = format!("c{scale}");
        bench.grid(&["--variant", "constant", "--attention-scale", scale, "-o", &directory, "--limit", "1"]);
        bench.outcomes(&directory)[0].config_hash.clone()
    };
    assert_ne!(hashes("1.5"), hashes("2"));
}

#[test]
fn gradients_of_the_rules_that_are_trained_are_those_of_pytorch() {
    let expected =
        candle_core::safetensors::load(common::fixture("rules.safetensors"), &Device::Cpu).unwrap();
    for name in ["entmax15", "softpick", "stick-breaking"] {
        let rule = trained_rule(name).unwrap();
        let rows = |key: &str| expected[&format!("gradient.{name}.{key}")].to_vec2::<f32>().unwrap();
        let (scores, given, weights, found) = (rows("scores"), rows("given"), rows("weights"), rows("found"));
        for row in 0..scores.len() {
            let (mut own, mut gradient) = (scores[row].clone(), given[row].clone());
            rule.weigh(&mut own, f32::NEG_INFINITY);
            rule.backward(&scores[row], &own, &mut gradient);
            for (f, e) in own.iter().chain(&gradient).zip(weights[row].iter().chain(&found[row])) {
                assert!((f - e).abs() < 2e-6, "{name}: {f} instead of {e}");
            }
        }
    }
    assert!(trained_rule("topk").is_none());
}
