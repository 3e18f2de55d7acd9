//! What most configurations have in common: Llama's keys, with Llama's choices.

use super::rope_config;
use crate::attention::Window;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{
    Activation, Biases, BlockKind, DecoderSpec, LayerSpec, MlpKind, MoeSpec, NormKind, QkNorm, RopeSpec,
    RotaryLayout, RouterKind,
};

/// A decoder like Llama with the sizes of `config`: families change what they do otherwise.
pub(super) fn llama_like(config: &Config) -> Result<DecoderSpec> {
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
    let rotary_dim = rope_config::rotary_dim(config, head_dim)?;
    let num_hidden_layers = layer_count(config, "num_hidden_layers")?;
    let layer =
        LayerSpec { window: Window::Full, rope: Some(rope_config::read(config, rotary_dim)?), moe: None };
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        intermediate_size: config.size("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        norm: NormKind::Rms,
        norm_eps: first_positive(config, &["rms_norm_eps", "layer_norm_eps", "norm_epsilon"])?
            .unwrap_or(1e-6),
        block: BlockKind::PreNorm,
        qk_norm: QkNorm::None,
        bias: Biases {
            qkv: config.flag("attention_bias")?,
            output: config.flag("attention_bias")?,
            mlp: false,
            head: false,
        },
        mlp: MlpKind::Gated,
        hidden_act: activation(config, Activation::Silu)?,
        tie_word_embeddings: config.flag("tie_word_embeddings")?,
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
    })
}

/// A number of layers that a description of each can be kept for.
pub(super) fn layer_count(config: &Config, key: &str) -> Result<usize> {
    const MOST: usize = 4096;
    let layers = config.size(key)?;
    if layers > MOST { Err(config.wrong(key, format!("at most {MOST}"), layers)) } else { Ok(layers) }
}

/// The first of these keys that is there: a number above 0.
pub(super) fn first_positive(config: &Config, keys: &[&str]) -> Result<Option<f64>> {
    for key in keys {
        if let Some(number) = config.optional_positive(key)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The activation under any of its keys and names.
pub(super) fn activation(config: &Config, default: Activation) -> Result<Activation> {
    for key in ["hidden_activation", "hidden_act", "activation_function"] {
        if let Some(name) = config.optional_string(key)? {
            return match name.as_str() {
                "silu" | "swish" => Ok(Activation::Silu),
                "gelu" => Ok(Activation::Gelu),
                "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
                _ => Err(config.wrong(key, "silu, gelu, gelu_new or gelu_pytorch_tanh", name)),
            };
        }
    }
    Ok(default)
}

/// Which layers have the sliding window: as `layer_types` says, else as `otherwise` does for a layer's index.
pub(super) fn sliding_layers(
    config: &Config,
    layers: usize,
    otherwise: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    layers_of_type(config, "sliding_attention", layers, otherwise)
}

/// Which layers are of this type, and not of `full_attention`: as `layer_types` says, else as `otherwise` does for a layer's
/// index.
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

/// The window of `config` on the layers where `sliding` says so.
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

/// Which layers have rotary positions: `no_rope_layers` holds 1 where one has them; where it is missing or empty, every
/// `no_rope_layer_interval`th layer has none.
pub(super) fn rotary_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    match config.get("no_rope_layers").filter(|list| list.as_array().is_none_or(|list| !list.is_empty())) {
        Some(_) => Ok(config.numbers("no_rope_layers", layers)?.iter().map(|flag| *flag != 0.0).collect()),
        None => {
            let interval = config.optional_size("no_rope_layer_interval")?.unwrap_or(4);
            Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect())
        }
    }
}

/// The mixture of experts of `config`, without a shared expert; `inner` is the key of an expert's inner width.
pub(super) fn moe(config: &Config, inner: &str, router: RouterKind) -> Result<MoeSpec> {
    let num_experts = match config.optional_size("num_experts")? {
        Some(experts) => experts,
        None => config.size("num_local_experts")?,
    };
    let num_experts_per_tok = config.size("num_experts_per_tok")?;
    if num_experts_per_tok > num_experts {
        let expected = format!("at most the {num_experts} experts of a layer");
        return Err(config.wrong("num_experts_per_tok", expected, num_experts_per_tok));
    }
    let moe_intermediate_size = config.size(inner)?;
    Ok(MoeSpec { num_experts, num_experts_per_tok, moe_intermediate_size, router, shared_expert: false })
}

/// Which layers the list under `key` names by their indices; nothing when there is no list.
pub(super) fn listed_layers(config: &Config, key: &str, layers: usize) -> Result<Option<Vec<bool>>> {
    let listed = config.optional_indices(key, layers)?;
    Ok(listed.map(|listed| (0..layers).map(|layer| listed.contains(&layer)).collect()))
}

/// Refuses norms on queries and keys, in families whose checkpoints may have them in a form that is not known.
pub(super) fn refuse_qk_layernorm(config: &Config) -> Result<()> {
    let expected = "false: norms on queries and keys are not known in this family";
    if config.flag("qk_layernorm")? { Err(config.wrong("qk_layernorm", expected, true)) } else { Ok(()) }
}
