//! The difference of two attention maps (arXiv 2410.05258), as DiffLlama has it.
//!
//! Query head `i` of the first half and its fellow `j` of the second, `heads / 2` behind, mix the same wide
//! values, those of two value heads side by side; with the two mixtures `a_i` and `a_j`, `2 head_dim` numbers
//! each,
//!
//! ```text
//! y = (1 - l0) norm(a_i - l a_j),   l = exp(q_1 · k_1) - exp(q_2 · k_2) + l0
//! ```
//!
//! with learned `q_1`, `k_1`, `q_2` and `k_2` of a layer and its `l0`. The norm has no weight.

use candle_core::{DType, Result, Tensor};

use super::layers::Norm;
use crate::error;
use crate::spec::{DecoderSpec, NormKind};
use crate::weights::Weights;

/// What a layer subtracts.
#[derive(Debug)]
pub(super) struct Differential {
    lambda: f64,
    kept: f64,
    norm: Norm,
}

impl Differential {
    /// That of heads of `head_dim` numbers, stored here; `initial` is `l0`.
    pub(super) fn load(
        spec: &DecoderSpec,
        initial: f64,
        head_dim: usize,
        weights: &Weights<'_>,
    ) -> error::Result<Self> {
        let met = |number: usize| -> error::Result<f64> {
            let of = |kind: &str| weights.get(&format!("lambda_{kind}{number}"), &[head_dim]);
            let product = (of("q")? * of("k")?)?.sum_all()?.to_scalar::<f32>()?;
            Ok(f64::from(product).exp())
        };
        let ones = Tensor::ones(2 * head_dim, DType::F32, weights.device())?; // [2 * head_dim]
        Ok(Self {
            lambda: met(1)? - met(2)? + initial,
            kept: 1.0 - initial,
            norm: Norm::new(NormKind::RmsWithoutWeight, ones, None, spec.norm_eps)?,
        })
    }

    /// The wide values of each key head, `[kv_heads, t, 2 * d]`, of `values` `[kv_heads, t, d]`.
    pub(super) fn wide(&self, values: &Tensor) -> Result<Tensor> {
        let half = values.dim(0)? / 2;
        let wide = Tensor::cat(&[values.narrow(0, 0, half)?, values.narrow(0, half, half)?], 2)?;
        Tensor::cat(&[&wide, &wide], 0)
    }

    /// The differences, `[t, heads / 2 * width]`, of `mixed` `[t, heads * width]`.
    pub(super) fn difference(&self, mixed: &Tensor, heads: usize) -> Result<Tensor> {
        let halves = mixed.reshape((mixed.dim(0)?, 2, heads / 2, ()))?; // [t, 2, heads / 2, width]
        let [one, other] = [0, 1].map(|half| halves.narrow(1, half, 1)?.squeeze(1));
        let difference = self.norm.forward(&(one? - (other? * self.lambda)?)?)?; // [t, heads / 2, width]
        (difference * self.kept)?.flatten_from(1)
    }
}
