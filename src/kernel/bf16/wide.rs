//! Keys and values of a page in f32 and in rows again, for attention of few queries.

use super::packed::{STEP, TILE_ROWS, Tile, round, wide};
use super::page::Page;
#[cfg(target_arch = "x86_64")]
use super::transposed;
use crate::kernel::for_every_instruction_set;

impl Page {
    /// Keys, and values, that are widened at once.
    pub(crate) const AT_ONCE: usize = STEP;

    /// Numbers from one widened key of `d` numbers to the next; zeros behind its own.
    pub(crate) fn key_width(d: usize) -> usize {
        d.next_multiple_of(STEP)
    }

    /// Numbers from one widened value of `d` numbers to the next; zeros behind its own.
    pub(crate) fn value_width(d: usize) -> usize {
        d.next_multiple_of(TILE_ROWS)
    }

    /// The 32 keys from `32 * index` on, `[32, key_width]`.
    pub(crate) fn widen_keys(&self, index: usize, rows: &mut [f32]) {
        let width = rows.len() / STEP;
        for (tiles, rows) in self.keys(index).into_iter().zip(rows.chunks_exact_mut(TILE_ROWS * width)) {
            for (step, tile) in tiles.iter().enumerate() {
                widen(&tile.0, &mut rows[step * STEP..], width);
            }
        }
    }

    /// The values of the 32 keys from `32 * index` on, `[32, value_width]`.
    pub(crate) fn widen_values(&self, index: usize, rows: &mut [f32]) {
        let width = rows.len() / STEP;
        for block in 0..width / TILE_ROWS {
            let tile = &self.values(block / 2, index, 1)[block % 2][0];
            turn(tile, &mut rows[block * TILE_ROWS..], width);
        }
    }
}

/// Numbers rounded to bf16, as queries and keys are.
pub(crate) fn rounded(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|x| wide(round(*x))).collect()
}

for_every_instruction_set! {
    /// The rows of a tile, `width` numbers from one to the next.
    fn widen = widen_plain(tile: &[u16], rows: &mut [f32], width: usize)
}

#[inline(always)]
fn widen_plain(tile: &[u16], rows: &mut [f32], width: usize) {
    for (bits, row) in tile.chunks_exact(STEP).zip(rows.chunks_mut(width)) {
        row.iter_mut().zip(bits).for_each(|(x, bits)| *x = wide(*bits));
    }
}

/// The columns of a tile, `width` numbers from one to the next.
fn turn(tile: &Tile, rows: &mut [f32], width: usize) {
    #[cfg(target_arch = "x86_64")]
    if transposed::available() {
        return transposed::turned(tile, rows, width);
    }
    turn_plain(tile, rows, width);
}

fn turn_plain(tile: &Tile, rows: &mut [f32], width: usize) {
    for (key, row) in rows.chunks_mut(width).take(STEP).enumerate() {
        let column = tile.0.iter().skip(key).step_by(STEP);
        row[..TILE_ROWS].iter_mut().zip(column).for_each(|(x, bits)| *x = wide(*bits));
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PAGE;
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn a_widened_page_has_the_rounded_rows_that_were_put_there() {
        for d in [5, 64, 80] {
            let mut rng = Rng::new(97);
            let (keys, values) = (numbers(&mut rng, PAGE * d, 1.0), numbers(&mut rng, PAGE * d, 1.0));
            let mut page = Page::new(d);
            page.fill(0, &keys, &values);
            for index in 0..PAGE / STEP {
                let [key_width, value_width] = [Page::key_width(d), Page::value_width(d)];
                let (mut wide_keys, mut wide_values) =
                    (vec![9.0; STEP * key_width], vec![9.0; STEP * value_width]);
                page.widen_keys(index, &mut wide_keys);
                page.widen_values(index, &mut wide_values);
                for (given, wide_rows, width) in
                    [(&keys, &wide_keys, key_width), (&values, &wide_values, value_width)]
                {
                    for (key, row) in wide_rows.chunks_exact(width).enumerate() {
                        let given = &given[(index * STEP + key) * d..][..d];
                        let expected: Vec<f32> = given.iter().map(|x| wide(round(*x))).collect();
                        assert_eq!(row[..d], expected, "{d} {index} {key}");
                        assert!(row[d..].iter().all(|x| *x == 0.0), "zeros behind");
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_turns_a_tile_to_the_same_bits() {
        let tile = Tile(std::array::from_fn(|at| (at * 131) as u16));
        let (mut fast, mut plain) = (vec![0f32; STEP * 48], vec![0f32; STEP * 48]);
        turn(&tile, &mut fast[16..], 48);
        turn_plain(&tile, &mut plain[16..], 48);
        let bits = |rows: &[f32]| rows.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&fast), bits(&plain));
    }
}
