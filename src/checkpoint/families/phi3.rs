//! Phi 3: Llama with q, k, v in one matrix, gate and up in another.

use super::common::{like_llama, windows};
use super::rope_config::{PARTIAL_ROPE_KEYS, RopeKeys};
use crate::checkpoint::{Config, Dialect, Part, Stored};
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Phi 3 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let keys = RopeKeys { only_longrope: config.dialect() == Dialect::Transformers, ..PARTIAL_ROPE_KEYS };
    let mut spec = like_llama(config, &keys)?;
    let all = vec![true; spec.num_hidden_layers];
    windows(&mut spec, config, &all)?;
    Ok(spec)
}

/// Rows of the fused matrices.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let (q, kv) = (spec.num_attention_heads * spec.head_dim, spec.num_key_value_heads * spec.head_dim);
    let inner = spec.intermediate_size;
    for (part, fused, start, len) in [
        ("q_proj", "qkv_proj", 0, q),
        ("k_proj", "qkv_proj", q, kv),
        ("v_proj", "qkv_proj", q + kv, kv),
        ("gate_proj", "gate_up_proj", 0, inner),
        ("up_proj", "gate_up_proj", inner, inner),
    ] {
        if name.contains(part) {
            let part_of = Part::Rows { start, len };
            return Stored { part: part_of, ..Stored::whole(name.replace(part, fused)) };
        }
    }
    Stored::whole(name)
}
