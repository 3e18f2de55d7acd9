//! OLMo Hybrid: three Gated DeltaNet layers with the norms before to one of OLMo 2's attention with the norms
//! behind, with or without rotary positions.

use super::common::{layers_of_type, like_llama};
use super::delta_net;
use super::rope_config::{ROPE_KEYS, section};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, DeltaNetSpec, QkNorm};

/// Epsilon of the norm of what a delta net reads, whatever that of the others is.
const NORM_EPS: f64 = 1e-5;

/// Reads an OLMo Hybrid configuration. A base of null means no rotary positions.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let without_rope = section(config)?
        .is_some_and(|section| section.has("rope_theta") && section.get("rope_theta").is_none());
    let mut spec = like_llama(config, &ROPE_KEYS)?;
    spec.block = BlockKind::PostNorm;
    spec.qk_norm = QkNorm::Projection;
    let layers = spec.num_hidden_layers;
    let last_of_few = |layer: usize| layers < 4 && layer + 1 == layers;
    let linear =
        layers_of_type(config, "linear_attention", layers, |layer| layer % 4 != 3 && !last_of_few(layer))?;
    check_kinds(config, &linear)?;
    let keys = config.optional_size(delta_net::SIZES[0])?.unwrap_or(spec.num_attention_heads);
    let mixer = mixer(config, &spec, (0.75 * spec.hidden_size as f64 / keys as f64) as usize)?;
    delta_net::set(&mut spec, &mixer, &linear);
    for (layer, linear) in spec.layers.iter_mut().zip(linear) {
        layer.block = linear.then_some(BlockKind::PreNorm);
        layer.rope = layer.rope.take().filter(|_| !without_rope);
    }
    Ok(spec)
}

/// Refuses a hybrid of one kind.
pub(super) fn check_kinds(config: &Config, linear: &[bool]) -> Result<()> {
    for (kind, there) in [("linear_attention", true), ("full_attention", false)] {
        if !linear.contains(&there) {
            let expected = format!("at least one layer of {kind}");
            return Err(config.wrong("layer_types", expected, "none"));
        }
    }
    Ok(())
}

/// The delta net: where it does not say otherwise, as many heads as attention has, keys as wide as `key_dim`
/// (three quarters of the residual stream together, in OLMo Hybrid), values twice as wide.
pub(super) fn mixer(config: &Config, spec: &DecoderSpec, key_dim: usize) -> Result<DeltaNetSpec> {
    let size = |index: usize, otherwise: usize| -> Result<usize> {
        Ok(config.optional_size(delta_net::SIZES[index])?.unwrap_or(otherwise))
    };
    let keys = size(0, spec.num_attention_heads)?;
    let values = size(1, spec.num_attention_heads)?;
    let key_dim = size(2, key_dim)?;
    if key_dim == 0 {
        let expected = format!("at most hidden_size = {}", spec.hidden_size);
        return Err(config.wrong(delta_net::SIZES[0], expected, keys));
    }
    let read = delta_net::read(config, [keys, values, key_dim, size(3, 2 * key_dim)?], NORM_EPS)?;
    Ok(DeltaNetSpec { linear_allow_neg_eigval: config.required_flag("linear_allow_neg_eigval")?, ..read })
}

/// The names of both kinds of layers; those of the norms of linear layers are in use in two forms.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')?.0.parse().ok());
    let linear =
        layer.and_then(|layer: usize| spec.layers.get(layer)).is_some_and(|l| !l.mixer.is_attention());
    if !linear {
        return Stored::whole(name);
    }
    Stored::whole(
        name.replace("input_layernorm", "attention_layer_norm")
            .replace("post_attention_layernorm", "feedforward_layer_norm"),
    )
}
