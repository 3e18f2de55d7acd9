//! Configurations and files of weights.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::quantized::gguf_file::Value as Gguf;
use candle_core::{Device, Tensor};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::grid::ContextLength;
use niah::model::decoder::{Decoder, Forward};
use niah::plan::{Inspection, ModelChoice};
use niah::spec::Dtype;
use serde_json::{Value, json};

use super::common;
use super::mutate::survives;

/// Opens the checkpoint and loads its weights.
fn load(path: &Path) {
    let opened = Checkpoint::open(path.to_str().unwrap(), RopeOverride::default());
    let loaded = opened.and_then(|checkpoint| checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load));
    if let Err(error) = loaded {
        assert!(!error.one_line().is_empty());
    }
}

/// Opens the checkpoint, and computes a few tokens where it opens.
fn compute(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path.to_str().unwrap(), RopeOverride::default()) else { return };
    let Ok(decoder) = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load) else { return };
    let spec = &checkpoint.spec;
    let inputs = VariantInputs {
        layers: &spec.layers,
        heads: spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        given_scales: None,
        scale_override: None,
        attention_scale: None,
        parameter: None,
        training_length: spec.training_length(),
        screening: spec.screening.as_ref(),
    };
    let entry = VARIANTS.iter().find(|entry| entry.name == checkpoint.own_variant.name).unwrap();
    let Ok(variant) = (entry.value)(&inputs) else { return };
    let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
    drop(decoder.forward(&[1, 2, 3], &mut decoder.new_cache(5000), forward));
}

/// f32 for the weights.
fn exact(path: &Path) -> ModelChoice {
    ModelChoice { dtype: Some(Dtype::F32), ..ModelChoice::of(path.to_str().unwrap()) }
}

#[test]
fn configurations_of_every_family_survive() {
    for (name, iterations) in [
        ("llama", 600),
        ("gemma3", 400),
        ("gpt2", 300),
        ("llama4_text", 400),
        ("qwen3_moe", 400),
        ("phi3_longrope_short", 400),
    ] {
        let folder = common::fixture("vectors").join(name);
        let place = tempfile::tempdir().unwrap();
        fs::copy(folder.join("model.safetensors"), place.path().join("model.safetensors")).unwrap();
        let seeds = [fs::read(folder.join("config.json")).unwrap()];
        survives(
            &format!("configuration {name}"),
            iterations,
            |mutator| mutator.json_text(&seeds),
            |bytes| {
                fs::write(place.path().join("config.json"), bytes).unwrap();
                drop(Inspection::of(&exact(place.path()), &[ContextLength(1000)]));
                compute(place.path());
            },
        );
    }
}

/// A llama of one layer, small enough to be read thousands of times a second.
fn small_model() -> (Value, HashMap<String, Tensor>) {
    let (hidden, inner, vocab) = (8, 12, 16);
    let config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": vocab, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true
    });
    let shapes: &[(&str, &[usize])] = &[
        ("model.embed_tokens.weight", &[vocab, hidden]),
        ("model.norm.weight", &[hidden]),
        ("model.layers.0.input_layernorm.weight", &[hidden]),
        ("model.layers.0.post_attention_layernorm.weight", &[hidden]),
        ("model.layers.0.self_attn.q_proj.weight", &[hidden, hidden]),
        ("model.layers.0.self_attn.k_proj.weight", &[hidden / 2, hidden]),
        ("model.layers.0.self_attn.v_proj.weight", &[hidden / 2, hidden]),
        ("model.layers.0.self_attn.o_proj.weight", &[hidden, hidden]),
        ("model.layers.0.mlp.gate_proj.weight", &[inner, hidden]),
        ("model.layers.0.mlp.up_proj.weight", &[inner, hidden]),
        ("model.layers.0.mlp.down_proj.weight", &[hidden, inner]),
    ];
    let ones = |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    (config, shapes.iter().map(|(name, shape)| ((*name).to_string(), ones(shape))).collect())
}

#[test]
fn files_of_safetensors_survive() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model.safetensors");
    let (config, tensors) = small_model();
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let whole = fs::read(&path).unwrap();
    let header_size = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (header, data) = whole[8..].split_at(header_size);
    let (seeds, headers) = ([whole.clone()], [header.to_vec()]);
    survives(
        "safetensors",
        6000,
        |mutator| {
            if mutator.once_in(2) {
                return mutator.bytes(&seeds);
            }
            // A header that fits in front of the same numbers.
            let header = mutator.json_text(&headers);
            [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
        },
        |bytes| {
            fs::write(&path, bytes).unwrap();
            load(place.path());
        },
    );
}

#[test]
fn indices_of_shards_survive() {
    let place = tempfile::tempdir().unwrap();
    let (config, tensors) = small_model();
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    candle_core::safetensors::save(&tensors, place.path().join("a.safetensors")).unwrap();
    let map: Value = tensors.keys().map(|name| (name.clone(), json!("a.safetensors"))).collect();
    let seeds = [json!({"metadata": {"total_size": 10}, "weight_map": map}).to_string().into_bytes()];
    survives(
        "index",
        1000,
        |mutator| mutator.json_text(&seeds),
        |bytes| {
            fs::write(place.path().join("model.safetensors.index.json"), bytes).unwrap();
            load(place.path());
        },
    );
}

#[test]
fn gguf_files_survive() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("m.gguf");
    let mut metadata = common::gguf::metadata();
    metadata.retain(|(key, _)| *key != "llama.block_count");
    metadata.push(("llama.block_count", Gguf::U32(1)));
    metadata.push(("tokenizer.ggml.padding_token_id", Gguf::I32(-1)));
    metadata.push(("general.alignment", Gguf::U32(32)));
    let mut tensors = common::gguf::tensors();
    tensors.retain(|(name, _)| !name.starts_with("blk.") || name.starts_with("blk.0."));
    common::gguf::write_tensors(&path, &metadata, &tensors);
    let seeds = [fs::read(&path).unwrap()];
    // The header is a small part of the file: most of the changes are made there.
    let header_size = seeds[0].windows(4).rposition(|window| window == b"blk.").unwrap() + 64;
    survives(
        "gguf",
        3000,
        |mutator| {
            if mutator.once_in(4) {
                return mutator.bytes(&seeds);
            }
            let mut header = seeds[0][..header_size].to_vec();
            for _ in 0..=mutator.below(3) {
                mutator.change_bytes(&mut header, &seeds[0]);
            }
            [&header[..], &seeds[0][header_size..]].concat()
        },
        |bytes| {
            fs::write(&path, bytes).unwrap();
            load(&path);
            drop(Inspection::of(&exact(&path), &[]));
        },
    );
}
