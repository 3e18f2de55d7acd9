//! Helium: Llama with interleaved rotary positions.

use super::common::{llama_like, refuse_other_heads};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, RotaryLayout};

/// Reads a Helium configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    refuse_other_heads(&spec, config)?;
    let bias = Biases { output: false, ..spec.bias };
    Ok(DecoderSpec { rotary_layout: RotaryLayout::Interleaved, bias, ..spec })
}
