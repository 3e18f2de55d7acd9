//! Persimmon: LayerNorms, also on each query and key head, partial rotary positions, an MLP of squared ReLU
//! without a gate, q, k and v in one matrix by head.

use super::common::like_llama;
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, MlpKind, NormKind, QkNorm};

/// Reads a Persimmon configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        bias: Biases { qkv: true, output: true, mlp: true, head: false },
        mlp: MlpKind::Plain,
        qk_norm: if config.required_flag("qk_layernorm")? { QkNorm::LayerPerHead } else { QkNorm::None },
        ..like_llama(config, &PARTIAL_ROPE_KEYS)?
    })
}

/// Persimmon's names; rows of the fused projection are `[heads, 3, head_dim]`.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = name
        .replace("model.norm.", "model.final_layernorm.")
        .replace("q_norm", "q_layernorm")
        .replace("k_norm", "k_layernorm")
        .replace("o_proj", "dense")
        .replace("up_proj", "dense_h_to_4h")
        .replace("down_proj", "dense_4h_to_h");
    Stored::fused_by_head(&renamed, "query_key_value", spec.head_dim)
        .unwrap_or_else(|| Stored::whole(renamed))
}
