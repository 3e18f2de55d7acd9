//! Mixtral: Mistral with a mixture of experts in every layer.

use serde_json::json;

use super::common::moe;
use super::mistral;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::model::spec::{DecoderSpec, RouterKind};

/// Reads a Mixtral configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &config.with_defaults([("rope_theta", json!(1e6)), ("rms_norm_eps", json!(1e-5))]);
    let mut spec = mistral::spec(config)?;
    let experts = moe(config, "intermediate_size", RouterKind::Softmax { norm_topk_prob: true })?;
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
