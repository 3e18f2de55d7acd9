//! Sums of weighted rows, as a few queries mix their values: bound by reading the rows once.

use super::{LANES, for_every_instruction_set};

/// Registers of sums that are kept at once.
const SETS: usize = 4;
/// Numbers of rows that stay in the first-level cache while every sum takes them.
const AT_ONCE: usize = 8192;

for_every_instruction_set! {
    /// `sums[i] += Σ_j weights[i, j] rows[j]` for `weights` `[sums, rows]` and rows of `d` numbers; every
    /// number is summed in the order of the rows.
    fn add_weighted = add_weighted_plain(weights: &[f32], rows: &[f32], d: usize, sums: &mut [f32])
}

#[inline(always)]
fn add_weighted_plain(weights: &[f32], rows: &[f32], d: usize, sums: &mut [f32]) {
    let count = rows.len() / d;
    let at_once = (AT_ONCE / d).max(1);
    for first in (0..count).step_by(at_once) {
        let part = first..count.min(first + at_once);
        let rows = &rows[part.start * d..part.end * d];
        for (sums, weights) in sums.chunks_exact_mut(d).zip(weights.chunks_exact(count)) {
            let weights = &weights[part.clone()];
            let (lanes, rest) = sums.as_chunks_mut::<LANES>();
            let (sets, single) = lanes.as_chunks_mut::<SETS>();
            let behind = sets.len() * SETS * LANES;
            for (set, sums) in sets.iter_mut().enumerate() {
                add(weights, &rows[set * SETS * LANES..], d, sums);
            }
            for (lane, sums) in single.as_chunks_mut::<1>().0.iter_mut().enumerate() {
                add(weights, &rows[behind + lane * LANES..], d, sums);
            }
            let behind = behind + single.len() * LANES;
            for (at, sum) in rest.iter_mut().enumerate() {
                let column = rows[behind + at..].iter().step_by(d);
                weights.iter().zip(column).for_each(|(weight, x)| *sum += weight * x);
            }
        }
    }
}

/// The same for some lanes of each row, which begin `stride` apart.
#[inline(always)]
fn add<const N: usize>(weights: &[f32], rows: &[f32], stride: usize, sums: &mut [[f32; LANES]; N]) {
    let mut local = *sums;
    for (weight, row) in weights.iter().zip(rows.chunks(stride)) {
        let row = &row.as_chunks::<LANES>().0[..N];
        for (sums, row) in local.iter_mut().zip(row) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += weight * x;
            }
        }
    }
    *sums = local;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_sums_to_the_same_bits_in_the_order_of_the_rows() {
        let mut rng = Rng::new(71);
        for (queries, count, d) in [(3, 512, 64), (1, 300, 80), (2, 7, 5), (15, 130, 256), (1, 1, 112)] {
            let (weights, rows) =
                (numbers(&mut rng, queries * count, 1.0), numbers(&mut rng, count * d, 1.0));
            let before = numbers(&mut rng, queries * d, 1.0);
            let (mut fast, mut plain) = (before.clone(), before.clone());
            add_weighted(&weights, &rows, d, &mut fast);
            add_weighted_plain(&weights, &rows, d, &mut plain);
            assert_eq!(fast, plain, "{queries} {count} {d}");
            for (at, found) in fast.iter().enumerate() {
                let (query, column) = (at / d, at % d);
                let products = (0..count).map(|row| weights[query * count + row] * rows[row * d + column]);
                assert_eq!(*found, products.fold(before[at], |sum, product| sum + product), "{at}");
            }
        }
    }
}
