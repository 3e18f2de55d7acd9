//! ERNIE 4.5 with a mixture of experts: rotary positions of neighbouring pairs, and a softmax with a bias
//! that chooses.

use super::common::llama_like;
use super::experts;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MoeSpec, RotaryLayout, RouterKind, Score, ScoreRouter};

/// Reads an ERNIE 4.5 MoE configuration: experts in every `moe_layer_interval`th layer from
/// `moe_layer_start_index` to `moe_layer_end_index`.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    experts::refuse_bias(config, "use_bias")?;
    let mut spec = DecoderSpec { rotary_layout: RotaryLayout::Interleaved, ..llama_like(config)? };
    let router = ScoreRouter {
        score: Score::Softmax,
        choice_bias: true,
        groups: None,
        norm_floor: Some(config.number("moe_norm_min")?),
        routed_scaling_factor: 1.0,
    };
    let count = experts::or_alias(config, "moe_num_experts", "num_experts");
    let met = experts::or_alias(config, "moe_k", experts::PER_TOKEN);
    let keys = [count, met, "moe_intermediate_size"];
    let moe = experts::read(config, keys, RouterKind::Scores(router))?;
    let shared_expert = experts::shared(config, "moe_num_shared_experts", moe.moe_intermediate_size)?;
    let (start, interval) = (config.count("moe_layer_start_index")?, config.size("moe_layer_interval")?);
    // -1 is the last layer.
    let end = match config.get("moe_layer_end_index").and_then(serde_json::Value::as_i64) {
        Some(-1) => spec.num_hidden_layers - 1,
        _ => config.count("moe_layer_end_index")?,
    };
    let sparse = |layer: usize| (layer + 1).is_multiple_of(interval) && (start..=end).contains(&layer);
    let sparse: Vec<bool> = (0..spec.num_hidden_layers).map(sparse).collect();
    experts::set(&mut spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(spec)
}

/// ERNIE's names: the bias of the choice is a matrix of one row beside the router.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    match name.strip_suffix(".gate.e_score_correction_bias") {
        Some(mlp) => {
            let name = format!("{mlp}.moe_statics.e_score_correction_bias");
            Stored { part: Part::Flat, ..Stored::whole(name) }
        }
        None => Stored::whole(name.replace(".mlp.shared_expert.", ".mlp.shared_experts.")),
    }
}
