//! RWKV 5 and 6 in the form of `RWKV/rwkv-5-world-*` and `rwkv-6-world-*`, RWKV 7 in that of
//! flash-linear-attention.

use super::super::gpt_like::Sizes;
use super::super::state_space::leave_aside;
use super::{only, unseen};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{BlackBoxSpec, DecoderSpec, RWKV7_HEAD, Rwkv7Spec, RwkvSpec};

/// Reads a configuration of RWKV 5.
pub(super) fn v5(config: &Config) -> Result<DecoderSpec> {
    leave_aside(config, &["model_version"]);
    eagle_or_finch(config, BlackBoxSpec::Rwkv5)
}

/// Reads a configuration of RWKV 6. Its low-rank maps are 32 wide, or 64 of 4,096 channels; candle makes them
/// as wide as there are heads.
pub(super) fn v6(config: &Config) -> Result<DecoderSpec> {
    let spec = eagle_or_finch(config, BlackBoxSpec::Rwkv6)?;
    let (hidden, heads) = (spec.hidden_size, spec.num_attention_heads);
    if heads > 32 && hidden != 4096 {
        let expected = "2048 or 4096 (1.6B, 7B, 14B): candle makes low-rank maps as wide as there are heads, and \
                        those of other sizes are not";
        return Err(config.wrong("hidden_size", expected, hidden));
    }
    Ok(spec)
}

/// The residual stream is halved every `rescale_every` layers in f16 alone. What the configuration calls
/// `num_attention_heads` is the width of a head in files of these.
fn eagle_or_finch(config: &Config, black_box: fn(RwkvSpec) -> BlackBoxSpec) -> Result<DecoderSpec> {
    leave_aside(config, &["rescale_every", "num_attention_heads"]);
    let hidden_size = config.size("hidden_size")?;
    let head_size = config.optional_size("head_size")?.unwrap_or(64);
    if !hidden_size.is_multiple_of(head_size) {
        let expected = format!("a multiple of head_size = {head_size}");
        return Err(config.wrong("hidden_size", expected, hidden_size));
    }
    match config.optional_size("attention_hidden_size")? {
        None => {}
        Some(width) if width == hidden_size => {}
        Some(width) => {
            let expected = format!("{hidden_size}, as hidden_size: candle has one width for both");
            return Err(config.wrong("attention_hidden_size", expected, width));
        }
    }
    let inner = config.optional_size("intermediate_size")?;
    let intermediate_size = inner.unwrap_or(hidden_size.saturating_mul(7) / 2 / 32 * 32);
    let head_size_divisor = config.optional_positive("head_size_divisor")?.unwrap_or(8.0);
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: hidden_size / head_size,
        num_key_value_heads: None,
        num_hidden_layers: "num_hidden_layers",
        intermediate_size,
    };
    let vocab = config.size("vocab_size")?;
    let mut spec = unseen(config, sizes, vocab, black_box(RwkvSpec { head_size, head_size_divisor }))?;
    spec.norm_eps = config.optional_positive("layer_norm_epsilon")?.unwrap_or(1e-5);
    Ok(spec)
}

/// Where files of RWKV 5 have what candle asks for.
pub(super) fn stored_v5(spec: &DecoderSpec, name: &str) -> Stored {
    let whole = Stored::whole(name);
    match spec.extras.black_box {
        // Heads are normed divided: what they are is linear in the values.
        Some(BlackBoxSpec::Rwkv5(rwkv) | BlackBoxSpec::Rwkv6(rwkv))
            if name.ends_with(".attention.value.weight") =>
        {
            Stored { factor: 1.0 / rwkv.head_size_divisor, ..whole }
        }
        _ => whole,
    }
}

/// The same of RWKV 6.
pub(super) fn stored_v6(spec: &DecoderSpec, name: &str) -> Stored {
    let stored = stored_v5(spec, name);
    let Some((place, mix)) = name.split_once(".time_mix_") else { return stored };
    let mix = match mix {
        "key" => "k",
        "value" => "v",
        "receptance" => "r",
        "gate" => "g",
        other => other,
    };
    Stored { name: format!("{place}.time_maa_{mix}"), ..stored }
}

