//! The first half of a gated MLP, whose inner numbers never leave bf16.

use rayon::prelude::*;

use super::packed::{Matrix, Rows, STEP, STRIP, Strip, TILE_ROWS, Tile, round_into};
use super::{Kernel, kernel};
use crate::kernel::Gate;
use crate::kernel::blocks::Shared;

/// `act(x gᵀ) * (x uᵀ)`, `[m, n]` and rounded, for `x [m, k]` and the matrices `g` and `u` `[n, k]` that
/// `gate_up` holds interleaved (see [`Matrix::interleaved`]).
pub(crate) fn gated(x: &Rows, gate_up: &Matrix, n: usize, act: Gate) -> Rows {
    gated_with(kernel(), x, gate_up, n, act)
}

fn gated_with(kernel: Kernel, x: &Rows, gate_up: &Matrix, n: usize, act: Gate) -> Rows {
    assert!(
        x.k() == gate_up.k() && gate_up.n() == n.div_ceil(TILE_ROWS) * STRIP,
        "a strip for every 16 columns"
    );
    let steps = n.div_ceil(STEP);
    Rows::filled(x.m(), n, |tiles| {
        let tiles = Shared(tiles.as_mut_ptr());
        (0..steps).into_par_iter().for_each_init(Default::default, |buffers: &mut [Strip; 2], step| {
            let strips = 2 * step..gate_up.strips().min(2 * step + 2);
            let tiles_of = strips.clone().zip(buffers).map(|(strip, buffer)| gate_up.strip(strip, buffer));
            let tiles_of: Vec<_> = tiles_of.collect();
            let mut block = [[0f32; STRIP]; 2 * TILE_ROWS];
            (kernel.begin)();
            for (first, rows) in x.pairs() {
                let mut inner = [Tile::ZERO; 2];
                let count = (2 * TILE_ROWS).min(x.m() - first * TILE_ROWS);
                for (strip, of_strip) in strips.clone().zip(&tiles_of) {
                    let ahead = gate_up.quarter(strip + 2, first / 2);
                    kernel.block(rows, count, of_strip, &mut block, ahead);
                    gate_block(act, &block, &mut inner, strip % 2 * TILE_ROWS);
                }
                for (half, tile) in inner.into_iter().enumerate().take(x.blocks() - first) {
                    // SAFETY: the block and the step are in the tiles, and each task writes those of its own
                    // step.
                    unsafe { (*tiles.at((first + half) * steps + step)).write(tile) };
                }
            }
            (kernel.end)();
        });
    })
}

/// Gates the products of 32 rows, 16 gates and 16 numbers to be gated each, and rounds them into the columns
/// from `column` on.
fn gate_block(act: Gate, block: &[[f32; STRIP]; 2 * TILE_ROWS], inner: &mut [Tile; 2], column: usize) {
    let mut gates = [0f32; 2 * TILE_ROWS * TILE_ROWS];
    let mut ups = gates;
    for (row, (gates, ups)) in block
        .iter()
        .zip(gates.as_chunks_mut::<TILE_ROWS>().0.iter_mut().zip(ups.as_chunks_mut::<TILE_ROWS>().0))
    {
        let (left, right) = row.split_at(TILE_ROWS);
        gates.copy_from_slice(left);
        ups.copy_from_slice(right);
    }
    act(&mut gates, &ups);
    let mut rounded = [0u16; 2 * TILE_ROWS * TILE_ROWS];
    round_into(&mut rounded, &gates);
    for (row, rounded) in rounded.as_chunks::<TILE_ROWS>().0.iter().enumerate() {
        inner[row / TILE_ROWS].0[row % TILE_ROWS * STEP + column..][..TILE_ROWS].copy_from_slice(rounded);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{multiply, tests::every_kernel};
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::{gelu_tanh_gate, silu_gate};
    use crate::rng::Rng;

    #[test]
    fn a_gated_product_is_that_of_its_two_matrices_on_every_kernel() {
        let mut rng = Rng::new(31);
        for (m, k, n) in [(1, 40, 16), (33, 65, 70), (32, 64, 96), (20, 7, 1), (70, 32, 33)] {
            let x = numbers(&mut rng, m * k, 1.0);
            let (g, u) = (numbers(&mut rng, n * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let rows = Rows::round(&x, m, k);
            // Times the identity, so that the rounded numbers can be read.
            let identity: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
            for act in [silu_gate, gelu_tanh_gate] as [Gate; 2] {
                let mut expected = multiply(&rows, &Matrix::round(&g, n, k));
                act(&mut expected, &multiply(&rows, &Matrix::round(&u, n, k)));
                for kernel in every_kernel() {
                    let inner = gated_with(kernel, &rows, &Matrix::interleaved(&g, &u, n, k), n, act);
                    let found = multiply(&inner, &Matrix::round(&identity, n, n));
                    for (found, expected) in found.iter().zip(&expected) {
                        let off = (found - expected).abs();
                        assert!(off <= expected.abs() / 256.0 + 1e-4, "{} {m} {k} {n}", kernel.name);
                    }
                }
            }
        }
    }
}
