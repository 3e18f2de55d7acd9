//! OLMo 2: norms after attention and MLP, and over whole query and key projections.

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, QkNorm};

/// Reads an OLMo 2 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec { block: BlockKind::PostNorm, qk_norm: QkNorm::Projection, ..llama_like(config)? })
}
