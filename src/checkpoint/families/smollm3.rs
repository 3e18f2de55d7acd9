//! SmolLM3: Llama with some layers without rotary positions. With windows, those are the layers that have
//! them.

use super::common::{llama_like, ropes, rotary_layers, sliding_layers, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a SmolLM3 configuration. `use_sliding_window` counts where `layer_types` is not there.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let rotary = rotary_layers(config, layers)?;
    ropes(&mut spec, |layer, rope| rotary[layer].then_some(rope));
    let windowed = config.required_flag("use_sliding_window")? && config.get("sliding_window").is_some();
    let sliding = sliding_layers(config, layers, |layer| windowed && !rotary[layer])?;
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}
