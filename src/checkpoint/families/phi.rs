//! Phi 1.5 and 2: one LayerNorm for attention and MLP side by side, biases everywhere, partial rotary
//! positions.

use super::common::like_llama;
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, MlpKind, NormKind, QkNorm};

/// Reads a Phi configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: BlockKind::ParallelOneNorm,
        bias: Biases { qkv: true, output: true, mlp: true, head: true },
        mlp: MlpKind::Plain,
        qk_norm: if config.required_flag("qk_layernorm")? { QkNorm::LayerPerHead } else { QkNorm::None },
        ..like_llama(config, &PARTIAL_ROPE_KEYS)?
    })
}

/// Phi's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("o_proj", "dense")
            .replace("q_norm", "q_layernorm")
            .replace("k_norm", "k_layernorm")
            .replace("up_proj", "fc1")
            .replace("down_proj", "fc2")
            .replace("model.norm.", "model.final_layernorm."),
    )
}
