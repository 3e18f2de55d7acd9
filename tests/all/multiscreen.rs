//! Multiscreen against golden tensors of an implementation that follows the paper equation by equation: every
//! logit within 1e-4 absolute plus 1e-4 relative, every relevance within 1e-5; with windows as learned and
//! widened, whole and in chunks, under every name and parametrisation that is in the wild. And what is
//! refused.

use crate::common;

use std::collections::HashMap;

use candle_core::{D, Device, Tensor};
use niah::attention::AttentionVariant;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::logits::{Logits, LogitsRequest, logits};
use niah::model::decoder::{Decoder, Forward};
use niah::model::kv_cache::KvDtype;
use niah::spec::DecoderSpec;
use niah::spec::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

const VECTORS: &[&str] = &["multiscreen", "multiscreen_wide"];

/// A golden checkpoint that may be written anew.
struct Vector {
    name: &'static str,
    config: Value,
    weights: HashMap<String, Tensor>,
    expected: HashMap<String, Tensor>,
    place: TempDir,
}

impl Vector {
    fn read(name: &'static str) -> Option<Self> {
        let folder = common::vector(name)?;
        let load = |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
        Some(Self {
            name,
            config: serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap(),
            weights: load("model.safetensors"),
            expected: load("expected.safetensors"),
            place: tempfile::tempdir().unwrap(),
        })
    }

    fn all() -> impl Iterator<Item = Self> {
        VECTORS.iter().filter_map(|name| Self::read(name))
    }

    fn open(&self) -> niah::error::Result<Checkpoint> {
        let folder = self.place.path();
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        candle_core::safetensors::save(&self.weights, folder.join("model.safetensors")).unwrap();
        Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default())
    }

    /// Renames tensors and changes their numbers.
    fn rewrite(&mut self, change: impl Fn(String, Tensor) -> (String, Tensor)) -> &mut Self {
        self.weights = self.weights.drain().map(|(name, tensor)| change(name, tensor)).collect();
        self
    }

    /// Stores these numbers under a name below `multiscreen.`.
    fn set(&mut self, name: &str, numbers: &[f32]) -> &mut Self {
        let tensor = Tensor::new(numbers, &Device::Cpu).unwrap();
        self.weights.insert(format!("multiscreen.{name}"), tensor);
        self
    }

    fn tokens(&self) -> Vec<u32> {
        let ids = self.expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        ids.into_iter().map(|id| id as u32).collect()
    }

    /// Logits and relevances of every row.
    fn run(&self, expansion: bool, chunk: usize) -> Logits {
        let (decoder, variant) = decoder(self.open().unwrap(), expansion);
        let tokens = self.tokens();
        let request = LogitsRequest { attention_rows: Some(0..tokens.len()), tokens: &tokens, chunk };
        logits(&decoder, variant.as_ref(), &request, &mut |_| true).unwrap()
    }

    fn assert_golden(&self, expansion: bool, chunk: usize, what: &str) {
        let found = self.run(expansion, chunk);
        let prefix = if expansion { "widened_" } else { "" };
        let what = format!("{} {prefix}in chunks of {chunk}, {what}", self.name);
        let golden = |key: &str| {
            self.expected[&format!("{prefix}{key}")].flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_close(&found.logits, &golden("logits"), 1e-4, 1e-4, &format!("{what}, logits"));
        let relevance = found.attentions.unwrap();
        assert_close(relevance.weights(), &golden("relevance"), 1e-5, 0.0, &format!("{what}, relevance"));
    }
}

fn decoder(checkpoint: Checkpoint, expansion: bool) -> (Decoder, Box<dyn AttentionVariant>) {
    let mut checkpoint = checkpoint;
    checkpoint.spec.screening.as_mut().unwrap().window_expansion = expansion;
    (checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap(), variant(&checkpoint))
}

fn variant(checkpoint: &Checkpoint) -> Box<dyn AttentionVariant> {
    assert_eq!(checkpoint.own_variant.name, "screening");
    let entry = niah::registry::find("variant", VARIANTS, "screening").unwrap();
    (entry.value)(&VariantInputs {
        layers: &checkpoint.spec.layers,
        heads: checkpoint.spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        training_length: checkpoint.spec.training_length(),
        screening: checkpoint.spec.screening.as_ref(),
        ..VariantInputs::default()
    })
    .unwrap()
}

fn assert_close(found: &[f32], expected: &[f32], absolute: f32, relative: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= absolute + relative * e.abs(), "{what}, number {index}: {f} instead of {e}");
    }
}

