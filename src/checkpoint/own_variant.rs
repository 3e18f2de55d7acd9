//! Recognising the attention rule that a checkpoint was made with: by its configuration, or by the scales it
//! holds.
//!
//! | key of `config.json` | rule | layers |
//! |---|---|---|
//! | `attention_variant`: `{"kind": NAME, "layers": [0, 2]}` | any variant by name | those listed, or all |
//! | `scalable_softmax` (OLMo's hybrids, Dragon) | `ssmax` | all that attend; none with a window under `disable_scalable_softmax_for_local` |
//! | `use_ssmax` (BiBo) | `ssmax` | those without a window |
//! | `use_logn_attn`, `seq_length` (Qwen) | `logn` | all |
//! | `attn_temperature_tuning`, `attn_scale`, `floor_scale` (Llama 4) | `temperature` | those without rotary positions |
//! | `llama_4_scaling_beta` among the rotary parameters, `llama_4_scaling` (Ministral 3) | `temperature` | all |
//! | `log_scaling_n_floor`, `log_scaling_alpha` (Inkling) | `log-floor` | those without a window |
//!
//! Multiscreen checkpoints (`model_type`) have the rule `screening`, which no other has.
//!
//! Layers with learned sinks (gpt-oss) have the rule `sink`, or keep their sinks under another that is
//! announced.
//!
//! Scales without any of these keys (BAM) are Scalable-Softmax on every layer. A checkpoint whose
//! configuration or tensors name a rule must never run as plain Softmax in silence, so whatever contradicts
//! itself is refused.

use candle_core::Device;
use serde_json::Value;

use super::adaptive;
use super::config::Config;
use super::row_maps;
use super::screening;
use super::ssmax::{self, ScaleNames};
use crate::attention::Window;
use crate::attention::variant::{LogFloor, OwnVariant, Temperature, VARIANTS};
use crate::checkpoint::families::rope_section;
use crate::error::Result;
use crate::registry;
use crate::spec::{DecoderSpec, Dtype, LayerSpec};
use crate::weights::{TensorSource, Weights};

/// The rules with scales in the weights.
const LEARNED: &[&str] = &["ssmax", "ssmax-bias", "softmax-scale"];

/// The rule of learned sinks, which tensors alone announce.
const SINK: &str = "sink";

/// The rule that reads how sharp it is from rows.
const ASENTMAX: &str = "asentmax";

/// The rule whose keys fade by gates that rows say.
const FORGETTING: &str = "forgetting";

/// Inkling's rule, and the key that turns it on.
const LOG_FLOOR: &str = "log-floor";
const N_FLOOR: &str = "log_scaling_n_floor";

/// Multiscreen's own rule.
const SCREENING: &str = "screening";

/// What a key of the configuration says.
struct Announced {
    key: &'static str,
    name: &'static str,
    layers: Vec<bool>,
}

