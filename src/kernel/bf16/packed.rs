//! The order in which bf16 numbers are kept for the kernels: tiles of 1 KiB, read from front to back.

use std::mem::MaybeUninit;
use std::sync::Arc;

use rayon::prelude::*;

use super::parts::{each_part, leave_rest_plain};
#[cfg(target_arch = "x86_64")]
use super::transposed;
use crate::kernel::{Blocks, for_every_instruction_set};

/// Rows of a tile of the left side; columns of a tile of the right side.
pub(super) const TILE_ROWS: usize = 16;

/// Numbers along `k` in a tile.
pub(super) const STEP: usize = 32;

/// Columns of the right side that a kernel takes at once: two tiles.
pub(super) const STRIP: usize = 2 * TILE_ROWS;

/// A tile. Of the left side: `[16 rows, 32 k]`. Of the right side: `[16 pairs of k, 16 columns, 2]`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [u16; TILE_ROWS * STEP]);

impl Tile {
    pub(super) const ZERO: Self = Self([0; TILE_ROWS * STEP]);
}

/// The left side of a product: rows rounded to bf16. Missing rows and numbers of the last tiles are 0.
pub(crate) struct Rows {
    m: usize,
    k: usize,
    tiles: Vec<Tile>, // [blocks, steps]
}

impl Rows {
    /// `x [m, k]`, rounded.
    pub(crate) fn round(x: &[f32], m: usize, k: usize) -> Self {
        assert_eq!(x.len(), m * k, "m rows of k numbers");
        let steps = k.div_ceil(STEP);
        Self::filled(m, k, |tiles| {
            let blocks = tiles.par_chunks_mut(steps).zip(x.par_chunks(TILE_ROWS * k));
            blocks.for_each(|(tiles, rows)| round_block(tiles, rows, k));
        })
    }

    /// The same in two parts, the larger first.
    pub(super) fn in_parts(x: &[f32], m: usize, k: usize) -> [Self; 2] {
        assert_eq!(x.len(), m * k, "m rows of k numbers");
        let steps = k.div_ceil(STEP);
        let mut lo = Self { m, k, tiles: vec![Tile::ZERO; m.div_ceil(TILE_ROWS) * steps] };
        let hi = Self::filled(m, k, |hi| {
            let tiles = hi.par_chunks_mut(steps).zip(lo.tiles.par_chunks_mut(steps));
            let blocks = tiles.zip(x.par_chunks(TILE_ROWS * k));
            blocks.for_each(|((hi, lo), rows)| split_block(hi, lo, rows, k));
        });
        [hi, lo]
    }

    /// Rows of `k` numbers whose tiles `[blocks, steps]` are all written by `fill`.
    pub(super) fn filled(m: usize, k: usize, fill: impl FnOnce(&mut [MaybeUninit<Tile>])) -> Self {
        let count = m.div_ceil(TILE_ROWS) * k.div_ceil(STEP);
        let mut tiles = Vec::with_capacity(count);
        fill(&mut tiles.spare_capacity_mut()[..count]);
        // SAFETY: there is room for them, and they were written.
        unsafe { tiles.set_len(count) };
        Self { m, k, tiles }
    }

    /// Number of rows.
    pub(crate) fn m(&self) -> usize {
        self.m
    }

    /// Numbers in a row.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Number of blocks of 16 rows.
    pub(super) fn blocks(&self) -> usize {
        self.m.div_ceil(TILE_ROWS)
    }

    /// Every two blocks: the number of the first, and the tiles of both, `[steps]` each. A last one without a
    /// second comes twice.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, [&[Tile]; 2])> {
        let last = self.blocks().saturating_sub(1);
        let pair = move |first: usize| (first, [first, (first + 1).min(last)].map(|index| self.block(index)));
        (0..self.blocks()).step_by(2).map(pair)
    }

    /// The tiles of a block, `[steps]`.
    fn block(&self, index: usize) -> &[Tile] {
        let steps = self.k.div_ceil(STEP);
        &self.tiles[index * steps..(index + 1) * steps]
    }
}

/// The right side of a product, `w [n, k]`, rounded to bf16. It is packed once, or a strip at a time where
/// the blocks of a file are kept instead: a kernel reads the same tiles either way.
pub(crate) struct Matrix {
    n: usize,
    k: usize,
    store: Store,
}

