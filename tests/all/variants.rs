//! Attention rules recognised in checkpoints as others write them: golden checkpoints with their scales under
//! the names and in the shapes of each source, against the reference implementation's logits, within 1e-4
//! absolute plus 1e-4 relative.

use crate::common;

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use niah::attention::variant::{AttentionVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::spec::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

type Tensors = HashMap<String, Tensor>;

/// A golden checkpoint that may be written anew.
struct Vector {
    config: Value,
    weights: Tensors,
    expected: Tensors,
    place: TempDir,
}

impl Vector {
    fn read(name: &str) -> Option<Self> {
        let folder = common::vector(name)?;
        let load = |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
        Some(Self {
            config: serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap(),
            weights: load("model.safetensors"),
            expected: load("expected.safetensors"),
            place: tempfile::tempdir().unwrap(),
        })
    }

    /// Sets the keys of `more` in the configuration.
    fn say(&mut self, more: Value) -> &mut Self {
        self.config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self
    }

    /// Stores the golden scales of `layers` under `name` (`N` stands for the layer), in this shape.
    fn scale(&mut self, name: &str, shape: &[usize], layers: &[usize]) -> &mut Self {
        let scales = self.expected["ssmax_scale"].clone();
        for layer in layers {
            let scale = scales.get(*layer).unwrap().reshape(shape).unwrap();
            self.weights.insert(name.replace('N', &layer.to_string()), scale);
        }
        self
    }

    fn open(&self) -> niah::error::Result<Checkpoint> {
        let folder = self.place.path();
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        candle_core::safetensors::save(&self.weights, folder.join("model.safetensors")).unwrap();
        Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default())
    }

    fn tokens(&self) -> Vec<u32> {
        let ids = self.expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        ids.into_iter().map(|id| id as u32).collect()
    }

    /// Logits of every token under the checkpoint's own variant, in chunks of 7.
    fn own_logits(&self, name: &str) -> Vec<Vec<f32>> {
        let checkpoint = self.open().unwrap();
        assert_eq!(checkpoint.own_variant.name, name);
        let (variant, decoder) =
            (own(&checkpoint, None), checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap());
        let mut cache = decoder.new_cache(1);
        let rows = self.tokens();
        let rows = rows.chunks(7).flat_map(|chunk| {
            let forward = Forward { variant: variant.as_ref(), keep_logits: chunk.len(), probe: None };
            decoder.forward(chunk, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap()
        });
        rows.collect()
    }
}

/// The checkpoint's own variant.
fn own(checkpoint: &Checkpoint, scale_override: Option<f64>) -> Box<dyn AttentionVariant> {
    let entry = niah::registry::find("variant", VARIANTS, checkpoint.own_variant.name).unwrap();
    (entry.value)(&VariantInputs {
        layers: &checkpoint.spec.layers,
        heads: checkpoint.spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        scale_override,
        training_length: checkpoint.spec.training_length(),
        ..VariantInputs::default()
    })
    .unwrap()
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-4 + 1e-4 * e.abs(), "{what}, row {row}: {f} instead of {e}");
        }
    }
}

fn assert_ssmax(vector: &Vector, what: &str) {
    let expected = vector.expected["ssmax_logits"].squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_close(&vector.own_logits("ssmax"), &expected, what);
}

/// Compares with the logits that `fixtures/make_ministral_vector.py` made: every seventh row, and the last.
fn assert_rows(vector: &Vector, variant: &str, key: &str) {
    let all = candle_core::safetensors::load(common::fixture("variants.safetensors"), &Device::Cpu).unwrap();
    let found: Vec<_> = vector.own_logits(variant).into_iter().step_by(7).collect();
    assert_close(&found, &all[key].to_vec2::<f32>().unwrap(), key);
}

const ALL: [usize; 4] = [0, 1, 2, 3];

