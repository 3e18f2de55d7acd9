//! The parameters that training begins with, from our own generator: the same for a seed on every machine.

use std::f64::consts::TAU;

use super::{TensorLayout, Trainable};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Where training begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Initial {
    /// Standard deviation of matrices; those that write to the residual stream get it over `sqrt(2 layers)`
    /// (GPT-2).
    pub range: f64,
    /// Number of layers.
    pub layers: usize,
    /// `s` of every head.
    pub ssmax_scale: f64,
}

/// Draws every parameter of `model`, each by a generator of its own: a tensor that two models have in common
/// is the same in both.
#[must_use]
pub fn initial(model: &dyn Trainable, seed: u64) -> Vec<f32> {
    model.layout().tensors().iter().flat_map(|tensor| model.initial(tensor, seed)).collect()
}

/// Parts of the names of tensors that belong to an attention rule.
const OF_RULES: &[&str] =
    &["ssmax_", "adaptive_", "softmax_scale", "self_attn.sinks", "attn_scale_", "fgate_proj"];

/// The parameters of a checkpoint; scales and multipliers that it does not have are drawn as for a training
/// from scratch.
///
/// # Errors
/// [`Error::Tensor`] when a tensor has another shape, and [`Error::InvalidValue`] when one is missing.
pub fn from_checkpoint(model: &dyn Trainable, checkpoint: &Checkpoint, seed: u64) -> Result<Vec<f32>> {
    let layout = model.layout();
    let mut parameters = Vec::with_capacity(layout.len());
    for tensor in layout.tensors() {
        match checkpoint.parameter(&tensor.name, &tensor.shape)? {
            Some(numbers) => parameters.extend(numbers),
            None if OF_RULES.iter().any(|part| tensor.name.contains(part)) => {
                parameters.extend(model.initial(tensor, seed))
            }
            None => {
                return Err(Error::invalid("init", &tensor.name, "a checkpoint that holds this tensor"));
            }
        }
    }
    Ok(parameters)
}

/// The first values of one tensor of a decoder.
pub(super) fn values(tensor: &TensorLayout, seed: u64, from: Initial) -> Vec<f32> {
    let constant = |value: f64| vec![value as f32; tensor.range.len()];
    if tensor.name.ends_with("ssmax_scale") {
        return constant(from.ssmax_scale);
    }
    if tensor.name.ends_with("ssmax_bias") {
        return constant(0.0);
    }
    // A key of score 0, as of softmax1.
    if tensor.name.ends_with("self_attn.sinks") {
        return constant(0.0);
    }
    // Gates of 0.993: over a hundred tokens a key fades by a half.
    if tensor.name.ends_with("fgate_proj.bias") {
        return constant(5.0);
    }
    // As the paper of the difference of two maps draws them.
    if tensor.name.contains("self_attn.lambda_") {
        return normal_values(tensor, seed, 0.1);
    }
    // p_n + b = 1, plain softmax.
    if tensor.name.ends_with("adaptive_bias") {
        return constant(0.0);
    }
    // Gains of norms, and s of softmax-scale, with which it is plain softmax.
    if tensor.shape.len() == 1 {
        return constant(1.0);
    }
    let writes = ["o_proj.weight", "down_proj.weight"].iter().any(|end| tensor.name.ends_with(end));
    let deviation = if writes { from.range / (2.0 * from.layers as f64).sqrt() } else { from.range };
    normal_values(tensor, seed, deviation)
}

/// Numbers of this standard deviation.
pub(super) fn normal_values(tensor: &TensorLayout, seed: u64, deviation: f64) -> Vec<f32> {
    let mut rng = Rng::for_purpose(seed, &["parameter", &tensor.name]);
    tensor.range.clone().map(|_| (deviation * normal(&mut rng)) as f32).collect()
}

/// A number of the standard normal distribution (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (TAU * rng.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;

    #[test]
    fn numbers_have_the_deviation_asked_for_and_scales_their_value() {
        let mut layout = Layout::default();
        layout.push("a.q_proj.weight".to_string(), &[100, 100]);
        layout.push("a.o_proj.weight".to_string(), &[100, 100]);
        layout.push("norm.weight".to_string(), &[3]);
        layout.push("a.ssmax_scale".to_string(), &[2]);
        let from = Initial { range: 0.5, layers: 2, ssmax_scale: 0.25 };
        let parameters: Vec<f32> =
            layout.tensors().iter().flat_map(|tensor| values(tensor, 1, from)).collect();
        let deviation = |numbers: &[f32]| {
            (numbers.iter().map(|x| f64::from(x * x)).sum::<f64>() / numbers.len() as f64).sqrt()
        };
        assert!((deviation(&parameters[..10_000]) - 0.5).abs() < 0.02);
        assert!((deviation(&parameters[10_000..20_000]) - 0.25).abs() < 0.01);
        assert_eq!(parameters[20_000..], [1.0, 1.0, 1.0, 0.25, 0.25]);
    }
}
