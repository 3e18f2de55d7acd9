//! Multiscreen against golden tensors of an implementation that follows the paper equation by equation: every logit within
//! 1e-4 absolute plus 1e-4 relative, every relevance within 1e-5; with windows as learned and widened, whole and in chunks,
//! under every name and parametrisation that is in the wild.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use niah::attention::AttentionVariant;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::logits::{Logits, LogitsRequest, logits};
use niah::model::decoder::Decoder;
use niah::model::dtype::Dtype;
use serde_json::Value;
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
    (checkpoint.decoder(&Device::Cpu, Dtype::F32).unwrap(), variant(&checkpoint))
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
