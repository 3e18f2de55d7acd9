//! OLMoE and FlexOlmo: OLMo with a mixture of experts in every layer.

use super::common::llama_like;
use super::experts::{self, PER_TOKEN};
use super::olmo2;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, QkNorm, RouterKind};

/// Reads an OLMoE configuration: norms over whole query and key projections, which are cut to a range
/// behind them.
pub(super) fn olmoe(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { qk_norm: QkNorm::Projection, ..llama_like(config)? };
    spec.extras.clip_qkv = config.optional_positive("clip_qkv")?;
    with_experts(spec, config)
}

/// Reads a FlexOlmo configuration: OLMo 2 with experts.
pub(super) fn flex_olmo(config: &Config) -> Result<DecoderSpec> {
    with_experts(olmo2::spec(config)?, config)
}

fn with_experts(mut spec: DecoderSpec, config: &Config) -> Result<DecoderSpec> {
    let router = RouterKind::Softmax { norm_topk_prob: config.required_flag("norm_topk_prob")? };
    let count = experts::or_alias(config, "num_experts", "num_local_experts");
    let moe = experts::read(config, [count, PER_TOKEN, "intermediate_size"], router)?;
    spec.layers.iter_mut().for_each(|layer| layer.moe = Some(moe));
    Ok(spec)
}