enum Store {
    Packed(Vec<[Tile; 2]>), // [strips, steps]
    Blocks(Arc<Blocks>),
    /// Every 16 rows of the first and then the same rows of the second.
    Interleaved([Arc<Blocks>; 2]),
}

/// Room for a strip that is made where it is used.
#[derive(Default)]
pub(super) struct Strip {
    tiles: Vec<[Tile; 2]>, // [steps]
    numbers: Vec<f32>,     // [rows, k]
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix [{}, {}] in bf16", self.n, self.k)
    }
}

impl Matrix {
    /// `w [n, k]`, rounded.
    pub(crate) fn round(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "n rows of k numbers");
        let steps = k.div_ceil(STEP);
        let mut tiles = vec![[Tile::ZERO; 2]; n.div_ceil(STRIP) * steps];
        let strips = tiles.par_chunks_mut(steps).zip(w.par_chunks(STRIP * k));
        strips.for_each(|(tiles, columns)| pack_strip([tiles], columns, k));
        Self { n, k, store: Store::Packed(tiles) }
    }

    /// Every 16 rows of `a` and then the same rows of `b`, both `[n, k]`: a strip of the product holds 16
    /// columns of each.
    pub(crate) fn interleaved(a: &[f32], b: &[f32], n: usize, k: usize) -> Self {
        assert!(a.len() == n * k && b.len() == n * k, "n rows of k numbers");
        let steps = k.div_ceil(STEP);
        let mut tiles = vec![[Tile::ZERO; 2]; n.div_ceil(TILE_ROWS) * steps];
        let columns = a.par_chunks(TILE_ROWS * k).zip(b.par_chunks(TILE_ROWS * k));
        tiles.par_chunks_mut(steps).zip(columns).for_each(|(tiles, (a, b))| {
            pack_half([&mut *tiles], 0, a, k);
            pack_half([tiles], 1, b, k);
        });
        Self { n: n.div_ceil(TILE_ROWS) * STRIP, k, store: Store::Packed(tiles) }
    }

    /// What [`Self::round`] makes of the numbers of `blocks`, which are kept.
    pub(crate) fn kept(blocks: Arc<Blocks>) -> Self {
        let [n, k] = blocks.shape();
        Self { n, k, store: Store::Blocks(blocks) }
    }

    /// What [`Self::interleaved`] makes of the numbers of blocks, which are kept.
    pub(crate) fn kept_interleaved(a: Arc<Blocks>, b: Arc<Blocks>) -> Self {
        assert_eq!(a.shape(), b.shape(), "every row has its partner");
        let [n, k] = a.shape();
        Self { n: n.div_ceil(TILE_ROWS) * STRIP, k, store: Store::Interleaved([a, b]) }
    }

    /// Rows of `w`: the width of the product.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Columns of `w`: the numbers of a row that it multiplies.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Number of strips of 32 columns.
    pub(super) fn strips(&self) -> usize {
        self.n.div_ceil(STRIP)
    }

    /// A quarter of the tiles of a strip, that of `part` modulo 4; of the last strip where this one is past
    /// it; none where they are not in memory.
    pub(super) fn quarter(&self, strip: usize, part: usize) -> &[Tile] {
        let Store::Packed(_) = &self.store else { return &[] };
        let tiles = self.packed(strip.min(self.strips() - 1)).as_flattened();
        &tiles[tiles.len() / 4 * (part % 4)..]
    }

    /// The tiles of a strip, `[steps, 2]`, made in `room` where they are not in memory.
    pub(super) fn strip<'a>(&'a self, index: usize, room: &'a mut Strip) -> &'a [[Tile; 2]] {
        match &self.store {
            Store::Packed(_) => return self.packed(index),
            Store::Blocks(blocks) => {
                room.fill(blocks, index * STRIP, 0);
                room.fill(blocks, index * STRIP + TILE_ROWS, 1);
            }
            Store::Interleaved(both) => {
                room.fill(&both[0], index * TILE_ROWS, 0);
                room.fill(&both[1], index * TILE_ROWS, 1);
            }
        }
        &room.tiles
    }

    fn packed(&self, index: usize) -> &[[Tile; 2]] {
        let Store::Packed(tiles) = &self.store else { return &[] };
        let steps = self.k.div_ceil(STEP);
        &tiles[index * steps..(index + 1) * steps]
    }
}

