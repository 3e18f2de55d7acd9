//! Granite 3 with a mixture of experts and an MLP that every token meets.

use super::{granitemoe, granitemoehybrid};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, SharedExpert};

/// Reads a configuration of Granite with shared experts; a width of 0 is none.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = granitemoe::spec(config)?;
    let shared = match config.count("shared_intermediate_size")? {
        0 => None,
        width => Some(SharedExpert { intermediate_size: Some(width), gated: false }),
    };
    for moe in spec.layers.iter_mut().filter_map(|layer| layer.moe.as_mut()) {
        moe.shared_expert = shared;
    }
    Ok(spec)
}

/// The names of Granite 4, without its mixers.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    granitemoehybrid::stored(spec, name)
}
