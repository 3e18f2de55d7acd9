//! DiffLlama: Llama with the difference of two attention maps in place of one.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, HeadSizes};

/// Reads a DiffLlama configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    for (key, heads) in
        [("num_attention_heads", spec.num_attention_heads), ("num_key_value_heads", spec.num_key_value_heads)]
    {
        if !heads.is_multiple_of(2) {
            return Err(config.wrong(key, "an even number, as heads are subtracted in pairs", heads));
        }
    }
    let heads = HeadSizes {
        num_key_value_heads: spec.num_key_value_heads,
        head_dim: spec.head_dim,
        value_dim: 2 * spec.head_dim,
        rotary_dim: spec.rotary_dim,
        attention_scale: spec.attention_scale,
    };
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.heads = Some(heads);
        layer.differential = Some(0.8 - 0.6 * (-0.3 * index as f64).exp());
    }
    Ok(spec)
}
