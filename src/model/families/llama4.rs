//! Llama 4 (text): layers with interleaved rotary positions, norms on queries and keys, and attention within chunks; every
//! few layers one without any of these; a mixture of experts with a shared one in some layers or all.

use serde_json::json;

use super::common::{layers_of_type, listed_layers, llama_like, moe, ropes, rotary_layers};
use crate::attention::Window;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::model::spec::{DecoderSpec, MoeSpec, QkNorm, RotaryLayout, RouterKind};

/// Reads the text part of a Llama 4 configuration. `intermediate_size` is the width of an expert, `intermediate_size_mlp`
/// that of a layer without experts.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &config.with_defaults([("rope_theta", json!(5e5)), ("rms_norm_eps", json!(1e-5))]);
    let spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let rotary = rotary_layers(config, layers)?;
    let chunked = layers_of_type(config, "chunked_attention", layers, |layer| rotary[layer])?;
    let window = Window::Chunked(config.size("attention_chunk_size")?);
    let mixed = match listed_layers(config, "moe_layers", layers)? {
        Some(mixed) => mixed,
        None => {
            let step = config.optional_size("interleave_moe_layer_step")?.unwrap_or(1);
            (1..=layers).map(|layer| layer.is_multiple_of(step)).collect()
        }
    };
    let experts = MoeSpec { shared_expert: true, ..moe(config, "intermediate_size", RouterKind::Sigmoid)? };
    let dense = mixed.contains(&false);
    let mut spec = DecoderSpec {
        intermediate_size: if dense { config.size("intermediate_size_mlp")? } else { spec.intermediate_size },
        qk_norm: match config.optional_flag("use_qk_norm")? {
            Some(false) => QkNorm::None,
            Some(true) | None => QkNorm::WeightlessPerHead,
        },
        rotary_layout: RotaryLayout::Interleaved,
        ..spec
    };
    ropes(&mut spec, |layer, rope| rotary[layer].then_some(rope));
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.window = if chunked[index] { window } else { Window::Full };
        layer.moe = mixed[index].then_some(experts);
    }
    Ok(spec)
}

/// Llama 4's names; stacked experts are `[experts, in, out]`.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = name.replace(".mlp.gate.", ".mlp.router.").replace(".mlp.", ".feed_forward.");
    let stacked = [".experts.gate_up_proj", ".experts.down_proj"].iter().any(|end| name.ends_with(end));
    Stored { transposed: stacked, ..Stored::whole(renamed) }
}
