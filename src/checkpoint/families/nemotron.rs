//! Nemotron: LayerNorms of `1 + w` with a bias, an MLP of squared ReLU without a gate, partial rotary
//! positions.

use super::common::like_llama;
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, MlpKind, NormKind};

/// Reads a Nemotron configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        norm: NormKind::LayerPlusOneWithBias,
        mlp: MlpKind::Plain,
        ..like_llama(config, &PARTIAL_ROPE_KEYS)?
    })
}
