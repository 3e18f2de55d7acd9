//! The kernel for any processor: numbers widened to f32, sixteen columns side by side.

use super::packed::{STRIP, TILE_ROWS, Tile, wide};
use super::{Block, Out};
use crate::kernel::for_every_instruction_set;

for_every_instruction_set! {
    /// See [`super::Multiply`].
    fn multiply = multiply_plain(
        rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: Out<'_>, add: bool, _ahead: &[Tile]
    )
}

#[inline(always)]
fn multiply_plain(rows: [&[Tile]; 2], strip: &[[Tile; 2]], mut out: Out<'_>, add: bool, _ahead: &[Tile]) {
    for row in 0..2 * TILE_ROWS {
        multiply_row(rows[row / TILE_ROWS], row % TILE_ROWS, strip, out.row(row), add);
    }
}

for_every_instruction_set! {
    /// See [`super::Few`].
    fn few = few_plain(rows: &[Tile], count: usize, strip: &[[Tile; 2]], block: &mut Block)
}

#[inline(always)]
fn few_plain(rows: &[Tile], count: usize, strip: &[[Tile; 2]], block: &mut Block) {
    for (row, out) in block[..count].iter_mut().enumerate() {
        multiply_row(rows, row, strip, out, false);
    }
}

/// The products of one row.
#[inline(always)]
fn multiply_row(tiles: &[Tile], row: usize, strip: &[[Tile; 2]], out: &mut [f32; STRIP], add: bool) {
    for (half, out) in out.as_chunks_mut::<TILE_ROWS>().0.iter_mut().enumerate() {
        let mut sums = if add { *out } else { [0f32; TILE_ROWS] };
        for (left, right) in tiles.iter().zip(strip) {
            let (left, _) = left.0.as_chunks::<{ 2 * TILE_ROWS }>();
            let (pairs, _) = left[row].as_chunks::<2>();
            let (columns, _) = right[half].0.as_chunks::<{ 2 * TILE_ROWS }>();
            for (pair, columns) in pairs.iter().zip(columns) {
                let (a, b) = (wide(pair[0]), wide(pair[1]));
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum += a * wide(columns[2 * column]) + b * wide(columns[2 * column + 1]);
                }
            }
        }
        *out = sums;
    }
}
