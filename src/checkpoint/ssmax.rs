//! The learned scales that a checkpoint holds: those of Scalable-Softmax under any of the names that are in
//! use, and those of `softmax-scale`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;

use super::config::Config;
use super::safetensors::SafetensorsFiles;
use crate::attention::variant::LayerScale;
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::weights::TensorSource;

/// Modules below `model.layers.N.` that scales are kept in.
const MODULES: &[&str] = &["self_attn", "attention", "attn"];

/// What `s` is called there: by OLMo-core, BiBo and niah, by BAM, and by Dragon.
pub(super) const SCALES: &[&str] = &["ssmax_scale", "seq_scale", "softmax_scaler"];

/// What `s` of `softmax-scale` is called, by niah.
const CONSTANT: &str = "softmax_scale";

/// What `b` is called.
const BIAS: &str = "ssmax_bias";

/// Where a checkpoint keeps its scales, below `model.layers.N.`.
pub(super) struct ScaleNames {
    pub(super) scale: String,
    pub(super) bias: Option<String>,
}

impl ScaleNames {
    /// The variant that uses them all.
    pub(super) fn variant(&self) -> &'static str {
        match self.bias.is_some() {
            true => "ssmax-bias",
            false if self.scale.ends_with(CONSTANT) => "softmax-scale",
            false => "ssmax",
        }
    }
}

/// Refuses Step's scales. Neither their paper nor public code says which scores they multiply.
pub(super) fn refuse_unknown(config: &Config, spec: &DecoderSpec, source: &dyn TensorSource) -> Result<()> {
    const KEY: &str = "sparse_indexer_softmax_variant";
    const UNKNOWN: &str = "it is not published whether Step's ssmax_s scales the attention or its sparse \
                           indexer, and whether by ln n; running it as another rule would be wrong. If you \
                           know that it is Scalable-Softmax's s, rename the tensors to self_attn.ssmax_scale \
                           and take out the key";
    let mut sections = vec![config.clone()];
    for name in ["sparse_config", "step3p5_sparse_config", "step4_sparse_config"] {
        sections.extend(config.optional_section(name)?);
    }
    for section in sections {
        if let Some(value) = section.get(KEY).filter(|value| value.as_str() != Some("softmax")) {
            return Err(section.wrong(KEY, format!("nothing, or softmax: {UNKNOWN}"), value));
        }
    }
    match candidates(spec, source, &["ssmax_s"]).into_iter().next() {
        None => Ok(()),
        Some((tensor, layer)) => {
            let tensor = format!("model.layers.{layer}.{tensor}");
            Err(Error::Tensor {
                path: source.file_of(&tensor),
                tensor,
                expected: "self_attn.ssmax_scale".to_string(),
                found: UNKNOWN.to_string(),
            })
        }
    }
}

/// Which of these tensors there are in any of the modules, with the first layer that has each.
fn candidates(spec: &DecoderSpec, source: &dyn TensorSource, tensors: &[&str]) -> BTreeMap<String, usize> {
    let names =
        MODULES.iter().flat_map(|module| tensors.iter().map(move |tensor| format!("{module}.{tensor}")));
    let with_layer = |name: String| {
        let stored = |layer: &usize| source.contains(&format!("model.layers.{layer}.{name}"));
        let layer = (0..spec.num_hidden_layers).find(stored)?;
        Some((name, layer))
    };
    names.filter_map(with_layer).collect()
}

/// The names of the scales in this checkpoint, when it has any.
pub(super) fn stored(spec: &DecoderSpec, source: &dyn TensorSource) -> Result<Option<ScaleNames>> {
    let names = [SCALES, &[CONSTANT]].concat();
    let (scales, biases) = (candidates(spec, source, &names), candidates(spec, source, &[BIAS]));
    for names in [&scales, &biases] {
        if let Some((name, layer)) = names.iter().nth(1) {
            let tensor = format!("model.layers.{layer}.{name}");
            let both: Vec<_> = names.keys().cloned().collect();
            return Err(Error::Tensor {
                path: source.file_of(&tensor),
                tensor,
                expected: "scales under one name".to_string(),
                found: format!("{}: remove those that are not in use", both.join(" and ")),
            });
        }
    }
    let bias = biases.into_keys().next();
    // A bias alone is read as if the scales were under their usual name, which then is reported as missing.
    let scale = scales.into_keys().next().or_else(|| bias.as_ref().map(|_| "self_attn.ssmax_scale".into()));
    Ok(scale.map(|scale| ScaleNames { scale, bias }))
}

