//! Screening on the CPU without a relevance matrix: query blocks against key blocks, mixed as they come.
//!
//! Nothing is normalised, so nothing is kept of a block but its mix. Key blocks outside a tile's window are
//! never looked at: a window costs its width, whatever the length. Values are read for the keys that pass:
//! row by row where few do, as a matrix where many do, and not at all where none does. [`super::reference`]
//! says the same in plain operations; tests hold the two together.
//!
//! Pages of keys are not bounded beforehand, by the angles between their mean, its keys and the query,
//! because it does not pay. In the six unlimited tiles of a checkpoint trained as the shipped one, at a rate
//! of 0.03, such a bound passes at 4k tokens over 0 to 0.6 % of the pages of 64 keys of a prompt of prose,
//! and of one of key-value lines 0 to 3 %, in one tile 32 %: five tiles pass half of the keys of prose and
//! more, and where hardly a key passes, as in the tile that retrieves, the keys of a page still point
//! everywhere.

use std::cmp::Reverse;
use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Screen, ScreeningContext};
use crate::attention::blocked::hidden;
use crate::attention::storage::with_rows;
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::{add_passed, relevances, softmasks};

/// Queries of one tile in a block: an eighth of its window, so that few keys are looked at in vain, within
/// these bounds. Many queries use a key well while it is in the cache.
const QUERY_BLOCKS: (usize, usize) = (32, 128);
/// Keys in a block: its relevances and values stay in the second-level cache.
const KEY_BLOCK: usize = 512;
/// A block of which fewer than one key in so many pass is mixed key by key.
const FEW: usize = 100;

/// Mixed values `[t, tiles * value_dim]` of `queries` `[tiles, t, key_dim]` over `keys` `[tiles, s, key_dim]`
/// and `values` `[tiles, s, value_dim]`, which begin at position 0. All in f32 on the CPU.
pub(super) fn mix(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    context: ScreeningContext<'_>,
) -> Result<Tensor> {
    let ((tiles, t, key_dim), (_, _, value_dim)) = (queries.dims3()?, values.dims3()?);
    let ScreeningContext { first_position, screens, blocked, .. } = context;
    super::check_tiles(tiles, screens)?;
    let queries = queries.contiguous()?;
    let masks: Vec<Vec<f32>> = screens.par_iter().map(|screen| mask(screen, first_position + t)).collect();
    let tile = |tile: usize| Tile { screen: screens[tile], mask: &masks[tile], blocked, key_dim, value_dim };
    // The longest blocks come first, and each is handed out by itself, so that the threads end together: in a
    // run of several blocks one thread would get most of the long ones.
    let of_tile = |tile: usize| query_blocks(screens[tile].window, t).map(move |rows| (rows, tile));
    let mut blocks: Vec<_> = (0..tiles).flat_map(of_tile).collect();
    let keys_seen = |rows: &Range<usize>, tile: usize| screens[tile].visible(first_position + rows.end - 1);
    blocks.sort_by_key(|(rows, tile)| Reverse(rows.len() * keys_seen(rows, *tile)));
    let done = with_rows(&queries, |query_rows| {
        with_rows(keys, |key_rows| {
            with_rows(values, |value_rows| {
                let block = |(rows, index): &(Range<usize>, usize)| {
                    let query = &query_rows.matrix(*index)[rows.start * key_dim..rows.end * key_dim];
                    let (keys, values) = (key_rows.matrix(*index), value_rows.matrix(*index));
                    (rows.start, *index, tile(*index).mix(query, first_position + rows.start, keys, values))
                };
                Ok(blocks.par_iter().with_max_len(1).map(block).collect::<Vec<_>>())
            })
        })
    })?;
    let mut mixed = vec![0f32; t * tiles * value_dim]; // [t, tiles * value_dim]
    for (start, tile, block) in done {
        for (row, mix) in block.chunks_exact(value_dim).enumerate() {
            let at = ((start + row) * tiles + tile) * value_dim;
            mixed[at..at + value_dim].copy_from_slice(mix);
        }
    }
    Tensor::from_vec(mixed, (t, tiles * value_dim), queries.device())
}