#[test]
fn scales_are_recognised_as_each_source_stores_them() {
    let (plain, four) = (&[4][..], &[1, 4, 1, 1][..]);
    for (what, vector, config, name, shape) in [
        (
            "niah train",
            "llama",
            json!({"attention_variant": {"kind": "ssmax"}}),
            "model.layers.N.self_attn.ssmax_scale",
            plain,
        ),
        (
            "OLMo-core",
            "qwen3",
            json!({"scalable_softmax": true}),
            "model.layers.N.self_attn.ssmax_scale",
            plain,
        ),
        ("BiBo", "qwen3", json!({"use_ssmax": true}), "model.layers.N.self_attn.ssmax_scale", four),
        ("BAM", "llama", json!({}), "model.layers.N.attention.seq_scale", four),
        ("BAM within self_attn", "llama", json!({}), "model.layers.N.self_attn.seq_scale", four),
        (
            "Dragon",
            "llama",
            json!({"scalable_softmax": true, "disable_scalable_softmax_for_local": true}),
            "model.layers.N.self_attn.softmax_scaler",
            plain,
        ),
        (
            "two keys that agree",
            "olmo2",
            json!({"use_ssmax": true, "scalable_softmax": true}),
            "model.layers.N.self_attn.ssmax_scale",
            plain,
        ),
        ("fused projections", "phi3", json!({}), "model.layers.N.self_attn.ssmax_scale", plain),
        ("names of a family", "gpt_neox", json!({}), "gpt_neox.layers.N.attention.ssmax_scale", plain),
        ("names of a family", "starcoder2", json!({}), "model.layers.N.self_attn.ssmax_scale", plain),
    ] {
        let Some(mut golden) = Vector::read(vector) else { continue };
        assert_ssmax(golden.say(config).scale(name, shape, &ALL), &format!("{what}: {vector}"));
    }
}

#[test]
fn scales_are_found_in_a_file_that_leaves_out_the_leading_model() {
    let mut golden = Vector::read("llama").unwrap();
    golden.scale("model.layers.N.self_attn.ssmax_scale", &[4], &ALL);
    let short = |(name, tensor): (String, Tensor)| (name.trim_start_matches("model.").to_string(), tensor);
    golden.weights = golden.weights.drain().map(short).collect();
    assert!(golden.weights.contains_key("layers.0.self_attn.ssmax_scale"));
    assert_ssmax(&golden, "without model.");
}

#[test]
fn one_number_is_the_scale_of_every_head() {
    let mut golden = Vector::read("llama").unwrap();
    let store = |golden: &mut Vector, tensor: Tensor| {
        for layer in ALL {
            let name = format!("model.layers.{layer}.self_attn.ssmax_scale");
            golden.weights.insert(name, tensor.clone());
        }
        golden.own_logits("ssmax")
    };
    let heads = store(&mut golden, Tensor::new(&[0.3f32; 4], &Device::Cpu).unwrap());
    for shape in [&[][..], &[1], &[1, 1, 1, 1]] {
        let one = Tensor::new(&[0.3f32], &Device::Cpu).unwrap().reshape(shape).unwrap();
        assert_eq!(store(&mut golden, one), heads, "{shape:?}");
    }
}

