//! Code World Model: Llama with windows on three layers of four.

use super::common::{llama_like, sliding_layers, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a CWM configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer % 4 != 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}