/// The rule of a checkpoint.
pub(super) fn detect(config: &Config, spec: &DecoderSpec, source: &dyn TensorSource) -> Result<OwnVariant> {
    ssmax::refuse_unknown(config, spec, source)?;
    let announced = announced(config, spec)?;
    if let Some(announced) =
        announced.as_ref().filter(|announced| (announced.name == SCREENING) != spec.screening.is_some())
    {
        let expected =
            "screening in Multiscreen checkpoints and in no others, which have nothing to screen with";
        return Err(config.wrong(announced.key, expected, announced.name));
    }
    if spec.screening.is_some() {
        let screens = Some(screening::read(spec, source)?);
        return Ok(OwnVariant { name: SCREENING, screens, ..OwnVariant::softmax(spec.num_hidden_layers) });
    }
    let sinks = sinks(spec, source)?;
    if announced.as_ref().is_none_or(|announced| announced.name != adaptive::NAME) {
        adaptive::refuse_unannounced(source)?;
    }
    let (name, layers, names) = match (announced, ssmax::stored(spec, source)?) {
        (None, None) => {
            let name = if sinks.is_some() { SINK } else { "softmax" };
            return Ok(OwnVariant { name, sinks, ..OwnVariant::softmax(spec.num_hidden_layers) });
        }
        (None, Some(names)) => {
            refuse_denial(config, &names)?;
            (names.variant(), attending(spec), Some(names))
        }
        (Some(announced), None) => {
            if LEARNED.contains(&announced.name) && announced.layers.contains(&true) {
                let others = ssmax::SCALES.join(", ");
                let expected = format!("learned scales, as self_attn.ssmax_scale or another of {others}");
                return Err(config.wrong(
                    announced.key,
                    expected,
                    format!("{} without them", announced.name),
                ));
            }
            (announced.name, announced.layers, None)
        }
        (Some(announced), Some(names)) => {
            let name = reconciled(config, &announced, &names)?;
            (name, announced.layers, Some(names))
        }
    };
    let scales = match names {
        Some(names) => Some(ssmax::read(spec, source, &names, &layers)?),
        // A learned rule that no layer follows.
        None => LEARNED.contains(&name).then(|| vec![None; spec.num_hidden_layers]),
    };
    Ok(OwnVariant {
        name,
        scales,
        adaptive: (name == adaptive::NAME).then(|| adaptive::read(spec, source, &layers)).transpose()?,
        entmax_scales: (name == ASENTMAX)
            .then(|| row_maps::entmax_scales(spec, source, &layers))
            .transpose()?,
        forget_gates: (name == FORGETTING)
            .then(|| row_maps::forget_gates(spec, source, &layers))
            .transpose()?,
        layers,
        logn_length: if name == "logn" { Some(logn_length(config, spec)?) } else { None },
        temperature: if name == "temperature" { Some(temperature(config, spec)?) } else { None },
        log_floor: if name == LOG_FLOOR { log_floor(config)? } else { None },
        sinks,
        screens: None,
    })
}

/// The learned sinks of the layers that have some; nothing where none has.
fn sinks(spec: &DecoderSpec, source: &dyn TensorSource) -> Result<Option<Vec<Option<Vec<f32>>>>> {
    let weights = Weights::new(source, &Device::Cpu, Dtype::F32);
    let of_layer = |(index, layer): (usize, &LayerSpec)| -> Result<Option<Vec<f32>>> {
        if !layer.sinks {
            return Ok(None);
        }
        let sinks =
            weights.get(&format!("model.layers.{index}.self_attn.sinks"), &[spec.num_attention_heads])?;
        Ok(Some(sinks.to_vec1()?))
    };
    let sinks = spec.layers.iter().enumerate().map(of_layer).collect::<Result<Vec<_>>>()?;
    Ok(sinks.iter().any(Option::is_some).then_some(sinks))
}

/// The rule that the configuration names; several keys must agree, and `attention_variant` says for which
/// layers.
fn announced(config: &Config, spec: &DecoderSpec) -> Result<Option<Announced>> {
    let all = || attending(spec);
    let global = || -> Vec<bool> {
        let full = |layer: &LayerSpec| layer.mixer.is_attention() && layer.window == Window::Full;
        spec.layers.iter().map(full).collect()
    };
    let mut found = Vec::new();
    let mut say = |key, name, layers| found.push(Announced { key, name, layers });
    if let Some(section) = config.optional_section("attention_variant")? {
        say("attention_variant", kind(&section)?, listed_layers(&section, spec)?);
    }
    if config.flag("scalable_softmax")? {
        let layers = if config.flag("disable_scalable_softmax_for_local")? { global() } else { all() };
        say("scalable_softmax", "ssmax", layers);
    }
    if config.flag("use_ssmax")? {
        say("use_ssmax", "ssmax", global());
    }
    if config.flag("use_logn_attn")? {
        say("use_logn_attn", "logn", all());
    }
    if is_tuned(config)? {
        say("attn_temperature_tuning", "temperature", all());
    }
    if let Some((key, _)) = ministral3(config, spec)? {
        say(key, "temperature", all());
    }
    if log_floor(config)?.is_some() {
        say(N_FLOOR, LOG_FLOOR, global());
    }
    let agree = |one: &Announced, other: &Announced| {
        one.name == other.name || (one.name == "ssmax-bias" && other.name == "ssmax")
    };
    let mut found = found.into_iter();
    let Some(first) = found.next() else { return Ok(None) };
    match found.find(|other| !agree(&first, other)) {
        None => Ok(Some(first)),
        Some(other) => Err(config.wrong(
            other.key,
            format!("one attention rule; take out the key that is wrong, this one or {}", first.key),
            format!("{} beside {}", other.name, first.name),
        )),
    }
}

