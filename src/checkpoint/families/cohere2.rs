//! Cohere 2: one LayerNorm without bias for attention and MLP side by side; windows with interleaved rotary
//! positions, and full layers without positions.

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, NormKind, RotaryLayout};

/// Reads a Cohere 2 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let mut spec = DecoderSpec {
        norm: NormKind::Layer,
        block: BlockKind::ParallelOneNorm,
        rotary_layout: RotaryLayout::Interleaved,
        logits_multiplier: config.number("logit_scale")?,
        ..spec
    };
    let pattern = config.size("sliding_window_pattern")?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| (layer + 1) % pattern != 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    ropes(&mut spec, |layer, rope| sliding[layer].then_some(rope));
    Ok(spec)
}
