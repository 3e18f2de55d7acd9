//! Sixteen rows in bf16 times some vectors in f32, as attention of few queries needs it of a page's keys and
//! values where they lie: bound by reading the rows once.

use super::packed::{STEP, TILE_ROWS, Tile, wide};
#[cfg(target_arch = "x86_64")]
use super::times_avx512;
use crate::kernel::{LANES, for_every_instruction_set};

/// `products[i, row] = rows[row] · vectors[i]` for the tiles `[steps]` of sixteen rows and `vectors`
/// `[count, 32 steps]`: `[count, 16]`.
pub(super) fn times(tiles: &[Tile], vectors: &[f32], products: &mut [f32]) {
    let width = tiles.len() * STEP;
    assert_eq!(vectors.len() / width * TILE_ROWS, products.len(), "a product for each row and vector");
    #[cfg(target_arch = "x86_64")]
    if times_avx512::available() {
        return times_avx512::times(tiles, vectors, products);
    }
    times_of_lanes(tiles, vectors, products);
}

for_every_instruction_set! {
    /// The same; what is written out for AVX-512 adds in another order, and products with one rounding.
    fn times_of_lanes = times_plain(tiles: &[Tile], vectors: &[f32], products: &mut [f32])
}

#[inline(always)]
fn times_plain(tiles: &[Tile], vectors: &[f32], products: &mut [f32]) {
    for (x, products) in vectors.chunks_exact(tiles.len() * STEP).zip(products.chunks_exact_mut(TILE_ROWS)) {
        for (row, product) in products.iter_mut().enumerate() {
            let mut sums = [0f32; LANES];
            for (tile, x) in tiles.iter().zip(x.as_chunks::<STEP>().0) {
                let bits = tile.0.as_chunks::<STEP>().0[row].as_chunks::<LANES>().0;
                for (bits, x) in bits.iter().zip(x.as_chunks::<LANES>().0) {
                    for lane in 0..LANES {
                        sums[lane] += x[lane] * wide(bits[lane]);
                    }
                }
            }
            *product = across(&sums);
        }
    }
}

/// The sum of all lanes: each half is added to the other until one is left.
#[inline(always)]
fn across(lanes: &[f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| lanes[lane] + lanes[8 + lane]);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[4 + lane]);
    (four[0] + four[2]) + (four[1] + four[3])
}

#[cfg(test)]
mod tests {
    use super::super::packed::round;
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_sums_to_the_same_bits_and_avx512_to_nearly_the_same() {
        let mut rng = Rng::new(73);
        for (steps, count) in [(1, 1), (2, 3), (8, 15), (3, 2)] {
            let numbers = |rng: &mut Rng, count: usize| numbers(rng, count, 1.0);
            let given = numbers(&mut rng, steps * TILE_ROWS * STEP);
            let tiles: Vec<Tile> = given
                .chunks(TILE_ROWS * STEP)
                .map(|numbers| Tile(std::array::from_fn(|at| round(numbers[at]))))
                .collect();
            let vectors = numbers(&mut rng, count * steps * STEP);
            let mut found = [(); 3].map(|()| vec![f32::NAN; count * TILE_ROWS]);
            times(&tiles, &vectors, &mut found[0]);
            times_of_lanes(&tiles, &vectors, &mut found[1]);
            times_plain(&tiles, &vectors, &mut found[2]);
            let bits = |found: &[f32]| found.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found[1]), bits(&found[2]), "{steps} {count}");
            for (at, (product, fast)) in found[2].iter().zip(&found[0]).enumerate() {
                let (vector, row) = (at / TILE_ROWS, at % TILE_ROWS);
                let x = vectors.chunks_exact(steps * STEP).nth(vector).unwrap();
                let terms = x.iter().enumerate().map(|(i, x)| {
                    let bits = tiles[i / STEP].0[row * STEP + i % STEP];
                    f64::from(*x) * f64::from(wide(bits))
                });
                let (exact, size) =
                    terms.fold((0.0, 0.0), |(sum, size), term: f64| (sum + term, size + term.abs()));
                // Each lane adds two products of a step, of which each sum is rounded.
                let off = (2 * steps + 8) as f64 * 2f64.powi(-24) * size;
                for found in [product, fast] {
                    assert!(
                        (f64::from(*found) - exact).abs() <= off,
                        "{steps} {count}: {found}, not {exact}"
                    );
                }
            }
        }
    }
}
