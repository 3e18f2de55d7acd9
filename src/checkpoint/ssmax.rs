//! Recognising Scalable-Softmax in a checkpoint: by its configuration, or by the scales it holds.
//!
//! A checkpoint whose configuration or tensors say SSMax must never run as plain Softmax in silence.

use candle_core::Device;

use super::config::Config;
use super::weights::TensorSource;
use crate::attention::variant::{LearnedScale, VARIANTS};
use crate::error::{Error, Result};
use crate::model::spec::DecoderSpec;
use crate::registry;

/// Where checkpoints in the wild keep `s`, below `model.layers.N.`; one number a query head.
const SCALE_NAMES: &[&str] = &["self_attn.ssmax_scale", "attention.seq_scale", "self_attn.softmax_scaler"];

/// Where they keep `b`.
const BIAS_NAME: &str = "self_attn.ssmax_bias";

/// Keys of `config.json` that change attention in ways this version does not know.
const UNKNOWN_RULES: &[&str] =
    &["use_logn_attn", "attn_temperature_tuning", "llama_4_scaling", "sparse_indexer_softmax_variant"];

/// The variant a checkpoint was made with, and the scales it has learned.
pub(super) fn detect(
    config: &Config,
    spec: &DecoderSpec,
    source: &dyn TensorSource,
) -> Result<(&'static str, Option<LearnedScale>)> {
    if let Some(key) = UNKNOWN_RULES.iter().find(|key| config.get(key).is_some_and(is_set)) {
        return Err(config.wrong(key, "nothing: niah does not know this attention rule yet", "a value"));
    }
    if source.contains("model.layers.0.self_attn.ssmax_s") {
        return Err(Error::Tensor {
            path: source.file_of("model.layers.0.self_attn.ssmax_s"),
            tensor: "model.layers.0.self_attn.ssmax_s".to_string(),
            expected: "ssmax_scale".to_string(),
            found: "an attention rule that is not published; running it as another one would be wrong"
                .to_string(),
        });
    }
    let learned = learned_scale(spec, source)?;
    let announced = match config.optional_section("attention_variant")? {
        Some(section) => Some(announced_kind(&section)?),
        None if config.flag("scalable_softmax")? || config.flag("use_ssmax")? => Some("ssmax"),
        None => None,
    };
    match (announced, learned) {
        (Some(variant @ ("ssmax" | "ssmax-bias")), None) => Err(config.wrong(
            "attention_variant",
            format!("learned scales, as one of {} in every layer", SCALE_NAMES.join(", ")),
            format!("{variant} without them"),
        )),
        (Some(variant), learned) => Ok((variant, learned)),
        (None, Some(learned)) if learned.bias.is_some() => Ok(("ssmax-bias", Some(learned))),
        (None, Some(learned)) => Ok(("ssmax", Some(learned))),
        (None, None) => Ok(("softmax", None)),
    }
}

fn announced_kind(section: &Config) -> Result<&'static str> {
    let kind = section.string("kind")?;
    let known = || VARIANTS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(" or ");
    let found = registry::find("attention_variant", VARIANTS, &kind);
    found.map(|entry| entry.name).map_err(|_| section.wrong("kind", known(), format!("{kind:?}")))
}

fn is_set(value: &serde_json::Value) -> bool {
    value.as_bool() != Some(false)
}

fn learned_scale(spec: &DecoderSpec, source: &dyn TensorSource) -> Result<Option<LearnedScale>> {
    let first = |name: &&&str| source.contains(&format!("model.layers.0.{name}"));
    let Some(name) = SCALE_NAMES.iter().find(first) else { return Ok(None) };
    let scale = per_head(spec, source, name)?;
    let bias = source.contains(&format!("model.layers.0.{BIAS_NAME}"));
    let bias = if bias { Some(per_head(spec, source, BIAS_NAME)?) } else { None };
    Ok(Some(LearnedScale { scale, bias }))
}

/// One number a query head of every layer; the tensor may be `[heads]` or `[1, heads, 1, 1]`.
fn per_head(spec: &DecoderSpec, source: &dyn TensorSource, name: &str) -> Result<Vec<Vec<f32>>> {
    let layer = |index: usize| {
        let full = format!("model.layers.{index}.{name}");
        let wrong = |found: String| Error::Tensor {
            path: source.file_of(&full),
            tensor: full.clone(),
            expected: format!("{} finite numbers, one a query head", spec.num_attention_heads),
            found: format!("{found}; download the checkpoint again"),
        };
        let shape = source.shape(&full).ok_or_else(|| wrong("no such tensor".to_string()))?;
        if shape.iter().product::<usize>() != spec.num_attention_heads {
            return Err(wrong(format!("shape {shape:?}")));
        }
        let numbers = source.read(&full, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        if numbers.iter().all(|x| x.is_finite()) { Ok(numbers) } else { Err(wrong(format!("{numbers:?}"))) }
    };
    (0..spec.num_hidden_layers).map(layer).collect()
}
