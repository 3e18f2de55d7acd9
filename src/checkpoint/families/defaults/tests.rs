use std::path::Path;

use serde_json::json;

use super::*;
use crate::checkpoint::families::{FAMILIES, describe};
use crate::spec::{Mixer, RecurrentSpec, Window};

/// What the configuration classes say of themselves (`fixtures/make_config_defaults.py`).
fn reference() -> Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config_defaults.json");
    let mut families: Map<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    families.remove("transformers").unwrap();
    families
}

/// What the table has for a family, by the names without their ends, and whether each may be null.
fn table(family: &str) -> Map<String, Value> {
    let keys = TABLE[family].as_object().unwrap().iter();
    keys.map(|(key, value)| {
        let name = key.trim_end_matches(['?', '!']);
        (name.to_string(), json!([value, key.ends_with('?')]))
    })
    .collect()
}

fn config(keys: Value) -> Config {
    Config::new(Path::new("config.json"), keys.as_object().unwrap().clone())
}

/// A configuration that says nothing but what a family cannot do without.
fn silent(family: &str) -> Config {
    let mut keys = json!({"model_type": family});
    if family == "deepseek_v2" {
        keys["num_experts_per_tok"] = json!(6);
    }
    config(keys)
}

/// Keys that a model reads though its class has no field for them.
const BEYOND_THE_CLASS: &[&str] = &[
    "head_dim",
    "rope_theta",
    "rope_local_base_freq",
    "partial_rotary_factor",
    "rotary_emb_base",
    "rotary_pct",
    "original_max_position_embeddings",
    "rope_scaling",
    "sliding_window_pattern",
    "full_attention_interval",
    // Choices of the hub's files of which the class knows one.
    "attn_output_gate",
    "output_gate_type",
    "mla_use_nope",
    "moe_layer_freq",
    "moe_router_activation_func",
    // Other names of the kinds of layers and of sizes.
    "layers_block_type",
    "hybrid_override_pattern",
    "attention_head_dim",
    "intermediate_size",
    "block_ff_dim",
    "tie_embedding",
    // As the hub names biases of linear maps.
    "qkv_bias",
    "bias",
    "linear_attn_config",
    "first_k_dense_replace",
    "model_max_length",
    "moe_renormalize",
    "num_expert_group",
    "num_experts_per_token",
    "num_shared_experts",
    // What becomes of them the constructor keeps by layer.
    "global_head_dim",
    "num_global_key_value_heads",
    "per_layer_config",
    // Of a Mistral with windows on some layers, which is read as a Ministral.
    "layer_types",
    // Other names of the same numbers, and what is said of a whole model that sees images.
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "rotary_dim",
    "sliding_window_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "tie_word_embeddings",
];

#[test]
fn every_default_is_that_of_the_familys_own_class() {
    for (family, class) in reference() {
        let (ours, nullable) = (table(&family), class["nullable"].as_array().unwrap());
        let fields = class["fields"].as_object().unwrap();
        for (key, default) in fields.iter().filter(|(key, _)| !HARMLESS.contains(&key.as_str())) {
            let found = ours.get(key).unwrap_or_else(|| panic!("{family}.{key} is not in the table"));
            if key != "rope_parameters" {
                assert_eq!(found, &json!([default, nullable.contains(&json!(key))]), "{family}.{key}");
            }
        }
        for key in ours.keys().filter(|key| !fields.contains_key(*key)) {
            assert!(BEYOND_THE_CLASS.contains(&key.as_str()), "{family}.{key} is no field of the class");
        }
    }
    let of_reference = reference();
    for family in FAMILIES.iter().map(|family| family.name) {
        assert!(TABLE.contains_key(family), "{family} has no defaults");
        let own = ["niah", "multiscreen", "qwen2_5_vl", "mainline_ladder", "olmo3moe"].contains(&family);
        assert!(own || of_reference.contains_key(family), "{family} is held against nothing");
    }
    assert_eq!(TABLE["qwen2_5_vl"], TABLE["qwen2_5_vl_text"]);
}

