//! Reads rotary positions from both generations of `config.json`: `rope_theta` + `rope_scaling`, and `rope_parameters`.

use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::{RopeScaling, RopeSpec};

/// The rotary positions that `config` describes.
pub(super) fn read(config: &Config, head_dim: usize) -> Result<RopeSpec> {
    let (scaling, theta) = match config.optional_section("rope_parameters")? {
        Some(parameters) => {
            let theta = parameters.number("rope_theta")?;
            (Some(parameters), theta)
        }
        None => (
            config.optional_section("rope_scaling")?,
            config.optional_number("rope_theta")?.unwrap_or(10000.0),
        ),
    };
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
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: section.number("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: section.number("factor")?,
            low_freq_factor: section.number("low_freq_factor")?,
            high_freq_factor: section.number("high_freq_factor")?,
            original_max_position_embeddings: original_or_declared()?,
        },
        "yarn" => {
            let factor = section.number("factor")?;
            RopeScaling::Yarn {
                factor,
                attention_factor: yarn_attention_factor(&section, factor)?,
                beta_fast: section.optional_number("beta_fast")?.unwrap_or(32.0),
                beta_slow: section.optional_number("beta_slow")?.unwrap_or(1.0),
                truncate: section.optional_flag("truncate")?.unwrap_or(true),
                original_max_position_embeddings: original_or_declared()?,
            }
        }
        "divisors" => RopeScaling::Divisors { divisors: section.numbers("divisors", head_dim / 2)? },
        _ => return Err(section.wrong("rope_type", "default, linear, llama3 or yarn", kind)),
    };
    Ok(RopeSpec { theta, scaling, original_max_position_embeddings: original })
}

/// YaRN's factor on cos and sin: as given, or `0.1 ln(factor) + 1` (with DeepSeek's `mscale` pair, their ratio).
fn yarn_attention_factor(section: &Config, factor: f64) -> Result<f64> {
    if let Some(given) = section.optional_number("attention_factor")? {
        return Ok(given);
    }
    let mscale = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    let pair = (section.optional_number("mscale")?, section.optional_number("mscale_all_dim")?);
    Ok(match pair {
        (Some(one), Some(all)) if one != 0.0 && all != 0.0 => mscale(one) / mscale(all),
        _ => mscale(1.0),
    })
}