/// Which of the golden tensors the widening changes: else it would go untested.
#[test]
fn the_golden_checkpoints_have_windows_on_both_sides_of_the_training_length() {
    for vector in Vector::all() {
        let checkpoint = vector.open().unwrap();
        let spec = checkpoint.spec.screening.clone().unwrap();
        let windows: Vec<f64> =
            checkpoint.own_variant.screens.unwrap().iter().flatten().map(|screen| screen.window).collect();
        assert!(windows.iter().any(|&window| spec.is_wide(window)), "{windows:?}");
        assert!(windows.iter().any(|&window| spec.has_positions(window)), "{windows:?}");
        assert!(vector.tokens().len() > spec.training_length);
    }
}

#[test]
fn logits_and_relevances_equal_the_reference_whatever_the_chunk_size() {
    for vector in Vector::all() {
        for expansion in [false, true] {
            for chunk in [1, 7, 64, 80] {
                vector.assert_golden(expansion, chunk, "as stored");
            }
        }
    }
}

#[test]
fn names_without_the_leading_module_are_read() {
    for mut vector in Vector::all() {
        vector.rewrite(|name, tensor| (name.trim_start_matches("multiscreen.").to_string(), tensor));
        assert!(vector.weights.contains_key("embed.weight") && vector.weights.contains_key("s_E"));
        vector.assert_golden(true, 80, "without multiscreen.");
    }
}

#[test]
fn the_acceptance_width_itself_is_read_as_well_as_its_inverse() {
    for mut vector in Vector::all() {
        vector.rewrite(|name, tensor| match name.strip_suffix(".sr") {
            Some(block) => (format!("{block}.s_r"), tensor.neg().unwrap()),
            None => (name, tensor),
        });
        assert!(vector.weights.contains_key("multiscreen.layers.0.block.s_r"));
        for expansion in [false, true] {
            vector.assert_golden(expansion, 80, "s_r");
        }
    }
}

#[test]
fn positions_wrap_where_the_configuration_names_no_mode() {
    let mut vector = Vector::read("multiscreen").unwrap();
    vector.config.as_object_mut().unwrap().remove("mipe_position_mode");
    let golden =
        candle_core::safetensors::load(common::fixture("multiscreen_wrapped.safetensors"), &Device::Cpu);
    let expected = golden.unwrap()["logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for chunk in [7, 80] {
        let found = vector.run(false, chunk);
        assert_close(&found.logits, &expected, 1e-4, 1e-4, &format!("wrapped, in chunks of {chunk}"));
    }
    let description = variant(&vector.open().unwrap()).description();
    assert!(description.contains("positions wrap at each tile's window"), "{description}");
}