/// Reads a configuration of RWKV 7.
pub(super) fn v7(config: &Config) -> Result<DecoderSpec> {
    leave_aside(config, &["attn_mode", "value_dim", "hidden_ratio", "use_l2warp"]);
    leave_aside(config, &["fuse_norm", "fuse_cross_entropy", "fuse_linear_cross_entropy"]);
    only(config, "norm_first", true, true)?;
    only(config, "norm_bias", true, true)?;
    let hidden_size = config.size("hidden_size")?;
    let act = config.optional_string("hidden_act")?.unwrap_or_else(|| "sqrelu".to_string());
    if act != "sqrelu" {
        return Err(config.wrong("hidden_act", "sqrelu", act));
    }
    if config.get("attn").is_some() {
        let expected = "null: layers that attend beside those with a state are not known to candle";
        return Err(config.wrong("attn", expected, "layers that attend"));
    }
    let head_dim = config.optional_size("head_dim")?.unwrap_or(RWKV7_HEAD);
    if head_dim != RWKV7_HEAD || !hidden_size.is_multiple_of(RWKV7_HEAD) {
        let expected = format!("{RWKV7_HEAD}, a divisor of hidden_size: candle's norm of heads is for these");
        return Err(config.wrong("head_dim", expected, head_dim));
    }
    let heads = hidden_size / RWKV7_HEAD;
    if let Some(found) = config.optional_size("num_heads")?.filter(|found| *found != heads) {
        return Err(config.wrong("num_heads", format!("{heads}: hidden_size / head_dim"), found));
    }
    let eps = config.optional_positive("norm_eps")?.unwrap_or(1e-5);
    if eps.to_bits() != 1e-5f64.to_bits() {
        return Err(config.wrong("norm_eps", "1e-5, which is fixed in candle", eps));
    }
    let rank = |key: &str| config.size(key);
    let black_box = BlackBoxSpec::Rwkv7(Rwkv7Spec {
        decay_low_rank_dim: rank("decay_low_rank_dim")?,
        a_low_rank_dim: rank("a_low_rank_dim")?,
        v_low_rank_dim: rank("v_low_rank_dim")?,
        gate_low_rank_dim: rank("gate_low_rank_dim")?,
    });
    let inner = config.optional_size("intermediate_size")?;
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: heads,
        num_key_value_heads: None,
        num_hidden_layers: "num_hidden_layers",
        intermediate_size: inner.unwrap_or(hidden_size.saturating_mul(4)),
    };
    let vocab = config.size("vocab_size")?;
    let mut spec = unseen(config, sizes, vocab, black_box)?;
    spec.max_position_embeddings = config.optional_size("max_position_embeddings")?;
    Ok(spec)
}

/// Where flash-linear-attention has what candle asks for by the first names of RWKV 7.
pub(super) fn stored_v7(_: &DecoderSpec, name: &str) -> Stored {
    let outside = [("emb.", "model.embeddings."), ("ln_out.", "model.norm."), ("head.", "lm_head.")];
    for (first, own) in outside {
        if let Some(rest) = name.strip_prefix(first) {
            return Stored::whole(format!("{own}{rest}"));
        }
    }
    let Some((layer, rest)) = name.strip_prefix("blocks.").and_then(|name| name.split_once('.')) else {
        return Stored::whole(name);
    };
    // Layer 0 has the values that the others share; candle asks it for the width of the maps all the same.
    let layer = if layer == "0" && ["att.v0", "att.v1", "att.v2"].contains(&rest) { "1" } else { layer };
    let place = format!("model.layers.{layer}");
    let whole = |name: String| Stored::whole(format!("{place}.{name}"));
    if let Some((norm, of)) = rest.split_once('.').filter(|(norm, _)| norm.starts_with("ln")) {
        let norm = match norm {
            "ln0" => "pre_norm",
            "ln1" => "attn_norm",
            _ => "ffn_norm",
        };
        return whole(format!("{norm}.{of}"));
    }
    // Some files have three dimensions where others have one.
    let vector = |name: String| Stored { part: Part::Flat, ..whole(name) };
    let Some(own) = rest.strip_prefix("att.") else {
        return if rest == "ffn.x_k" { vector(rest.to_string()) } else { whole(rest.to_string()) };
    };
    let maps = [
        ("receptance.", "r_proj."),
        ("key.", "k_proj."),
        ("value.", "v_proj."),
        ("output.", "o_proj."),
        ("ln_x.", "g_norm."),
    ];
    if let Some((map, of)) = maps.iter().find_map(|(first, map)| Some((map, own.strip_prefix(first)?))) {
        return whole(format!("attn.{map}{of}"));
    }
    let mut letters = own.chars();
    let low_rank = match (letters.next(), letters.next(), letters.next()) {
        (Some(map @ ('w' | 'a' | 'v' | 'g')), Some(part @ '0'..='2'), None) => Some((map, part)),
        _ => None,
    };
    match low_rank {
        None if own.starts_with("k_") => vector(format!("attn.{own}")),
        None => whole(format!("attn.{own}")),
        Some((map, '0')) => vector(format!("attn.{map}_lora.lora.2.bias")),
        Some((map, part)) => {
            let number = if part == '1' { 0 } else { 2 };
            Stored { transposed: true, ..whole(format!("attn.{map}_lora.lora.{number}.weight")) }
        }
    }
}