/// The layers that attend: no rule is of any other.
fn attending(spec: &DecoderSpec) -> Vec<bool> {
    spec.layers.iter().map(|layer| layer.mixer.is_attention()).collect()
}

fn kind(section: &Config) -> Result<&'static str> {
    let kind = section.string("kind")?;
    let known = || VARIANTS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(" or ");
    let found = registry::find("attention_variant", VARIANTS, &kind);
    found.map(|entry| entry.name).map_err(|_| section.wrong("kind", known(), format!("{kind:?}")))
}

/// `layers` of `attention_variant`: numbers from 0; all layers when it is not there.
fn listed_layers(section: &Config, spec: &DecoderSpec) -> Result<Vec<bool>> {
    let count = spec.num_hidden_layers;
    let Some(value) = section.get("layers") else { return Ok(attending(spec)) };
    let index = |item: &Value| usize::try_from(item.as_u64()?).ok().filter(|&layer| layer < count);
    let listed = value.as_array().and_then(|items| items.iter().map(index).collect::<Option<Vec<_>>>());
    let listed = listed.ok_or_else(|| {
        section.wrong(
            "layers",
            format!("a list of layer numbers from 0 to {}", count.saturating_sub(1)),
            value,
        )
    })?;
    Ok((0..count).map(|layer| listed.contains(&layer)).collect())
}

/// The name under which stored scales run, when the configuration agrees with them.
fn reconciled(config: &Config, announced: &Announced, names: &ScaleNames) -> Result<&'static str> {
    let (said, stored) = (announced.name, names.variant());
    // The keys of others say that there are scales, not whether there are biases.
    let scalable = matches!(stored, "ssmax" | "ssmax-bias");
    if said == stored || (said == "ssmax" && scalable && announced.key != "attention_variant") {
        return Ok(stored);
    }
    let tensor = if said == "ssmax-bias" { "self_attn.ssmax_bias" } else { &names.scale };
    let found = match (said, stored) {
        ("ssmax-bias", _) => format!("ssmax-bias, but no {tensor}"),
        ("ssmax", "ssmax-bias") => {
            format!("ssmax, but biases in {}", names.bias.as_deref().unwrap_or_default())
        }
        _ => format!("{said}, but learned scales in {tensor}"),
    };
    let expected = format!("{stored}, as the weights have it; `variant` then chooses another rule for a run");
    Err(config.wrong(announced.key, expected, found))
}

/// Refuses scales that a key of the configuration says are not in use.
fn refuse_denial(config: &Config, names: &ScaleNames) -> Result<()> {
    for key in ["scalable_softmax", "use_ssmax"] {
        if config.optional_flag(key)? == Some(false) {
            let expected = format!(
                "true, or no such key: the weights hold learned scales in {}; `variant` softmax runs without \
                 them",
                names.scale
            );
            return Err(config.wrong(key, expected, false));
        }
    }
    Ok(())
}

/// The length that `logn` counts from.
fn logn_length(config: &Config, spec: &DecoderSpec) -> Result<usize> {
    match config.optional_size("seq_length")?.or_else(|| spec.training_length()) {
        Some(length) if length > 1 => Ok(length),
        length => {
            let found = length.map_or("nothing".to_string(), |length| length.to_string());
            Err(config.wrong(
                "seq_length",
                "the training length, above 1, which use_logn_attn counts from",
                found,
            ))
        }
    }
}

