//! Phi 1.5 and 2: one LayerNorm for attention and MLP side by side, biases everywhere, partial rotary positions.

use super::common::{activation, llama_like, refuse_qk_layernorm};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::model::spec::{Activation, Biases, BlockKind, DecoderSpec, MlpKind, NormKind};

/// Reads a Phi configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    refuse_qk_layernorm(config)?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: BlockKind::ParallelOneNorm,
        bias: Biases { qkv: true, output: true, mlp: true, head: true },
        mlp: MlpKind::Plain,
        hidden_act: activation(config, Activation::GeluTanh)?,
        ..llama_like(config)?
    })
}

/// Phi's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("o_proj", "dense")
            .replace("up_proj", "fc1")
            .replace("down_proj", "fc2")
            .replace("model.norm.", "model.final_layernorm."),
    )
}