/// The softmask of the distances that rows of the first `len` positions know, the farthest first, so that it
/// lies as keys do; nothing for an infinite window, which masks no key.
fn mask(screen: &Screen, len: usize) -> Vec<f32> {
    match screen.window {
        f64::INFINITY => Vec::new(),
        window => softmasks(window, screen.visible(len - 1)),
    }
}

/// `t` queries in blocks for a tile of this window.
fn query_blocks(window: f64, t: usize) -> impl Iterator<Item = Range<usize>> {
    let (least, most) = QUERY_BLOCKS;
    let height = ((window / 8.0) as usize).clamp(least, most);
    (0..t).step_by(height).map(move |start| start..t.min(start + height))
}

/// A tile: its screen, the keys that rows behind them do not see, and the widths of its keys and values.
struct Tile<'a> {
    screen: Screen,
    mask: &'a [f32],
    blocked: &'a [Range<usize>],
    key_dim: usize,
    value_dim: usize,
}

impl Tile<'_> {
    /// `[rows, value_dim]` mixed values of `query` `[rows, key_dim]`, whose first row is at `position`.
    fn mix(&self, query: &[f32], position: usize, keys: &[f32], values: &[f32]) -> Vec<f32> {
        let (d, e, rows) = (self.key_dim, self.value_dim, query.len() / self.key_dim);
        let mut mixed = vec![0f32; rows * e];
        let mut scores = vec![0f32; rows * KEY_BLOCK];
        let mut passed = vec![0; rows];
        let first = |row: usize| position + row + 1 - self.screen.visible(position + row);
        let end = position + rows;
        let inverse = (1.0 / self.screen.acceptance) as f32;
        for from in (first(0)..end).step_by(KEY_BLOCK) {
            let width = KEY_BLOCK.min(end - from);
            let (keys, values) = (&keys[from * d..(from + width) * d], &values[from * e..(from + width) * e]);
            let scores = &mut scores[..rows * width];
            multiply(
                Matrix::new(query, rows, d),
                Matrix::new(keys, width, d).t(),
                Into::Write,
                scores,
                width,
            ); // [rows, width]
            for (row, (scores, passed)) in scores.chunks_exact_mut(width).zip(&mut passed).enumerate() {
                let row_position = position + row;
                let start = first(row).clamp(from, from + width) - from;
                let stop = (row_position + 1).clamp(from, from + width) - from;
                if start >= stop {
                    // A row may see none of the keys that others of its block see.
                    *passed = 0;
                    scores.fill(0.0);
                    continue;
                }
                scores[..start].fill(0.0);
                scores[stop..].fill(0.0);
                let mask = match self.mask.len() {
                    0 => &[][..],
                    // The mask ends with distance 0.
                    len => &self.mask[len + from + start - row_position - 1..][..stop - start],
                };
                *passed = relevances(&mut scores[start..stop], mask, inverse);
                hidden(self.blocked, row_position, from..from + width)
                    .for_each(|keys| scores[keys].fill(0.0));
            }
            if passed.iter().sum::<usize>() * FEW < rows * width {
                let rows = scores.chunks_exact(width).zip(mixed.chunks_exact_mut(e)).zip(&passed);
                for ((scores, mixed), _) in rows.filter(|(_, passed)| **passed > 0) {
                    add_passed(scores, values, mixed);
                }
            } else {
                let (scores, values) = (Matrix::new(scores, rows, width), Matrix::new(values, width, e));
                multiply(scores, values, Into::Add, &mut mixed, e); // [rows, value_dim]
            }
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::unit_heads;
    use crate::rng::Rng;
    use candle_core::{DType, Device};

    fn unit(rng: &mut Rng, (tiles, rows, d): (usize, usize, usize)) -> Tensor {
        let rows_of_units = unit_heads(&numbers(rng, tiles * rows * d, 1.0), [rows, tiles, d], None);
        Tensor::from_vec(rows_of_units, (tiles, rows, d), &Device::Cpu).unwrap()
    }

    #[test]
    fn fused_and_plain_screening_agree_whatever_the_chunk() {
        let mut rng = Rng::new(59);
        // Acceptance widths under which nearly all pass, few do, and none does.
        let screens = [
            (f64::INFINITY, 1.0),
            (f64::INFINITY, 0.3),
            (f64::INFINITY, 1e-6),
            (1.0, 0.9),
            (2.5, 0.9),
            (40.0, 0.5),
            (257.3, 0.99),
            (1e9, 0.8),
        ]
        .map(|(window, acceptance)| Screen { window, acceptance });
        let sizes =
            [(8, 12, 70, 1), (8, 12, 70, 7), (16, 64, 600, 64), (16, 10, 700, 700), (16, 10, 300, 50)];
        let blocked = [&[][..], &[2..5, 4..30, 120..400][..]];
        for ((key_dim, value_dim, s, chunk), blocked) in
            sizes.into_iter().flat_map(|size| blocked.map(|blocked| (size, blocked)))
        {
            let queries = unit(&mut rng, (screens.len(), s, key_dim));
            // A longer buffer than is filled, as the cache has.
            let keys = unit(&mut rng, (screens.len(), s + 9, key_dim));
            let values = unit(&mut rng, (screens.len(), s + 9, value_dim));
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let context = ScreeningContext { layer: 0, first_position, screens: &screens, blocked };
                let chunk = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, 0, first_position + t).unwrap();
                let values = values.narrow(1, 0, first_position + t).unwrap();
                let fused = mix(&chunk, &keys, &values, context).unwrap();
                let plain = reference::mix(&chunk, &keys, &values, context).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape(fused.shape()).unwrap();
                let off = (fused - plain).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f32>().unwrap();
                assert!(off < 4e-6, "{key_dim} and {value_dim} wide, {first_position}: off by {off}");
            }
        }
    }

    #[test]
    fn keys_and_values_outside_the_window_are_never_looked_at() {
        let mut rng = Rng::new(67);
        let (s, t, window) = (900, 40, 100);
        let [keys, values] = [(); 2].map(|()| unit(&mut rng, (1, s, 16)));
        let queries = unit(&mut rng, (1, t, 16));
        let screens = [Screen { window: window as f64, acceptance: 0.9 }];
        let context = ScreeningContext { layer: 0, first_position: s - t, screens: &screens, blocked: &[] };
        let expected = mix(&queries, &keys, &values, context).unwrap().to_vec2::<f32>().unwrap();
        // The first row sees its own key and those before it.
        let unseen = s - t - (window - 1);
        let [keys, values] = [keys, values].map(|seen| {
            let nothing = Tensor::full(f32::NAN, (1, unseen, 16), &Device::Cpu).unwrap();
            Tensor::cat(&[&nothing, &seen.narrow(1, unseen, s - unseen).unwrap()], 1).unwrap()
        });
        let found = mix(&queries, &keys, &values, context).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_query_that_is_no_number_is_not_hidden() {
        let mut rng = Rng::new(61);
        let nan = Tensor::full(f32::NAN, (1, 1, 4), &Device::Cpu).unwrap();
        let (keys, values) = (unit(&mut rng, (1, 3, 4)), unit(&mut rng, (1, 3, 4)));
        for window in [2.0, f64::INFINITY] {
            let screens = [Screen { window, acceptance: 0.5 }];
            let context = ScreeningContext { layer: 0, first_position: 2, screens: &screens, blocked: &[] };
            let mixed = mix(&nan, &keys, &values, context).unwrap().to_vec2::<f32>().unwrap();
            assert!(mixed[0].iter().all(|y| y.is_nan()), "{mixed:?}");
        }
    }

    #[test]
    fn only_f32_on_the_cpu_is_read() {
        let tensor = Tensor::zeros((1, 1, 2), DType::F64, &Device::Cpu).unwrap();
        let screens = [Screen { window: 2.0, acceptance: 0.5 }];
        let context = ScreeningContext { layer: 0, first_position: 0, screens: &screens, blocked: &[] };
        assert!(mix(&tensor, &tensor, &tensor, context).is_err());
    }
}
