//! Llama: RMSNorm before attention and MLP, grouped-query attention with rotary positions, SwiGLU.

use super::rope_config;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::DecoderSpec;

/// Reads a Llama configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let hidden_size = config.size("hidden_size")?;
    let num_attention_heads = config.size("num_attention_heads")?;
    let num_key_value_heads = config.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads);
    if num_attention_heads % num_key_value_heads != 0 {
        return Err(config.wrong(
            "num_key_value_heads",
            format!("a divisor of num_attention_heads = {num_attention_heads}"),
            num_key_value_heads,
        ));
    }
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None if hidden_size % num_attention_heads == 0 => hidden_size / num_attention_heads,
        None => {
            let expected = format!("a divisor of hidden_size = {hidden_size}, or head_dim given");
            return Err(config.wrong("num_attention_heads", expected, num_attention_heads));
        }
    };
    if head_dim % 2 != 0 {
        return Err(config.wrong("head_dim", "an even number, for rotary positions", head_dim));
    }
    config.expect_choice("hidden_act", &["silu", "swish"], "silu")?;
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        intermediate_size: config.size("intermediate_size")?,
        num_hidden_layers: config.size("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        rms_norm_eps: config.optional_number("rms_norm_eps")?.unwrap_or(1e-6),
        attention_bias: config.flag("attention_bias")?,
        mlp_bias: config.flag("mlp_bias")?,
        tie_word_embeddings: config.flag("tie_word_embeddings")?,
        rope: rope_config::read(config, head_dim)?,
        max_position_embeddings: config.optional_size("max_position_embeddings")?,
    })
}