impl Strip {
    /// Packs the rows of `blocks` from `first` on, at most 16, into one half of the strip.
    fn fill(&mut self, blocks: &Blocks, first: usize, half: usize) {
        let [n, k] = blocks.shape();
        self.tiles.resize(k.div_ceil(STEP), [Tile::ZERO; 2]);
        let rows = first.min(n)..n.min(first + TILE_ROWS);
        self.numbers.resize(rows.len() * k, 0.0);
        blocks.widen(rows, &mut self.numbers);
        // Columns that are missing become 0.
        pack_half([&mut self.tiles], half, &self.numbers, k);
    }
}

/// Packs up to 32 columns of `k` numbers each, stored one after the other, into the tiles `[steps, 2]` of
/// each part of a strip.
pub(super) fn pack_strip<const PARTS: usize>(
    mut tiles: [&mut [[Tile; 2]]; PARTS],
    columns: &[f32],
    k: usize,
) {
    for (half, columns) in columns.chunks(TILE_ROWS * k).enumerate() {
        pack_half(tiles.each_mut().map(|tiles| &mut **tiles), half, columns, k);
    }
}

/// Packs up to 16 columns of `k` numbers each into one half of the tiles `[steps, 2]` of each part of a
/// strip.
fn pack_half<const PARTS: usize>(
    mut tiles: [&mut [[Tile; 2]]; PARTS],
    half: usize,
    columns: &[f32],
    k: usize,
) {
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if columns.len() == TILE_ROWS * k && transposed::available() {
        done = transposed::pack_whole_steps(&mut tiles, half, columns, k);
    }
    if done < k.div_ceil(STEP) {
        each_part(columns, &mut tiles, |part, tiles| pack_steps(tiles, half, part, k, done));
    }
}

for_every_instruction_set! {
    /// Packs the steps from `first` on.
    fn pack_steps = pack_steps_plain(
        tiles: &mut [[Tile; 2]], half: usize, columns: &[f32], k: usize, first: usize
    )
}

#[inline(always)]
fn pack_steps_plain(tiles: &mut [[Tile; 2]], half: usize, columns: &[f32], k: usize, first: usize) {
    for (step, tile) in tiles.iter_mut().enumerate().skip(first) {
        let mut rounded = [[0u16; STEP]; TILE_ROWS];
        for (numbers, rounded) in columns.chunks_exact(k).zip(&mut rounded) {
            let numbers = &numbers[step * STEP..k.min((step + 1) * STEP)];
            round_into_plain(&mut rounded[..numbers.len()], numbers);
        }
        for (pair, packed) in tile[half].0.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            for (column, packed) in packed.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *packed = [rounded[column][2 * pair], rounded[column][2 * pair + 1]];
            }
        }
    }
}

for_every_instruction_set! {
    /// Writes up to 16 rows of `k` numbers into the tiles `[steps]` of a block.
    fn round_block = round_block_plain(tiles: &mut [MaybeUninit<Tile>], rows: &[f32], k: usize)
}

#[inline(always)]
fn round_block_plain(tiles: &mut [MaybeUninit<Tile>], rows: &[f32], k: usize) {
    for (step, tile) in tiles.iter_mut().enumerate() {
        let tile = tile.write(Tile::ZERO);
        for (row, numbers) in rows.chunks_exact(k).enumerate() {
            round_row(tile, row, &numbers[step * STEP..k.min((step + 1) * STEP)]);
        }
    }
}

for_every_instruction_set! {
    /// The same in two parts; `lo` holds zeros.
    fn split_block = split_block_plain(hi: &mut [MaybeUninit<Tile>], lo: &mut [Tile], rows: &[f32], k: usize)
}

