//! Llama: RMSNorm before attention and MLP, grouped-query attention with rotary positions, SwiGLU.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Biases, DecoderSpec};

/// Reads a Llama configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    Ok(DecoderSpec { bias: Biases { mlp: config.flag("mlp_bias")?, ..spec.bias }, ..spec })
}
