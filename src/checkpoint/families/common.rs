//! What most configurations have in common: Llama's keys, with Llama's choices.

use super::rope_config::{self, ROPE_KEYS, RopeKeys};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::Window;
use crate::spec::{
    Activation, Biases, BlockKind, DecoderSpec, Extras, HeadSizes, LayerSpec, MlpKind, NormKind, QkNorm,
    RopeSpec, RotaryLayout,
};

/// A decoder like Llama with the sizes of `config`: families change what they do otherwise.
///
/// `config` holds the keys that the family's own class reads, and its defaults where it was silent: a key of
/// Llama's that the class does not have is not there.
pub(super) fn llama_like(config: &Config) -> Result<DecoderSpec> {
    like_llama(config, &ROPE_KEYS)
}

/// The same, with other names for rotary positions.
pub(super) fn like_llama(config: &Config, rope_keys: &RopeKeys) -> Result<DecoderSpec> {
    let hidden_size = config.size("hidden_size")?;
    let num_attention_heads = config.size("num_attention_heads")?;
    let num_key_value_heads = config.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads);
    if !num_attention_heads.is_multiple_of(num_key_value_heads) {
        let expected = format!("a divisor of num_attention_heads = {num_attention_heads}");
        return Err(config.wrong("num_key_value_heads", expected, num_key_value_heads));
    }
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
        None => {
            let expected = format!("a divisor of hidden_size = {hidden_size}, or head_dim given");
            return Err(config.wrong("num_attention_heads", expected, num_attention_heads));
        }
    };
    let rotary_dim = rope_config::rotary_dim(config, rope_keys, head_dim)?;
    let num_hidden_layers = layer_count(config, "num_hidden_layers")?;
    let rope = rope_config::read(config, rope_keys, rotary_dim)?;
    let layer = LayerSpec { rope: Some(rope), ..LayerSpec::default() };
    let bias = |key: &str| if config.has(key) { config.required_flag(key) } else { Ok(false) };
    let attention_bias = bias("attention_bias")?;
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        intermediate_size: config.size("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        norm: NormKind::Rms,
        norm_eps: config.positive(first_key(config, NORM_EPS))?,
        block: BlockKind::PreNorm,
        qk_norm: QkNorm::None,
        bias: Biases { qkv: attention_bias, output: attention_bias, mlp: bias("mlp_bias")?, head: false },
        mlp: MlpKind::Gated,
        hidden_act: activation(config)?,
        tie_word_embeddings: config.required_flag("tie_word_embeddings")?,
        layers: vec![layer; num_hidden_layers],
        rotary_layout: RotaryLayout::Half,
        rotary_dim,
        learned_positions: None,
        attention_scale: (head_dim as f64).powf(-0.5),
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logits_multiplier: 1.0,
        max_position_embeddings: config.optional_size("max_position_embeddings")?,
        screening: None,
        extras: Extras::default(),
    })
}

/// Names of the epsilon of norms.
const NORM_EPS: &[&str] =
    &["rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps", "layer_norm_epsilon"];

/// A number of layers that a description of each can be kept for.
pub(super) fn layer_count(config: &Config, key: &str) -> Result<usize> {
    const MOST: usize = 4096;
    let layers = config.size(key)?;
    if layers > MOST { Err(config.wrong(key, format!("at most {MOST}"), layers)) } else { Ok(layers) }
}

/// The first of these keys that is there; the first of all where none is.
fn first_key<'a>(config: &Config, keys: &[&'a str]) -> &'a str {
    keys.iter().find(|key| config.has(key)).unwrap_or(&keys[0])
}

/// Subtracts the heads of these layers in pairs (arXiv 2410.05258); the deeper a layer, the more is taken off
/// before anything is learned.
pub(super) fn in_pairs(spec: &mut DecoderSpec, config: &Config, layers: &[usize]) -> Result<()> {
    let counts = [
        ("num_attention_heads", spec.num_attention_heads),
        ("num_key_value_heads", spec.num_key_value_heads),
    ];
    if let Some((key, heads)) =
        counts.into_iter().find(|(_, heads)| !layers.is_empty() && !heads.is_multiple_of(2))
    {
        return Err(config.wrong(key, "an even number, as heads are subtracted in pairs", heads));
    }
    let heads = HeadSizes {
        num_key_value_heads: spec.num_key_value_heads,
        head_dim: spec.head_dim,
        value_dim: 2 * spec.head_dim,
        rotary_dim: spec.rotary_dim,
        attention_scale: spec.attention_scale,
    };
    for &index in layers {
        spec.layers[index].heads = Some(heads);
        spec.layers[index].differential = Some(0.8 - 0.6 * (-0.3 * index as f64).exp());
    }
    Ok(())
}