#[inline(always)]
fn split_block_plain(hi: &mut [MaybeUninit<Tile>], lo: &mut [Tile], rows: &[f32], k: usize) {
    for (step, (hi, lo)) in hi.iter_mut().zip(lo).enumerate() {
        let hi = hi.write(Tile::ZERO);
        for (row, numbers) in rows.chunks_exact(k).enumerate() {
            let numbers = &numbers[step * STEP..k.min((step + 1) * STEP)];
            let mut rest = [0f32; STEP];
            rest[..numbers.len()].copy_from_slice(numbers);
            round_row(hi, row, &rest);
            leave_rest_plain(&mut rest);
            round_row(lo, row, &rest);
        }
    }
}

/// Writes the first numbers of a tile's row.
#[inline(always)]
pub(super) fn round_row(tile: &mut Tile, row: usize, numbers: &[f32]) {
    let rounded = &mut tile.0[row * STEP..][..STEP];
    match <&[f32; STEP]>::try_from(numbers) {
        Ok(numbers) => round_into_plain(rounded, numbers),
        Err(_) => round_into_plain(&mut rounded[..numbers.len()], numbers),
    }
}

for_every_instruction_set! {
    /// Rounds to nearest, ties to even; a NaN becomes a quiet one.
    fn round_into = round_into_plain(rounded: &mut [u16], numbers: &[f32])
}

#[inline(always)]
fn round_into_plain(rounded: &mut [u16], numbers: &[f32]) {
    for (rounded, number) in rounded.iter_mut().zip(numbers) {
        *rounded = round(*number);
    }
}

/// The bits of the nearest bf16, ties to even; a NaN becomes a quiet one.
#[inline(always)]
pub(crate) fn round(number: f32) -> u16 {
    let bits = number.to_bits();
    let nearest = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    let quiet = (bits >> 16) as u16 | 0x40;
    if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { nearest }
}

/// The number of these bits of a bf16.
#[inline(always)]
pub(super) fn wide(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Numbers rounded to bf16.
pub(crate) fn rounded(numbers: &[f32]) -> Vec<f32> {
    let mut rounded = numbers.to_vec();
    round_here(&mut rounded);
    rounded
}

for_every_instruction_set! {
    /// Rounds numbers to bf16 where they are.
    fn round_here = round_here_plain(numbers: &mut [f32])
}

#[inline(always)]
fn round_here_plain(numbers: &mut [f32]) {
    for x in numbers {
        *x = wide(round(*x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use half::bf16;

    #[test]
    fn tiles_are_packed_to_the_same_bits_on_every_instruction_set() {
        let mut rng = Rng::new(29);
        for (columns, k) in [(16, 96), (16, 70), (16, 31), (7, 64), (1, 1)] {
            let mut given = numbers(&mut rng, columns * k, 1.0);
            given[0] = f32::from_bits(0x7fff_ffff);
            given[columns * k / 2] = 1e-40;
            let mut fast = vec![[Tile([7; TILE_ROWS * STEP]); 2]; k.div_ceil(STEP)];
            let mut plain = fast.clone();
            for half in [0, 1] {
                pack_half([&mut fast[..]], half, &given, k);
                pack_steps_plain(&mut plain, half, &given, k, 0);
            }
            let bits =
                |tiles: &[[Tile; 2]]| tiles.iter().flatten().flat_map(|tile| tile.0).collect::<Vec<_>>();
            assert!(bits(&fast) == bits(&plain), "{columns} columns of {k}");
            // Of the first column, every number is where it belongs.
            for (at, number) in given[..k].iter().enumerate() {
                let found = plain[at / STEP][1].0[at % STEP / 2 * 2 * TILE_ROWS + at % 2];
                assert_eq!(found, round(*number), "number {at} of {k}");
            }
        }
    }

    #[test]
    fn numbers_are_rounded_as_the_half_crate_rounds_them() {
        let mut given = numbers(&mut Rng::new(19), 5000, 1e30);
        given.extend([0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
        given.extend([1.0 + f32::from_bits(0x3b80_0000), f32::NAN, f32::from_bits(0xffff_ffff)]);
        let (mut fast, mut plain) = (vec![0; given.len()], vec![0; given.len()]);
        round_into(&mut fast, &given);
        round_into_plain(&mut plain, &given);
        let expected: Vec<u16> = given.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
        assert_eq!((&fast, &plain), (&expected, &expected));
    }
}
