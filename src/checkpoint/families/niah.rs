//! The decoders that `niah train` makes: Llama, with windows and rotary positions as the configuration gives
//! them for each layer.
//!
//! | key | |
//! |---|---|
//! | `layer_types` | `sliding_attention` or `full_attention`, one a layer |
//! | `sliding_window` | keys that a row of a sliding layer sees, itself among them |
//! | `no_rope_layers` | 1 for a layer with rotary positions, 0 for one without |
//! | `attention_variant` | of kind `sink`, a learned sink for each query head of its `layers`, or of all |
//! | `differential_layers` | layers whose heads are subtracted in pairs, from 0; none where it is not there |
//! | `qk_norm` | `none`, `weightless` (a norm over each query and key head) or `per_head` (the same with a weight of `head_dim`) |

use super::common::{in_pairs, llama_like, ropes, sliding_layers, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, QkNorm};

/// Reads a configuration of this family: nothing that tells layers apart has a default.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let mut spec = DecoderSpec { qk_norm: qk_norm(config)?, ..spec };
    if config.get("layer_types").is_none() {
        return Err(config.wrong("layer_types", format!("{layers} entries, one a layer"), "nothing"));
    }
    let sliding = sliding_layers(config, layers, |_| false)?;
    if sliding.contains(&true) {
        config.size("sliding_window")?;
        windows(&mut spec, config, &sliding)?;
    }
    let rotary = config.numbers("no_rope_layers", layers)?;
    ropes(&mut spec, |layer, rope| (rotary[layer] != 0.0).then_some(rope));
    let pairs = config.optional_indices("differential_layers", layers)?.unwrap_or_default();
    in_pairs(&mut spec, config, &pairs)?;
    for layer in sinks(config, layers)? {
        spec.layers[layer].sinks = true;
    }
    Ok(spec)
}

/// The layers with sinks, where the configuration says that this is the rule.
fn sinks(config: &Config, layers: usize) -> Result<Vec<usize>> {
    let Some(rule) = config.optional_section("attention_variant")? else { return Ok(Vec::new()) };
    match rule.optional_string("kind")?.as_deref() {
        Some("sink") => Ok(rule.optional_indices("layers", layers)?.unwrap_or((0..layers).collect())),
        _ => Ok(Vec::new()),
    }
}

fn qk_norm(config: &Config) -> Result<QkNorm> {
    match config.string("qk_norm")?.as_str() {
        "none" => Ok(QkNorm::None),
        "weightless" => Ok(QkNorm::WeightlessOnAllLayers),
        "per_head" => Ok(QkNorm::PerHead),
        other => Err(config.wrong("qk_norm", "none, weightless or per_head", format!("{other:?}"))),
    }
}
