//! Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on each query and key head), with an MLP or a
//! mixture of experts.

use super::common::{
    listed_layers, llama_like, moe, refuse_other_heads, sliding_layers, windows, windows_of_types,
};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, QkNorm, RouterKind};

/// Reads a Qwen 2 configuration.
pub(super) fn qwen2(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    spec.bias = Biases { qkv: true, ..Biases::default() };
    with_windows(spec, config)
}

/// Reads a Qwen 2.5 VL configuration.
pub(super) fn qwen2_5_vl(config: &Config) -> Result<DecoderSpec> {
    let spec = qwen2(config)?;
    refuse_other_heads(&spec, config)?;
    Ok(spec)
}

/// Reads a Qwen 3 configuration.
pub(super) fn qwen3(config: &Config) -> Result<DecoderSpec> {
    with_windows(qwen3_vl(config)?, config)
}

/// Reads a Qwen 3 VL configuration: it has no windows.
pub(super) fn qwen3_vl(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? })
}

/// Reads a Qwen 3 configuration with experts: in every `decoder_sparse_step`th layer that `mlp_only_layers`
/// does not name.
pub(super) fn qwen3_moe(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    let layers = spec.num_hidden_layers;
    let router = RouterKind::Softmax { norm_topk_prob: config.required_flag("norm_topk_prob")? };
    // The name of other families is taken as well, and goes before its own.
    let count = if config.get("num_local_experts").is_some() { "num_local_experts" } else { "num_experts" };
    let experts = moe(config, count, "moe_intermediate_size", router)?;
    let dense = listed_layers(config, "mlp_only_layers", layers)?.unwrap_or_else(|| vec![false; layers]);
    let step = config.size("decoder_sparse_step")?;
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
    let windowed = config.flag("use_sliding_window")? && config.get("sliding_window").is_some();
    let full = match windowed && config.get("layer_types").is_none() {
        true => config.count("max_window_layers")?,
        false => usize::MAX,
    };
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer >= full)?;
    if sliding.contains(&true) && !config.flag("use_sliding_window")? {
        return Err(config.wrong("use_sliding_window", "true, as layer_types has sliding_attention", false));
    }
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}
