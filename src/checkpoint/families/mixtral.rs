//! Mixtral: Mistral with a mixture of experts in every layer.

use super::common::moe;
use super::mistral;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, RouterKind};

/// Reads a Mixtral configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = mistral::spec(config)?;
    // The name of other families is taken as well, and goes before its own.
    let count = if config.get("num_experts").is_some() { "num_experts" } else { "num_local_experts" };
    let experts = moe(config, count, "intermediate_size", RouterKind::Softmax { norm_topk_prob: true })?;
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
