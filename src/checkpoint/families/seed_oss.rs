//! Seed-OSS: Llama with biases on q, k and v.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec};

/// Reads a Seed-OSS configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let bias = Biases { output: config.required_flag("attention_out_bias")?, ..spec.bias };
    Ok(DecoderSpec { bias, ..spec })
}