fn last_logits(decoder: &Decoder, variant: &dyn AttentionVariant, tokens: &[u32], cut: usize) -> Vec<f32> {
    let mut cache = decoder.new_cache(tokens.len());
    let run = |cache: &mut _, tokens: &[u32]| {
        let forward = Forward { variant, keep_logits: 1, probe: None };
        decoder.forward(tokens, cache, forward).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    if cut > 0 {
        // Tokens that are forgotten again.
        run(&mut cache, &tokens[..cut]);
        cache.truncate(cut / 2);
    }
    let cached = cache.len();
    run(&mut cache, &tokens[cached..])
}

#[test]
fn a_truncated_cache_gives_what_a_fresh_one_gives() {
    for vector in Vector::all() {
        let (decoder, variant) = decoder(vector.open().unwrap(), true);
        let tokens = vector.tokens();
        let fresh = last_logits(&decoder, variant.as_ref(), &tokens, 0);
        let reused = last_logits(&decoder, variant.as_ref(), &tokens, 70);
        assert_close(&reused, &fresh, 1e-5, 1e-5, vector.name);
    }
}

/// Packed weights take the rows of a chunk in blocks; rounding does not see them.
#[test]
fn weights_in_bf16_give_the_same_in_blocks_of_rows_as_row_by_row() {
    let vector = Vector::read("multiscreen").unwrap();
    let mut checkpoint = vector.open().unwrap();
    checkpoint.spec.screening.as_mut().unwrap().window_expansion = true;
    let variant = variant(&checkpoint);
    let tokens = vector.tokens().repeat(4);
    let all = |dtype, chunk| {
        let decoder = checkpoint.load(&Device::Cpu, dtype, Decoder::load).unwrap();
        assert_eq!(decoder.kv_dtype(), KvDtype::F32.into());
        let request = LogitsRequest { attention_rows: None, tokens: &tokens, chunk };
        logits(&decoder, variant.as_ref(), &request, &mut |_| true).unwrap().logits
    };
    let (whole, parts, exact) = (all(Dtype::Bf16, 320), all(Dtype::Bf16, 9), all(Dtype::F32, 320));
    let distance = |a: &[f32], b: &[f32]| {
        let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>();
        (squares(&mut a.iter().zip(b).map(|(a, b)| a - b)) / squares(&mut b.iter().copied())).sqrt()
    };
    assert!(distance(&parts, &whole) < 2e-3, "{}", distance(&parts, &whole));
    assert!(distance(&whole, &exact) < 2e-2, "{}", distance(&whole, &exact));
}

#[test]
fn what_is_missing_damaged_or_contradicts_itself_is_refused_by_name() {
    let block = |name: &str| format!("layers.1.block.{name}");
    type Change = Box<dyn Fn(&mut Vector)>;
    let remove = |name: String| -> Change {
        Box::new(move |vector| drop(vector.weights.remove(&format!("multiscreen.{name}"))))
    };
    let set = |name: String, numbers: &'static [f32]| -> Change {
        Box::new(move |vector| {
            vector.set(&name, numbers);
        })
    };
    let say = |more: Value| -> Change {
        Box::new(move |vector| {
            vector.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        })
    };
    let cases: Vec<(Change, &[&str])> = vec![
        (remove(block("sr")), &["layers.1.block.sr", "sr (of its inverse) or s_r"]),
        (set(block("s_r"), &[0.0; 4]), &["layers.1.block.s_r", "found both"]),
        (remove(block("sw")), &["layers.1.block.sw", "no such tensor"]),
        (remove(block("sO")), &["layers.1.block.sO", "no such tensor"]),
        (remove(block("g_proj.weight")), &["layers.1.block.g_proj.weight", "no such tensor"]),
        (remove("s_E".to_string()), &["s_E", "no such tensor"]),
        (remove("s_F".to_string()), &["s_F", "no such tensor"]),
        (set("s_E".to_string(), &[0.0; 2]), &["s_E", "shape [2]"]),
        (set(block("sw"), &[0.0; 3]), &["layers.1.block.sw", "4 finite numbers", "shape [3]"]),
        (set(block("sw"), &[0.0, f32::NAN, 0.0, 0.0]), &["layers.1.block.sw", "finite", "NaN"]),
        (
            set(block("sr"), &[0.0, 0.0, 200.0, 0.0]),
            &["layers.1.block.sr", "not 0", "tile 2", "nothing would ever pass"],
        ),
        (set(block("sr"), &[0.0, 0.0, f32::INFINITY, 0.0]), &["layers.1.block.sr", "finite"]),
        (set(block("q_proj.weight"), &[0.0; 2]), &["layers.1.block.q_proj.weight", "shape [32, 32]"]),
        (
            say(json!({"attention_variant": {"kind": "ssmax"}})),
            &["attention_variant", "screening", "found ssmax"],
        ),
        (say(json!({"use_logn_attn": true})), &["use_logn_attn", "screening"]),
        (
            say(json!({"mipe_position_mode": "relative"})),
            &["mipe_position_mode", "paper_absolute", "relative"],
        ),
        (say(json!({"tie_word_embeddings": false})), &["tie_word_embeddings", "true"]),
        (say(json!({"key_dim": 1})), &["key_dim", "at least 2"]),
        (say(json!({"mipe_threshold": 0.0})), &["mipe_threshold"]),
    ];
    for (change, words) in cases {
        let mut vector = Vector::read("multiscreen").unwrap();
        change(&mut vector);
        let error = vector.open().err().unwrap_or_else(|| panic!("opened without {words:?}")).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not all in: {error}");
    }
}

/// Numbers are read when the weights load: what stands in the headers is all that opening looks at.
#[test]
fn weights_that_are_no_numbers_are_refused_when_they_load() {
    let mut vector = Vector::read("multiscreen").unwrap();
    vector.set("layers.2.block.sO", &[0.0, 0.0, f32::NAN, 0.0]);
    let error = vector.open().unwrap().load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap_err().to_string();
    assert!(error.contains("layers.2.block.sO") && error.contains("finite"), "{error}");
}

