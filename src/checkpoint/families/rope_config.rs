//! Reads rotary positions from both generations of `config.json`: `rope_theta` + `rope_scaling`, and
//! `rope_parameters`.
//!
//! As in transformers, a `rope_scaling` that says anything takes the place of `rope_parameters`; base and
//! share of rotating coordinates come from that section, or else from the top of the configuration, where the
//! family's default stands.

use crate::checkpoint::{Config, Dialect};
use crate::error::Result;
use crate::spec::{RopeScaling, RopeSpec};

/// How a family names what stands at the top of its configuration, and which scalings it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct RopeKeys {
    /// The key of the base.
    pub(super) theta: &'static str,
    /// The key of the share of a head's coordinates that rotate; nothing where positions without scaling turn
    /// whole heads.
    pub(super) share: Option<&'static str>,
    /// Whether it has LongRoPE alone, once under the names of others (Phi 3).
    pub(super) only_longrope: bool,
}

/// The names that most families use.
pub(super) const ROPE_KEYS: RopeKeys = RopeKeys { theta: "rope_theta", share: None, only_longrope: false };

/// The same with a share of rotating coordinates.
pub(super) const PARTIAL_ROPE_KEYS: RopeKeys = RopeKeys { share: Some("partial_rotary_factor"), ..ROPE_KEYS };

/// The section that describes the scaling.
pub(crate) fn section(config: &Config) -> Result<Option<Config>> {
    let legacy = config
        .get("rope_scaling")
        .is_some_and(|value| value.as_object().is_none_or(|section| !section.is_empty()));
    config.optional_section(if legacy { "rope_scaling" } else { "rope_parameters" })
}

/// What is told where the section that counts hides a base that stands in the other one; `theta` is the one
/// that counts.
pub(super) fn hidden_theta(config: &Config, theta: f64) -> Result<Option<String>> {
    let (counts, other) = (section(config)?, config.optional_section("rope_parameters")?);
    let (Some(counts), Some(other)) = (counts, other) else { return Ok(None) };
    match other.optional_positive("rope_theta")? {
        Some(hidden) if hidden != theta && !counts.has("rope_theta") => Ok(Some(format!(
            "{}: rope_scaling takes the place of rope_parameters, so the base is {theta} and not {hidden}; \
             write rope_theta into rope_scaling if that is not meant",
            other.name_of("rope_theta")
        ))),
        _ => Ok(None),
    }
}

/// Coordinates of a head that rotate: all of them, or the share that the configuration gives.
pub(super) fn rotary_dim(config: &Config, keys: &RopeKeys, head_dim: usize) -> Result<usize> {
    let section = section(config)?;
    let given = match &section {
        None => None,
        Some(section) => match kind(section)?.as_str() {
            // All coordinates turn there, some of them by nothing.
            PROPORTIONAL => Some(1.0),
            "default" | "mrope" if keys.share.is_none() && config.dialect() == Dialect::Transformers => None,
            _ => section.optional_positive("partial_rotary_factor")?,
        },
    };
    let share = match (given, keys.share) {
        (Some(share), _) => share,
        (None, Some(key)) => config.positive(key)?,
        (None, None) => 1.0,
    };
    let rotary = (head_dim as f64 * share) as usize;
    if rotary == 0 || rotary > head_dim || !rotary.is_multiple_of(2) {
        if share == 1.0 {
            return Err(config.wrong("head_dim", "an even number, for rotary positions", head_dim));
        }
        let expected = format!("an even number of the {head_dim} coordinates of a head to rotate");
        return Err(config.wrong(
            keys.share.unwrap_or("partial_rotary_factor"),
            expected,
            format!("{share}: {rotary}"),
        ));
    }
    Ok(rotary)
}

/// The rotary positions of a family that has the same on every layer.
pub(super) fn read(config: &Config, keys: &RopeKeys, rotary_dim: usize) -> Result<RopeSpec> {
    let above = config.optional_size(ORIGINAL)?;
    let Some(section) = section(config)? else {
        return Ok(plain(config.positive(keys.theta)?));
    };
    for layers in ["full_attention", "sliding_attention"] {
        if section.get(layers).is_some() {
            let expected = "no such key: in this family all layers have the same rotary positions";
            return Err(section.wrong(layers, expected, "positions by type of layer"));
        }
    }
    let theta = match section.optional_positive("rope_theta")? {
        Some(theta) => theta,
        None => config.positive(keys.theta)?,
    };
    scaled(config, &section, Positions { theta, rotary_dim, above, only_longrope: keys.only_longrope })
}

/// The rotary positions of layers without a sliding window and of those with one, in a family that tells them
/// apart (Gemma 3). What stands in `rope_parameters` beside the two is not read there.
///
/// `local_theta` is the key of the base of layers with a window, at the top of the configuration.
pub(super) fn by_window(config: &Config, rotary_dim: usize, local_theta: &str) -> Result<[RopeSpec; 2]> {
    let parameters = config.optional_section("rope_parameters")?;
    let scaling = config.optional_section("rope_scaling")?;
    let of_layers = |name: &str| match &parameters {
        Some(parameters) => parameters.optional_section(name),
        None => Ok(None),
    };
    let global = match (of_layers("full_attention")?, scaling) {
        // The older key is laid over the newer one.
        (Some(global), Some(scaling)) => Some(scaling.over(&global)),
        (global, scaling) => scaling.or(global),
    };
    let spec = |section: Option<Config>, key: &str| -> Result<RopeSpec> {
        let Some(section) = section else { return Ok(plain(config.positive(key)?)) };
        let share = section.optional_positive("partial_rotary_factor")?.unwrap_or(1.0);
        if share != 1.0 && kind(&section)? != PROPORTIONAL {
            return Err(section.wrong("partial_rotary_factor", "1, or proportional positions", share));
        }
        let theta = match section.optional_positive("rope_theta")? {
            Some(theta) => theta,
            None => config.positive(key)?,
        };
        scaled(config, &section, Positions { theta, rotary_dim, above: None, only_longrope: false })
    };
    Ok([spec(global, "rope_theta")?, spec(of_layers("sliding_attention")?, local_theta)?])
}

