//! GLM 4.7 Flash: DeepSeek 3's attention and experts.

use super::latent::latent_like;
use super::{deepseek, experts};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a GLM 4 MoE Lite configuration: all layers but the first have experts where it does not say which.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = DecoderSpec { rotary_layout: deepseek::layout(config)?, ..latent_like(config)? };
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    let router = experts::deepseek_v3_router(config, count)?;
    let sparse = experts::by_type(config, spec.num_hidden_layers, 1)?;
    deepseek::with_experts(spec, config, count, router, |layer| sparse[layer])
}