/// The activation under the family's key for it.
pub(super) fn activation(config: &Config) -> Result<Activation> {
    activation_of(config, first_key(config, &["hidden_act", "hidden_activation", "activation_function"]))
}

/// The activation under `key`.
pub(super) fn activation_of(config: &Config, key: &str) -> Result<Activation> {
    let name = config.string(key)?;
    ACTIVATIONS.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation).ok_or_else(|| {
        let known = ACTIVATIONS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        config.wrong(key, format!("one of {known}"), name)
    })
}

/// Activations by the names that configurations have for them.
const ACTIVATIONS: &[(&str, Activation)] = &[
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::Relu2),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("mish", Activation::Mish),
    ("linear", Activation::Linear),
];

/// Which layers have the sliding window: as `layer_types` says, else as `otherwise` does for a layer's index.
pub(super) fn sliding_layers(
    config: &Config,
    layers: usize,
    otherwise: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    layers_of_type(config, "sliding_attention", layers, otherwise)
}

/// Which layers are of this type, and not of `full_attention`: as `layer_types` says, else as `otherwise`
/// does for a layer's index.
pub(super) fn layers_of_type(
    config: &Config,
    limited: &str,
    layers: usize,
    otherwise: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = config.optional_strings("layer_types")? else {
        return Ok((0..layers).map(otherwise).collect());
    };
    if types.len() != layers {
        return Err(config.wrong("layer_types", format!("{layers} entries, one a layer"), types.len()));
    }
    let limited = types.iter().map(|kind| match kind.as_str() {
        "full_attention" => Ok(false),
        kind if kind == limited => Ok(true),
        _ => Err(config.wrong("layer_types", format!("{limited} or full_attention"), kind)),
    });
    limited.collect()
}

/// The window of `config` on the layers of a list that tells them apart: one that slides has a window.
pub(super) fn windows_of_types(spec: &mut DecoderSpec, config: &Config, sliding: &[bool]) -> Result<()> {
    if sliding.contains(&true) {
        config.size("sliding_window")?;
    }
    windows(spec, config, sliding)
}

/// The window of `config`, when it has one, on the layers where `sliding` says so.
pub(super) fn windows(spec: &mut DecoderSpec, config: &Config, sliding: &[bool]) -> Result<()> {
    let window = config.optional_size("sliding_window")?.map_or(Window::Full, Window::Sliding);
    for (layer, _) in spec.layers.iter_mut().zip(sliding).filter(|(_, sliding)| **sliding) {
        layer.window = window;
    }
    Ok(())
}

/// Gives every layer the rotary positions that `choose` picks by its index.
pub(super) fn ropes(spec: &mut DecoderSpec, choose: impl Fn(usize, RopeSpec) -> Option<RopeSpec>) {
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.rope = layer.rope.take().and_then(|rope| choose(index, rope));
    }
}

/// Which layers have rotary positions: `no_rope_layers` holds 1 where one has them, and may be longer; where
/// it is missing, every `no_rope_layer_interval`th layer has none.
pub(super) fn rotary_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    match config.get("no_rope_layers") {
        Some(_) => {
            Ok(config.first_numbers("no_rope_layers", layers)?.iter().map(|flag| *flag != 0.0).collect())
        }
        None => {
            let interval = config.size("no_rope_layer_interval")?;
            Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect())
        }
    }
}

/// Which layers the list under `key` names by their indices; nothing when there is no list.
pub(super) fn listed_layers(config: &Config, key: &str, layers: usize) -> Result<Option<Vec<bool>>> {
    let listed = config.optional_indices(key, layers)?;
    Ok(listed.map(|listed| (0..layers).map(|layer| listed.contains(&layer)).collect()))
}

/// Refuses another width of heads in families that take it from the other sizes alone.
pub(super) fn refuse_other_heads(spec: &DecoderSpec, config: &Config) -> Result<()> {
    if spec.head_dim * spec.num_attention_heads == spec.hidden_size {
        return Ok(());
    }
    let expected = "hidden_size / num_attention_heads, as all heads of this family have";
    Err(config.wrong("head_dim", expected, spec.head_dim))
}
