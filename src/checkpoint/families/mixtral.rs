//! Mixtral: Mistral with a mixture of experts in every layer.

use super::experts::PER_TOKEN;
use super::{experts, mistral};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, RouterKind};

/// Reads a Mixtral configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = mistral::spec(config)?;
    let count = experts::or_alias(config, "num_local_experts", "num_experts");
    let router = RouterKind::Softmax { norm_topk_prob: true };
    let experts = experts::read(config, [count, PER_TOKEN, "intermediate_size"], router)?;
    spec.layers.iter_mut().for_each(|layer| layer.moe = Some(experts));
    Ok(spec)
}

/// Mixtral's own names. Files that transformers 5 writes with stacked experts have Llama's.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace(".mlp.", ".block_sparse_moe.")
            .replace("gate_proj", "w1")
            .replace("down_proj", "w2")
            .replace("up_proj", "w3"),
    )
}
