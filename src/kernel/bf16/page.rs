//! Keys and values in the order that attention reads them.

use std::ops::Range;

use super::packed::{STEP, STRIP, TILE_ROWS, Tile, round, round_into};
use super::times::times;

/// Keys in a page. Its keys and values, in bf16, stay in the second-level cache while a block of queries
/// meets them.
pub(crate) const PAGE: usize = 256;

/// Up to [`PAGE`] keys and values of one head, rounded to bf16. What is not filled yet is 0.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    d: usize,
    keys: Vec<Tile>,   // [PAGE / 16, steps of d]: rows are keys
    values: Vec<Tile>, // [blocks of d, PAGE / 32]: rows are coordinates
}

impl Page {
    /// An empty page for heads of `d` numbers.
    pub(crate) fn new(d: usize) -> Self {
        let keys = vec![Tile::ZERO; PAGE / TILE_ROWS * d.div_ceil(STEP)];
        let values = vec![Tile::ZERO; blocks_of(d) * (PAGE / STEP)];
        Self { d, keys, values }
    }

    /// Bytes of a page for heads of `d` numbers.
    pub(crate) fn bytes(d: usize) -> usize {
        let tiles = PAGE / TILE_ROWS * d.div_ceil(STEP) + blocks_of(d) * (PAGE / STEP);
        tiles * size_of::<Tile>()
    }

    /// Puts `keys` and `values` `[count, d]` at the places from `first` on.
    pub(crate) fn fill(&mut self, first: usize, keys: &[f32], values: &[f32]) {
        let steps = self.d.div_ceil(STEP);
        for (place, key) in (first..).zip(keys.chunks_exact(self.d)) {
            let tiles = &mut self.keys[place / TILE_ROWS * steps..][..steps];
            for (tile, numbers) in tiles.iter_mut().zip(key.chunks(STEP)) {
                round_into(&mut tile.0[place % TILE_ROWS * STEP..][..numbers.len()], numbers);
            }
        }
        for (place, value) in (first..).zip(values.chunks_exact(self.d)) {
            for (j, &x) in value.iter().enumerate() {
                let tile = &mut self.values[j / TILE_ROWS * (PAGE / STEP) + place / STEP];
                tile.0[j % TILE_ROWS * STEP + place % STEP] = round(x);
            }
        }
    }

    /// Numbers of a query that meets keys of `d` numbers by itself; zeros behind its own.
    pub(crate) fn query_width(d: usize) -> usize {
        d.next_multiple_of(STEP)
    }

    /// Hands over the products of some `queries` `[count, query_width]` with the keys at `places`: for each
    /// query those of some keys, counted from the first of `places`.
    pub(crate) fn key_products(
        &self,
        places: Range<usize>,
        queries: &[f32],
        mut put: impl FnMut(usize, Range<usize>, &[f32]),
    ) {
        let steps = self.d.div_ceil(STEP);
        let mut products = vec![0f32; queries.len() / (steps * STEP) * TILE_ROWS]; // [count, 16]
        for block in places.start / TILE_ROWS..places.end.div_ceil(TILE_ROWS) {
            let start = block * TILE_ROWS;
            let (from, to) = (places.start.max(start), places.end.min(start + TILE_ROWS));
            times(&self.keys[block * steps..][..steps], queries, &mut products);
            for (query, products) in products.chunks_exact(TILE_ROWS).enumerate() {
                put(query, from - places.start..to - places.start, &products[from - start..to - start]);
            }
        }
    }

    /// Adds the values at `places`, weighted by each row of `weights` `[count, places]`, to `mixed`
    /// `[count, d]`.
    pub(crate) fn add_values<'w>(
        &self,
        places: Range<usize>,
        weights: impl Iterator<Item = &'w [f32]>,
        mixed: &mut [f32],
    ) {
        let count = mixed.len() / self.d;
        let (first, last) = (places.start / STEP, places.end.div_ceil(STEP));
        let width = (last - first) * STEP;
        let mut wide = vec![0f32; count * width]; // zeros where a key is none of `places`
        for (wide, weights) in wide.chunks_exact_mut(width).zip(weights) {
            wide[places.start - first * STEP..][..places.len()].copy_from_slice(weights);
        }
        let mut room = vec![0f32; count * TILE_ROWS]; // [count, 16]
        for block in 0..self.d.div_ceil(TILE_ROWS) {
            times(&self.values[block * (PAGE / STEP) + first..][..last - first], &wide, &mut room);
            for (mixed, sums) in mixed.chunks_exact_mut(self.d).zip(room.chunks_exact(TILE_ROWS)) {
                mixed[block * TILE_ROWS..].iter_mut().zip(sums).for_each(|(x, sum)| *x += sum);
            }
        }
    }

    /// The key at `place`, `[d]`.
    #[cfg(test)]
    pub(crate) fn key(&self, place: usize) -> impl Iterator<Item = f32> {
        let steps = self.d.div_ceil(STEP);
        let tiles = &self.keys[place / TILE_ROWS * steps..][..steps];
        let row = tiles.iter().flat_map(move |tile| &tile.0[place % TILE_ROWS * STEP..][..STEP]);
        row.take(self.d).map(|&bits| super::packed::wide(bits))
    }

    /// The tiles of the 32 keys from `32 * index` on, as two blocks of rows.
    pub(super) fn keys(&self, index: usize) -> [&[Tile]; 2] {
        let steps = self.d.div_ceil(STEP);
        let block = |block: usize| &self.keys[block * steps..(block + 1) * steps];
        [block(2 * index), block(2 * index + 1)]
    }

    /// The tiles of the 32 coordinates from `32 * index` on, as two blocks of rows, for `steps` times 32 keys
    /// from the `first`th 32 on.
    pub(super) fn values(&self, index: usize, first: usize, steps: usize) -> [&[Tile]; 2] {
        let block = |block: usize| &self.values[block * (PAGE / STEP) + first..][..steps];
        [block(2 * index), block(2 * index + 1)]
    }
}

/// Blocks of 16 rows that hold `d` coordinates, in pairs.
fn blocks_of(d: usize) -> usize {
    2 * d.div_ceil(STRIP)
}
