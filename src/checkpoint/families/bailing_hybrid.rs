//! Ling 3: Kimi Delta Attention with a bounded decay beside gated latent attention, and DeepSeek 3's experts.

use super::common::layers_of_type;
use super::latent::latent_like;
use super::{delta_net, kimi_linear};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, Extras, OutputGate, RotaryLayout};

/// Reads a Bailing Hybrid configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &kimi_linear::with_own_names(config);
    let mut spec = latent_like(config)?;
    spec.rotary_layout = RotaryLayout::Interleaved;
    spec.extras = Extras { output_gate: Some(OutputGate::ByHead), ..spec.extras };
    let layers = spec.num_hidden_layers;
    let group = match config.get("layer_types") {
        Some(_) => 1,
        None => config.size("layer_group_size")?,
    };
    let linear =
        layers_of_type(config, "linear_attention", layers, |layer| !(layer + 1).is_multiple_of(group))?;
    let (heads, width) = (spec.num_attention_heads, config.size("head_dim")?);
    let kernel = config.size("short_conv_kernel_size")?;
    let mixer = DeltaNetSpec {
        place: "self_attn",
        decay: decay(config)?,
        output_gate: DeltaGate::Sigmoid,
        ..delta_net::of_sizes(config, [heads, heads, width, width], kernel, spec.norm_eps)?
    };
    delta_net::set(&mut spec, &mixer, &linear);
    kimi_linear::with_experts(&mut spec, config)?;
    Ok(spec)
}

fn decay(config: &Config) -> Result<DeltaDecay> {
    let lower_bound = config.number("kda_lower_bound")?;
    if !config.required_flag("kda_safe_gate")? {
        return Ok(DeltaDecay::Full);
    }
    if lower_bound >= 0.0 {
        let expected = "a number below 0, the logarithm of the strongest decay";
        return Err(config.wrong("kda_lower_bound", expected, lower_bound));
    }
    Ok(DeltaDecay::Bounded { lower_bound })
}

/// Ling's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.embed_tokens.", "model.word_embeddings.")
            .replace(".self_attn.gate_proj.", ".self_attn.g_proj.")
            .replace(".self_attn.o_proj.", ".self_attn.dense.")
            .replace(".self_attn.", ".attention.")
            .replace(".mlp.gate.e_score_correction_bias", ".mlp.gate.expert_bias")
            .replace(".mlp.shared_expert.", ".mlp.shared_experts."),
    )
}
