//! The decoder against golden tensors of the reference PyTorch implementation: every logit within 1e-4 absolute plus 1e-4
//! relative, every attention weight within 1e-5, for softmax and ssmax, whole and in chunks, cached and uncached.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use niah::attention::AttentionProbe;
use niah::attention::probe::ProbeRequest;
use niah::attention::variant::{AttentionVariant, LayerScale, OwnVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::model::dtype::Dtype;

/// Every family that has vectors.
const VECTORS: &[&str] = &[
    "llama",
    "llama3_rope",
    "llama_yarn",
    "llama_linear",
    "llama_dynamic",
    "llama4_text",
    "llama4_text_tuned",
    "mistral",
    "mixtral",
    "ministral3",
    "qwen2",
    "qwen3",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_moe",
    "gemma2",
    "gemma3",
    "phi3",
    "phi3_longrope_short",
    "phi3_longrope_long",
    "phi",
    "smollm3",
    "cohere2",
    "olmo2",
    "granite",
    "gpt_neox",
    "stablelm",
    "starcoder2",
    "gpt2",
];

/// GGUF files that `fixtures/make_gguf.py` makes of them, with the vectors that they must reproduce.
const GGUF_FILES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("llama-fused", "llama"),
    ("llama-biased", "qwen2"),
    ("llama3_rope", "llama3_rope"),
    ("llama_yarn", "llama_yarn"),
    ("llama_linear", "llama_linear"),
    ("mistral", "mistral"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3"),
    ("phi3", "phi3"),
    ("phi", "phi"),
    ("cohere2", "cohere2"),
    ("olmo2", "olmo2"),
    ("granite", "granite"),
    ("gpt_neox", "gpt_neox"),
    ("stablelm", "stablelm"),
    ("starcoder2", "starcoder2"),
    ("gpt2", "gpt2"),
];

/// Variants with the key of their tensors: the checkpoint's own, and ssmax, which GPT-2 lacks.
fn variants(golden: &Golden) -> impl Iterator<Item = (&'static str, &'static str)> {
    let ssmax = golden.expected.contains_key("ssmax_logits").then_some(("ssmax", "ssmax_"));
    [Some((golden.own.name, "")), ssmax].into_iter().flatten()
}

struct Golden {
    decoder: Decoder,
    own: OwnVariant,
    tokens: Vec<u32>,
    expected: HashMap<String, Tensor>,
}

impl Golden {
    fn open(folder: &Path) -> Self {
        Self::of(folder, folder)
    }

    /// A checkpoint that must reproduce the vectors in `folder`.
    fn of(checkpoint: &Path, folder: &Path) -> Self {
        let checkpoint =
            Checkpoint::open(&checkpoint.display().to_string(), RopeOverride::default()).unwrap();
        let expected =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        Self {
            decoder: checkpoint.decoder(&Device::Cpu, Dtype::F32).unwrap(),
            own: checkpoint.own_variant,
            tokens: ids.into_iter().map(|id| id as u32).collect(),
            expected,
        }
    }

    fn variant(&self, name: &str) -> Box<dyn AttentionVariant> {
        let spec = self.decoder.spec();
        let scaled = |scale: &Tensor| {
            let layers = scale.to_vec2::<f32>().unwrap().into_iter();
            let scales = layers.map(|scale| Some(LayerScale { scale, bias: None })).collect();
            OwnVariant { name: "ssmax", scales: Some(scales), ..OwnVariant::softmax(spec.num_hidden_layers) }
        };
        let own = if name == "ssmax" { scaled(&self.expected["ssmax_scale"]) } else { self.own.clone() };
        let entry = niah::registry::find("variant", VARIANTS, name).unwrap();
        (entry.value)(&VariantInputs {
            layers: &spec.layers,
            heads: spec.num_attention_heads,
            own: Some(&own),
            training_length: spec.training_length(),
            ..VariantInputs::default()
        })
        .unwrap()
    }

    fn logits(&self, variant: &dyn AttentionVariant, chunk: usize) -> Vec<Vec<f32>> {
        let mut cache = self.decoder.new_cache(self.tokens.len());
        let rows = self.tokens.chunks(chunk).flat_map(|chunk| {
            let forward = Forward { variant, keep_logits: chunk.len(), probe: None };
            self.decoder.forward(chunk, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap()
        });
        rows.collect()
    }

    /// The weights of one head at query `row`.
    fn weights(&self, variant: &dyn AttentionVariant, head: (usize, usize), row: usize) -> Vec<f32> {
        let request = ProbeRequest { rows: row..row + 1, spans: vec![], chosen_head: Some(head) };
        let mut probe = AttentionProbe::new(request);
        let forward = Forward { variant, keep_logits: 0, probe: Some(&mut probe) };
        let mut cache = self.decoder.new_cache(self.tokens.len());
        self.decoder.forward(&self.tokens, &mut cache, forward).unwrap();
        probe.finish().chosen_row.unwrap()
    }
}

fn assert_logits(found: &[Vec<f32>], expected: &Tensor, what: &str) {
    let expected = expected.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-4 + 1e-4 * e.abs(), "{what}, row {row}: {f} instead of {e}");
        }
    }
}

