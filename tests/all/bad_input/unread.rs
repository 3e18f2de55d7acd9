//! Tensors that stand in a checkpoint and that no layer reads.
use std::fs;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::common;
use super::{Place, Ran, USAGE};

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
}

/// The checkpoint with one more tensor.
fn with(place: &Place, name: &str, tensor: Tensor) {
    place.edit_weights(|weights| drop(weights.insert(name.to_string(), tensor)));
}

fn inspected(place: &Place, model: &str) -> Value {
    let ran: Ran = place.niah(&format!("inspect {model} --output-format json")).works(&[]);
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["ran"].take()
}

fn warnings(place: &Place) -> Vec<String> {
    let found = inspected(place, "model");
    assert_eq!(found["problems"], json!([]), "{found}");
    found["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_string()).collect()
}

#[test]
fn a_parameter_of_a_layer_that_runs_which_nothing_reads_is_refused() {
    for (name, shape) in [
        ("model.layers.0.mlp.down_proj.bias", &[32][..]),
        ("model.layers.3.self_attn.q_norm.weight", &[8]),
        ("model.layers.1.self_attn.sinks", &[4]),
        ("model.layers.1.self_attn.k_scale", &[]),
        ("model.layers.2.self_attn.q_proj.lora_A.weight", &[2, 32]),
        ("model.layers.0.self_attn.gate_proj.weight", &[32, 32]),
        ("model.layers.0.linear_attn.A_log", &[4]),
        ("model.layers.0.linear_attn.conv1d.weight", &[96, 1, 4]),
        ("model.layers.2.layer_scalar", &[1]),
        ("model.layers.3.mlp.experts.1.up_proj.weight", &[64, 32]),
        ("model.embed_tokens_per_layer.weight", &[256, 16]),
        ("model.norm.bias", &[32]),
        ("lm_head.bias", &[256]),
    ] {
        let place = Place::new();
        with(&place, name, ones(shape));
        let pattern = name.split('.').map(|part| if part.parse::<u8>().is_ok() { "*" } else { part });
        let pattern = pattern.collect::<Vec<_>>().join(".");
        let words =
            ["model.safetensors", "1 tensor of layers that run, but not used", &pattern, "take them out"];
        place.run("--dry-run").refuses(USAGE, &words);
        place.niah("logits model --ids 1,2 -o out.safetensors").refuses(USAGE, &words);
        // What it is can be looked at all the same.
        let problems = inspected(&place, "model")["problems"].clone();
        assert!(problems[0].as_str().unwrap().contains(&pattern), "{problems}");
    }
}

/// Each is read by another family, and would be another model's here.
#[test]
fn a_golden_mixture_with_one_more_learned_component_is_refused_by_its_name() {
    for (vectors, name, shape) in [
        ("mixtral", "model.layers.1.block_sparse_moe.e_score_correction_bias", &[4][..]),
        ("mixtral", "model.layers.0.block_sparse_moe.gate.bias", &[4]),
        ("qwen3_moe", "model.layers.1.mlp.gate.e_score_correction_bias", &[6]),
        ("qwen3_moe", "model.layers.1.mlp.shared_expert_gate.weight", &[1, 32]),
        ("qwen3_moe", "model.layers.1.mlp.shared_expert.up_proj.weight", &[16, 32]),
        ("qwen3_moe", "model.layers.0.self_attn.sinks", &[4]),
        ("llama4_text", "model.layers.1.feed_forward.router.per_expert_scale", &[4]),
    ] {
        let place = Place::new();
        for file in ["config.json", "model.safetensors"] {
            let from = common::fixture("vectors").join(vectors).join(file);
            fs::copy(from, place.path("model").join(file)).unwrap();
        }
        let unchanged = inspected(&place, "model")["problems"].to_string();
        assert!(!unchanged.contains("not used"), "{unchanged}");
        with(&place, name, ones(shape));
        let pattern = name.replace(".0.", ".*.").replace(".1.", ".*.");
        let words = ["1 tensor of layers that run, but not used", &pattern];
        place.niah("logits model --ids 1,2 -o out.safetensors").refuses(USAGE, &words);
        let problems = inspected(&place, "model")["problems"].to_string();
        assert!(problems.contains(&pattern), "{problems}");
    }
}

#[test]
fn biases_of_all_layers_take_one_line_and_are_read_once_the_configuration_has_them() {
    let place = Place::new();
    place.edit_weights(|weights| {
        for layer in 0..4 {
            for (name, width) in [("gate_proj", 64), ("up_proj", 64), ("down_proj", 32)] {
                weights.insert(format!("model.layers.{layer}.mlp.{name}.bias"), ones(&[width]));
            }
        }
    });
    let listed = "12 tensors of layers that run, but not used (model.layers.*.mlp.down_proj.bias, ";
    place.run("--dry-run").refuses(USAGE, &[listed, "mlp_bias"]);
    place.edit_json("model/config.json", |config| config["mlp_bias"] = json!(true));
    place.run("--dry-run").works(&[]);
    assert_eq!(warnings(&place), [""; 0]);
}

#[test]
fn what_adds_nothing_or_follows_from_the_configuration_is_silent() {
    for (name, tensor) in [
        ("model.layers.0.mlp.down_proj.bias", ones(&[32]).zeros_like().unwrap()),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", ones(&[4])),
        ("model.rotary_emb.inv_freq", ones(&[4])),
        ("model.layers.0.self_attn.attn.bias", ones(&[1, 1, 8, 8])),
    ] {
        let place = Place::new();
        with(&place, name, tensor);
        assert_eq!(warnings(&place), [""; 0], "{name}");
        place.run("--dry-run").works(&[]);
    }
}

#[test]
fn other_tensors_are_named_in_a_warning_everywhere() {
    let place = Place::new();
    place.edit_weights(|weights| {
        for name in [
            "model.layers.4.mlp.up_proj.weight",
            "visual.blocks.0.attn.qkv.weight",
            "visual.merger.weight",
            "v_head.summary.weight",
            "model.layers.0.self_attn.cache",
        ] {
            weights.insert(name.to_string(), ones(&[2, 2]));
        }
    });
    let expected = [
        "2 tensors of parts that see or hear, not used (visual.blocks.*.attn.qkv.weight, \
         visual.merger.weight): niah reads the language model alone",
        "1 tensor of layers beyond the 4 of the configuration, not used (model.layers.*.mlp.up_proj.weight)",
        "2 tensors that no layer reads, not used (model.layers.*.self_attn.cache, v_head.summary.weight)",
    ];
    assert_eq!(warnings(&place), expected);
    place.run("").works(&expected.map(|line| line.split(" (").next().unwrap()));
    let record: Value = serde_json::from_slice(&fs::read(place.path("out/run.json")).unwrap()).unwrap();
    assert!(record.to_string().contains("2 tensors of parts that see or hear"), "{record}");
}

#[test]
fn a_head_that_is_missing_though_the_configuration_has_one_is_refused() {
    let place = Place::new();
    place.edit_json("model/config.json", |config| config["tie_word_embeddings"] = json!(false));
    place.run("--dry-run").refuses(
        USAGE,
        &["config.json: tie_word_embeddings", "found false", "no lm_head.weight", "download"],
    );
    place.edit_json("model/config.json", |config| config["tie_word_embeddings"] = json!(true));
    place.run("--dry-run").works(&[]);
    with(&place, "lm_head.weight", ones(&[256, 32]));
    place.edit_json("model/config.json", |config| config["tie_word_embeddings"] = json!(false));
    place.run("--dry-run").works(&[]);
}

#[test]
fn what_stands_beside_a_text_config_counts_as_in_transformers() {
    let place = Place::new();
    let flat: Value = serde_json::from_slice(&fs::read(place.path("model/config.json")).unwrap()).unwrap();
    let write = |outer: Value, inner: Value| {
        let (mut whole, mut text) = (outer, flat.clone());
        text.as_object_mut().unwrap().remove("tie_word_embeddings");
        text.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
        whole["text_config"] = text;
        place.write("model/config.json", whole.to_string());
    };
    write(json!({"model_type": "llava", "tie_word_embeddings": true}), json!({"model_type": null}));
    place.run("--dry-run").works(&[]);
    write(json!({"model_type": "llava", "tie_word_embeddings": false}), json!({}));
    place.run("--dry-run").refuses(USAGE, &["text_config.tie_word_embeddings", "no lm_head.weight"]);
    write(json!({"model_type": "llava", "tie_word_embeddings": false}), json!({"tie_word_embeddings": true}));
    place.run("--dry-run").works(&[]);
    write(json!({"model_type": "llava", "tie_word_embeddings": true}), json!({"tie_word_embeddings": false}));
    place.run("--dry-run").works(&[]);
    write(json!({"model_type": "mystery"}), json!({"model_type": null}));
    place.run("--dry-run").refuses(USAGE, &["text_config.model_type", "found nothing"]);
}

#[test]
fn tensors_of_a_gguf_file_are_read_or_refused_as_llama_cpp_does() {
    let place = Place::new();
    let mut tensors = common::gguf::tensors();
    for layer in 0..4 {
        tensors.push((format!("blk.{layer}.attn_output.bias"), ones(&[32])));
    }
    let write = |tensors: &[(String, Tensor)]| {
        common::gguf::write_tensors(&place.path("m.gguf"), &common::gguf::metadata(), tensors);
    };
    let logits = |place: &Place| {
        place.niah("logits m.gguf --ids 1,2,3 --dtype f32 -o out.safetensors").works(&[]);
        let found = candle_core::safetensors::load(place.path("out.safetensors"), &Device::Cpu).unwrap();
        found["logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    write(&common::gguf::tensors());
    let plain = logits(&place);
    write(&tensors);
    assert_ne!(logits(&place), plain, "the bias of the output counts");
    // Of some layers alone.
    tensors.remove(tensors.iter().position(|(name, _)| name == "blk.0.attn_output.bias").unwrap());
    write(&tensors);
    place.niah("run -m m.gguf --dry-run").refuses(USAGE, &["m.gguf", "3 tensors", "blk.*.attn_output.bias"]);
    let mut tensors = common::gguf::tensors();
    tensors.push(("rope_freqs.weight".to_string(), ones(&[4])));
    tensors.push(("blk.4.nextn.eh_proj.weight".to_string(), ones(&[32, 64])));
    write(&tensors);
    place.niah("inspect m.gguf").works(&[]);
    let found = inspected(&place, "m.gguf");
    assert_eq!(found["problems"], json!([]));
    assert!(found["warnings"][0].as_str().unwrap().contains("beyond the 4"), "{found}");
}
