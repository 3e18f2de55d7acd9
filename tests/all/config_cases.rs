//! What a configuration means when a key is left out, changed or added, in every family, against the
//! reference: the cases of `fixtures/make_config_cases.py`, every logit within 1e-4 absolute plus 1e-4
//! relative, or a refusal that names the key.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::logits::{LogitsRequest, logits};
use niah::model::decoder::Decoder;
use niah::spec::Dtype;
use serde_json::{Map, Value, json};

/// A family's checkpoint, its cases and what they give.
struct Family {
    folder: PathBuf,
    config: Value,
    expected: HashMap<String, Tensor>,
    tokens: Vec<u32>,
}

impl Family {
    fn open(name: &str) -> Self {
        let folder = common::fixture("config_cases").join(name);
        let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let expected =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let ids = expected["ids"].to_vec1::<i64>().unwrap();
        Self { folder, config, tokens: ids.into_iter().map(|id| id as u32).collect(), expected }
    }

    fn cases(&self) -> Vec<Vec<Value>> {
        serde_json::from_slice(&fs::read(self.folder.join("cases.json")).unwrap()).unwrap()
    }

    /// The configuration with one key left out, or changed.
    fn changed(&self, case: &[Value]) -> Value {
        let mut config = self.config.clone();
        let text: &mut Map<String, Value> = match config.get("text_config") {
            Some(_) => config["text_config"].as_object_mut().unwrap(),
            None => config.as_object_mut().unwrap(),
        };
        let key = case[0].as_str().unwrap();
        text.remove(key);
        if let Some(value) = case.get(1) {
            text.insert(key.to_string(), value.clone());
        }
        config
    }

    /// The checkpoint under another configuration, in `directory`.
    fn checkpoint(&self, directory: &Path, config: &Value) -> niah::error::Result<Checkpoint> {
        let weights = directory.join("model.safetensors");
        if !weights.exists() {
            fs::copy(self.folder.join("model.safetensors"), weights).unwrap();
        }
        fs::write(directory.join("config.json"), config.to_string()).unwrap();
        Checkpoint::open(directory.to_str().unwrap(), RopeOverride::default())
    }

    /// The last `rows` rows of logits.
    fn logits(&self, checkpoint: &Checkpoint, rows: usize) -> Vec<f32> {
        let variant = niah::registry::find("variant", VARIANTS, checkpoint.own_variant.name).unwrap();
        let variant = (variant.value)(&VariantInputs {
            layers: &checkpoint.spec.layers,
            heads: checkpoint.spec.num_attention_heads,
            own: Some(&checkpoint.own_variant),
            training_length: checkpoint.spec.training_length(),
            ..VariantInputs::default()
        });
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let request = LogitsRequest { tokens: &self.tokens, attention_rows: None, chunk: self.tokens.len() };
        let found = logits(&decoder, variant.unwrap().as_ref(), &request, &mut |_| true).unwrap();
        found.logits[found.logits.len() - rows * found.vocab_size..].to_vec()
    }
}

fn families() -> Vec<String> {
    let entries = fs::read_dir(common::fixture("config_cases")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_configuration_of_every_family_gives_what_the_reference_does() {
    let mut wrong = Vec::new();
    for name in families() {
        let family = Family::open(&name);
        let directory = tempfile::tempdir().unwrap();
        for (number, case) in family.cases().iter().enumerate() {
            let what = format!("{name}: {}", json!(case));
            let expected = family.expected.get(&number.to_string());
            let opened = family.checkpoint(directory.path(), &family.changed(case));
            let (checkpoint, expected) = match (opened, expected) {
                (Ok(checkpoint), Some(expected)) => (checkpoint, expected),
                (Err(error), None) => {
                    let key = case[0].as_str().unwrap();
                    assert!(error.to_string().contains(key), "{what}: {error}");
                    continue;
                }
                (Ok(_), None) => {
                    wrong.push(format!("{what}: not refused"));
                    continue;
                }
                (Err(error), Some(_)) => {
                    wrong.push(format!("{what}: {error}"));
                    continue;
                }
            };
            let found = family.logits(&checkpoint, expected.dim(0).unwrap());
            let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs() / (1.0 + e.abs()));
            let off = off.fold(0f32, f32::max);
            if off > 1e-4 || found.len() != expected.len() {
                wrong.push(format!("{what}: logits are {off} away"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_families_checkpoints_say_gives_no_warning() {
    for name in families() {
        let family = Family::open(&name);
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = family.checkpoint(directory.path(), &family.config).unwrap();
        // That a checkpoint which sees images holds more than its language model is told, and no fault of its
        // configuration.
        let told: Vec<_> = checkpoint.warnings.iter().filter(|told| !told.contains("see or hear")).collect();
        assert_eq!(told, [""; 0], "{name}");
    }
}
