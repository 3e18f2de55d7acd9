//! The plain rule: `weights = softmax(q · kᵀ)` over the visible keys (and the sink of a head that has one,
//! whose weight is dropped), `mixed = weights · v`, in candle's operations.
//!
//! Query heads that share a key-value head are folded into its rows, so keys are never repeated. Peak memory
//! for a chunk of `t` queries over `s` keys is `heads x t x s` scores: linear in `s` for a fixed chunk.
//! [`super::fused`] is the fast twin.

use candle_core::{Device, Result, Tensor};

use super::View;

/// Weights `[heads, t, s]` of `queries` `[heads, t, d]` (already scaled) over `keys` `[kv_heads, s, d]`.
pub(super) fn weights(queries: &Tensor, keys: &Tensor, view: View<'_>) -> Result<Tensor> {
    let scores = scores(queries, keys)?; // [heads, t, s]
    let (heads, t, s) = scores.dims3()?;
    let scores = match view.softcap {
        Some(cap) => ((scores / cap)?.tanh()? * cap)?,
        None => scores,
    };
    let scores = match view.bias {
        Some(_) => (scores + biases([heads, t, s], view, queries.device())?)?,
        None => scores,
    };
    let scores = scores.broadcast_add(&mask(t, s, view, queries.device())?)?;
    let Some(sinks) = view.sinks else { return candle_nn::ops::softmax_last_dim(&scores) };
    let sinks = Tensor::from_slice(sinks, (heads, 1, 1), queries.device())?.to_dtype(scores.dtype())?;
    // [heads, t, s + 1]
    let scores = Tensor::cat(&[&scores, &sinks.broadcast_as((heads, t, 1))?], 2)?.contiguous()?;
    candle_nn::ops::softmax_last_dim(&scores)?.narrow(2, 0, s)?.contiguous() // [heads, t, s]
}

/// Products `[heads, t, s]` of `queries` `[heads, t, d]` with `keys` `[kv_heads, s, d]`.
pub(super) fn scores(queries: &Tensor, keys: &Tensor) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let (kv_heads, s, _) = keys.dims3()?;
    let groups = heads / kv_heads;
    let folded = queries.contiguous()?.reshape((kv_heads, groups * t, d))?; // [kv_heads, groups * t, d]
    folded.matmul(&keys.t()?)?.reshape((heads, t, s))
}

/// Mixed values `[heads, t, d]`.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let (kv_heads, s, _) = keys.dims3()?;
    let groups = heads / kv_heads;
    let weights = weights(queries, keys, view)?.reshape((kv_heads, groups * t, s))?;
    weights.matmul(values)?.reshape((heads, t, d)) // [heads, t, d]
}

/// `[heads, t, s]`: what is added to scores.
fn biases([heads, t, s]: [usize; 3], view: View<'_>, device: &Device) -> Result<Tensor> {
    let mut biases = vec![0f32; heads * t * s];
    for (row, biases) in biases.chunks_exact_mut(s).enumerate() {
        view.add_bias(row / t, row % t, 0..s, biases);
    }
    Tensor::from_vec(biases, (heads, t, s), device)
}

/// `[t, s]`: 0 where a row sees a key, minus infinity elsewhere.
fn mask(t: usize, s: usize, view: View<'_>, device: &Device) -> Result<Tensor> {
    let mut mask = vec![f32::NEG_INFINITY; t * s];
    for (row, keys) in mask.chunks_exact_mut(s).enumerate() {
        keys[view.visible(row)].fill(0.0);
    }
    Tensor::from_vec(mask, (t, s), device)
}
