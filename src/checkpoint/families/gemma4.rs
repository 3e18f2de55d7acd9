//! Gemma 4 (text): layers with windows and layers without, which have other heads and turn a share of their
//! coordinates; norms on queries, keys and values in place of a factor on scores; in its E models, vectors of
//! each token for each layer, and last layers that use the keys and values of earlier ones.

use std::ops::Range;

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use super::{experts, rope_config};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{
    BlockKind, DecoderSpec, Extras, HeadSizes, MoeSpec, PerLayerInput, QkNorm, RouterKind, RouterParts,
};

/// Reads a Gemma 4 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    // Rotary positions differ by kind of layer, and are read below.
    let whole = config.narrowed(|key| !["rope_parameters", "rope_scaling"].contains(&key));
    let spec = llama_like(&whole)?;
    let mut spec = DecoderSpec {
        block: BlockKind::SandwichNorm,
        qk_norm: QkNorm::PerHead,
        attention_scale: 1.0,
        embedding_multiplier: (spec.hidden_size as f64).sqrt(),
        final_logit_softcapping: config.optional_positive("final_logit_softcapping")?,
        extras: Extras {
            value_norm: true,
            layer_scalar: true,
            per_layer_input: vectors(config)?,
            ..spec.extras
        },
        ..spec
    };
    let count = spec.num_hidden_layers;
    let sliding = sliding_layers(config, count, |layer| (layer + 1) % 6 != 0 && layer + 1 < count)?;
    windows_of_types(&mut spec, config, &sliding)?;
    let same = config.required_flag("attention_k_eq_v")?;
    for (index, layer) in spec.layers.iter_mut().enumerate().filter(|(index, _)| !sliding[*index]) {
        layer.heads =
            Some(global_heads(config, spec.num_attention_heads, spec.num_key_value_heads, index, same)?);
        layer.values_are_keys = same;
    }
    let widths = spec.layers.iter().filter_map(|layer| layer.heads).map(|heads| heads.head_dim);
    let widest = widths.max().unwrap_or(spec.head_dim);
    let [global, local] = rope_config::by_window(config, widest, "rope_theta")?;
    ropes(&mut spec, |layer, _| Some(if sliding[layer] { local.clone() } else { global.clone() }));
    share(&mut spec, config, &sliding)?;
    if config.required_flag("enable_moe_block")? {
        let keys = ["num_experts", "top_k_experts", "moe_intermediate_size"];
        let experts = MoeSpec {
            router_parts: RouterParts { norm: true, expert_scale: true, ..RouterParts::default() },
            beside_mlp: true,
            ..experts::read(config, keys, RouterKind::Softmax { norm_topk_prob: true })?
        };
        spec.layers.iter_mut().for_each(|layer| layer.moe = Some(experts));
    }
    Ok(spec)
}

/// Experts and their router stand beside the MLP, not below it.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let router = name.replace(".mlp.gate.weight", ".router.proj.weight").replace(".mlp.gate.", ".router.");
    Stored::whole(router.replace(".mlp.experts.", ".experts."))
}

/// The heads of layer `index`, one without a window.
fn global_heads(
    config: &Config,
    queries: usize,
    key_heads: usize,
    index: usize,
    values_are_keys: bool,
) -> Result<HeadSizes> {
    let of_layer = match config.optional_section("per_layer_config")? {
        Some(layers) => layers.optional_section(&index.to_string())?,
        None => None,
    };
    let head_dim = match &of_layer {
        Some(layer) => layer.optional_size("head_dim")?,
        None => None,
    };
    let own = match &of_layer {
        Some(layer) => layer.optional_size("num_key_value_heads")?,
        None if values_are_keys => config.optional_size("num_global_key_value_heads")?,
        None => None,
    };
    let head_dim = match head_dim {
        Some(head_dim) => head_dim,
        None => config.size("global_head_dim")?,
    };
    let heads = own.unwrap_or(key_heads);
    if !queries.is_multiple_of(heads) {
        let expected = format!("a divisor of num_attention_heads = {queries}");
        return Err(config.wrong("num_global_key_value_heads", expected, heads));
    }
    Ok(HeadSizes {
        num_key_value_heads: heads,
        head_dim,
        value_dim: head_dim,
        rotary_dim: head_dim,
        attention_scale: 1.0,
    })
}

/// The vectors that layers have of each token, if any.
fn vectors(config: &Config) -> Result<Option<PerLayerInput>> {
    Ok(match config.count("hidden_size_per_layer_input")? {
        0 => None,
        hidden_size_per_layer_input => Some(PerLayerInput {
            hidden_size_per_layer_input,
            vocab_size_per_layer_input: config.size("vocab_size_per_layer_input")?,
        }),
    })
}

/// Gives the last layers the keys and values of the last layer of their kind before them, and a wider MLP.
fn share(spec: &mut DecoderSpec, config: &Config, sliding: &[bool]) -> Result<()> {
    let wide = config.required_flag("use_double_wide_mlp")?.then_some(2 * spec.intermediate_size);
    for layer in share_keys(spec, config, sliding)? {
        spec.layers[layer].intermediate_size = wide;
    }
    Ok(())
}

/// Gives the last layers the keys and values of the last layer of their kind before them, and says which
/// layers these are.
pub(super) fn share_keys(spec: &mut DecoderSpec, config: &Config, sliding: &[bool]) -> Result<Range<usize>> {
    let (count, sharing) = (spec.num_hidden_layers, config.count("num_kv_shared_layers")?);
    if sharing > count {
        return Err(config.wrong("num_kv_shared_layers", format!("at most the {count} layers"), sharing));
    }
    let first = count - sharing;
    for index in first..count {
        let Some(from) = (0..first).rev().find(|earlier| sliding[*earlier] == sliding[index]) else {
            let expected = "a layer of each kind before those that share";
            return Err(config.wrong("num_kv_shared_layers", expected, sharing));
        };
        spec.layers[index].shares = Some(from);
    }
    Ok(first..count)
}