#[test]
fn a_configuration_that_says_nothing_has_the_rotary_positions_of_its_class() {
    for (family, class) in reference() {
        let (_, spec) = describe(&silent(&family)).unwrap();
        let of_layer = |slides: bool| {
            let layer = |layer: &&crate::spec::LayerSpec| {
                layer.rope.is_some() && (layer.window != Window::Full) == slides
            };
            spec.layers.iter().find(layer).and_then(|layer| layer.rope.clone())
        };
        let rope = &class["rope"];
        // Its layers rotate by a base that no configuration names.
        if family == "gptj" {
            continue;
        }
        // Nothing turns where nothing attends.
        if rope.is_null() || spec.attention_layers().next().is_none() {
            assert!(spec.layers.iter().all(|layer| layer.rope.is_none()), "{family}");
            continue;
        }
        let sections = match rope.get("full_attention") {
            Some(full) => vec![(full, of_layer(false)), (&rope["sliding_attention"], of_layer(true))],
            None => vec![(rope, of_layer(false).or(of_layer(true)))],
        };
        for (section, found) in sections {
            let found = found.unwrap_or_else(|| panic!("{family} has no rotary positions"));
            assert_eq!(section["rope_theta"], json!(found.theta), "{family}");
            let kind = serde_json::to_value(&found.scaling).unwrap();
            assert_eq!(section["rope_type"], kind["rope_type"], "{family}");
            for key in ["factor", "beta_fast", "beta_slow", "original_max_position_embeddings"] {
                assert!(section.get(key).is_none_or(|value| *value == kind[key]), "{family}.{key}: {kind}");
            }
            if spec.layers.iter().any(|layer| layer.latent.is_some()) {
                continue;
            }
            let share = match section.get("partial_rotary_factor") {
                // All coordinates turn there, some of them by nothing.
                Some(share) if section["rope_type"] != "proportional" => share.as_f64().unwrap(),
                _ => 1.0,
            };
            let heads = spec.heads(&spec.layers[0]);
            assert_eq!(heads.rotary_dim, (heads.head_dim as f64 * share) as usize, "{family}");
        }
    }
}

#[test]
fn the_original_context_of_a_scaling_that_is_not_there_is_no_training_length() {
    let trained_on = |scaling: Value| {
        let keys = json!({
            "model_type": "phi3", "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096,
            "rope_scaling": scaling
        });
        describe(&config(keys)).unwrap().1.training_length()
    };
    let factors = vec![1.0; 48];
    assert_eq!(trained_on(Value::Null), Some(131_072));
    let longrope = json!({"type": "longrope", "short_factor": factors, "long_factor": factors});
    assert_eq!(trained_on(longrope), Some(4096));
}

#[test]
fn a_configuration_that_says_nothing_derives_what_the_constructor_of_its_class_does() {
    for (family, class) in reference() {
        let (_, spec) = describe(&silent(&family)).unwrap();
        for (key, value) in class["derived"].as_object().unwrap() {
            let windows = spec.layers.iter().map(|layer| match (&layer.mixer, layer.window) {
                (Mixer::Recurrent(RecurrentSpec::ShortConv(_)), _) => "conv",
                (Mixer::Recurrent(_), _) => "linear_attention",
                (Mixer::None, _) if layer.moe.is_some() => "moe",
                (Mixer::None, _) => "mlp",
                (_, Window::Full) if spec.chooses_keys() => "indexed_attention",
                (_, Window::Full) => "full_attention",
                (_, Window::Sliding(_)) => "sliding_attention",
                (_, Window::Chunked(_)) => "chunked_attention",
            });
            let state_space = spec.layers.iter().find_map(|layer| layer.mixer.recurrent());
            let rotary = spec.layers.iter().map(|layer| i32::from(layer.rope.is_some()));
            let found = match key.as_str() {
                "head_dim" if spec.layers.iter().any(|layer| layer.latent.is_some()) => {
                    continue;
                }
                "v_head_dim" | "qk_head_dim" => continue,
                "head_dim" => json!(spec.head_dim),
                "num_key_value_heads" => json!(spec.num_key_value_heads),
                key if key.starts_with("linear_") => {
                    let mixer = spec.recurrent().next().map(serde_json::to_value).unwrap().unwrap();
                    mixer["delta-net"][key].clone()
                }
                "layer_types" | "layers_block_type" => json!(windows.collect::<Vec<_>>()),
                "full_attn_idxs" => json!(spec.attention_layers().collect::<Vec<_>>()),
                "mamba_d_head" | "time_step_rank" | "mamba_dt_rank" => match state_space {
                    // Of no use to it.
                    Some(RecurrentSpec::Mamba2(_)) if key == "time_step_rank" => value.clone(),
                    Some(RecurrentSpec::Mamba2(mixer)) => json!(mixer.mamba_d_head),
                    Some(RecurrentSpec::Mamba(mixer)) => json!(mixer.mamba_dt_rank),
                    other => panic!("{family} has {other:?}"),
                },
                "lru_width" | "attention_hidden_size" => match state_space {
                    Some(RecurrentSpec::GatedUnit(mixer)) => json!(mixer.lru_width),
                    Some(RecurrentSpec::TimeMix(mixer)) => json!(mixer.attention_hidden_size),
                    other => panic!("{family} has {other:?}"),
                },
                "intermediate_size" if spec.extras.alt_up.is_some() => {
                    json!(spec.layers.iter().map(|layer| spec.intermediate_of(layer)).collect::<Vec<_>>())
                }
                "activation_sparsity_pattern" => {
                    let share = |layer: &crate::spec::LayerSpec| layer.activation_sparsity.unwrap_or(0.0);
                    json!(spec.layers.iter().map(share).collect::<Vec<_>>())
                }
                "intermediate_size" => match &spec.layers[1].mixer {
                    Mixer::Recurrent(RecurrentSpec::ChannelMix(mixer)) => json!(mixer.intermediate_size),
                    other => panic!("{family} has {other:?}"),
                },
                "block_types" => json!(["recurrent", "recurrent", "attention"]),
                "mlp_multipliers" => json!(spec.extras.mup.map(|mup| [mup.mlp_gate, mup.mlp_down])),
                // Without them, all of these are 1.
                "ssm_multipliers" => json!(vec![1.0; 5]),
                // Of layers that do not run.
                "mtp_layers_block_type" => value.clone(),
                "no_rope_layers" => json!(rotary.collect::<Vec<_>>()),
                "sliding_window" => {
                    assert!(spec.layers.iter().all(|layer| layer.window == Window::Full), "{family}");
                    // Both say that there is none.
                    if *value == json!(0) { json!(0) } else { Value::Null }
                }
                "moe_layers" => {
                    let mixed = (0..spec.layers.len()).filter(|&layer| spec.layers[layer].moe.is_some());
                    json!(mixed.collect::<Vec<_>>())
                }
                "mlp_only_layers" => {
                    assert!(spec.layers.iter().all(|layer| layer.moe.is_some()), "{family}");
                    json!([])
                }
                "mlp_layer_types" => {
                    let kinds = spec.layers.iter().map(|layer| match layer.moe {
                        Some(_) => "sparse",
                        None => "dense",
                    });
                    json!(kinds.collect::<Vec<_>>())
                }
                "moe_layer_end_index" => json!(spec.layers.iter().rposition(|layer| layer.moe.is_some())),
                "eos_token_id" => continue,
                "ffn_hidden_size" => json!(spec.intermediate_size),
                // What it says counts in the newer of two architectures alone.
                "num_kv_heads" => continue,
                "word_embed_proj_dim" => json!(spec.embedding_size()),
                // A section, empty.
                "attn_config" => continue,
                other => panic!("{family} derives {other}"),
            };
            assert_eq!(*value, found, "{family}.{key}");
        }
    }
}

