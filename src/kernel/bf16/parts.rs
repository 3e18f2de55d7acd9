//! Products of f32 by the units that multiply bf16: every number is the sum of two parts in bf16, what it is
//! rounded to and what that lacks, and `x w` is `hi(x) hi(w) + lo(x) hi(w) + hi(x) lo(w)`, summed in f32
//! (arXiv 1904.06376). Two parts have 16 bits of a number's 24: they, and the product that is left out, are
//! off by about 2^-17 of a number each, where bf16 alone is off by 2^-9.
//!
//! A number that is no finite bf16 has nothing behind its first part.

use std::ops::Range;

use super::packed::{Rows, STEP, STRIP, TILE_ROWS, Tile, pack_strip, round, wide};
use super::{Kernel, Out, kernel};
use crate::kernel::matmul::Stored;
use crate::kernel::single::{self, by_strips};
use crate::kernel::{Gate, for_every_instruction_set};

/// Parts of a number.
pub(crate) const PARTS: usize = 2;

/// The left side of a product: rows in parts.
pub(crate) struct RowsInParts([Rows; PARTS]);

impl RowsInParts {
    /// `x [m, k]`.
    pub(crate) fn split(x: &[f32], m: usize, k: usize) -> Self {
        Self(Rows::in_parts(x, m, k))
    }

    /// Numbers in a row.
    pub(crate) fn k(&self) -> usize {
        self.0[0].k()
    }

    fn m(&self) -> usize {
        self.0[0].m()
    }

    /// Every 32 rows: the number of the first, how many there are, and the tiles of both blocks of each part.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize, [[&[Tile]; 2]; PARTS])> {
        let [hi, lo] = &self.0;
        hi.pairs().zip(lo.pairs()).map(|((block, hi), (_, lo))| {
            let first = block * TILE_ROWS;
            (first, STRIP.min(self.m() - first), [hi, lo])
        })
    }
}

/// What numbers have besides their first part; it is to be rounded to bf16 yet.
pub(crate) fn rest(numbers: &[f32]) -> Vec<f32> {
    let mut rest = numbers.to_vec();
    leave_rest(&mut rest);
    rest
}

/// Hands over the parts of numbers, the largest first, each with the place it goes to.
pub(super) fn each_part<T>(numbers: &[f32], places: &mut [T], mut then: impl FnMut(&[f32], &mut T)) {
    let Some((first, others)) = places.split_first_mut() else { return };
    then(numbers, first);
    let mut left = Vec::new();
    for place in others {
        left = rest(if left.is_empty() { numbers } else { &left });
        then(&left, place);
    }
}

for_every_instruction_set! {
    /// Takes from each number what it is rounded to.
    fn leave_rest = leave_rest_plain(numbers: &mut [f32])
}

#[inline(always)]
pub(super) fn leave_rest_plain(numbers: &mut [f32]) {
    for x in numbers {
        let part = wide(round(*x));
        *x = if part.is_finite() { *x - part } else { 0.0 };
    }
}

/// What begins with a cache line.
#[repr(C, align(64))]
struct Lined<T>(T);

/// What a thread keeps from strip to strip.
#[derive(Default)]
struct Scratch {
    widened: Vec<f32>,              // [32, k]
    strip: [Vec<[Tile; 2]>; PARTS], // [steps] each
}

impl Scratch {
    /// Packs some rows of `w`; columns that are not there keep what was there before.
    fn pack(&mut self, w: &dyn Stored, rows: Range<usize>, k: usize) {
        self.strip.iter_mut().for_each(|tiles| tiles.resize(k.div_ceil(STEP), [Tile::ZERO; 2]));
        pack_strip(
            self.strip.each_mut().map(|tiles| &mut tiles[..]),
            w.widened(rows, k, &mut self.widened),
            k,
        );
    }

    /// The products of some rows with the strip that is packed.
    fn multiply(&self, kernel: Kernel, rows: [[&[Tile]; 2]; PARTS], out: Out<'_>) {
        kernel.multiply_parts(rows, self.strip.each_ref().map(|tiles| &tiles[..]), out, false);
    }
}

/// `x [m, k] · wᵀ` for several `w [n, k]`: `[m, n]` each, on all threads.
pub(crate) fn many_rows_of<const N: usize>(x: &RowsInParts, matrices: [&dyn Stored; N]) -> [Vec<f32>; N] {
    many_rows_of_with(kernel(), x, matrices)
}

fn many_rows_of_with<const N: usize>(
    kernel: Kernel,
    x: &RowsInParts,
    matrices: [&dyn Stored; N],
) -> [Vec<f32>; N] {
    let k = x.k();
    // SAFETY: a strip is multiplied with all rows.
    unsafe {
        by_strips(x.m(), matrices.map(|w| w.rows(k)), |scratch: &mut Scratch, matrix, columns, out| {
            scratch.pack(matrices[matrix], columns, k);
            (kernel.begin)();
            for (first, count, rows) in x.blocks() {
                if count == STRIP {
                    // SAFETY: 32 rows of the output, whose 32 numbers here are this task's.
                    let out = Out::rows(out.first.add(first * out.stride), out.stride);
                    scratch.multiply(kernel, rows, out);
                    continue;
                }
                let mut block = Lined([[0f32; STRIP]; STRIP]);
                scratch.multiply(kernel, rows, Out::block(&mut block.0));
                write_rows(&block.0[..count], first, out);
            }
            (kernel.end)();
        })
    }
}

