//! DiffLlama: Llama with the difference of two attention maps in place of one.

use super::common::{in_pairs, llama_like};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a DiffLlama configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers: Vec<usize> = (0..spec.num_hidden_layers).collect();
    in_pairs(&mut spec, config, &layers)?;
    Ok(spec)
}
