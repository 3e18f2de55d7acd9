//! Llama 4 (text): layers with interleaved rotary positions, norms on queries and keys, and attention within
//! chunks; every few layers one without any of these; a mixture of experts with a shared one in some layers
//! or all.

use super::common::{layers_of_type, listed_layers, llama_like, ropes, rotary_layers};
use super::experts::{self, PER_TOKEN};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::Window;
use crate::spec::{DecoderSpec, MoeSpec, QkNorm, RotaryLayout, RouterKind, SharedExpert};

/// Reads the text part of a Llama 4 configuration. `intermediate_size` is the width of an expert,
/// `intermediate_size_mlp` that of a layer without experts.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    // An empty list says as little as none; one that is longer than there are layers has nothing to say of
    // their windows.
    let empty = config.get("no_rope_layers").and_then(|list| list.as_array()).is_some_and(Vec::is_empty);
    let config = &config.narrowed(|key| !empty || key != "no_rope_layers");
    if config.get("no_rope_layers").is_some() && config.get("layer_types").is_none() {
        config.numbers("no_rope_layers", layers)?;
    }
    let rotary = rotary_layers(config, layers)?;
    let chunk = config.optional_size("attention_chunk_size")?;
    let chunked =
        layers_of_type(config, "chunked_attention", layers, |layer| rotary[layer] && chunk.is_some())?;
    let window = match chunked.contains(&true) {
        true => Window::Chunked(config.size("attention_chunk_size")?),
        false => Window::Full,
    };
    let mixed = match listed_layers(config, "moe_layers", layers)? {
        Some(mixed) => mixed,
        None => {
            let step = config.size("interleave_moe_layer_step")?;
            (1..=layers).map(|layer| layer.is_multiple_of(step)).collect()
        }
    };
    let experts = MoeSpec {
        shared_expert: Some(SharedExpert::default()),
        ..experts::read(config, ["num_local_experts", PER_TOKEN, "intermediate_size"], RouterKind::Sigmoid)?
    };
    let dense = mixed.contains(&false);
    let mut spec = DecoderSpec {
        intermediate_size: if dense { config.size("intermediate_size_mlp")? } else { spec.intermediate_size },
        qk_norm: match config.required_flag("use_qk_norm")? {
            true => QkNorm::WeightlessPerHead,
            false => QkNorm::None,
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
