//! Mistral: Llama with a sliding window on every layer, or on those that `layer_types` names (Ministral).

use super::common::{llama_like, sliding_layers, windows, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Mistral configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |_| true)?;
    match config.get("layer_types") {
        Some(_) => windows_of_types(&mut spec, config, &sliding)?,
        None => windows(&mut spec, config, &sliding)?,
    }
    Ok(spec)
}
