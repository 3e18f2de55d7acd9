//! What configurations and files of families with Gated DeltaNet layers have in common.

use super::common::layers_of_type;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, LayerSpec, Mixer, RecurrentSpec};

/// Which layers are of `linear_attention`: as `layer_types` says, else all but every
/// `full_attention_interval`th.
pub(super) fn linear_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let interval = match config.get("layer_types") {
        Some(_) => 1,
        None => config.size("full_attention_interval")?,
    };
    layers_of_type(config, "linear_attention", layers, |layer| !(layer + 1).is_multiple_of(interval))
}

/// The keys of the heads of keys and of values, and of the width of each.
pub(super) const SIZES: [&str; 4] =
    ["linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"];

/// A delta net with the numbers that [`SIZES`] names, whose norm has `norm_eps`.
pub(super) fn read(config: &Config, sizes: [usize; 4], norm_eps: f64) -> Result<DeltaNetSpec> {
    of_sizes(config, sizes, config.size("linear_conv_kernel_dim")?, norm_eps)
}

/// The same with a convolution over `kernel` tokens.
pub(super) fn of_sizes(
    config: &Config,
    sizes: [usize; 4],
    kernel: usize,
    norm_eps: f64,
) -> Result<DeltaNetSpec> {
    let [keys, values, key_dim, value_dim] = sizes;
    let activation = config.string("hidden_act")?;
    if activation != "silu" {
        let expected = "silu, as the convolution of a delta net has it";
        return Err(config.wrong("hidden_act", expected, activation));
    }
    let spec = DeltaNetSpec {
        place: "linear_attn",
        linear_num_key_heads: keys,
        linear_num_value_heads: values,
        linear_key_head_dim: key_dim,
        linear_value_head_dim: value_dim,
        linear_conv_kernel_dim: kernel,
        linear_allow_neg_eigval: false,
        decay: DeltaDecay::PerHead,
        output_gate: DeltaGate::Silu,
        norm_eps,
    };
    if !values.is_multiple_of(keys) {
        let expected = format!("a multiple of {} = {keys}", SIZES[0]);
        return Err(config.wrong(SIZES[1], expected, values));
    }
    Ok(spec)
}

/// Puts `mixer` into the layers that `linear` names, where there are no keys and so no positions.
pub(super) fn set(spec: &mut DecoderSpec, mixer: &DeltaNetSpec, linear: &[bool]) {
    for (layer, _) in spec.layers.iter_mut().zip(linear).filter(|(_, linear)| **linear) {
        let mixer = Mixer::Recurrent(RecurrentSpec::DeltaNet(mixer.clone()));
        *layer = LayerSpec { mixer, rope: None, heads: None, latent: None, ..layer.clone() };
    }
}

/// The delta net of a decoder, where some layer has one.
pub(super) fn of(spec: &DecoderSpec) -> Option<&DeltaNetSpec> {
    spec.recurrent().find_map(RecurrentSpec::delta_net)
}

/// A matrix of Qwen's gated attention: rows of queries and gates stand side by side by head.
pub(super) fn gated_queries(spec: &DecoderSpec, name: &str) -> Option<Stored> {
    let rows = |start| Part::Grouped { group: 2 * spec.head_dim, start, len: spec.head_dim };
    let place = name.strip_suffix("self_attn.gate_proj.weight").map(|place| (place, spec.head_dim));
    let place = place.or_else(|| Some((name.strip_suffix("self_attn.q_proj.weight")?, 0)));
    place.map(|(place, start)| Stored {
        part: rows(start),
        ..Stored::whole(format!("{place}self_attn.q_proj.weight"))
    })
}
