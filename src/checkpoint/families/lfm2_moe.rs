//! LFM2 with a mixture of experts behind its first layers.

use super::experts::{self, PER_TOKEN};
use super::lfm2;
use super::state_space::{attending, under_other_name};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, RouterKind, Score, ScoreRouter};

/// Reads a configuration of LFM2 with experts. `intermediate_size` is the width of an MLP as it is.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &under_other_name(config, "tie_word_embeddings", "tie_embedding");
    let mut spec = lfm2::attention_and_mlp(config)?;
    let layers = spec.num_hidden_layers;
    let attends = attending(config, "layer_types", layers, &["conv", "short_conv"])?;
    let attends = attends.unwrap_or_else(|| vec![true; layers]);
    lfm2::convolutions(&mut spec, config, &attends)?;
    let router = RouterKind::Scores(ScoreRouter {
        score: Score::Sigmoid,
        choice_bias: config.required_flag("use_expert_bias")?,
        groups: None,
        norm_floor: config.required_flag("norm_topk_prob")?.then_some(1e-6),
        routed_scaling_factor: config.number("routed_scaling_factor")?,
    });
    let mixture = experts::read(config, ["num_experts", PER_TOKEN, "moe_intermediate_size"], router)?;
    let dense = config.count("num_dense_layers")?;
    spec.layers.iter_mut().skip(dense).for_each(|layer| layer.moe = Some(mixture));
    Ok(spec)
}

/// The names of LFM2, for experts as well.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if !name.contains(".mlp.experts.") && !name.contains(".mlp.gate.") {
        return lfm2::stored(spec, name);
    }
    Stored::whole(
        name.replace(".mlp.gate.e_score_correction_bias", ".feed_forward.expert_bias")
            .replace(".mlp.", ".feed_forward.")
            .replace(".gate_proj.", ".w1.")
            .replace(".down_proj.", ".w2.")
            .replace(".up_proj.", ".w3."),
    )
}
