//! Granite 3: Llama with four multipliers.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Biases, DecoderSpec};

/// Reads a Granite configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let multiplier = |key: &str, default: f64| {
        Ok::<_, crate::error::Error>(config.optional_number(key)?.unwrap_or(default))
    };
    let logits_scaling = multiplier("logits_scaling", 1.0)?;
    if logits_scaling == 0.0 {
        return Err(config.wrong("logits_scaling", "a number other than 0", logits_scaling));
    }
    Ok(DecoderSpec {
        bias: Biases { mlp: config.flag("mlp_bias")?, ..spec.bias },
        embedding_multiplier: multiplier("embedding_multiplier", 1.0)?,
        residual_multiplier: multiplier("residual_multiplier", 1.0)?,
        attention_scale: multiplier("attention_multiplier", 1.0)?,
        logits_multiplier: 1.0 / logits_scaling,
        ..spec
    })
}
