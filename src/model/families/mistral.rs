//! Mistral: Llama with a sliding window on every layer.

use super::common::{llama_like, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::DecoderSpec;

/// Reads a Mistral configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let all = vec![true; spec.num_hidden_layers];
    windows(&mut spec, config, &all)?;
    Ok(spec)
}
