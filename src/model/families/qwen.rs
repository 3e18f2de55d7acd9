//! Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on each query and key head), with an MLP or a mixture of experts.

use super::common::{listed_layers, llama_like, moe, sliding_layers, windows};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{Biases, DecoderSpec, QkNorm, RouterKind};

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

/// Reads a Qwen 3 configuration with experts: in every `decoder_sparse_step`th layer that `mlp_only_layers` does not name.
pub(super) fn qwen3_moe(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    let layers = spec.num_hidden_layers;
    let router = RouterKind::Softmax { norm_topk_prob: config.flag("norm_topk_prob")? };
    let experts = moe(config, "moe_intermediate_size", router)?;
    let dense = listed_layers(config, "mlp_only_layers", layers)?.unwrap_or_else(|| vec![false; layers]);
    let step = config.optional_size("decoder_sparse_step")?.unwrap_or(1);
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.moe = (!dense[index] && (index + 1).is_multiple_of(step)).then_some(experts);
    }
    if config.flag("use_sliding_window")? {
        windows(&mut spec, config, &vec![true; layers])?;
    }
    Ok(spec)
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
