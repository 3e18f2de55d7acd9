//! SmolLM3: Llama with some layers without rotary positions.

use super::common::{llama_like, ropes, sliding_layers, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::DecoderSpec;

/// Reads a SmolLM3 configuration. `no_rope_layers` holds 1 where a layer has rotary positions; else every
/// `no_rope_layer_interval`th layer has none.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let rotary: Vec<bool> = match config.get("no_rope_layers") {
        Some(_) => config.numbers("no_rope_layers", layers)?.iter().map(|flag| *flag != 0.0).collect(),
        None => {
            let interval = config.optional_size("no_rope_layer_interval")?.unwrap_or(4);
            (1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect()
        }
    };
    ropes(&mut spec, |layer, rope| rotary[layer].then_some(rope));
    if config.flag("use_sliding_window")? {
        let sliding = sliding_layers(config, layers, |layer| rotary[layer])?;
        windows(&mut spec, config, &sliding)?;
    }
    Ok(spec)
}
