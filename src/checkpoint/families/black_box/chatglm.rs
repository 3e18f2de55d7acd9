//! ChatGLM 2 and 3 and GLM 4, as their first files have them (`THUDM/chatglm3-6b`, `THUDM/glm-4-9b-chat`).

use super::super::gpt_like::Sizes;
use super::super::state_space::leave_aside;
use super::{only, unseen};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlackBoxSpec, ChatGlmSpec, DecoderSpec};

/// Keys that change nothing here: how numbers are rounded and fused, what training drops.
const ASIDE: &[&str] = &[
    "apply_query_key_layer_scaling",
    "attention_softmax_in_fp32",
    "bias_dropout_fusion",
    "fp32_residual_connection",
    "original_rope",
    "interleaved_qkv",
    "pre_seq_len",
    "prefix_projection",
    "vocab_size",
    "_name_or_path",
];

/// Reads a configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    leave_aside(config, ASIDE);
    only(config, "rmsnorm", true, true)?;
    only(config, "post_layer_norm", true, true)?;
    only(config, "multi_query_attention", true, false)?;
    only(config, "add_bias_linear", false, false)?;
    only(config, "apply_residual_connection_post_layernorm", false, false)?;
    if let Some(bits) = config.optional_number("quantization_bit")?.filter(|bits| *bits != 0.0) {
        return Err(config.wrong("quantization_bit", "0: weights in whole numbers are not read", bits));
    }
    let (hidden_size, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let width = config.optional_size("kv_channels")?.unwrap_or(128);
    if heads.checked_mul(width) != Some(hidden_size) || !width.is_multiple_of(4) {
        let expected =
            format!("a multiple of 4, and hidden_size / num_attention_heads ({hidden_size} / {heads})");
        return Err(config.wrong("kv_channels", expected, width));
    }
    let black_box = BlackBoxSpec::ChatGlm(ChatGlmSpec {
        rope_ratio: rope_ratio(config)?,
        seq_length: config.size("seq_length")?,
        add_qkv_bias: config.optional_flag("add_qkv_bias")?.unwrap_or(false),
    });
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: heads,
        num_key_value_heads: Some(config.size("multi_query_group_num")?),
        num_hidden_layers: "num_layers",
        intermediate_size: config.size("ffn_hidden_size")?,
    };
    let vocab = config.size("padded_vocab_size")?;
    let mut spec = unseen(&config.narrowed(|key| key != "vocab_size"), sizes, vocab, black_box)?;
    spec.norm_eps = config.positive("layernorm_epsilon")?;
    spec.max_position_embeddings = config.optional_size("seq_length")?;
    Ok(spec)
}

/// The factor on the base of the rotary frequencies. Files of ChatGLM 2 divide positions by it instead, which
/// their configuration says by the name alone.
fn rope_ratio(config: &Config) -> Result<usize> {
    let ratio = config.optional_number("rope_ratio")?.unwrap_or(1.0);
    let first = config.optional_string("_name_or_path")?.is_some_and(|name| name.contains("chatglm2"));
    if first && ratio > 1.0 {
        let expected = "1: ChatGLM 2 divides positions by it, which candle does not know";
        return Err(config.wrong("rope_ratio", expected, ratio));
    }
    if ratio < 1.0 || ratio.fract() != 0.0 || ratio > 1e9 {
        return Err(config.wrong("rope_ratio", "a whole number from 1 on", ratio));
    }
    Ok(ratio as usize)
}
