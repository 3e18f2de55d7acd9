//! ERNIE 4.5: Llama with interleaved rotary positions.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, RotaryLayout};

/// Reads an ERNIE 4.5 configuration. `use_bias` is for all linear maps but the head.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let bias = config.flag("use_bias")?;
    Ok(DecoderSpec {
        rotary_layout: RotaryLayout::Interleaved,
        bias: Biases { qkv: bias, output: bias, mlp: bias, head: false },
        ..llama_like(config)?
    })
}
