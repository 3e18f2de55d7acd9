//! Bamba: Mamba-2, and attention with half-turned heads in some layers, each with an MLP.

use serde_json::json;

use super::common::like_llama;
use super::rope_config::PARTIAL_ROPE_KEYS;
use super::state_space::{MAMBA2_KEYS, mamba2, time_step_limit};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Mamba2Spec, Mixer, RecurrentSpec};

/// Reads a Bamba configuration: half of a head's coordinates rotate, whatever it says.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec =
        like_llama(&config.with_defaults([("partial_rotary_factor", &json!(0.5))]), &PARTIAL_ROPE_KEYS)?;
    let attends = config.optional_indices("attn_layer_indices", spec.num_hidden_layers)?.unwrap_or_default();
    let inner = config.size("mamba_expand")?.saturating_mul(spec.hidden_size);
    let mixer = mamba2(config, &MAMBA2_KEYS, inner, spec.norm_eps)?;
    let mixer = RecurrentSpec::Mamba2(Mamba2Spec { time_step_limit: time_step_limit(config)?, ..mixer });
    for (_, layer) in spec.layers.iter_mut().enumerate().filter(|(index, _)| !attends.contains(index)) {
        layer.rope = None;
        layer.mixer = Mixer::Recurrent(mixer.clone());
    }
    Ok(spec)
}

/// Bamba's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.norm.", "model.final_layernorm.")
            .replace(".post_attention_layernorm.", ".pre_ff_layernorm.")
            .replace(".mlp.", ".feed_forward."),
    )
}
