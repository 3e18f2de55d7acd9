//! Screening (Multiscreen, arXiv 2604.01178): every key passes a tile's screen or is dropped, by itself.
//! Nothing is normalised.
//!
//! For unit queries `q_i` and keys `k_j` of a tile with window `w` and acceptance width `r`:
//!
//! ```text
//! trim      a_ij = max(1 - (1 - q_i·k_j) / r, 0)²          0 where the similarity is below 1 - r
//! softmask  m_ij = (cos(pi (i - j) / w) + 1) / 2           for 0 <= i - j < w, else 0; 1 for an infinite window
//! relevance      = a_ij m_ij                               in 0..1, and a row need not sum to 1
//! mixed     y_i  = sum_j relevance_ij v_j
//! ```
//!
//! What has turned queries and keys (MiPE), and what is done to `y` behind it, is the model's matter: see
//! [`crate::model::screening`].

mod fused;
mod reference;

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

pub use crate::spec::Screen;

use super::{AttentionRecorder, Cached, HeadRow};

/// What one layer's screening needs besides its tensors.
#[derive(Clone, Copy)]
pub struct ScreeningContext<'a> {
    /// Index of the layer.
    pub layer: usize,
    /// Absolute position of the first query row.
    pub first_position: usize,
    /// The screens of its tiles.
    pub screens: &'a [Screen],
    /// Keys whose relevance is 0 to rows behind them, as of [`super::Blocked::at`].
    pub blocked: &'a [Range<usize>],
}

/// Mixes values for a chunk of queries.
///
/// Unit `queries` `[tiles, t, key_dim]` begin at `context.first_position`. Returns `[t, tiles * value_dim]`.
///
/// # Errors
/// When shapes do not fit together or memory is out.
pub fn screen(queries: &Tensor, cached: &Cached<'_>, context: ScreeningContext<'_>) -> Result<Tensor> {
    let (tiles, t, _) = queries.dims3()?;
    let (keys, values) = given(cached, context.first_position + t)?;
    if queries.device().is_cpu() && queries.dtype() == DType::F32 {
        return fused::mix(queries, &keys, &values, context);
    }
    let mixed = reference::mix(queries, &keys, &values, context)?; // [tiles, t, value_dim]
    mixed.transpose(0, 1)?.reshape((t, tiles * values.dim(2)?)) // [t, tiles * value_dim]
}

/// Records the relevances of those rows of a chunk that `recorder` asks for; `queries` as [`screen`] takes
/// them.
///
/// # Errors
/// As of [`screen`].
pub fn record(
    queries: &Tensor,
    cached: &Cached<'_>,
    context: ScreeningContext<'_>,
    recorder: &mut (dyn AttentionRecorder + '_),
) -> Result<()> {
    let (_, t, _) = queries.dims3()?;
    for row in super::asked_rows(recorder, context.first_position, t) {
        let query = queries.narrow(1, row - context.first_position, 1)?; // [tiles, 1, key_dim]
        let (keys, _) = given(cached, row + 1)?;
        let context = ScreeningContext { first_position: row, ..context };
        let relevance = reference::relevance(&query, &keys, context)?; // [tiles, 1, row + 1]
        for (head, weights) in relevance.squeeze(1)?.to_vec2::<f32>()?.iter().enumerate() {
            let window = Some(context.screens[head].visible(row));
            recorder.record(HeadRow {
                layer: context.layer,
                head,
                row,
                weights,
                window,
                ..HeadRow::default()
            });
        }
    }
    Ok(())
}

/// Refuses screens that are not those of so many tiles.
fn check_tiles(tiles: usize, screens: &[Screen]) -> Result<()> {
    if screens.len() != tiles {
        candle_core::bail!("{tiles} tiles meet {} screens", screens.len());
    }
    Ok(())
}

/// The first `len` keys and values.
fn given(cached: &Cached<'_>, len: usize) -> Result<(Tensor, Tensor)> {
    match cached {
        Cached::Tensors { keys, values, .. } => Ok((keys.narrow(1, 0, len)?, values.narrow(1, 0, len)?)),
        Cached::Pages(_) | Cached::Rows(_) => candle_core::bail!("screening reads keys and values in f32"),
    }
}
