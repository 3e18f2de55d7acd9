//! What metadata is translated to, key by key.

use std::slice::from_ref;

use candle_core::Tensor;
use candle_core::quantized::gguf_file::{self, Value as Gguf};
use candle_core::quantized::{GgmlDType, QTensor};

use super::*;

/// What a file of this architecture is translated to, with these keys besides the sizes and these tensors
/// besides the embedding.
fn translated(architecture: &str, keys: &[(&str, Gguf)], tensors: &[&str]) -> Result<Config> {
    let mut metadata = vec![("general.architecture".to_string(), Gguf::String(architecture.to_string()))];
    for (name, value) in [
        ("embedding_length", Gguf::U32(32)),
        ("feed_forward_length", Gguf::U32(64)),
        ("block_count", Gguf::U32(4)),
        ("attention.head_count", Gguf::U32(4)),
        ("attention.layer_norm_rms_epsilon", Gguf::F32(1e-6)),
        ("logit_scale", Gguf::F32(0.5)),
    ] {
        let value = keys.iter().find(|(key, _)| *key == name).map_or(value, |(_, value)| value.clone());
        metadata.push((format!("{architecture}.{name}"), value));
    }
    let more = keys.iter().filter(|(name, _)| !metadata.iter().any(|(key, _)| key.ends_with(name)));
    let more: Vec<_> = more.map(|(name, value)| (format!("{architecture}.{name}"), value.clone())).collect();
    metadata.extend(more);
    let ones = Tensor::ones((4, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    let ones = QTensor::quantize(&ones, GgmlDType::F32).unwrap();
    let tensors: Vec<_> = ["token_embd.weight"].iter().chain(tensors).map(|name| (*name, &ones)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("m.gguf");
    gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    Ok(to_config(&GgufFile::open(&path)?)?.0)
}

fn text(text: &str) -> Gguf {
    Gguf::String(text.to_string())
}

#[test]
fn rotary_scaling_is_read_with_the_defaults_of_llama_cpp() {
    let rope = |architecture, keys: &[(&str, Gguf)], tensors: &[&str]| {
        let config = translated(architecture, keys, tensors).unwrap();
        let mut rope = config.get("rope_parameters").unwrap().clone();
        let share = rope.as_object_mut().unwrap().remove("partial_rotary_factor");
        assert!(share.is_none_or(|share| share == 1.0));
        rope
    };
    let plain = json!({ "rope_theta": 10000.0 });
    let linear = json!({ "rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0 });
    let (factor, legacy) = (("rope.scaling.factor", Gguf::F32(4.0)), ("rope.scale_linear", Gguf::F32(4.0)));
    let none = ("rope.scaling.type", text("none"));
    assert_eq!(rope("qwen2", &[], &[]), plain);
    assert_eq!(rope("qwen2", &[none, factor.clone()], &[]), plain);
    assert_eq!(rope("qwen2", from_ref(&factor), &[]), linear);
    assert_eq!(rope("qwen2", &[legacy], &[]), linear);
    let yarn = [
        factor.clone(),
        ("rope.scaling.type", text("yarn")),
        ("rope.scaling.original_context_length", Gguf::U32(64)),
        ("rope.scaling.yarn_attn_factor", Gguf::F32(1.5)),
        ("rope.scaling.yarn_beta_fast", Gguf::F32(16.0)),
        ("rope.scaling.yarn_beta_slow", Gguf::F32(2.0)),
    ];
    let expected = json!({
        "rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        "attention_factor": 1.5, "beta_fast": 16.0, "beta_slow": 2.0
    });
    assert_eq!(rope("qwen2", &yarn, &[]), expected);
    // The tensors alone say that the positions of Phi 3 are scaled.
    let ones = json!(vec![1.0; 128]);
    let long = [
        ("rope.scaling.original_context_length", Gguf::U32(4096)),
        ("rope.scaling.attn_factor", Gguf::F32(1.25)),
    ];
    let expected = json!({
        "rope_theta": 10000.0, "original_max_position_embeddings": 4096, "rope_type": "longrope",
        "long_factor": ones, "short_factor": ones, "attention_factor": 1.25
    });
    assert_eq!(rope("phi3", &long, &["rope_factors_long.weight", "rope_factors_short.weight"]), expected);
    let own = [factor, ("rope.freq_base", Gguf::F32(1e6))];
    let expected = json!({
        "full_attention": {
            "rope_theta": 1e6, "rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 1.0
        },
        "sliding_attention": { "rope_theta": 10000.0 }
    });
    assert_eq!(rope("gemma3", &own, &[]), expected);
}

#[test]
fn the_share_of_rotating_coordinates_is_no_coordinate_short() {
    for (rotary, head_dim) in [(15, 22), (32, 80), (96, 128), (1, 1023), (1022, 1023)] {
        let keys =
            [("attention.key_length", Gguf::U32(head_dim)), ("rope.dimension_count", Gguf::U32(rotary))];
        let config = translated("phi2", &keys, &[]).unwrap();
        let rope = config.optional_section("rope_parameters").unwrap().unwrap();
        let share = rope.number("partial_rotary_factor").unwrap();
        assert_eq!((f64::from(head_dim) * share) as u32, rotary, "{rotary} of {head_dim}");
    }
}

#[test]
fn layers_with_a_window_are_those_that_the_file_names() {
    let types = |architecture, keys: &[(&str, Gguf)]| {
        let types = translated(architecture, keys, &[]).unwrap().optional_strings("layer_types").unwrap();
        types.map(|types| types.iter().map(|kind| kind == "sliding_attention").collect::<Vec<_>>())
    };
    let window = ("attention.sliding_window", Gguf::U32(8));
    let pattern = |value| ("attention.sliding_window_pattern", value);
    let flags = [true, false, false, true];
    let list = Gguf::Array(flags.iter().map(|flag| Gguf::Bool(*flag)).collect());
    assert_eq!(types("cohere2", from_ref(&window)), None);
    assert_eq!(types("cohere2", &[window.clone(), pattern(list)]), Some(flags.to_vec()));
    assert_eq!(
        types("cohere2", &[window.clone(), pattern(Gguf::U32(3))]),
        Some(vec![true, true, false, true])
    );
    assert_eq!(types("cohere2", &[window.clone(), pattern(Gguf::U32(0))]), Some(vec![true; 4]));
    // Blocks that predict further tokens are in the list as well.
    let ahead = ("nextn_predict_layers", Gguf::U32(1));
    let list = Gguf::Array(flags.iter().map(|flag| Gguf::Bool(*flag)).collect());
    assert_eq!(types("cohere2", &[window.clone(), ahead, pattern(list)]), Some(flags[..3].to_vec()));
    assert_eq!(types("gemma3", &[window]), None);
    assert_eq!(types("gemma3", &[]), Some(vec![false; 4]));
}

#[test]
fn the_largest_gemmas_scale_scores_by_their_own_number() {
    for (architecture, layers) in [("gemma2", 46), ("gemma3", 62)] {
        let scalar = |layers| {
            let keys = [
                ("block_count", Gguf::U32(layers)),
                ("embedding_length", Gguf::U32(5376)),
                ("attention.key_length", Gguf::U32(128)),
            ];
            translated(architecture, &keys, &[]).unwrap().optional_number("query_pre_attn_scalar").unwrap()
        };
        assert_eq!(scalar(layers), Some(1344.0));
        assert_eq!(scalar(layers - 1), Some(128.0));
    }
}

#[test]
fn what_a_family_does_not_know_is_refused_by_key() {
    for (architecture, key, value, words) in [
        ("qwen2", "expert_count", Gguf::U32(8), "mixtures of experts"),
        ("llama", "expert_count", Gguf::U32(8), "llama.expert_used_count is missing"),
        ("qwen3", "attention.value_length", Gguf::U32(16), "the width of a key, 8"),
        ("llama", "rope.dimension_count", Gguf::U32(4), "the width of a head, 8"),
        ("phi2", "rope.dimension_count", Gguf::U32(16), "the width of a head, 8"),
        ("granitemoe", "rope.scaling.finetuned", Gguf::Bool(false), "without rotary positions"),
        ("mamba", "ssm.inner_size", Gguf::U32(33), "a multiple of the 32"),
        ("qwen35", "ssm.conv_kernel", Gguf::U32(4), "qwen35.ssm.time_step_rank is missing"),
        ("qwen2", "rope.scaling.type", text("spiral"), "longrope"),
        ("qwen2", "rope.scaling.type", text("yarn"), "rope.scaling.factor is missing"),
        ("phi3", "rope.scaling.type", text("longrope"), "rope_factors_long.weight is missing"),
        ("bert", "a", Gguf::U32(0), "llama, qwen2, qwen3, qwen3moe, qwen2moe"),
    ] {
        let message = translated(architecture, &[(key, value)], &[]).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("m.gguf"), "{message}");
    }
}

#[test]
fn sizes_of_unlike_heads_that_do_not_fit_are_refused_by_key() {
    let size = |key, size| (key, Gguf::U32(size));
    let of_layers = |sizes: &[u32]| Gguf::Array(sizes.iter().map(|size| Gguf::U32(*size)).collect());
    let latent = [
        size("rope.dimension_count", 4),
        size("attention.key_length", 16),
        size("attention.kv_lora_rank", 12),
    ];
    let deepseek = [size("attention.value_length_mla", 10), size("attention.key_length_mla", 3)];
    let steps = [
        size("attention.temperature_length", 8),
        size("rope.scaling.original_context_length", 16),
        ("attention.temperature_scale", Gguf::F32(0.1)),
    ];
    let heads = |heads| {
        [
            size("attention.key_length", 12),
            size("attention.value_length", 8),
            ("attention.sliding_window_pattern", of_layers(&[0, 1, 1, 0])),
            ("attention.head_count_kv", of_layers(heads)),
        ]
    };
    for (architecture, keys, words) in [
        ("deepseek2", [&latent[..], &deepseek].concat(), "at most the 3 numbers of a query"),
        ("minicpm3", latent[..2].to_vec(), "attention.kv_lora_rank is missing"),
        ("mistral3", steps.to_vec(), "that of the original context"),
        ("mimo2", heads(&[1, 2, 1, 1]).to_vec(), "1, and twice as many in layers with a window"),
        ("mimo2", heads(&[1, 2, 2, 1])[..1].to_vec(), "attention.value_length is missing"),
    ] {
        let message = translated(architecture, &keys, &[]).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    assert!(translated("mimo2", &heads(&[1, 2, 2, 1]), &[]).is_ok());
}