#[test]
fn logits_equal_the_reference_whatever_the_chunk_size() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        for (variant, prefix) in variants(&golden) {
            let key = format!("{prefix}logits");
            for chunk in [1, 7, golden.tokens.len()] {
                let found = golden.logits(golden.variant(variant).as_ref(), chunk);
                let what = format!("{} under {variant}, chunk {chunk}", folder.display());
                assert_logits(&found, &golden.expected[&key], &what);
            }
        }
    }
}

#[test]
fn a_gguf_file_has_the_logits_of_the_reference() {
    for (file, folder) in GGUF_FILES.iter().filter_map(|(file, name)| common::vector_as_gguf(file, name)) {
        let golden = Golden::of(&file, &folder);
        for (variant, prefix) in variants(&golden) {
            let found = golden.logits(golden.variant(variant).as_ref(), 16);
            let what = format!("{} under {variant}", file.display());
            assert_logits(&found, &golden.expected[&format!("{prefix}logits")], &what);
        }
    }
}

/// Its golden checkpoint leaves rotary positions out where no GGUF file can say so.
#[test]
fn a_gguf_file_of_smollm3_has_no_rotary_positions_in_every_fourth_layer() {
    let Some((file, folder)) = common::vector_as_gguf("smollm3", "smollm3") else { return };
    let place = tempfile::tempdir().unwrap();
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["no_rope_layers"] = serde_json::json!([1, 1, 1, 0]);
    std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(folder.join("model.safetensors"), place.path().join("model.safetensors")).unwrap();
    let [directory, file] = [place.path(), &file].map(|path| {
        let golden = Golden::of(path, &folder);
        golden.logits(golden.variant("softmax").as_ref(), 64)
    });
    let expected = Tensor::new(directory, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    assert_logits(&file, &expected, "smollm3.gguf");
}

#[test]
fn attention_equals_the_reference() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        for (variant, prefix) in variants(&golden) {
            let key = format!("{prefix}attentions");
            let variant = golden.variant(variant);
            let (layers, heads, t, _) = golden.expected[&key].dims4().unwrap();
            for head in (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
                let expected =
                    golden.expected[&key].get(head.0).unwrap().get(head.1).unwrap().to_vec2::<f32>().unwrap();
                for row in (0..t).step_by(7).chain([t - 1]) {
                    let found = golden.weights(variant.as_ref(), head, row);
                    let off =
                        found.iter().zip(&expected[row]).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
                    assert!(off <= 1e-5, "{} {key} head {head:?} row {row}: off by {off}", folder.display());
                }
            }
        }
    }
}

#[test]
fn a_truncated_cache_gives_what_a_fresh_one_gives() {
    let Some(folder) = common::vector("llama") else { return };
    let golden = Golden::open(&folder);
    let variant = golden.variant("ssmax");
    let run = |cache: &mut _, tokens: &[u32]| {
        let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
        golden.decoder.forward(tokens, cache, forward).unwrap().to_vec2::<f32>().unwrap()
    };
    let mut cache = golden.decoder.new_cache(4);
    run(&mut cache, &golden.tokens);
    cache.truncate(20);
    let reused = run(&mut cache, &golden.tokens[20..40]);
    let fresh = run(&mut golden.decoder.new_cache(64), &golden.tokens[..40]);
    let off = reused[0].iter().zip(&fresh[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-5, "off by {off}");
}

#[test]
fn the_spec_counts_the_parameters_that_the_file_holds() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let text = tensors.iter().filter(|(name, _)| !name.contains("visual."));
        let stored: usize = text.map(|(_, tensor)| tensor.elem_count()).sum();
        assert_eq!(Golden::open(&folder).decoder.spec().parameter_count(), stored, "{}", folder.display());
    }
}
