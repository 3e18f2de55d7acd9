//! Ministral: Mistral with windows on some layers.

use super::common::{llama_like, sliding_layers, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Ministral configuration. Without `layer_types`, a window is for all layers.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let windowed = config.optional_size("sliding_window")?.is_some();
    let sliding = sliding_layers(config, spec.num_hidden_layers, |_| windowed)?;
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}
