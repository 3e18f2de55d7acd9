//! The plain rule: `weights = softmax(q · kᵀ)` over the visible keys (and the sink of a head that has one,
//! whose weight is dropped), `mixed = weights · v`, in candle's operations.
//!
//! Query heads that share a key-value head are folded into its rows, so keys are never repeated. Peak memory
//! for a chunk of `t` queries over `s` keys is `heads x t x s` scores: linear in `s` for a fixed chunk.
//! [`super::fused`] is the fast twin.

use candle_core::{DType, Device, Result, Tensor};

use super::blocked::of_seen;
use super::{RowRule, View};

/// Weights `[heads, t, s]` of `queries` `[heads, t, d]` (already scaled) over `keys` `[kv_heads, s, d]`.
pub(super) fn weights(queries: &Tensor, keys: &Tensor, view: View<'_>) -> Result<Tensor> {
    let scores = scores(queries, keys)?; // [heads, t, s]
    let (heads, t, s) = scores.dims3()?;
    let scores = match view.softcap {
        Some(cap) => ((scores / cap)?.tanh()? * cap)?,
        None => scores,
    };
    let scores = match view.distances {
        Some(_) => {
            let [factors, offsets] = by_distance(t, s, view, queries.device())?; // [t, s] each
            scores.broadcast_mul(&factors)?.broadcast_add(&offsets)?
        }
        None => scores,
    };
    let scores = match view.bias {
        Some(_) => (scores + biases([heads, t, s], view, queries.device())?)?,
        None => scores,
    };
    if let Some(rule) = view.row_rule {
        return by_rows(&scores, view, rule);
    }
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

/// Weights `[heads, t, s]` of `scores` `[heads, t, s]` by a rule of whole rows, in f64.
fn by_rows(scores: &Tensor, view: View<'_>, rule: &dyn RowRule) -> Result<Tensor> {
    let (heads, t, s) = scores.dims3()?;
    let given = scores.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let mut weights = vec![0f64; given.len()];
    for (row, (scores, weights)) in given.chunks_exact(s).zip(weights.chunks_exact_mut(s)).enumerate() {
        let sink = view.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[row / t]));
        let visible = view.visible(row % t);
        let weights = &mut weights[visible.clone()];
        weights.copy_from_slice(&scores[visible.clone()]);
        of_seen(weights, view.hidden(row % t, visible), |scores| {
            let weights = rule.reference(scores, sink);
            scores.copy_from_slice(&weights);
        });
    }
    Tensor::from_vec(weights, (heads, t, s), &Device::Cpu)?
        .to_dtype(scores.dtype())?
        .to_device(scores.device())
}

/// `[t, s]` each: what scores are multiplied by and what is added, by the distance of their keys.
fn by_distance(t: usize, s: usize, view: View<'_>, device: &Device) -> Result<[Tensor; 2]> {
    let (mut factors, mut offsets) = (vec![1f32; t * s], vec![0f32; t * s]);
    for row in 0..t {
        for key in view.visible(row) {
            let distance = view.first_position + row - (view.first_key + key);
            let at = view.distances.map_or((1.0, 0.0), |distances| distances.at(distance));
            (factors[row * s + key], offsets[row * s + key]) = at;
        }
    }
    Ok([Tensor::from_vec(factors, (t, s), device)?, Tensor::from_vec(offsets, (t, s), device)?])
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
        view.hidden(row, 0..s).for_each(|hidden| keys[hidden].fill(f32::NEG_INFINITY));
    }
    Tensor::from_vec(mask, (t, s), device)
}