#[test]
fn another_familys_checkpoint_cannot_be_announced_as_screening() {
    let folder = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(folder.path());
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["attention_variant"] = json!({"kind": "screening"});
    std::fs::write(&path, config.to_string()).unwrap();
    let error =
        Checkpoint::open(folder.path().to_str().unwrap(), RopeOverride::default()).err().unwrap().to_string();
    assert!(error.contains("attention_variant") && error.contains("Multiscreen"), "{error}");
}

#[test]
fn a_window_too_large_for_any_number_is_without_end() {
    let mut vector = Vector::read("multiscreen").unwrap();
    for layer in 0..3 {
        let name = format!("multiscreen.layers.{layer}.block.sw");
        let mut numbers = vector.weights[&name].to_vec1::<f32>().unwrap();
        // Those that the widening makes infinite.
        numbers[3] = 3e38;
        vector.set(&format!("layers.{layer}.block.sw"), &numbers);
    }
    let found = vector.run(false, 80);
    let expected = vector.expected["widened_logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_close(&found.logits, &expected, 1e-4, 1e-4, "windows of e^3e38");
}

#[test]
fn an_embedding_row_of_zeros_stays_one_and_has_the_logit_0() {
    let mut vector = Vector::read("multiscreen").unwrap();
    let name = "multiscreen.embed.weight";
    let mut table = vector.weights[name].to_vec2::<f32>().unwrap();
    let token = vector.tokens()[3] as usize;
    table[token].fill(0.0);
    vector.weights.insert(name.to_string(), Tensor::new(table, &Device::Cpu).unwrap());
    let found = vector.run(true, 80).logits;
    assert!(found.iter().all(|logit| logit.is_finite()));
    assert!(found.chunks_exact(256).all(|row| row[token] == 0.0));
}

#[test]
fn the_cache_stays_in_f32() {
    let vector = Vector::read("multiscreen").unwrap();
    let decoder = vector.open().unwrap().load(&Device::Cpu, Dtype::Bf16, Decoder::load).unwrap();
    assert_eq!(decoder.kv_dtype(), KvDtype::F32.into());
    let error = decoder.with_kv_dtype(Some(KvDtype::Bf16)).unwrap_err().to_string();
    assert!(error.contains("kv dtype") && error.contains("screening"), "{error}");
}

#[test]
fn a_rule_of_another_kind_is_an_error_and_never_run_in_silence() {
    let vector = Vector::read("multiscreen").unwrap();
    let (decoder, own) = decoder(vector.open().unwrap(), true);
    let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
    let softmax = (softmax.value)(&VariantInputs::default()).unwrap();
    let folder = common::vector("llama").unwrap();
    let llama = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
    let llama = llama.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    for (decoder, variant) in [(&decoder, softmax.as_ref()), (&llama, own.as_ref())] {
        let forward = Forward { variant, keep_logits: 1, probe: None };
        let error = decoder.forward(&[1, 2], &mut decoder.new_cache(2), forward).unwrap_err().to_string();
        assert!(error.contains(variant.name()) && error.contains("does not belong"), "{error}");
    }
}

#[test]
fn the_spec_counts_the_parameters_and_the_cache_that_there_are() {
    for vector in Vector::all() {
        let checkpoint = vector.open().unwrap();
        let stored: usize = vector.weights.values().map(Tensor::elem_count).sum();
        assert_eq!(checkpoint.spec.parameter_count(), stored, "{}", vector.name);
        let rows = |name: &str| {
            let stacked = vector.weights.iter().filter(|(full, _)| full.ends_with(name));
            stacked.map(|(_, weight)| weight.elem_count() / weight.dim(D::Minus1).unwrap()).sum::<usize>()
        };
        let kept = 4 * (rows("k_proj.weight") + rows("v_proj.weight"));
        assert_eq!(checkpoint.spec.cache_bytes_per_token(), kept, "{}", vector.name);
    }
}

#[test]
fn sequences_share_keys_on_one_side_of_the_training_length() {
    let mut spec = Vector::read("multiscreen").unwrap().open().unwrap().spec;
    assert_eq!(spec.training_length(), Some(48));
    let planned = |spec: &DecoderSpec, length, longest| spec.planned_length(length, longest);
    assert_eq!([20, 48, 49, 100].map(|length| planned(&spec, length, 100)), [48, 48, 100, 100]);
    assert_eq!((planned(&spec, 20, 40), planned(&spec, 120, 100)), (40, 120));
    spec.screening.as_mut().unwrap().window_expansion = false;
    assert_eq!([20, 48, 49, 100].map(|length| planned(&spec, length, 100)), [100; 4]);
}
