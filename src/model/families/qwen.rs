//! Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on each query and key head).

use super::common::{llama_like, sliding_layers, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Biases, DecoderSpec, QkNorm};

/// Reads a Qwen 2 configuration.
pub(super) fn qwen2(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    spec.bias = Biases { qkv: true, ..Biases::default() };
    with_windows(spec, config)
}

/// Reads a Qwen 3 configuration.
pub(super) fn qwen3(config: &Config) -> Result<DecoderSpec> {
    let spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    with_windows(spec, config)
}

/// Windows count only with `use_sliding_window`, from layer `max_window_layers` on.
fn with_windows(mut spec: DecoderSpec, config: &Config) -> Result<DecoderSpec> {
    if config.flag("use_sliding_window")? {
        let full = config.optional_size("max_window_layers")?.unwrap_or(0);
        let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer >= full)?;
        windows(&mut spec, config, &sliding)?;
    }
    Ok(spec)
}
