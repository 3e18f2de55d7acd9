//! StableLM 2: Llama with LayerNorm and partial rotary positions.

use super::common::{like_llama, refuse_other_heads};
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, NormKind, QkNorm};

/// Reads a StableLM configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let parallel = config.required_flag("use_parallel_residual")?;
    let spec = like_llama(config, &PARTIAL_ROPE_KEYS)?;
    refuse_other_heads(&spec, config)?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: if parallel { BlockKind::ParallelOneNorm } else { BlockKind::PreNorm },
        bias: Biases { qkv: config.required_flag("use_qkv_bias")?, ..Biases::default() },
        qk_norm: if config.required_flag("qk_layernorm")? { QkNorm::LayerByHead } else { QkNorm::None },
        ..spec
    })
}

/// StableLM's names: each head has a norm of its own.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace("q_norm.", "q_layernorm.norms.").replace("k_norm.", "k_layernorm.norms."))
}
