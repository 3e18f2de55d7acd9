//! MiniMax M2: norms over whole query and key projections, partial rotary positions, and experts that a
//! sigmoid with a bias chooses.

use serde_json::json;

use super::common::like_llama;
use super::experts::{self, PER_TOKEN};
use super::mixtral;
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, QkNorm, RouterKind, Score, ScoreRouter};

/// Reads a MiniMax M2 configuration. Published ones say how many coordinates rotate, and not their share.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let share = match config.optional_size("rotary_dim")? {
        Some(rotary) => rotary as f64 / config.size("head_dim")? as f64,
        None => 1.0,
    };
    let said = |key: &str| key != SHARE || config.get(SHARE).is_some();
    let config = &config.narrowed(said).with_defaults([(SHARE, &json!(share))]);
    let mut spec = DecoderSpec { qk_norm: QkNorm::Projection, ..like_llama(config, &PARTIAL_ROPE_KEYS)? };
    let count = experts::or_alias(config, "num_local_experts", "num_experts");
    let router = ScoreRouter {
        score: Score::Sigmoid,
        choice_bias: true,
        groups: None,
        norm_floor: Some(experts::NORM_FLOOR),
        routed_scaling_factor: 1.0,
    };
    let keys = [count, PER_TOKEN, "intermediate_size"];
    let moe = experts::read(config, keys, RouterKind::Scores(router))?;
    spec.layers.iter_mut().for_each(|layer| layer.moe = Some(moe));
    Ok(spec)
}

const SHARE: &str = "partial_rotary_factor";

/// Mixtral's names; the bias of the choice stands beside the router.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let beside = name.replace(".gate.e_score_correction_bias", ".e_score_correction_bias");
    mixtral::stored(spec, &beside)
}
