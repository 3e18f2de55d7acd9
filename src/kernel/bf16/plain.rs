//! The kernel for any processor: numbers widened to f32, sixteen columns side by side.

use super::Block;
use super::packed::{Rows, STRIP, TILE_ROWS, Tile};
use crate::kernel::for_every_instruction_set;

/// See [`super::Kernel`].
pub(super) fn multiply(x: &Rows, strip: &[[Tile; 2]], done: &mut dyn FnMut(usize, &Block)) {
    let mut out = [[0f32; STRIP]; 2 * TILE_ROWS];
    for (first, rows) in x.pairs() {
        block(rows, strip, &mut out);
        done(first, &out);
    }
}

for_every_instruction_set! {
    /// The products of two blocks of rows and a strip.
    fn block = block_plain(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: &mut Block)
}

#[inline(always)]
fn block_plain(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: &mut Block) {
    for (row, out) in out.iter_mut().enumerate() {
        let tiles = rows[row / TILE_ROWS];
        for half in 0..2 {
            let mut sums = [0f32; TILE_ROWS];
            for (left, right) in tiles.iter().zip(strip) {
                let (left, _) = left.0.as_chunks::<{ 2 * TILE_ROWS }>();
                let (pairs, _) = left[row % TILE_ROWS].as_chunks::<2>();
                let (columns, _) = right[half].0.as_chunks::<{ 2 * TILE_ROWS }>();
                for (pair, columns) in pairs.iter().zip(columns) {
                    let (a, b) = (widen(pair[0]), widen(pair[1]));
                    for (column, sum) in sums.iter_mut().enumerate() {
                        *sum += a * widen(columns[2 * column]) + b * widen(columns[2 * column + 1]);
                    }
                }
            }
            out[half * TILE_ROWS..][..TILE_ROWS].copy_from_slice(&sums);
        }
    }
}

#[inline(always)]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
