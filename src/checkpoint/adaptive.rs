//! The learned multipliers of the variant `adaptive`.

use std::path::PathBuf;

use candle_core::Device;

use crate::attention::variant::Adaptive;
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::weights::TensorSource;

/// The variant whose multipliers these are.
pub(super) const NAME: &str = "adaptive";

/// `p_n`, `[sizes]`.
const SIZES: &str = "model.adaptive_sizes";

/// Whether a checkpoint holds them.
pub(super) fn is_stored(source: &dyn TensorSource) -> bool {
    source.contains(SIZES)
}

/// Refuses multipliers that no key of the configuration announces.
pub(super) fn refuse_unannounced(source: &dyn TensorSource) -> Result<()> {
    if !is_stored(source) {
        return Ok(());
    }
    let expected = "no such tensor, or the rule that uses it in config.json: \"attention_variant\": \
                    {\"kind\": \"adaptive\"}";
    Err(wrong(source.file_of(SIZES), SIZES, expected, "multipliers that no rule uses"))
}

/// Reads those of a checkpoint: the sizes, and the biases of the layers that follow the rule.
pub(super) fn read(spec: &DecoderSpec, source: &dyn TensorSource, follows: &[bool]) -> Result<Adaptive> {
    let bias = |(layer, &follows): (usize, &bool)| {
        let name = format!("model.layers.{layer}.self_attn.adaptive_bias");
        follows.then(|| numbers(source, &name, Some(spec.num_attention_heads))).transpose()
    };
    let biases = follows.iter().enumerate().map(bias).collect::<Result<_>>()?;
    Ok(Adaptive { sizes: numbers(source, SIZES, None)?, biases })
}

/// The finite numbers of a tensor with one axis, `count` of them where that is known.
fn numbers(source: &dyn TensorSource, name: &str, count: Option<usize>) -> Result<Vec<f32>> {
    let path = source.file_of(name);
    let expected = match count {
        Some(heads) => format!("{heads} finite numbers, one a query head"),
        None => "finite numbers, one for each number of keys".to_string(),
    };
    let remedy = "write the checkpoint again with niah train --variant adaptive";
    let shape = source.shape(name);
    if shape.as_ref().is_none_or(|shape| shape.len() != 1 || count.is_some_and(|count| shape[0] != count)) {
        let found = shape.map_or("no such tensor".to_string(), |shape| format!("shape {shape:?}"));
        return Err(wrong(path, name, &expected, &format!("{found}; {remedy}")));
    }
    let numbers = source.read(name, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(number) => Err(wrong(path, name, &expected, &format!("{number}; {remedy}"))),
        None => Ok(numbers),
    }
}

fn wrong(path: PathBuf, tensor: &str, expected: &str, found: &str) -> Error {
    Error::Tensor {
        path,
        tensor: tensor.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