const ORIGINAL: &str = "original_max_position_embeddings";
const PROPORTIONAL: &str = "proportional";

fn plain(theta: f64) -> RopeSpec {
    RopeSpec { theta, scaling: RopeScaling::Default, original_max_position_embeddings: None }
}

/// The name of the scaling of a section.
fn kind(section: &Config) -> Result<String> {
    Ok(match section.optional_string("rope_type")? {
        Some(kind) => kind,
        None => section.optional_string("type")?.unwrap_or_else(|| "default".to_string()),
    })
}

/// What a scaling needs besides its section.
struct Positions {
    theta: f64,
    rotary_dim: usize,
    /// The original context at the top of the configuration, which goes before that of the section.
    above: Option<usize>,
    only_longrope: bool,
}

fn scaled(config: &Config, section: &Config, positions: Positions) -> Result<RopeSpec> {
    let Positions { theta, rotary_dim, above, only_longrope } = positions;
    let kind = match kind(section)?.as_str() {
        // What Phi 3 first called it.
        "su" | "yarn" if only_longrope => "longrope".to_string(),
        kind => kind.to_string(),
    };
    if only_longrope && !["default", "longrope"].contains(&kind.as_str()) {
        return Err(section.wrong("rope_type", "default or longrope: the family has no other scaling", kind));
    }
    let in_section = section.optional_size(ORIGINAL)?;
    let named = above.or(in_section);
    let original = || match named {
        Some(original) => Ok(original),
        None => config.size("max_position_embeddings"),
    };
    let (scaling, original_max_position_embeddings) = match kind.as_str() {
        // The three directions of Qwen VL's "mrope" are one for text.
        "default" | "mrope" => (RopeScaling::Default, None),
        "linear" => (RopeScaling::Linear { factor: section.positive("factor")? }, in_section),
        PROPORTIONAL => (proportional(section, rotary_dim)?, in_section),
        "llama3" => {
            let low_freq_factor = section.positive("low_freq_factor")?;
            let high_freq_factor = section.positive("high_freq_factor")?;
            if high_freq_factor <= low_freq_factor {
                let expected = format!("more than low_freq_factor = {low_freq_factor}");
                return Err(section.wrong("high_freq_factor", expected, high_freq_factor));
            }
            let scaling = RopeScaling::Llama3 {
                factor: section.positive("factor")?,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original()?,
            };
            (scaling, named)
        }
        "yarn" => (yarn(config, section, original()?)?, named),
        "dynamic" => {
            if rotary_dim <= 2 {
                let expected =
                    "another kind: dynamic scaling needs more than one pair of coordinates to rotate";
                return Err(section.wrong("rope_type", expected, kind));
            }
            let scaling = RopeScaling::Dynamic {
                factor: section.positive("factor")?,
                max_position_embeddings: config.size("max_position_embeddings")?,
            };
            (scaling, in_section)
        }
        "longrope" => {
            let scaling = RopeScaling::LongRope {
                short_factor: divisors(section, "short_factor", rotary_dim)?,
                long_factor: divisors(section, "long_factor", rotary_dim)?,
                attention_factor: longrope_attention_factor(config, section, original()?)?,
                long_attention_factor: None,
                original_max_position_embeddings: original()?,
            };
            (scaling, named)
        }
        "divisors" => {
            (RopeScaling::Divisors { divisors: divisors(section, "divisors", rotary_dim)? }, in_section)
        }
        _ => {
            let expected = "default, linear, dynamic, llama3, longrope, proportional or yarn";
            return Err(section.wrong("rope_type", expected, kind));
        }
    };
    Ok(RopeSpec { theta, scaling, original_max_position_embeddings })
}

/// The first of the frequencies of a whole head, as many as the share gives; the other coordinates keep
/// still.
fn proportional(section: &Config, head_dim: usize) -> Result<RopeScaling> {
    let share = section.optional_positive("partial_rotary_factor")?.unwrap_or(1.0);
    if share > 1.0 {
        return Err(section.wrong("partial_rotary_factor", "at most 1", share));
    }
    let pairs = (share * head_dim as f64 / 2.0) as usize;
    Ok(RopeScaling::Proportional { factor: section.optional_positive("factor")?.unwrap_or(1.0), pairs })
}

/// YaRN. A factor of null is the extension that the configuration declares.
fn yarn(config: &Config, section: &Config, original: usize) -> Result<RopeScaling> {
    let factor = match section.optional_positive("factor")? {
        None if section.has("factor") => config.size("max_position_embeddings")? as f64 / original as f64,
        _ => section.positive("factor")?,
    };
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor: yarn_attention_factor(section, factor)?,
        beta_fast: section.optional_positive("beta_fast")?.unwrap_or(32.0),
        beta_slow: section.optional_positive("beta_slow")?.unwrap_or(1.0),
        truncate: section.optional_flag("truncate")?.unwrap_or(true),
        original_max_position_embeddings: original,
    })
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

/// YaRN's factor on cos and sin: as given, or `0.1 ln(factor) + 1` (with DeepSeek's `mscale` pair, their
/// ratio).
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
