//! SmolLM3: Llama with some layers without rotary positions.

use super::common::{llama_like, ropes, rotary_layers, sliding_layers, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::DecoderSpec;

/// Reads a SmolLM3 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let rotary = rotary_layers(config, layers)?;
    ropes(&mut spec, |layer, rope| rotary[layer].then_some(rope));
    if config.flag("use_sliding_window")? {
        let sliding = sliding_layers(config, layers, |layer| rotary[layer])?;
        windows(&mut spec, config, &sliding)?;
    }
    Ok(spec)
}
