//! Qwen 3 Next: Qwen 3.5 with experts, the maps of its delta nets grouped by the heads of keys.

use super::{delta_net, experts, qwen3_5};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Qwen 3 Next configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = qwen3_5::spec(config)?;
    let sparse = experts::every_step(config, spec.num_hidden_layers)?;
    qwen3_5::with_experts(&mut spec, config, config.required_flag("norm_topk_prob")?, &sparse)?;
    Ok(spec)
}

/// Its names: for each head of keys the rows of its query, its key, the values that share them and their
/// gates, and of `b` and `a`.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let Some(mixer) = delta_net::of(spec) else { return qwen3_5::stored(spec, name) };
    let shared = mixer.linear_num_value_heads / mixer.linear_num_key_heads;
    let (key, values) = (mixer.linear_key_head_dim, shared * mixer.linear_value_head_dim);
    let of_head = 2 * (key + values);
    for (map, fused, group, start, len) in [
        ("q_proj", "in_proj_qkvz", of_head, 0, key),
        ("k_proj", "in_proj_qkvz", of_head, key, key),
        ("v_proj", "in_proj_qkvz", of_head, 2 * key, values),
        ("g_proj", "in_proj_qkvz", of_head, 2 * key + values, values),
        ("b_proj", "in_proj_ba", 2 * shared, 0, shared),
        ("a_proj", "in_proj_ba", 2 * shared, shared, shared),
    ] {
        let own = format!("linear_attn.{map}");
        if name.contains(&own) {
            let part = Part::Grouped { group, start, len };
            return Stored { part, ..Stored::whole(name.replace(&own, &format!("linear_attn.{fused}"))) };
        }
    }
    qwen3_5::stored(spec, name)
}
