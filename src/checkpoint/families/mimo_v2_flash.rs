//! MiMo 2 Flash: layers with a window have sinks and twice the key heads, values are narrower than keys and
//! scaled, and DeepSeek 3's router chooses experts.

use serde_json::json;

use super::common::{like_llama, ropes, sliding_layers, windows_of_types};
use super::experts::{self, PER_TOKEN};
use super::rope_config::ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, HeadSizes, RopeScaling, RopeSpec, RouterKind};

/// Coordinates of a head that rotate where a configuration does not say so.
const SHARE: f64 = 0.334;

const FACTOR: &str = "routed_scaling_factor";

/// Reads a MiMo 2 Flash configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let whole = config.narrowed(|key| !["rope_parameters", "rope_scaling"].contains(&key));
    let mut spec = like_llama(&whole, &ROPE_KEYS)?;
    let layers = spec.num_hidden_layers;
    spec.bias.output = false;
    spec.extras.value_multiplier = config.optional_number("attention_value_scale")?;
    let sliding = sliding_layers(config, layers, |layer| layer > 0 && !(layer + 1).is_multiple_of(6))?;
    // Published configurations count the keys before the query.
    match config.optional_size("sliding_window_size")? {
        Some(before) => {
            let config = &config.narrowed(|key| key != "sliding_window");
            let window = json!(before + 1);
            windows_of_types(&mut spec, &config.with_defaults([("sliding_window", &window)]), &sliding)?;
        }
        None => windows_of_types(&mut spec, config, &sliding)?,
    }
    let positions = [positions(config, "full_attention", 5e6)?, positions(config, "sliding_attention", 1e4)?];
    ropes(&mut spec, |layer, _| Some(positions[usize::from(sliding[layer])].0.clone()));
    let value_dim = config.size("v_head_dim")?;
    for (layer, &slides) in spec.layers.iter_mut().zip(&sliding) {
        let key_heads = spec.num_key_value_heads.saturating_mul(if slides { 2 } else { 1 });
        if !spec.num_attention_heads.is_multiple_of(key_heads) {
            let expected = format!(
                "a divisor of num_attention_heads = {}, also when doubled for layers with a window",
                spec.num_attention_heads
            );
            return Err(config.wrong("num_key_value_heads", expected, spec.num_key_value_heads));
        }
        let rotary_dim = (spec.head_dim as f64 * positions[usize::from(slides)].1) as usize;
        if rotary_dim > spec.head_dim || !rotary_dim.is_multiple_of(2) {
            let expected = format!("an even number of the {} coordinates of a head to rotate", spec.head_dim);
            return Err(config.wrong("partial_rotary_factor", expected, rotary_dim));
        }
        layer.sinks = slides;
        layer.heads = Some(HeadSizes {
            num_key_value_heads: key_heads,
            head_dim: spec.head_dim,
            value_dim,
            rotary_dim,
            attention_scale: spec.attention_scale,
        });
    }
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    // Null is 1 here.
    let said = |key: &str| key != FACTOR || config.get(FACTOR).is_some();
    let factor = config.narrowed(said).with_defaults([(FACTOR, &json!(1.0))]);
    let router = RouterKind::Scores(experts::deepseek_v3_router(&factor, count)?);
    let moe = experts::read(config, [count, PER_TOKEN, "moe_intermediate_size"], router)?;
    experts::set(&mut spec, moe, &experts::by_type(config, layers, 1)?);
    Ok(spec)
}

/// Rotary positions of a kind of layers, and the share of a head that rotates.
fn positions(config: &Config, kind: &str, theta: f64) -> Result<(RopeSpec, f64)> {
    let section = match config.optional_section("rope_parameters")? {
        Some(parameters) => parameters.optional_section(kind)?,
        None => None,
    };
    let Some(section) = section else { return Ok((plain(theta), SHARE)) };
    if let Some(scaling) = section.optional_string("rope_type")?.filter(|name| name != "default") {
        return Err(section.wrong("rope_type", "default: the family has no other", scaling));
    }
    let share = section.optional_positive("partial_rotary_factor")?.unwrap_or(SHARE);
    Ok((plain(section.positive("rope_theta")?), share))
}

fn plain(theta: f64) -> RopeSpec {
    RopeSpec { theta, scaling: RopeScaling::Default, original_max_position_embeddings: None }
}

/// Sinks by the family's name.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace(".self_attn.sinks", ".self_attn.attention_sink_bias"))
}
