//! Hunyuan 3: norms on each query and key head, and experts that a sigmoid with a bias chooses, behind the
//! first layer.

use super::common::llama_like;
use super::experts::{self, PER_TOKEN};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MoeSpec, QkNorm, RouterKind, Score, ScoreRouter};

/// Reads a Hunyuan 3 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    experts::refuse_bias(config, "mlp_bias")?;
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    let router = ScoreRouter {
        score: Score::Sigmoid,
        choice_bias: true,
        groups: None,
        norm_floor: Some(experts::NORM_FLOOR),
        routed_scaling_factor: config.number("router_scaling_factor")?,
    };
    let count = experts::or_alias(config, "num_experts", "num_local_experts");
    let keys = [count, PER_TOKEN, "moe_intermediate_size"];
    let moe = experts::read(config, keys, RouterKind::Scores(router))?;
    let shared_expert = experts::shared(config, "num_shared_experts", moe.moe_intermediate_size)?;
    let sparse = experts::by_type(config, spec.num_hidden_layers, 1)?;
    experts::set(&mut spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(spec)
}

/// Hunyuan's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let own = name
        .replace(".mlp.gate.e_score_correction_bias", ".mlp.expert_bias")
        .replace(".mlp.gate.", ".mlp.router.gate.");
    Stored::whole(own.replace(".mlp.shared_expert.", ".mlp.shared_mlp."))
}
