//! Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on each query and key head), with an MLP or a
//! mixture of experts.

use super::common::{llama_like, refuse_other_heads, sliding_layers, windows, windows_of_types};
use super::experts::{self, PER_TOKEN};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, MoeSpec, QkNorm, RouterKind, SharedExpert};

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
    let count = experts::or_alias(config, "num_experts", "num_local_experts");
    let experts = experts::read(config, [count, PER_TOKEN, "moe_intermediate_size"], router)?;
    experts::set(&mut spec, experts, &experts::every_step(config, layers)?);
    if config.flag("use_sliding_window")? {
        windows(&mut spec, config, &vec![true; layers])?;
    }
    Ok(spec)
}

/// Reads a Qwen 2 configuration with experts, in the same layers, and one more behind a gate. Its windows are
/// on every second layer of the first `max_window_layers`.
pub(super) fn qwen2_moe(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    spec.bias = Biases { qkv: config.required_flag("qkv_bias")?, ..Biases::default() };
    let router = RouterKind::Softmax { norm_topk_prob: config.required_flag("norm_topk_prob")? };
    let shared = SharedExpert {
        intermediate_size: Some(config.size("shared_expert_intermediate_size")?),
        gated: true,
    };
    let experts = MoeSpec {
        shared_expert: Some(shared),
        ..experts::read(config, ["num_experts", PER_TOKEN, "moe_intermediate_size"], router)?
    };
    experts::set(&mut spec, experts, &experts::every_step(config, layers)?);
    let windowed = config.flag("use_sliding_window")?;
    let first = if windowed { config.count("max_window_layers")? } else { 0 };
    let sliding = sliding_layers(config, layers, |layer| layer.is_multiple_of(2) && layer < first)?;
    if sliding.contains(&true) {
        refuse_unused_windows(config)?;
        windows_of_types(&mut spec, config, &sliding)?;
    }
    Ok(spec)
}

/// Refuses a list of layers with windows beside a flag that says that none has one.
fn refuse_unused_windows(config: &Config) -> Result<()> {
    if config.flag("use_sliding_window")? {
        return Ok(());
    }
    Err(config.wrong("use_sliding_window", "true, as layer_types has sliding_attention", false))
}

/// Windows count only with `use_sliding_window`, from layer `max_window_layers` on.
fn with_windows(mut spec: DecoderSpec, config: &Config) -> Result<DecoderSpec> {
    let windowed = config.flag("use_sliding_window")? && config.get("sliding_window").is_some();
    let full = match windowed && config.get("layer_types").is_none() {
        true => config.count("max_window_layers")?,
        false => usize::MAX,
    };
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer >= full)?;
    if sliding.contains(&true) {
        refuse_unused_windows(config)?;
    }
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}
