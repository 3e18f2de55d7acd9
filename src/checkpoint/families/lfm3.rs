//! LFM3: LFM2 with norms before and after, sliding windows with rotary positions of their own, and one gate a
//! head on what attention has mixed.

use super::common::ropes;
use super::lfm2;
use super::rope_config;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, OutputGate, Window};

/// Reads an LFM3 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    // Both kinds of attention turn whole heads; what they turn by is read below.
    let whole = config.narrowed(|key| !["rope_parameters", "rope_scaling"].contains(&key));
    let mut spec = lfm2::attention_and_mlp(&whole)?;
    if config.required_flag("use_sandwich_norm")? {
        spec.block = BlockKind::SandwichNorm;
    }
    if config.required_flag("use_attention_gate")? {
        spec.extras.output_gate = Some(OutputGate::ByHead);
    }
    let kinds = kinds(config, spec.num_hidden_layers)?;
    let [global, local] = rope_config::by_window(config, spec.rotary_dim, "rope_local_base_freq")?;
    let window = config.optional_size("sliding_window")?.map_or(Window::Full, Window::Sliding);
    ropes(&mut spec, |layer, _| {
        Some(if kinds[layer] == Kind::Sliding { local.clone() } else { global.clone() })
    });
    for (layer, kind) in spec.layers.iter_mut().zip(&kinds) {
        layer.window = if *kind == Kind::Sliding { window } else { Window::Full };
    }
    let attends: Vec<bool> = kinds.iter().map(|kind| *kind != Kind::Conv).collect();
    lfm2::convolutions(&mut spec, config, &attends)?;
    Ok(spec)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv,
    Full,
    Sliding,
}

/// The kind of each layer: as `layer_types` says, else full attention in every fourth, a window between, and
/// convolutions in the others.
fn kinds(config: &Config, layers: usize) -> Result<Vec<Kind>> {
    let Some(types) = config.optional_strings("layer_types")? else {
        let kind = |layer: usize| match layer % 4 {
            2 => Kind::Full,
            0 if layer > 0 => Kind::Sliding,
            _ => Kind::Conv,
        };
        return Ok((0..layers).map(kind).collect());
    };
    if types.len() != layers {
        return Err(config.wrong("layer_types", format!("{layers} entries, one a layer"), types.len()));
    }
    let kinds = types.iter().map(|kind| match kind.as_str() {
        "conv" => Ok(Kind::Conv),
        "full_attention" => Ok(Kind::Full),
        "sliding_attention" => Ok(Kind::Sliding),
        _ => Err(config.wrong("layer_types", "conv, full_attention or sliding_attention", kind)),
    });
    kinds.collect()
}

/// LFM3's names.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if spec.block != BlockKind::SandwichNorm {
        return Stored::whole(attention_names(lfm2::stored(spec, name).name));
    }
    let name = name
        .replace(".post_attention_layernorm.", ".post_operator_norm.")
        .replace(".pre_feedforward_layernorm.", ".ffn_norm.")
        .replace(".post_feedforward_layernorm.", ".post_ffn_norm.");
    Stored::whole(attention_names(lfm2::stored(spec, &name).name))
}

/// The names in attention, which are Llama's again.
fn attention_names(name: String) -> String {
    name.replace(".self_attn.out_proj.", ".self_attn.o_proj.")
        .replace(".q_layernorm.", ".q_norm.")
        .replace(".k_layernorm.", ".k_norm.")
}