/// `act(x gᵀ) * (x uᵀ)`, `[m, n]`, for the matrices `g` and `u` `[n, k]`, on all threads. To the bit what
/// [`many_rows_of`] both and the gate of both give.
pub(crate) fn gated_rows(x: &RowsInParts, [g, u]: [&dyn Stored; 2], act: Gate) -> Vec<f32> {
    gated_rows_with(kernel(), x, [g, u], act)
}

fn gated_rows_with(kernel: Kernel, x: &RowsInParts, matrices: [&dyn Stored; 2], act: Gate) -> Vec<f32> {
    let k = x.k();
    let [n, of_up] = matrices.map(|w| w.rows(k));
    assert_eq!(n, of_up, "a gate for each number");
    // SAFETY: a strip is multiplied with all rows.
    let [inner] = unsafe {
        by_strips(x.m(), [n], |scratch: &mut [Scratch; 2], _, columns, out| {
            for (scratch, w) in scratch.iter_mut().zip(matrices) {
                scratch.pack(w, columns.clone(), k);
            }
            (kernel.begin)();
            let mut blocks = Lined([[[0f32; STRIP]; STRIP]; 2]);
            for (first, count, rows) in x.blocks() {
                for (scratch, block) in scratch.iter().zip(&mut blocks.0) {
                    scratch.multiply(kernel, rows, Out::block(block));
                }
                let [gates, ups] = &mut blocks.0;
                act(gates[..count].as_flattened_mut(), ups[..count].as_flattened());
                write_rows(&gates[..count], first, out);
            }
            (kernel.end)();
        })
    };
    inner
}

/// Writes rows of a strip from row `first` of the output on.
///
/// # Safety
/// 32 numbers of these rows of the output can be written, and belong to nobody else.
unsafe fn write_rows(rows: &[[f32; STRIP]], first: usize, out: single::Out) {
    for (row, numbers) in (first..).zip(rows) {
        // SAFETY: by the promise above.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), out.first.add(row * out.stride), STRIP) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::packed::rounded;
    use super::super::tests::every_kernel;
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::silu_gate;
    use crate::rng::Rng;

    #[test]
    fn two_parts_are_a_number_but_for_its_last_bits() {
        let mut given = numbers(&mut Rng::new(53), 5000, 1e20);
        given.extend([0.0, -0.0, 1.0, f32::MIN_POSITIVE]);
        let mut plain = given.clone();
        let [hi, lo] = [rounded(&given), rounded(&rest(&given))];
        leave_rest_plain(&mut plain);
        assert_eq!(lo, rounded(&plain));
        for ((x, hi), lo) in given.iter().zip(hi).zip(lo) {
            let off = (f64::from(*x) - f64::from(hi) - f64::from(lo)).abs();
            assert!(off <= f64::from(x.abs()) * 2f64.powi(-17), "{x}: {hi} and {lo}");
        }
        // The largest f32 rounds to infinity, and what is no number stays that.
        let given = [f32::MAX, f32::NEG_INFINITY, f32::NAN];
        let [hi, lo] = [rounded(&given), rounded(&rest(&given))];
        assert!(hi[0] == f32::INFINITY && hi[1] == f32::NEG_INFINITY && hi[2].is_nan() && lo == [0.0; 3]);
    }

    #[test]
    fn every_kernel_multiplies_parts_nearly_as_exactly_as_f32() {
        let mut rng = Rng::new(59);
        for (m, k, n) in [(1, 576, 100), (33, 65, 70), (64, 96, 40), (17, 7, 1), (40, 64, 32)] {
            let (x, w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let rows = RowsInParts::split(&x, m, k);
            for kernel in every_kernel() {
                let [found] = many_rows_of_with(kernel, &rows, [&&w[..]]);
                for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                    let terms = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
                    let terms: Vec<f64> = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).collect();
                    let off = (f64::from(found[row * n + column]) - terms.iter().sum::<f64>()).abs();
                    let most = terms.iter().map(|term| term.abs()).sum::<f64>() * 3.0 * 2f64.powi(-17);
                    assert!(off <= most + 1e-6, "{} {m} {k} {n}: {off}, not {most}", kernel.name);
                }
            }
        }
    }

    #[test]
    fn gated_rows_and_several_matrices_have_the_bits_of_each_alone_whatever_the_rows() {
        let mut rng = Rng::new(61);
        for (m, k, n) in [(17, 65, 70), (64, 64, 96), (45, 7, 1)] {
            let x = numbers(&mut rng, m * k, 1.0);
            let (g, u) = (numbers(&mut rng, n * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let (g, u) = (&g[..], &u[..]);
            let rows = RowsInParts::split(&x, m, k);
            for kernel in every_kernel() {
                let [gates] = many_rows_of_with(kernel, &rows, [&g]);
                let [ups] = many_rows_of_with(kernel, &rows, [&u]);
                assert_eq!(many_rows_of_with(kernel, &rows, [&g, &u]), [gates.clone(), ups.clone()]);
                let few = RowsInParts::split(&x[..16 * k], 16, k);
                assert_eq!(many_rows_of_with(kernel, &few, [&g])[0], gates[..16 * n], "{}", kernel.name);
                let mut expected = gates;
                silu_gate(&mut expected, &ups);
                assert_eq!(gated_rows_with(kernel, &rows, [&g, &u], silu_gate), expected, "{}", kernel.name);
            }
        }
    }
}
