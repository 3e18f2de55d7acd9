//! StableLM 2: Llama with LayerNorm and partial rotary positions.

use super::common::{llama_like, refuse_qk_layernorm};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Biases, BlockKind, DecoderSpec, NormKind};

/// Reads a StableLM configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    refuse_qk_layernorm(config)?;
    let parallel = config.flag("use_parallel_residual")?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: if parallel { BlockKind::ParallelOneNorm } else { BlockKind::PreNorm },
        bias: Biases { qkv: config.flag("use_qkv_bias")?, ..Biases::default() },
        ..llama_like(config)?
    })
}
