//! Arcee: Llama with an MLP of squared ReLU without a gate.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, MlpKind};

/// Reads an Arcee configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec { mlp: MlpKind::Plain, ..llama_like(config)? })
}
