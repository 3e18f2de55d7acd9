//! Gemma 2 and 3: norms of `1 + w` before and after attention and MLP, scaled embeddings, alternating windows.

use serde_json::json;

use super::common::{activation, llama_like, ropes, sliding_layers, windows};
use super::rope_config;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Activation, BlockKind, DecoderSpec, NormKind, QkNorm};

/// Reads a Gemma 2 configuration: soft caps, windows on every other layer.
pub(super) fn gemma2(config: &Config) -> Result<DecoderSpec> {
    let mut spec = gemma(llama_like(config)?, config)?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer % 2 == 0)?;
    windows(&mut spec, config, &sliding)?;
    Ok(spec)
}

/// Reads a Gemma 3 configuration: query and key norms, five layers with windows and a rotary base of their own for each one
/// without. Checkpoints that see images leave out what transformers takes by default.
pub(super) fn gemma3(config: &Config) -> Result<DecoderSpec> {
    let config = &config.with_defaults([
        ("vocab_size", json!(262_208)),
        ("num_attention_heads", json!(8)),
        ("num_key_value_heads", json!(4)),
        ("head_dim", json!(256)),
        ("query_pre_attn_scalar", json!(256)),
        ("max_position_embeddings", json!(131_072)),
        ("rope_theta", json!(1e6)),
        ("sliding_window", json!(4096)),
    ]);
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..gemma(llama_like(config)?, config)? };
    let pattern = match config.optional_size("sliding_window_pattern")? {
        Some(pattern) => pattern,
        None => config.optional_size("_sliding_window_pattern")?.unwrap_or(6),
    };
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| (layer + 1) % pattern != 0)?;
    windows(&mut spec, config, &sliding)?;
    let local = rope_config::local(config, spec.rotary_dim)?;
    ropes(&mut spec, |layer, global| Some(if sliding[layer] { local.clone() } else { global }));
    Ok(spec)
}

fn gemma(spec: DecoderSpec, config: &Config) -> Result<DecoderSpec> {
    let scalar = config.optional_positive("query_pre_attn_scalar")?.unwrap_or(spec.head_dim as f64);
    Ok(DecoderSpec {
        norm: NormKind::RmsPlusOne,
        block: BlockKind::SandwichNorm,
        hidden_act: activation(config, Activation::GeluTanh)?,
        // Gemma ties its head unless told otherwise.
        tie_word_embeddings: config.optional_flag("tie_word_embeddings")?.unwrap_or(true),
        attention_scale: scalar.powf(-0.5),
        attn_logit_softcapping: config.optional_positive("attn_logit_softcapping")?,
        final_logit_softcapping: config.optional_positive("final_logit_softcapping")?,
        embedding_multiplier: (spec.hidden_size as f64).sqrt(),
        ..spec
    })
}
