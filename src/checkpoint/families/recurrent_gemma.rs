//! RecurrentGemma: gated linear recurrent units, and attention in a window in every third layer.

use half::bf16;
use serde_json::json;

use super::common::{activation, like_llama};
use super::rope_config::PARTIAL_ROPE_KEYS;
use super::state_space::under_other_name;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, GatedUnitSpec, Mixer, NormKind, RecurrentSpec, Window};

/// Reads a RecurrentGemma configuration. `intermediate_size` is the width of gate and up projection together.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &under_other_name(config, "hidden_act", "hidden_activation");
    let mut spec =
        like_llama(&config.with_defaults([("partial_rotary_factor", &json!(0.5))]), &PARTIAL_ROPE_KEYS)?;
    spec.norm = NormKind::RmsPlusOne;
    spec.bias = Biases { output: true, mlp: true, ..spec.bias };
    spec.intermediate_size /= 2;
    // The factor of the reference is kept in bf16.
    spec.embedding_multiplier = bf16::from_f64((spec.hidden_size as f64).sqrt()).to_f64();
    spec.final_logit_softcapping = Some(config.positive("logits_soft_cap")?);
    let heads = spec.num_attention_heads;
    let lru_width = config.optional_size("lru_width")?.unwrap_or(spec.hidden_size);
    if !lru_width.is_multiple_of(heads) {
        let expected = format!("a multiple of num_attention_heads = {heads}");
        return Err(config.wrong("lru_width", expected, lru_width));
    }
    let mixer = RecurrentSpec::GatedUnit(GatedUnitSpec {
        lru_width,
        num_attention_heads: heads,
        conv1d_width: config.size("conv1d_width")?,
        hidden_activation: activation(config)?,
    });
    let window = Window::Sliding(config.size("attention_window_size")?);
    let attends = attending(config)?;
    for (layer, attends) in spec.layers.iter_mut().zip(attends.iter().cycle()) {
        if *attends {
            layer.window = window;
        } else {
            layer.rope = None;
            layer.mixer = Mixer::Recurrent(mixer.clone());
        }
    }
    Ok(spec)
}

/// Which of the layers of a pattern that comes back attend.
fn attending(config: &Config) -> Result<Vec<bool>> {
    const KEY: &str = "block_types";
    let kinds = config.optional_strings(KEY)?.unwrap_or_default();
    let attends = kinds.iter().map(|kind| match kind.as_str() {
        "attention" => Ok(true),
        "recurrent" => Ok(false),
        kind => Err(config.wrong(KEY, "recurrent or attention", kind)),
    });
    match attends.collect::<Result<Vec<_>>>()? {
        attends if attends.is_empty() => Err(config.wrong(KEY, "the kinds of layers, in turn", "none")),
        attends => Ok(attends),
    }
}

/// RecurrentGemma's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.norm.", "model.final_norm.")
            .replace(".input_layernorm.", ".temporal_pre_norm.")
            .replace(".post_attention_layernorm.", ".channel_pre_norm.")
            .replace(".self_attn.", ".temporal_block.")
            .replace(".mlp.", ".mlp_block."),
    )
}
