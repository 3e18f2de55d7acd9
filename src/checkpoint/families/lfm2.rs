//! LFM2: gated short convolutions, and attention with norms on queries and keys in some layers.

use serde_json::json;

use super::common::llama_like;
use super::state_space::{attending, under_other_name};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Mixer, QkNorm, RecurrentSpec, ShortConvSpec};

/// Reads an LFM2 configuration. Older ones list the layers that attend, and have names of their own for the
/// width of the MLP and the tying of the head.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &under_other_name(config, "intermediate_size", "block_ff_dim");
    let config = &under_other_name(config, "tie_word_embeddings", "tie_embedding");
    let mut spec = attention_and_mlp(config)?;
    spec.intermediate_size = mlp_width(config, spec.intermediate_size)?;
    let layers = spec.num_hidden_layers;
    let attends = match attending(config, "layer_types", layers, &["conv", "short_conv"])? {
        Some(attends) => attends,
        None => match config.optional_indices("full_attn_idxs", layers)? {
            Some(listed) => (0..layers).map(|layer| listed.contains(&layer)).collect(),
            None => vec![true; layers],
        },
    };
    convolutions(&mut spec, config, &attends)?;
    Ok(spec)
}

/// The decoder with attention in every layer; its MLPs are SwiGLU without saying so.
pub(super) fn attention_and_mlp(config: &Config) -> Result<DecoderSpec> {
    let config = config.with_defaults([("hidden_act", &json!("silu"))]);
    Ok(DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(&config)? })
}

/// Puts convolutions into the layers that do not attend.
pub(super) fn convolutions(spec: &mut DecoderSpec, config: &Config, attends: &[bool]) -> Result<()> {
    let conv = ShortConvSpec {
        conv_l_cache: config.size("conv_L_cache")?,
        conv_bias: config.required_flag("conv_bias")?,
    };
    for (layer, _) in spec.layers.iter_mut().zip(attends).filter(|(_, attends)| !**attends) {
        layer.rope = None;
        layer.mixer = Mixer::Recurrent(RecurrentSpec::ShortConv(conv.clone()));
    }
    Ok(())
}

/// Two thirds of the width that is given, times a factor, up to the next multiple; or that width itself.
fn mlp_width(config: &Config, given: usize) -> Result<usize> {
    if !config.required_flag("block_auto_adjust_ff_dim")? {
        return Ok(given);
    }
    let factor = config.optional_positive("block_ffn_dim_multiplier")?.unwrap_or(1.0);
    let multiple = config.size("block_multiple_of")?;
    let width = (factor * (2 * given / 3) as f64) as usize;
    match width.div_ceil(multiple).checked_mul(multiple).filter(|width| (1..=1 << 31).contains(width)) {
        Some(width) => Ok(width),
        None => {
            Err(config.wrong("block_ffn_dim_multiplier", "a factor that leaves a width to the MLP", factor))
        }
    }
}

/// LFM2's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.norm.", "model.embedding_norm.")
            .replace(".input_layernorm.", ".operator_norm.")
            .replace(".post_attention_layernorm.", ".ffn_norm.")
            .replace(".mlp.gate_proj.", ".feed_forward.w1.")
            .replace(".mlp.down_proj.", ".feed_forward.w2.")
            .replace(".mlp.up_proj.", ".feed_forward.w3.")
            .replace(".self_attn.o_proj.", ".self_attn.out_proj.")
            .replace(".q_norm.", ".q_layernorm.")
            .replace(".k_norm.", ".k_layernorm."),
    )
}
