//! Recurrences over the tokens of a sequence, with a state that the next tokens continue from.
//!
//! What does not mix (a head, a channel) is a unit: units run side by side on all threads, tokens of a unit
//! one behind the other or in chunks. Each recurrence stands beside its plain form, token by token, and a
//! test holds the two together.

mod gated_unit;
mod selective;
mod ssd;
mod wkv;

use rayon::prelude::*;

use super::blocks::in_blocks;
use super::exp::exp;

pub(crate) use gated_unit::{GatedUnit, gated_unit};
pub(crate) use selective::{Selective, selective};
pub(crate) use ssd::{Ssd, SsdSizes, ssd};
pub(crate) use wkv::{WKV_START, Wkv, wkv};

/// Channels that a thread takes at once.
const CHANNELS: usize = 64;

/// `t` rows of `units` units, `width` numbers each, which threads take `block` units at a time.
#[derive(Clone, Copy)]
struct Units {
    t: usize,
    units: usize,
    width: usize,
    block: usize,
}

/// Rows `[t, units * width]` that `scan` makes: it gets the first unit of a block, the states of that block's
/// units and their rows `[t, width of the block]`, all 0.
fn by_units(
    sizes: Units,
    states: &mut [f32],
    scan: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let Units { t, units, width, block } = sizes;
    assert!(units > 0 && states.len().is_multiple_of(units), "each unit has a state of the same size");
    let of_unit = states.len() / units;
    let blocks = states.par_chunks_mut(block * of_unit).enumerate().map(|(index, states)| {
        let mut rows = vec![0.0; t * width * (states.len() / of_unit)];
        scan(index * block, states, &mut rows);
        rows
    });
    let mut blocks: Vec<Vec<f32>> = blocks.collect();
    if blocks.len() == 1 {
        return blocks.remove(0);
    }
    in_blocks(t * units * width, units * width, |at, row| {
        let token = at / (units * width);
        for (row, block) in row.chunks_mut(block * width).zip(&blocks) {
            row.copy_from_slice(&block[token * row.len()..][..row.len()]);
        }
    })
}

/// `ln(1 + e^x)`, without overflow.
pub(crate) fn softplus(x: f32) -> f32 {
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + exp(-x.abs()).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_units_lie_side_by_side_whatever_the_blocks() {
        for block in [1, 2, 5, 9] {
            let mut states: Vec<f32> = (0..5).map(|unit| unit as f32).collect();
            let rows =
                by_units(Units { t: 3, units: 5, width: 2, block }, &mut states, |first, states, rows| {
                    let width = 2 * states.len();
                    for (token, row) in rows.chunks_exact_mut(width).enumerate() {
                        for (unit, numbers) in row.chunks_exact_mut(2).enumerate() {
                            assert_eq!(states[unit], (first + unit) as f32);
                            numbers[0] = (100 * token + 10 * (first + unit)) as f32;
                            numbers[1] = numbers[0] + 1.0;
                        }
                    }
                });
            let expected =
                (0..3).flat_map(|t| (0..5).flat_map(move |u| [0, 1].map(|n| (100 * t + 10 * u + n) as f32)));
            assert_eq!(rows, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn softplus_is_right_and_does_not_overflow() {
        for x in [-100.0, -20.0, -1.5, -0.0, 0.3, 5.0, 30.0, 1e30f32] {
            let exact = if x > 50.0 { f64::from(x) } else { f64::from(x).exp().ln_1p() };
            assert!((f64::from(softplus(x)) - exact).abs() <= 3e-7 * exact + 1e-30, "softplus({x})");
        }
        assert!(softplus(f32::NAN).is_nan());
    }
}
