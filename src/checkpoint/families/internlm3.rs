//! InternLM3: Llama with rotary positions whose base grows with the sequence.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec};

/// Reads an InternLM3 configuration. On the hub, `qkv_bias` is for q, k and v, and `bias` for the other
/// linear maps.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    if let Some(qkv) = config.optional_flag("qkv_bias")? {
        spec.bias.qkv = qkv;
    }
    if let Some(bias) = config.optional_flag("bias")? {
        spec.bias = Biases { output: bias, mlp: bias, ..spec.bias };
    }
    Ok(spec)
}
