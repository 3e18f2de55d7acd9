//! The plain rule: `weights = softmax(q · kᵀ)` over the visible keys, `mixed = weights · v`, in candle's operations.
//!
//! Query heads that share a key-value head are folded into its rows, so keys are never repeated. Peak memory for a chunk
//! of `t` queries over `s` keys is `heads x t x s` scores: linear in `s` for a fixed chunk. [`super::fused`] is the fast twin.

use candle_core::{D, Device, Result, Tensor};

/// Weights `[heads, t, s]` of `queries` `[heads, t, d]` (already scaled) over `keys` `[kv_heads, s, d]`; the first query
/// stands at `first_position` and `s = first_position + t`.
pub(super) fn weights(queries: &Tensor, keys: &Tensor, first_position: usize) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let (kv_heads, s, _) = keys.dims3()?;
    let groups = heads / kv_heads;
    let folded = queries.contiguous()?.reshape((kv_heads, groups * t, d))?; // [kv_heads, groups * t, d]
    let scores = folded.matmul(&keys.t()?)?.reshape((heads, t, s))?; // [heads, t, s]
    let scores = if t == 1 {
        scores
    } else {
        scores.broadcast_add(&causal_mask(t, s, first_position, queries.device())?)?
    };
    candle_nn::ops::softmax_last_dim(&scores)
}

/// Mixed values `[heads, t, d]`.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, first_position: usize) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let (kv_heads, s, _) = keys.dims3()?;
    let groups = heads / kv_heads;
    let weights = weights(queries, keys, first_position)?.reshape((kv_heads, groups * t, s))?;
    weights.matmul(values)?.reshape((heads, t, d)) // [heads, t, d]
}

/// `[t, s]`: 0 where key `j <= first_position + i`, minus infinity elsewhere.
fn causal_mask(t: usize, s: usize, first_position: usize, device: &Device) -> Result<Tensor> {
    let last_visible = Tensor::arange(first_position as u32, (first_position + t) as u32, device)?; // [t]
    let keys = Tensor::arange(0u32, s as u32, device)?; // [s]
    let hidden = keys.unsqueeze(0)?.broadcast_gt(&last_visible.unsqueeze(D::Minus1)?)?; // [t, s]
    let floor = Tensor::full(f32::NEG_INFINITY, (t, s), device)?;
    hidden.where_cond(&floor, &floor.zeros_like()?)
}
