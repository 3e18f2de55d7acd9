//! Keys and values in the order that attention reads them.

use std::ops::Range;

use super::packed::{STEP, STRIP, TILE_ROWS, Tile, round, round_row};
use super::times::times;
#[cfg(target_arch = "x86_64")]
use super::transposed;
use crate::kernel::for_every_instruction_set;

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

    /// Puts `keys` and `values`, rows of `d` numbers that begin `stride` numbers behind each other, at the
    /// places from `first` on.
    pub(crate) fn fill(&mut self, first: usize, keys: &[f32], values: &[f32], stride: usize) {
        let steps = self.d.div_ceil(STEP);
        for (place, key) in (first..).zip(keys.chunks_exact(stride)) {
            let tiles = &mut self.keys[place / TILE_ROWS * steps..][..steps];
            round_key(tiles, place % TILE_ROWS, &key[..self.d]);
        }
        let (mut place, mut values) = (first, values);
        while !values.is_empty() {
            let count = (STEP - place % STEP).min(values.len() / stride);
            let (here, behind) = values.split_at(count * stride);
            match here.chunks_exact(stride).collect::<Vec<_>>().try_into() {
                Ok(rows) => self.fill_step(place / STEP, rows),
                Err(rows) => {
                    rows.into_iter().zip(place..).for_each(|(row, place)| self.fill_value(place, row, 0))
                }
            }
            (place, values) = (place + count, behind);
        }
    }

    /// Puts the values `rows` at the 32 places from `32 * step` on.
    fn fill_step(&mut self, step: usize, rows: [&[f32]; STEP]) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if transposed::available() {
            for block in 0..self.d / TILE_ROWS {
                let columns = rows.map(|row| &row[block * TILE_ROWS..][..TILE_ROWS]);
                transposed::pack_columns(&mut self.values[block * (PAGE / STEP) + step], columns);
                done += TILE_ROWS;
            }
        }
        rows.iter().zip(step * STEP..).for_each(|(row, place)| self.fill_value(place, row, done));
    }

    /// Puts the coordinates of a value from `first` on at its place.
    fn fill_value(&mut self, place: usize, value: &[f32], first: usize) {
        for (j, &x) in value[..self.d].iter().enumerate().skip(first) {
            let tile = &mut self.values[j / TILE_ROWS * (PAGE / STEP) + place / STEP];
            tile.0[j % TILE_ROWS * STEP + place % STEP] = round(x);
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

for_every_instruction_set! {
    /// Writes row `row` of the tiles of a block.
    fn round_key = round_key_plain(tiles: &mut [Tile], row: usize, key: &[f32])
}

#[inline(always)]
fn round_key_plain(tiles: &mut [Tile], row: usize, key: &[f32]) {
    for (tile, numbers) in tiles.iter_mut().zip(key.chunks(STEP)) {
        round_row(tile, row, numbers);
    }
}

/// Blocks of 16 rows that hold `d` coordinates, in pairs.
fn blocks_of(d: usize) -> usize {
    2 * d.div_ceil(STRIP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn a_page_is_the_same_however_it_was_filled() {
        let mut rng = Rng::new(31);
        for (d, stride) in [(64, 64), (40, 64), (5, 5), (80, 96)] {
            let [keys, values] = [1.0, 2.0].map(|scale| numbers(&mut rng, PAGE * stride, scale));
            let filled = |cuts: &[usize]| {
                let mut page = Page::new(d);
                for cut in cuts.windows(2) {
                    let rows = cut[0] * stride..cut[1] * stride;
                    page.fill(cut[0], &keys[rows.clone()], &values[rows], stride);
                }
                [page.keys, page.values].map(|tiles| tiles.iter().flat_map(|tile| tile.0).collect::<Vec<_>>())
            };
            let at_once = filled(&[0, PAGE]);
            // No 32 places at a time.
            let one_by_one = filled(&(0..=PAGE).collect::<Vec<_>>());
            assert!(at_once == one_by_one, "{d} of {stride}");
            assert!(at_once == filled(&[0, 17, 64, 130, PAGE]), "{d} of {stride}");
            let places = (0..PAGE).flat_map(|place| (0..d).map(move |j| (place, j)));
            for (place, j) in places {
                let at = (j / TILE_ROWS * (PAGE / STEP) + place / STEP) * TILE_ROWS * STEP;
                let found = at_once[1][at + j % TILE_ROWS * STEP + place % STEP];
                assert_eq!(found, round(values[place * stride + j]), "number {j} at {place} of {d}");
            }
        }
    }
}
