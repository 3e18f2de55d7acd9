//! What a configuration means where it is silent: every family's own defaults, and the keys that mean nothing
//! here.
//!
//! `defaults.json` is one table by family. It holds the keys that the configuration class of transformers
//! 5.24 (or the model behind it) reads and the value that it takes for a key that is not there; a key that
//! the table does not have is not read by the family, whatever it says. A name that ends in `?` may be null,
//! which is a value of its own; one that ends in `!` has no default. Tests hold the table against
//! `fixtures/config_defaults.json`, which is written by the classes themselves.
//!
//! Families of `niah train` and Multiscreen have no class; their defaults are their own. What a GGUF's
//! metadata leaves out is filled in by its translation, as llama.cpp has it, before this table is asked.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::checkpoint::{Config, Dialect};
use crate::error::Result;

/// The table: defaults by family and key.
static TABLE: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("defaults.json")).unwrap_or_default());

/// The keys of a family and their defaults; nothing where one has none.
fn keys_of(family: &str) -> impl Iterator<Item = (&'static str, Option<&'static Value>)> {
    let keys = TABLE.get(family).and_then(Value::as_object).into_iter().flatten();
    keys.map(|(key, value)| match key.strip_suffix('!') {
        Some(key) => (key, None),
        None => (key.strip_suffix('?').unwrap_or(key), Some(value)),
    })
}

/// The keys that `family` reads, each with what it has where `config` is silent.
///
/// # Errors
/// [`crate::error::Error::InvalidValue`] for a key that changes what runs in every family of transformers in
/// a way that is not known here.
pub(super) fn completed(config: &Config, family: &str) -> Result<Config> {
    if config.dialect() == Dialect::LlamaCpp {
        return Ok(with_defaults(config, family));
    }
    let reads = |key: &str| key == MODEL_TYPE || keys_of(family).any(|(known, _)| known == key);
    let completed = with_defaults(&config.narrowed(reads), family);
    refuse_unknown_attention(config, &completed)?;
    Ok(completed)
}

/// All keys of `config`, and the defaults of `family` for those that are not there. Rotary parameters of null
/// are not there either: no class takes that for a value.
pub(super) fn with_defaults(config: &Config, family: &str) -> Config {
    let there = |key: &str| key != "rope_parameters" || config.get(key).is_some();
    config.narrowed(there).with_defaults(keys_of(family).filter_map(|(key, value)| Some((key, value?))))
}

/// A warning for each key of `config` that nothing has read, that its family does not know and that is not
/// harmless.
///
/// # Errors
/// [`crate::error::Error::InvalidValue`] when a section of rotary positions is no object.
pub(super) fn warnings(config: &Config, family: &str) -> Result<Vec<String>> {
    let known = |key: &str| {
        key == MODEL_TYPE
            || HARMLESS.contains(&key)
            || keys_of(family).any(|(known, _)| known == key)
            || IGNORED.iter().any(|(of, keys)| *of == family && keys.contains(&key))
    };
    let warning = |config: &Config, key: &str| {
        let value = config.get(key).map(Value::to_string).unwrap_or_default();
        let mut shown: String = value.chars().take(MOST_SHOWN).collect();
        if shown.len() < value.len() {
            shown += "...";
        }
        format!(
            "{}: family {family} does not know this key, and it changes nothing here (found {shown}); take \
             it out if it is not needed",
            config.name_of(key)
        )
    };
    let unknown = config.unread().into_iter().filter(|key| !known(key));
    let mut warnings: Vec<String> = unknown.map(|key| warning(config, key)).collect();
    if let Some(section) = super::rope_config::section(config)? {
        let unknown = section.unread().into_iter().filter(|key| !OF_ROTARY_POSITIONS.contains(key));
        warnings.extend(unknown.map(|key| warning(&section, key)));
    }
    Ok(warnings)
}

