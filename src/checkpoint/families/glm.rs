//! GLM 4: interleaved rotary positions on half of a head, biases on q, k and v alone, gate and up projection
//! in one matrix; the later GLM 4 (2025) with norms before and after attention and MLP.

use super::common::like_llama;
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, RotaryLayout};

/// Reads a GLM configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = like_llama(config, &PARTIAL_ROPE_KEYS)?;
    let bias = Biases { output: false, ..spec.bias };
    Ok(DecoderSpec { rotary_layout: RotaryLayout::Interleaved, bias, ..spec })
}

/// Reads the configuration of a GLM of 2025.
pub(super) fn glm4(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec { block: BlockKind::SandwichNorm, ..spec(config)? })
}

/// GLM's names; the gates are the first rows of the fused matrix.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let inner = spec.intermediate_size;
    for (part, start) in [("mlp.gate_proj", 0), ("mlp.up_proj", inner)] {
        if name.contains(part) {
            let rows = Part::Rows { start, len: inner };
            return Stored { part: rows, ..Stored::whole(name.replace(part, "mlp.gate_up_proj")) };
        }
    }
    Stored::whole(match spec.block {
        BlockKind::SandwichNorm => name
            .replace("post_attention_layernorm", "post_self_attn_layernorm")
            .replace("pre_feedforward_layernorm", "post_attention_layernorm")
            .replace("post_feedforward_layernorm", "post_mlp_layernorm"),
        _ => name.to_string(),
    })
}
