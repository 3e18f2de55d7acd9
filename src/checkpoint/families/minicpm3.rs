//! MiniCPM3: latent attention with rotary positions in two halves, and multipliers from three sizes.

use super::latent::latent_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a MiniCPM3 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = latent_like(config)?;
    let (layers, hidden) = (spec.num_hidden_layers as f64, spec.hidden_size as f64);
    Ok(DecoderSpec {
        embedding_multiplier: config.number("scale_emb")?,
        residual_multiplier: config.number("scale_depth")? / layers.sqrt(),
        logits_multiplier: config.number("dim_model_base")? / hidden,
        ..spec
    })
}
