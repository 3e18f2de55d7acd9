//! RWKV-4: time mixing and channel mixing, both recurrent. Each half of a block is a layer here:
//! `num_hidden_layers` blocks are twice as many layers.

use serde_json::json;

use super::common::layer_count;
use super::state_space::mixers_alone;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{ChannelMixSpec, DecoderSpec, LayerSpec, Mixer, NormKind, RecurrentSpec, TimeMixSpec};

/// Reads an RWKV-4 configuration. Its reference halves the residual stream every `rescale_every` blocks, for
/// the range of f16: all that it changes is how much the epsilon of norms counts for beside the stream.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let hidden = config.size("hidden_size")?;
    let inner = match config.optional_size("intermediate_size")? {
        Some(inner) => inner,
        None => hidden.saturating_mul(4),
    };
    let attention_hidden_size = config.optional_size("attention_hidden_size")?.unwrap_or(hidden);
    let halves = [
        RecurrentSpec::TimeMix(TimeMixSpec { attention_hidden_size }),
        RecurrentSpec::ChannelMix(ChannelMixSpec { intermediate_size: inner }),
    ];
    let halves = halves.map(|half| LayerSpec { mixer: Mixer::Recurrent(half), ..LayerSpec::default() });
    let config = &config.with_defaults([("hidden_act", &json!("silu"))]);
    let mut spec = mixers_alone(config, &LayerSpec::default())?;
    let blocks = layer_count(config, "num_hidden_layers")?;
    spec.num_hidden_layers = 2 * blocks;
    spec.layers = halves.iter().cycle().take(2 * blocks).cloned().collect();
    spec.norm = NormKind::LayerWithBias;
    spec.extras.embedding_norm = true;
    spec.extras.halved_every = Some(2 * config.count("rescale_every")?).filter(|&halves| halves > 0);
    spec.max_position_embeddings = config.optional_size("context_length")?;
    Ok(spec)
}

/// RWKV's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let Some((layer, rest)) = name.strip_prefix("model.layers.").and_then(|name| name.split_once('.')) else {
        return Stored::whole(
            name.replace("model.embed_tokens.", "rwkv.embeddings.")
                .replace("model.embed_norm.", "rwkv.blocks.0.pre_ln.")
                .replace("model.norm.", "rwkv.ln_out.")
                .replace("lm_head.", "head."),
        );
    };
    let layer: usize = layer.parse().unwrap_or(0);
    let norm = if layer.is_multiple_of(2) { "ln1." } else { "ln2." };
    Stored::whole(format!("rwkv.blocks.{}.{}", layer / 2, rest.replace("input_layernorm.", norm)))
}
