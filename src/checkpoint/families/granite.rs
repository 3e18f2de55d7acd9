//! Granite 3: Llama with four multipliers.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Granite configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let logits_scaling = config.number("logits_scaling")?;
    if logits_scaling == 0.0 {
        return Err(config.wrong("logits_scaling", "a number other than 0", logits_scaling));
    }
    Ok(DecoderSpec {
        embedding_multiplier: config.number("embedding_multiplier")?,
        residual_multiplier: config.number("residual_multiplier")?,
        attention_scale: config.number("attention_multiplier")?,
        logits_multiplier: 1.0 / logits_scaling,
        ..llama_like(config)?
    })
}