#[test]
fn biases_are_used_when_the_checkpoint_has_them() {
    let mut golden = Vector::read("llama").unwrap();
    golden.scale("model.layers.N.self_attn.ssmax_scale", &[4], &ALL);
    for layer in ALL {
        let none = Tensor::zeros(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        golden.weights.insert(format!("model.layers.{layer}.self_attn.ssmax_bias"), none);
    }
    let expected = golden.expected["ssmax_logits"].squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_close(&golden.own_logits("ssmax-bias"), &expected, "biases of 0");
    golden.say(json!({"attention_variant": {"kind": "ssmax-bias"}}));
    assert_close(&golden.own_logits("ssmax-bias"), &expected, "biases of 0, announced");
}

#[test]
fn layers_with_a_window_stay_softmax_where_the_rule_is_off_there() {
    for (vector, full) in [("cohere2", &[3][..]), ("gemma2", &[1, 3])] {
        for config in [
            json!({"use_ssmax": true}),
            json!({"scalable_softmax": true, "disable_scalable_softmax_for_local": true}),
            json!({"attention_variant": {"kind": "ssmax", "layers": full}}),
        ] {
            let Some(mut golden) = Vector::read(vector) else { continue };
            golden.say(config).scale("model.layers.N.self_attn.ssmax_scale", &[4], full);
            assert_rows(&golden, "ssmax", &format!("{vector}.ssmax_global"));
            let description = own(&golden.open().unwrap(), None).description();
            assert!(description.contains(" of 4 (the others: plain softmax)"), "{description}");
        }
    }
}

#[test]
fn logn_is_recognised_and_counts_from_its_own_length() {
    for config in [
        json!({"use_logn_attn": true, "seq_length": 16}),
        json!({"use_logn_attn": true, "max_position_embeddings": 16}),
        json!({"attention_variant": {"kind": "logn"}, "seq_length": 16}),
    ] {
        assert_rows(Vector::read("llama").unwrap().say(config), "logn", "llama.logn");
    }
}

#[test]
fn llama_4s_temperature_is_recognised_and_is_for_layers_without_rotary_positions() {
    for (tuning, on) in [(json!(true), true), (json!(4), true), (json!(false), false), (json!(0), false)] {
        let Some(mut golden) = Vector::read("cohere2") else { return };
        golden.say(json!({"attn_temperature_tuning": tuning, "attn_scale": 0.5, "floor_scale": 8}));
        if on {
            assert_rows(&golden, "temperature", "cohere2.temperature");
        } else {
            assert_eq!(golden.open().unwrap().own_variant.name, "softmax");
        }
    }
}

#[test]
fn ministral_3s_temperature_is_recognised_under_each_of_its_keys() {
    let golden = || Vector::read("ministral3").unwrap();
    let expected = golden().expected["logits"].squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_close(&golden().own_logits("temperature"), &expected, "rope_parameters");
    for (place, section) in [
        (Some("rope_scaling"), json!({"llama_4_scaling_beta": 0.1})),
        (Some("llama_4_scaling"), json!({"beta": 0.1, "original_max_position_embeddings": 16})),
        (None, json!({"llama_4_scaling_beta": 0.1})),
    ] {
        let mut golden = golden();
        // Mistral is the same decoder without the duty to name the temperature.
        golden.say(json!({"model_type": "mistral"}));
        golden.config["rope_parameters"].as_object_mut().unwrap().remove("llama_4_scaling_beta");
        assert_eq!(golden.open().unwrap().own_variant.name, "softmax");
        match place {
            Some("rope_scaling") => {
                let mut old = golden.config["rope_parameters"].clone();
                old["llama_4_scaling_beta"] = json!(0.1);
                golden.say(json!({"rope_parameters": null, "rope_theta": 1_000_000.0, "rope_scaling": old}));
            }
            Some(place) => drop(golden.say(json!({place: section}))),
            None => drop(golden.say(section)),
        }
        assert_close(&golden.own_logits("temperature"), &expected, &format!("{place:?}"));
    }
    let mut golden = golden();
    golden.config["rope_parameters"].as_object_mut().unwrap().remove("llama_4_scaling_beta");
    let error = golden.open().err().unwrap().to_string();
    assert!(error.contains("llama_4_scaling_beta"), "{error}");
}

#[test]
fn a_scale_for_all_heads_leaves_the_layers_of_the_rule_as_they_are() {
    let mut golden = Vector::read("llama").unwrap();
    golden.say(json!({"attention_variant": {"kind": "ssmax", "layers": [1, 3]}})).scale(
        "model.layers.N.self_attn.ssmax_scale",
        &[4],
        &[1, 3],
    );
    let checkpoint = golden.open().unwrap();
    assert_eq!(
        own(&checkpoint, Some(0.2)).description(),
        "s = 0.2 for every head, from --ssmax-scale in place of the learned ones on layers 1, 3 of 4 \
         (the others: plain softmax)"
    );
}

#[test]
fn what_a_rule_reads_from_rows_has_to_be_there_and_to_be_announced() {
    for (name, rule, tensor) in [
        ("niah_asentmax", "asentmax", "self_attn.attn_scale_beta_proj.weight"),
        ("niah_forgetting", "forgetting", "self_attn.fgate_proj.bias"),
    ] {
        let read = || Vector::read(name).unwrap();
        let (opened, full) = (read().open().unwrap(), format!("model.layers.1.{tensor}"));
        assert_eq!((opened.own_variant.name, &opened.own_variant.layers[..]), (rule, &[false, true][..]));
        assert!(opened.check_all_read().is_ok());
        let refused = |vector: &Vector, words: &[&str]| {
            let error = vector.open().err().unwrap().to_string();
            words.iter().for_each(|words| assert!(error.contains(words), "{words} in {error}"));
        };
        let mut without = read();
        without.weights.remove(&full).unwrap();
        refused(&without, &[&full, "no such tensor"]);
        let mut everywhere = read();
        refused(everywhere.say(json!({"attention_variant": {"kind": rule}})), &["model.layers.0.self_attn."]);
        let mut damaged = read();
        let numbers = (&damaged.weights[&full] / 0.0).unwrap();
        damaged.weights.insert(full.clone(), numbers);
        refused(&damaged, &[&full, "finite"]);
        let mut unannounced = read();
        unannounced.say(json!({"attention_variant": {"kind": "softmax"}}));
        let error = unannounced.open().unwrap().check_all_read().unwrap_err().to_string();
        assert!(error.contains(tensor), "{error}");
    }
}