/// The scales of the layers that follow the rule; there must be none in the others.
pub(super) fn read(
    spec: &DecoderSpec,
    source: &dyn TensorSource,
    names: &ScaleNames,
    follows: &[bool],
) -> Result<Vec<Option<LayerScale>>> {
    let layer = |(layer, &follows): (usize, &bool)| {
        let full = |name: &str| format!("model.layers.{layer}.{name}");
        if follows {
            let scale = per_head(spec, source, &full(&names.scale))?;
            let bias = names.bias.as_ref().map(|bias| per_head(spec, source, &full(bias))).transpose()?;
            return Ok(Some(LayerScale { scale, bias }));
        }
        let stray = [Some(&names.scale), names.bias.as_ref()].into_iter().flatten().map(|name| full(name));
        match stray.into_iter().find(|name| source.contains(name)) {
            None => Ok(None),
            Some(name) => Err(Error::Tensor {
                path: source.file_of(&name),
                tensor: name,
                expected: "no scale: by the configuration this layer does not follow the rule".to_string(),
                found: "one; name the layers that do in config.json: \
                        \"attention_variant\": {\"kind\": \"ssmax\", \"layers\": [...]}"
                    .to_string(),
            }),
        }
    };
    follows.iter().enumerate().map(layer).collect()
}

/// One number a query head: the tensor is `[heads]` with any axes of width 1, or a single number for all
/// heads.
fn per_head(spec: &DecoderSpec, source: &dyn TensorSource, name: &str) -> Result<Vec<f32>> {
    let heads = spec.num_attention_heads;
    let wrong = |found: String| Error::Tensor {
        path: source.file_of(name),
        tensor: name.to_string(),
        expected: format!("{heads} finite numbers, one a query head, or a single one for all"),
        found: format!(
            "{found}; download the checkpoint again, or name the layers that have scales in config.json: \
             \"attention_variant\": {{\"kind\": \"ssmax\", \"layers\": [...]}}"
        ),
    };
    let shape = source.shape(name).ok_or_else(|| wrong("no such tensor".to_string()))?;
    let wide: Vec<usize> = shape.iter().copied().filter(|&size| size != 1).collect();
    if !(wide.is_empty() || wide == [heads]) {
        return Err(wrong(format!("shape {shape:?}")));
    }
    let numbers = source.read(name, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    match numbers[..] {
        _ if !numbers.iter().all(|x| x.is_finite()) => Err(wrong(format!("{numbers:?}"))),
        [one] => Ok(vec![one; heads]),
        _ => Ok(numbers),
    }
}

/// Name of the tensor in a file of scales.
const SCALES_TENSOR: &str = "ssmax_scale";

/// Reads the scales `[layers][heads]` of a safetensors file with a tensor `ssmax_scale` of that shape.
///
/// # Errors
/// [`Error::File`] when the file cannot be read, and [`Error::Tensor`] when the tensor is missing, has
/// another shape, is not in F32, F16 or BF16, or holds numbers that are not finite.
pub fn read_scales(path: &Path, layers: usize, heads: usize) -> Result<Vec<Vec<f32>>> {
    let file = SafetensorsFiles::open(&[path.to_path_buf()])?;
    let wrong = |found: String| Error::Tensor {
        path: path.to_path_buf(),
        tensor: SCALES_TENSOR.to_string(),
        expected: format!("finite numbers of shape [{layers}, {heads}], one a layer and query head"),
        found,
    };
    match file.shape(SCALES_TENSOR) {
        None => {
            let names: Vec<_> = file.names().take(NAMES_SHOWN).collect();
            return Err(wrong(format!(
                "no such tensor among {}; rename the one that holds s",
                names.join(", ")
            )));
        }
        Some(shape) if shape != [layers, heads] => {
            return Err(wrong(format!("shape {shape:?}: the scales of another model")));
        }
        Some(_) => {}
    }
    file.check_dtype(SCALES_TENSOR)?;
    let scales = file.read(SCALES_TENSOR, &Device::Cpu)?.to_vec2::<f32>()?; // [layers, heads]
    match scales.iter().flatten().find(|s| !s.is_finite()) {
        Some(s) => Err(wrong(format!("{s}; write the file again"))),
        None => Ok(scales),
    }
}

/// Names that a message lists at most.
const NAMES_SHOWN: usize = 5;
