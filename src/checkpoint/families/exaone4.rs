//! EXAONE 4: norms after attention and MLP and on each query and key head; layers with windows have rotary
//! positions, the others have none.

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, QkNorm};

/// Reads an EXAONE 4 configuration. Without a window, all layers have rotary positions.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec =
        DecoderSpec { block: BlockKind::PostNorm, qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    if config.optional_size("sliding_window")?.is_none() {
        return Ok(spec);
    }
    let pattern = config.size("sliding_window_pattern")?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| (layer + 1) % pattern != 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    ropes(&mut spec, |layer, rope| sliding[layer].then_some(rope));
    Ok(spec)
}
