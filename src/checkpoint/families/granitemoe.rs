//! Granite 3 MoE: Granite with a mixture of experts in every layer.

use super::experts::{self, PER_TOKEN};
use super::granite;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, RouterKind};

/// Reads a Granite MoE configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = granite::spec(config)?;
    let router = RouterKind::Softmax { norm_topk_prob: true };
    let moe = experts::read(config, ["num_local_experts", PER_TOKEN, "intermediate_size"], router)?;
    spec.layers.iter_mut().for_each(|layer| layer.moe = Some(moe));
    Ok(spec)
}

/// Granite's names of the stacks of experts.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let own = name
        .replace(".mlp.experts.gate_up_proj", ".mlp.input_linear.weight")
        .replace(".mlp.experts.down_proj", ".mlp.output_linear.weight")
        .replace(".mlp.gate.", ".mlp.router.layer.");
    Stored::whole(own.replace(".mlp.", ".block_sparse_moe."))
}
