//! Reads rotary positions from both generations of `config.json`: `rope_theta` + `rope_scaling`, and `rope_parameters`.

use super::common::first_positive;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{RopeScaling, RopeSpec};

/// Coordinates of a head that rotate: all of them, or the share that `partial_rotary_factor` gives.
pub(super) fn rotary_dim(config: &Config, head_dim: usize) -> Result<usize> {
    let section = config.optional_section("rope_parameters")?;
    let in_section =
        section.as_ref().map(|section| section.optional_positive("partial_rotary_factor")).transpose()?;
    let factor = match in_section.flatten() {
        Some(factor) => Some(factor),
        None => first_positive(config, &["partial_rotary_factor", "rotary_pct"])?,
    };
    let rotary = (head_dim as f64 * factor.unwrap_or(1.0)) as usize;
    if rotary == 0 || rotary > head_dim || !rotary.is_multiple_of(2) {
        let Some(factor) = factor else {
            return Err(config.wrong("head_dim", "an even number, for rotary positions", head_dim));
        };
        let expected = format!("an even number of the {head_dim} coordinates of a head to rotate");
        return Err(config.wrong("partial_rotary_factor", expected, format!("{factor}: {rotary}")));
    }
    Ok(rotary)
}

/// The rotary positions of layers with a sliding window, where they have a base of their own (Gemma 3).
pub(super) fn local(config: &Config, rotary_dim: usize) -> Result<RopeSpec> {
    if let Some(parameters) = config.optional_section("rope_parameters")? {
        if let Some(section) = parameters.optional_section("sliding_attention")? {
            let theta = section.positive("rope_theta")?;
            return scaled(config, theta, Some(section), rotary_dim);
        }
        return read(config, rotary_dim);
    }
    let theta = config.optional_positive("rope_local_base_freq")?.unwrap_or(10000.0);
    scaled(config, theta, None, rotary_dim)
}

/// The rotary positions that `config` describes, for all layers or for those without a sliding window.
pub(super) fn read(config: &Config, rotary_dim: usize) -> Result<RopeSpec> {
    if let Some(parameters) = config.optional_section("rope_parameters")? {
        let section = parameters.optional_section("full_attention")?.unwrap_or(parameters);
        let theta = section.positive("rope_theta")?;
        return scaled(config, theta, Some(section), rotary_dim);
    }
    let theta = first_positive(config, &["rope_theta", "rotary_emb_base"])?.unwrap_or(10000.0);
    scaled(config, theta, config.optional_section("rope_scaling")?, rotary_dim)
}

fn scaled(config: &Config, theta: f64, scaling: Option<Config>, rotary_dim: usize) -> Result<RopeSpec> {
    let Some(section) = scaling else {
        return Ok(RopeSpec { theta, scaling: RopeScaling::Default, original_max_position_embeddings: None });
    };
    let original = match section.optional_size("original_max_position_embeddings")? {
        Some(original) => Some(original),
        None => config.optional_size("original_max_position_embeddings")?,
    };
    let kind = match section.optional_string("rope_type")? {
        Some(kind) => kind,
        None => section.optional_string("type")?.unwrap_or_else(|| "default".to_string()),
    };
    let original_or_declared = || match original {
        Some(original) => Ok(original),
        None => config.size("max_position_embeddings"),
    };
    let scaling = match kind.as_str() {
        // The three directions of Qwen VL's "mrope" are one for text.
        "default" | "mrope" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: section.positive("factor")? },
        "llama3" => {
            let low_freq_factor = section.positive("low_freq_factor")?;
            let high_freq_factor = section.positive("high_freq_factor")?;
            if high_freq_factor <= low_freq_factor {
                let expected = format!("more than low_freq_factor = {low_freq_factor}");
                return Err(section.wrong("high_freq_factor", expected, high_freq_factor));
            }
            RopeScaling::Llama3 {
                factor: section.positive("factor")?,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original_or_declared()?,
            }
        }
        "yarn" => {
            let factor = section.positive("factor")?;
            RopeScaling::Yarn {
                factor,
                attention_factor: yarn_attention_factor(&section, factor)?,
                beta_fast: section.optional_positive("beta_fast")?.unwrap_or(32.0),
                beta_slow: section.optional_positive("beta_slow")?.unwrap_or(1.0),
                truncate: section.optional_flag("truncate")?.unwrap_or(true),
                original_max_position_embeddings: original_or_declared()?,
            }
        }
        "dynamic" => {
            if rotary_dim <= 2 {
                let expected =
                    "another kind: dynamic scaling needs more than one pair of coordinates to rotate";
                return Err(section.wrong("rope_type", expected, kind));
            }
            RopeScaling::Dynamic {
                factor: section.positive("factor")?,
                max_position_embeddings: config.size("max_position_embeddings")?,
            }
        }
        // "su" is what Phi-3 first called it.
        "longrope" | "su" => RopeScaling::LongRope {
            short_factor: divisors(&section, "short_factor", rotary_dim)?,
            long_factor: divisors(&section, "long_factor", rotary_dim)?,
            attention_factor: longrope_attention_factor(config, &section, original_or_declared()?)?,
            original_max_position_embeddings: original_or_declared()?,
        },
        "divisors" => RopeScaling::Divisors { divisors: divisors(&section, "divisors", rotary_dim)? },
        _ => {
            return Err(section.wrong(
                "rope_type",
                "default, linear, dynamic, llama3, longrope or yarn",
                kind,
            ));
        }
    };
    Ok(RopeSpec { theta, scaling, original_max_position_embeddings: original })
}

/// One divisor above 0 for each pair of coordinates that rotates.
fn divisors(section: &Config, key: &str, rotary_dim: usize) -> Result<Vec<f32>> {
    let divisors = section.numbers(key, rotary_dim / 2)?;
    match divisors.iter().find(|divisor| !(**divisor > 0.0 && divisor.is_finite())) {
        Some(wrong) => Err(section.wrong(key, "numbers above 0", wrong)),
        None => Ok(divisors),
    }
}

/// LongRoPE's factor on cos and sin: as given, or `sqrt(1 + ln(f) / ln(original))` for an extension by `f`.
fn longrope_attention_factor(config: &Config, section: &Config, original: usize) -> Result<f64> {
    if let Some(given) = section.optional_positive("attention_factor")? {
        return Ok(given);
    }
    let factor = match section.optional_positive("factor")? {
        Some(factor) => factor,
        None => config.size("max_position_embeddings")? as f64 / original as f64,
    };
    match original {
        _ if factor <= 1.0 => Ok(1.0),
        1 => {
            Err(section.wrong("original_max_position_embeddings", "a context of more than 1 token", original))
        }
        _ => Ok((1.0 + factor.ln() / (original as f64).ln()).sqrt()),
    }
}

/// YaRN's factor on cos and sin: as given, or `0.1 ln(factor) + 1` (with DeepSeek's `mscale` pair, their ratio).
fn yarn_attention_factor(section: &Config, factor: f64) -> Result<f64> {
    if let Some(given) = section.optional_positive("attention_factor")? {
        return Ok(given);
    }
    let mscale = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    let pair = (section.optional_number("mscale")?, section.optional_number("mscale_all_dim")?);
    Ok(match pair {
        (Some(one), Some(all)) if one != 0.0 && all != 0.0 => mscale(one) / mscale(all),
        _ => mscale(1.0),
    })
}