/// The parameters of `temperature`: Ministral 3's when they are there, or else Llama 4's, or else what those
/// were published with.
fn temperature(config: &Config, spec: &DecoderSpec) -> Result<Temperature> {
    match ministral3(config, spec)? {
        None => Ok(Temperature::Llama4 {
            attn_scale: config.optional_number("attn_scale")?.unwrap_or(0.1),
            floor_scale: config.optional_size("floor_scale")?.unwrap_or(8192),
        }),
        Some((key, _)) if is_tuned(config)? => Err(config.wrong(
            "attn_temperature_tuning",
            format!("one attention temperature; take out the key that is wrong, this one or {key}"),
            "Llama 4's rule beside Ministral 3's",
        )),
        Some((_, temperature)) => Ok(temperature),
    }
}

/// The numbers of `log-floor`, where the configuration has them.
fn log_floor(config: &Config) -> Result<Option<LogFloor>> {
    let Some(n_floor) = config.optional_size(N_FLOOR)? else { return Ok(None) };
    if n_floor == 0 {
        return Err(config.wrong(N_FLOOR, "a number of keys above 0, from which on scores are sharpened", 0));
    }
    let alpha = config.optional_number("log_scaling_alpha")?.unwrap_or(LogFloor::ALPHA);
    Ok(Some(LogFloor { alpha, n_floor }))
}

/// Whether Llama 4's temperature is on: `true` or a number other than 0; in a Llama 4 also when the key is
/// left out.
fn is_tuned(config: &Config) -> Result<bool> {
    const KEY: &str = "attn_temperature_tuning";
    match config.get(KEY) {
        None => Ok(config.optional_string("model_type")?.as_deref() == Some("llama4_text")),
        Some(Value::Bool(tuned)) => Ok(*tuned),
        Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
        Some(other) => Err(config.wrong(KEY, "true or false", other)),
    }
}

/// Ministral 3's temperature, and the key that gives it.
fn ministral3(config: &Config, spec: &DecoderSpec) -> Result<Option<(&'static str, Temperature)>> {
    const BETA: &str = "llama_4_scaling_beta";
    const OTHER: &str = "llama_4_scaling";
    for (name, section, key) in
        [("rope_parameters", rope_section(config)?, BETA), (OTHER, config.optional_section(OTHER)?, "beta")]
    {
        let Some(section) = section else { continue };
        if let Some(beta) = section.optional_number(key)? {
            let original = section.optional_size("original_max_position_embeddings")?;
            return Ok(Some((name, ministral3_of(&section, spec, beta, original)?)));
        }
    }
    match config.optional_number(BETA)? {
        None => Ok(None),
        Some(beta) => Ok(Some((BETA, ministral3_of(config, spec, beta, None)?))),
    }
}

fn ministral3_of(
    config: &Config,
    spec: &DecoderSpec,
    beta: f64,
    original: Option<usize>,
) -> Result<Temperature> {
    let of_rope =
        || spec.layers.iter().find_map(|layer| layer.rope.as_ref()?.original_max_position_embeddings);
    let original_max_position_embeddings = of_rope().or(original).ok_or_else(|| {
        let expected = "the context that the steps of llama_4_scaling_beta are counted in";
        config.wrong("original_max_position_embeddings", expected, "nothing")
    })?;
    Ok(Temperature::Ministral3 { beta, original_max_position_embeddings })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_llama_4_that_leaves_out_the_key_is_tuned_and_no_other_family_is() {
        for (keys, tuned) in [
            (json!({"model_type": "llama4_text"}), true),
            (json!({"model_type": "llama4_text", "attn_temperature_tuning": false}), false),
            (json!({"model_type": "llama"}), false),
            (json!({"model_type": "llama", "attn_temperature_tuning": 4}), true),
        ] {
            let config = Config::new(Path::new("config.json"), keys.as_object().unwrap().clone());
            assert_eq!(is_tuned(&config).unwrap(), tuned, "{keys}");
        }
    }
}
