//! Mistral 4: DeepSeek's latent attention with a temperature by position, and experts of a softmax.

use serde_json::Value;

use super::latent::latent_like;
use super::{deepseek, experts};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, GroupScore, Score, ScoreRouter};

/// Reads a Mistral 4 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &without_share(config)?;
    let spec = DecoderSpec { rotary_layout: deepseek::layout(config)?, ..latent_like(config)? };
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    let router = ScoreRouter {
        score: Score::Softmax,
        choice_bias: false,
        groups: experts::groups(config, count, GroupScore::BestTwo)?,
        norm_floor: config.required_flag("norm_topk_prob")?.then_some(experts::NORM_FLOOR),
        routed_scaling_factor: config.number("routed_scaling_factor")?,
    };
    let dense = config.count("first_k_dense_replace")?;
    deepseek::with_experts(spec, config, count, router, |layer| layer >= dense)
}

/// The same without the share of a whole head that rotates, which its two parts give: what is left of a head
/// rotates whole.
fn without_share(config: &Config) -> Result<Config> {
    const SHARE: &str = "partial_rotary_factor";
    let (nope, rope) = (config.size("qk_nope_head_dim")?, config.size("qk_rope_head_dim")?);
    let mut config = config.clone();
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(Value::Object(mut section)) = config.get(key).cloned() else { continue };
        let share = section.remove(SHARE).as_ref().and_then(Value::as_f64);
        if let Some(share) = share.filter(|share| ((nope + rope) as f64 * share).round() != rope as f64) {
            let expected = format!("the {rope} of {} coordinates of a head that rotate", nope + rope);
            return Err(config.wrong(key, expected, format!("{SHARE} = {share}")));
        }
        config = config.narrowed(|other| other != key).with_defaults([(key, &Value::Object(section))]);
    }
    Ok(config)
}