/// Keys of rotary positions, each read by some scalings and harmless beside the others.
#[rustfmt::skip]
const OF_ROTARY_POSITIONS: &[&str] = &[
    "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings",
    "max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate",
    "low_freq_factor", "high_freq_factor", "short_factor", "long_factor", "mrope_section", "mrope_interleaved", "finetuned",
    "llama_4_scaling_beta",
];

/// Characters of a value that a warning shows.
const MOST_SHOWN: usize = 60;

const MODEL_TYPE: &str = "model_type";

/// Refuses attention that also sees what comes later: no evaluation here would be of that model. One of the
/// keys for it is read by some families (`completed`), the others by all.
fn refuse_unknown_attention(config: &Config, completed: &Config) -> Result<()> {
    const BOTH_WAYS: &str = "use_bidirectional_attention";
    match completed.get(BOTH_WAYS) {
        None | Some(Value::Bool(false)) => {}
        // Among the parts of a picture, which is no text.
        Some(Value::String(among)) if among == "vision" => {}
        Some(found) => {
            let expected = "false: every token sees those before it alone, as a model that writes text does; \
                            take a causal checkpoint";
            return Err(config.wrong(BOTH_WAYS, expected, found));
        }
    }
    if config.optional_flag("is_causal")? == Some(false) {
        let expected = "true: every token sees those before it alone; take a causal checkpoint";
        return Err(config.wrong("is_causal", expected, false));
    }
    match config.get("per_layer_config") {
        None => Ok(()),
        Some(_) if completed.get("per_layer_config").is_some() => Ok(()),
        Some(_) => {
            let expected = "no such key: layers of different sizes are not known";
            Err(config.wrong("per_layer_config", expected, "sizes by layer"))
        }
    }
}

/// Keys that say nothing about what a decoder computes from tokens, in any family: of training, tokens,
/// generation, other parts of a model, and notes of tools.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    // Training and losses.
    "attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "hidden_dropout", "residual_dropout", "embedding_dropout",
    "classifier_dropout", "summary_first_dropout", "initializer_range", "initializer_factor", "pretraining_tp",
    "output_router_logits", "router_aux_loss_coef", "router_jitter_noise", "gradient_checkpointing", "use_cache",
    "pretraining_seq_length", "z_loss_weight", "input_jitter_noise", "aux_loss_alpha", "seq_aux", "ep_size",
    "enable_moe_fp32_combine", "lambda_std_dev", "linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max",
    "linear_dt_init_floor", "mtp_loss_scaling_factor",
    // Sums of other sizes.
    "qk_head_dim",
    // Heads that predict further tokens, whose layers stand beyond the last.
    "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mtp_layers_block_type", "mtp_hybrid_override_pattern",
    "num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules", "mtp_transformer_layers", "use_mtp",
    // Initial state spaces, and how fast kernels of the reference go about them.
    "mamba_chunk_size", "chunk_size", "time_step_max", "time_step_floor", "time_step_init_scheme",
    "time_step_scale", "rescale_prenorm_residual", "residual_in_fp32", "use_mamba_kernels", "use_mambapy",
    "use_associative_scan", "mamba_ssm_cache_dtype", "w_init_variance_scale", "final_w_init_variance_scale",
    "num_logits_to_keep", "z_loss_coefficient", "moe_shared_expert_overlap",
    "emb_pdrop", "dropout", "layerdrop", "init_std", "slow_but_exact", "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32",
    // Tokens.
    "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "decoder_start_token_id", "eod_token_id",
    "image_token_id", "video_token_id", "image_token_index", "video_token_index", "vision_start_token_id", "vision_end_token_id",
    "vision_token_id", "boi_token_index", "eoi_token_index", "boi_token_id", "eoi_token_id",
    // Generation.
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
    "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "suppress_tokens", "begin_suppress_tokens",
    "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "return_dict_in_generate", "output_scores", "cache_implementation", "generation_config",
    // What a model returns besides logits, and classifiers.
    "output_hidden_states", "output_attentions", "return_dict", "id2label", "label2id", "num_labels", "problem_type",
    "finetuning_task", "task_specific_params", "summary_type", "summary_use_proj", "summary_activation",
    "summary_proj_to_labels",
    // Files and tools.
    "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "name_or_path",
    "tokenizer_class", "model_name", "attn_implementation", "_attn_implementation", "_attn_implementation_autoset",
    "reorder_and_upcast_attn", "use_flash_attention", "use_flash_attn", "_flash_attn_2_enabled", "unsloth_version",
    "unsloth_fixed", "transformers.js_config", "base_model_tp_plan", "torchscript", "_commit_hash", "for_llm_compressor",
    "init_device", "chunk_size_feed_forward", "is_decoder", "is_encoder_decoder", "dsv3_format",
    // Other parts of a model that sees images.
    "vision_config", "audio_config", "text_config", "mm_tokens_per_image",
];

