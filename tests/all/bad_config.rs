//! Configurations of mixtures of experts, chunks, nested language models and scaled positions that cannot be
//! right are refused in one line that names file, key, what was expected and what was found, before any
//! weight is read.

use crate::common;

use std::fs;

use candle_core::Device;
use niah::checkpoint::{Checkpoint, RopeOverride};
use serde_json::{Value, json};
use tempfile::TempDir;

fn copy_of(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        let source = common::fixture("vectors").join(name).join(file);
        fs::copy(source, directory.path().join(file)).unwrap();
    }
    directory
}

/// Opening the directory fails with these words in one line.
#[track_caller]
fn refuses(directory: &TempDir, words: &[&str]) {
    let path = directory.path().display().to_string();
    let Err(error) = Checkpoint::open(&path, RopeOverride::default()) else {
        panic!("{path} opened, although {words:?}")
    };
    let message = error.to_string();
    assert!(!message.contains('\n') && message.contains(&path), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn impossible_configurations_are_refused_by_key() {
    let size = "a whole number from 1 to 2^31";
    for (name, key, value, words) in [
        ("mixtral", "num_experts_per_tok", json!(5), &["found 5", "at most the 4 experts"][..]),
        ("mixtral", "num_experts_per_tok", json!(0), &["found 0", size]),
        ("mixtral", "num_experts_per_tok", Value::Null, &["found nothing", size]),
        ("mixtral", "num_local_experts", Value::Null, &["found nothing", size]),
        ("mixtral", "num_local_experts", json!(2_147_483_648u64), &["gate.weight", "[2147483648, 32]"]),
        ("mixtral", "num_local_experts", json!(3), &["gate.weight", "[3, 32]", "[4, 32]"]),
        ("mixtral", "intermediate_size", json!(17), &["experts.0.gate_proj.weight", "[17, 32]", "[16, 32]"]),
        ("qwen3_moe", "num_experts_per_tok", json!(7), &["found 7", "at most the 6 experts"]),
        ("qwen3_moe", "moe_intermediate_size", Value::Null, &["found nothing", size]),
        ("qwen3_moe", "decoder_sparse_step", json!(0), &["found 0", size]),
        ("qwen3_moe", "mlp_only_layers", json!([2]), &["found [2]", "a list of whole numbers below 2"]),
        ("qwen3_moe", "mlp_only_layers", json!(0), &["found 0", "a list of whole numbers below 2"]),
        ("qwen3_moe", "mlp_only_layers", json!([]), &["layers.0.mlp.gate.weight", "no such tensor"]),
        ("qwen3_moe", "norm_topk_prob", json!("no"), &["true or false"]),
        ("llama4_text", "attention_chunk_size", json!(0), &["found 0", size]),
        ("llama4_text", "moe_layers", json!([1, -1]), &["a list of whole numbers below 2"]),
        ("llama4_text", "moe_layers", json!([0, 1]), &["layers.0.mlp.gate.weight", "no such tensor"]),
        ("llama4_text", "moe_layers", json!([]), &["layers.1.mlp.gate_proj.weight", "no such tensor"]),
        ("llama4_text", "intermediate_size_mlp", Value::Null, &["found nothing", size]),
        ("llama4_text", "interleave_moe_layer_step", json!(0), &["interleave_moe_layer_step", size]),
        ("llama4_text", "no_rope_layers", json!([1]), &["found [1]", "2 numbers"]),
        ("llama4_text", "no_rope_layers", json!("all"), &["found \"all\"", "2 numbers"]),
        (
            "llama4_text",
            "layer_types",
            json!(["sliding_attention", "full_attention"]),
            &["found sliding_attention", "chunked_attention or full_attention"],
        ),
        ("llama4_text", "use_qk_norm", json!(1), &["found 1", "true or false"]),
        ("llama_dynamic", "max_position_embeddings", Value::Null, &["found nothing", size]),
        ("niah", "qk_norm", json!("some"), &["qk_norm", "none, weightless or per_head"]),
        ("niah", "qk_norm", Value::Null, &["qk_norm", "a string"]),
        ("niah", "layer_types", Value::Null, &["layer_types", "2 entries"]),
        ("niah", "sliding_window", Value::Null, &["sliding_window", size]),
        ("niah", "no_rope_layers", json!([1]), &["no_rope_layers", "2 numbers"]),
    ] {
        let directory = copy_of(name);
        let path = directory.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        if key == "interleave_moe_layer_step" {
            config["moe_layers"] = Value::Null;
        }
        fs::write(path, config.to_string()).unwrap();
        refuses(&directory, words);
    }
}

#[test]
fn impossible_rotary_scalings_are_refused_by_key() {
    let dynamic = || json!({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2});
    let long = || {
        json!({
            "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16,
            "short_factor": [1, 1, 1], "long_factor": [1, 2, 3], "partial_rotary_factor": 0.75
        })
    };
    for (mut parameters, key, value, words) in [
        (dynamic(), "factor", Value::Null, &["rope_parameters.factor", "found nothing"][..]),
        (dynamic(), "factor", json!(-1), &["rope_parameters.factor", "found -1", "above 0"]),
        (dynamic(), "partial_rotary_factor", json!(0.25), &["rope_type", "more than one pair"]),
        (long(), "short_factor", json!([1, 1]), &["rope_parameters.short_factor", "3 numbers", "[1,1]"]),
        (long(), "long_factor", Value::Null, &["rope_parameters.long_factor", "3 numbers", "nothing"]),
        (long(), "long_factor", json!([1, 2, 0]), &["rope_parameters.long_factor", "numbers above 0"]),
        (long(), "short_factor", json!([1, -2, 1]), &["rope_parameters.short_factor", "found -2"]),
        (long(), "short_factor", json!([1, 1e300, 1]), &["rope_parameters.short_factor", "numbers above 0"]),
        (
            long(),
            "original_max_position_embeddings",
            json!(1),
            &["original_max_position_embeddings", "found 1"],
        ),
        (long(), "attention_factor", json!(0), &["rope_parameters.attention_factor", "found 0"]),
        (long(), "factor", json!("4"), &["rope_parameters.factor", "found \"4\""]),
    ] {
        let directory = copy_of("llama_dynamic");
        let path = directory.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        parameters[key] = value;
        config["rope_parameters"] = parameters;
        fs::write(path, config.to_string()).unwrap();
        refuses(&directory, words);
    }
}

#[test]
fn missing_parts_of_a_mixture_are_named() {
    for (name, gone, words) in [
        ("mixtral", "model.layers.1.block_sparse_moe.gate.weight", "model.layers.1.mlp.gate.weight"),
        ("mixtral", "model.layers.1.block_sparse_moe.experts.3.w2.weight", "experts.3.down_proj.weight"),
        ("qwen3_moe", "model.layers.1.mlp.gate.weight", "model.layers.1.mlp.gate.weight"),
        ("llama4_text", "model.layers.1.feed_forward.router.weight", "model.layers.1.mlp.gate.weight"),
        ("llama4_text", "model.layers.1.feed_forward.experts.down_proj", "mlp.experts.down_proj"),
        ("llama4_text", "model.layers.1.feed_forward.shared_expert.up_proj.weight", "shared_expert.up_proj"),
    ] {
        let directory = copy_of(name);
        let path = directory.path().join("model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert!(tensors.remove(gone).is_some(), "{name} has no {gone}");
        candle_core::safetensors::save(&tensors, &path).unwrap();
        refuses(&directory, &[words, "no such tensor", "download both again"]);
    }
}

#[test]
fn a_nested_language_model_of_an_unknown_family_lists_the_known_ones() {
    let directory = copy_of("mixtral");
    for (text, words) in [
        (
            json!({"model_type": "mystery"}),
            &["text_config.model_type", "\"mystery\"", "known families: llama"][..],
        ),
        (json!({}), &["text_config.model_type", "found nothing", "a string"]),
        (json!("llama"), &["config.json: text_config", "found \"llama\"", "an object"]),
        (json!({"model_type": "mixtral"}), &["lm_head.weight", "tie_word_embeddings", "no such tensor"]),
    ] {
        let config = json!({"model_type": "mixtral", "hidden_size": 32, "text_config": text});
        fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        refuses(&directory, words);
    }
}

#[test]
fn a_known_family_is_refused_by_the_block_that_is_missing() {
    for (name, block) in
        [("inkling", "a learned bias by distance"), ("qwen4_exp", "several residual streams, and an indexer")]
    {
        let Some(folder) = common::vector(name) else { continue };
        let path = folder.display().to_string();
        let error = Checkpoint::open(&path, RopeOverride::default()).err().unwrap().to_string();
        assert!(error.contains("model_type") && error.contains(block), "{name}: {error}");
    }
}

#[test]
fn heads_that_layers_with_a_window_cannot_have_are_refused() {
    let Some(folder) = common::vector("mimo_v2_flash") else { return };
    let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    for (pointer, value, words) in [
        (
            "/rope_parameters/full_attention/partial_rotary_factor",
            json!(1e300),
            ["partial_rotary_factor", "rotate"],
        ),
        ("/num_key_value_heads", json!(4), ["num_key_value_heads", "when doubled"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        fs::copy(folder.join("model.safetensors"), directory.path().join("model.safetensors")).unwrap();
        refuses(&directory, &words);
    }
}