#[test]
fn every_key_of_the_table_is_asked_for() {
    for family in reference().keys() {
        // Windows, and layers with and without experts: some keys are read beside others alone.
        let mut all = json!({
            "model_type": family, "use_sliding_window": true, "sliding_window": 7, "interleave_moe_layer_step": 2
        });
        if family == "deepseek_v2" {
            all["num_experts_per_tok"] = json!(6);
        }
        for (key, value) in keys_of(family) {
            if all.get(key).is_none() {
                all[key] = value.cloned().unwrap_or_default();
            }
        }
        let config = config(all);
        describe(&config).unwrap();
        let unread: Vec<_> = config.unread();
        // Those of the attention temperature are read with the attention rule, and a base where the section
        // has none.
        let mut later = vec!["attn_temperature_tuning", "attn_scale", "floor_scale"];
        later.extend((family == "lfm3").then_some("rope_local_base_freq"));
        later.extend(
            ["ministral3", "mistral4", "apertus", "cwm"].contains(&family.as_str()).then_some("rope_theta"),
        );
        let forgotten =
            unread.iter().filter(|key| !later.contains(key) && keys_of(family).any(|(k, _)| k == **key));
        assert_eq!(forgotten.collect::<Vec<_>>(), Vec::<&&str>::new(), "{family}");
    }
}

#[test]
fn a_key_that_no_class_knows_is_named_and_one_that_says_nothing_is_not() {
    let said = |keys: Value| {
        let mut all = json!({"model_type": "llama"});
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config = config(all);
        let (_, spec) = describe(&config).unwrap();
        crate::checkpoint::families::warnings(&config, &spec).unwrap()
    };
    assert_eq!(
        said(json!({"use_cache": true, "eos_token_id": 2, "qk_clip": null, "moe": false, "k": []})),
        [""; 0]
    );
    for (keys, words) in [
        (json!({"qk_clip": 0.5}), ["config.json: qk_clip", "family llama", "0.5"]),
        (json!({"sliding_window": 64}), ["config.json: sliding_window", "family llama", "64"]),
        (
            json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "alpha": 1000}}),
            ["config.json: rope_scaling.alpha", "family llama", "1000"],
        ),
        (
            json!({
                "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"},
                "rope_scaling": {"rope_type": "linear", "factor": 2.0}
            }),
            ["config.json: rope_parameters.rope_theta", "the base is 10000", "1000000"],
        ),
    ] {
        let warnings = said(keys);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for word in words {
            assert!(warnings[0].contains(word), "{word:?} is not in: {}", warnings[0]);
        }
    }
}

#[test]
fn attention_that_sees_what_comes_later_is_refused() {
    let gemma = ["gemma2", "gemma3_text"];
    for family in ["gemma2", "gemma3_text", "llama"] {
        for (key, value) in [
            ("use_bidirectional_attention", json!(true)),
            ("use_bidirectional_attention", json!("all")),
            ("is_causal", json!(false)),
            ("per_layer_config", json!({"0": {"head_dim": 8}})),
        ] {
            if key == "use_bidirectional_attention" && !gemma.contains(&family) {
                continue;
            }
            let message =
                describe(&config(json!({"model_type": family, (key): value}))).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
        assert!(
            describe(&config(json!({"model_type": family, "use_bidirectional_attention": false}))).is_ok()
        );
    }
}