/// Keys that published checkpoints of a family carry and that its class ignores.
#[rustfmt::skip]
const IGNORED: &[(&str, &[&str])] = &[
    ("llama", &["is_llama_config"]),
    ("gemma2", &["hidden_act", "sliding_window_size"]),
    ("gemma3_text", &["hidden_act", "_sliding_window_pattern"]),
    ("qwen3_moe", &["max_window_layers"]),
    // States are kept in f32.
    ("qwen3_5_text", &["mamba_ssm_dtype"]),
    ("qwen3_5_moe_text", &["mamba_ssm_dtype"]),
    ("qwen3_next", &["mamba_ssm_dtype"]),
    ("kimi_linear", &["use_grouped_topk", "topk_method", "rope_theta"]),
    ("qwen3_vl_text", &["max_window_layers"]),
    ("smollm3", &["max_window_layers"]),
    ("cohere2", &[
        "layer_switch", "order_of_interleaved_layers", "position_embedding_type", "rotary_pct", "use_embedding_sharing",
        "use_gated_activation", "use_parallel_block",
    ]),
    ("starcoder2", &["activation_function", "mlp_type", "norm_type"]),
    ("deepseek_v2", &["moe_layer_freq", "scoring_func"]),
    ("deepseek_v3", &["moe_layer_freq", "scoring_func", "topk_method"]),
    ("glm4_moe_lite", &["first_k_dense_replace", "moe_layer_freq", "scoring_func", "topk_method"]),
    ("gpt_oss", &["experts_per_token", "initial_context_length", "rope_truncate"]),
    ("minimax_m2", &["qk_norm_type", "scoring_func", "shared_moe_mode", "use_qk_norm", "use_routing_bias"]),
    // Precision, and what the tensors of dense layers say themselves.
    ("olmo3moe", &["attention_gate_full_precision", "dense_layers_use_shared_expert"]),
    ("gpt2", &["n_ctx"]),
    ("gpt_bigcode", &["num_key_value_heads"]),
    ("lfm2", &[
        "block_dim", "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_swiglu",
        "block_use_xavier_init", "conv_dim", "conv_dim_out", "conv_use_xavier_init", "num_heads", "use_pos_enc",
    ]),
    ("granitemoehybrid", &["init_method", "normalization_function"]),
    ("falcon_h1", &["mamba_use_mlp", "mlp_expansion_factor"]),
    ("nemotron_h", &["norm_eps", "rope_theta", "time_step_rank"]),
    ("mamba", &["d_inner", "d_model", "fused_add_norm", "n_layer", "rms_norm", "ssm_cfg"]),
    ("mamba2", &["intermediate_size", "norm_before_gate", "rms_norm"]),
    ("bamba", &["attn_rotary_emb"]),
    ("jamba", &["mamba_inner_layernorms"]),
    ("recurrent_gemma", &["_block_types", "embeddings_scale_by_sqrt_dim"]),
];

#[cfg(test)]
mod tests;
