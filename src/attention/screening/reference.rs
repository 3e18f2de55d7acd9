//! The plain rule, in candle's operations. Memory for a chunk of `t` queries over `s` keys is
//! `tiles x t x s`.

use candle_core::{Device, Result, Tensor};

use super::ScreeningContext;
use crate::attention::blocked::hidden;

/// Relevances `[tiles, t, s]` of `queries` `[tiles, t, key_dim]` for `keys` `[tiles, s, key_dim]`, which
/// begin at position 0.
pub(super) fn relevance(queries: &Tensor, keys: &Tensor, context: ScreeningContext<'_>) -> Result<Tensor> {
    let ((tiles, t, _), (_, s, _)) = (queries.dims3()?, keys.dims3()?);
    super::check_tiles(tiles, context.screens)?;
    let similarity = queries.contiguous()?.matmul(&keys.t()?)?; // [tiles, t, s]
    let acceptances: Vec<f32> = context.screens.iter().map(|screen| screen.acceptance as f32).collect();
    let acceptances = Tensor::from_vec(acceptances, (tiles, 1, 1), queries.device())?; // [tiles, 1, 1]
    let trim = (1.0 - (1.0 - similarity)?.broadcast_div(&acceptances)?)?.relu()?.sqr()?; // [tiles, t, s]
    trim * softmask(context, (t, s), queries.device())?
}

/// Mixed values `[tiles, t, value_dim]`.
pub(super) fn mix(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    context: ScreeningContext<'_>,
) -> Result<Tensor> {
    relevance(queries, keys, context)?.matmul(values) // [tiles, t, value_dim]
}

/// `[tiles, t, s]`.
fn softmask(context: ScreeningContext<'_>, (t, s): (usize, usize), device: &Device) -> Result<Tensor> {
    let ScreeningContext { first_position, screens, blocked, .. } = context;
    let mut mask = vec![0f32; screens.len() * t * s];
    for (index, keys) in mask.chunks_exact_mut(s).enumerate() {
        let (screen, row) = (screens[index / t], first_position + index % t);
        for (key, mask) in keys[..row + 1].iter_mut().enumerate() {
            *mask = screen.softmask(row - key) as f32;
        }
        hidden(blocked, row, 0..s).for_each(|hidden| keys[hidden].fill(0.0));
    }
    Tensor::from_vec(mask, (screens.len(), t, s), device)
}
