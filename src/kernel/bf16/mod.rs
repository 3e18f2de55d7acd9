//! Matrix multiplies with weights in bf16: half the memory of f32, and the processor's own instructions for
//! it.
//!
//! `y = x Wᵀ` where both sides are rounded to bf16 (to nearest, ties to even) and products are summed in f32.
//! Three kernels compute it over one order of the weights: [`amx`] (tile registers), [`dot`] (`vdpbf16ps`)
//! and [`plain`], which any processor runs. They sum in different orders, so they agree within f32's rounding
//! and not to the bit.
//!
//! [`parts`] multiplies numbers of f32 by them: each is the sum of two numbers in bf16, nearly.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_few;
mod attend;
#[cfg(target_arch = "x86_64")]
mod dot;
mod gated;
mod packed;
mod page;
mod parts;
mod plain;
mod times;
#[cfg(target_arch = "x86_64")]
mod times_avx512;
#[cfg(target_arch = "x86_64")]
mod transposed;
mod weigh;
mod weigh_row;

use std::marker::PhantomData;

use rayon::prelude::*;

use super::cpu;

pub(crate) use attend::{Attention, AttentionInParts};
pub(crate) use gated::gated;
pub(crate) use packed::{Matrix, Rows, round, round_here, rounded};
pub(crate) use page::{PAGE, Page};
pub(crate) use parts::{PARTS, RowsInParts, gated_rows, many_rows_of, rest};
#[cfg(target_arch = "x86_64")]
pub(super) use transposed::transposed;
pub(crate) use weigh::{Visible, cap};
pub(crate) use weigh_row::weigh_row;

use packed::{STRIP, Strip, TILE_ROWS, Tile};

use super::blocks::Shared;

/// A part of a product: 32 rows of 32 columns.
type Block = [[f32; STRIP]; 2 * TILE_ROWS];

/// The products of two blocks of rows, `[steps]` tiles each, and a strip `[steps, 2]`; added to what `out`
/// holds, or in its place.
///
/// `ahead` are tiles that will be read soon: a kernel may fetch the first `steps / 2` of them into its cache
/// meanwhile.
type Multiply = fn(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: Out<'_>, add: bool, ahead: &[Tile]);

/// [`Kernel::multiply_parts`] for two parts.
type MultiplyTwo = fn(rows: [[&[Tile]; 2]; 2], strip: [&[[Tile; 2]]; 2], out: Out<'_>, add: bool);

/// Rows up to which [`Few`] is the faster one: then reading the weights takes longer than computing with
/// them, and a kernel for whole blocks reads them no faster than it computes 32 rows.
const FEW: usize = 8;

/// The products of the first rows of a block with a strip, of which no more than [`FEW`] are there; sets
/// `count` rows at least. To the bit what the kernel's [`Multiply`] gives: a number must not depend on the
/// rows that happen to be computed along with its own.
type Few = fn(rows: &[Tile], count: usize, strip: &[[Tile; 2]], block: &mut Block);

/// Where a block is written: 32 rows of 32 numbers, which may stand apart.
struct Out<'a> {
    first: *mut f32,
    /// Numbers from the beginning of a row to that of the next.
    stride: usize,
    numbers: PhantomData<&'a mut [f32]>,
}

impl<'a> Out<'a> {
    fn block(block: &'a mut Block) -> Self {
        Self { first: block.as_mut_ptr().cast(), stride: STRIP, numbers: PhantomData }
    }

    /// # Safety
    /// For `'a`, the 32 numbers from `first` on, and those `1..32` times `stride` numbers behind them, can be
    /// written and belong to nobody else. A kernel that does not add does not read them.
    unsafe fn rows(first: *mut f32, stride: usize) -> Self {
        Self { first, stride, numbers: PhantomData }
    }

    /// The same block, for a while.
    fn again(&mut self) -> Out<'_> {
        Out { first: self.first, stride: self.stride, numbers: PhantomData }
    }

    fn row(&mut self, index: usize) -> &mut [f32; STRIP] {
        assert!(index < 2 * TILE_ROWS, "a block has 32 rows");
        // SAFETY: a block, or what was promised to `rows`; the borrow of `self` keeps rows from being held
        // twice.
        unsafe { &mut *self.first.add(index * self.stride).cast() }
    }
}

/// A kernel of some instruction set.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    /// Its name where it multiplies numbers in two parts.
    name_in_parts: &'static str,
    /// Must come before the first product on a thread.
    begin: fn(),
    multiply: Multiply,
    /// Multiplies two parts at once, where that reads less.
    multiply_two: Option<MultiplyTwo>,
    /// Needs no beginning.
    few: Few,
    /// Must come after the last one.
    end: fn(),
}

impl Kernel {
    /// The products of `count` rows with a strip, without a beginning where `few` is so.
    fn block(self, rows: [&[Tile]; 2], count: usize, strip: &[[Tile; 2]], block: &mut Block, ahead: &[Tile]) {
        if count <= FEW {
            (self.few)(rows[0], count, strip, block);
        } else {
            (self.multiply)(rows, strip, Out::block(block), false, ahead);
        }
    }
}

impl Kernel {
    /// The products of rows and a strip that are sums of parts, the first the largest: those of parts `i` and
    /// `j` with `i + j < PARTS`, beside which the others are no more than what the last parts lack.
    fn multiply_parts<const PARTS: usize>(
        self,
        rows: [[&[Tile]; 2]; PARTS],
        strip: [&[[Tile; 2]]; PARTS],
        mut out: Out<'_>,
        add: bool,
    ) {
        if let (Some(multiply), [hi, lo], [strip_hi, strip_lo]) = (self.multiply_two, &rows[..], &strip[..]) {
            return multiply([*hi, *lo], [*strip_hi, *strip_lo], out, add);
        }
        for (i, rows) in rows.into_iter().enumerate() {
            for (j, strip) in strip[..PARTS - i].iter().enumerate() {
                (self.multiply)(rows, strip, out.again(), add || i + j > 0, rows[0]);
            }
        }
    }
}

const PLAIN: Kernel = Kernel {
    name: "plain",
    name_in_parts: "plain-bf16x2",
    begin: || {},
    multiply: plain::multiply,
    multiply_two: None,
    few: plain::few,
    end: || {},
};
#[cfg(target_arch = "x86_64")]
const DOT: Kernel = Kernel {
    name: "avx512-bf16",
    name_in_parts: "avx512-bf16x2",
    begin: || {},
    multiply: dot::multiply,
    multiply_two: None,
    few: dot::few,
    end: || {},
};
#[cfg(target_arch = "x86_64")]
const AMX: Kernel = Kernel {
    name: "amx-bf16",
    name_in_parts: "amx-bf16x2",
    begin: amx::configure,
    multiply: amx::multiply,
    multiply_two: Some(amx::multiply_two),
    few: amx_few::few,
    end: amx::release,
};

/// Name of the kernel that runs on this processor.
pub(crate) fn kernel_name() -> &'static str {
    kernel().name
}

/// Name of the kernel that runs here where numbers are in parts.
pub(crate) fn name_in_parts() -> &'static str {
    kernel().name_in_parts
}

/// Whether tile registers can be used.
#[cfg(target_arch = "x86_64")]
pub(super) fn tiles_available() -> bool {
    amx::available() && amx_few::available()
}

/// The fastest kernel of this processor, of those that may be used.
fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if cpu::has(cpu::Set::Amx) {
            return AMX;
        }
        if cpu::has(cpu::Set::Avx512Bf16) {
            return DOT;
        }
    }
    PLAIN
}

/// `x [m, k] · wᵀ` for `w [n, k]`: `[m, n]`, on all threads.
pub(crate) fn multiply(x: &Rows, w: &Matrix) -> Vec<f32> {
    multiply_with(kernel(), x, w)
}

fn multiply_with(kernel: Kernel, x: &Rows, w: &Matrix) -> Vec<f32> {
    assert_eq!(x.k(), w.k(), "both sides have rows of k numbers");
    let (m, n) = (x.m(), w.n());
    let mut product: Vec<f32> = Vec::with_capacity(m * n); // [m, n]
    let output = Shared(product.as_mut_ptr());
    (0..w.strips()).into_par_iter().for_each_init(Strip::default, |buffer, index| {
        let strip = w.strip(index, buffer);
        let columns = STRIP.min(n - index * STRIP);
        (kernel.begin)();
        for (first, rows) in x.pairs() {
            let ahead = w.quarter(index + 1, first / 2);
            let count = (2 * TILE_ROWS).min(m - first * TILE_ROWS);
            // SAFETY: the first of the rows and columns of this block, which lie in the product.
            let at = unsafe { output.at(first * TILE_ROWS * n + index * STRIP) };
            if count == 2 * TILE_ROWS && columns == STRIP {
                // SAFETY: all its rows and columns lie in the product, and the tasks write apart, each its
                // columns.
                (kernel.multiply)(rows, strip, unsafe { Out::rows(at, n) }, false, ahead);
                continue;
            }
            let mut block = [[0f32; STRIP]; 2 * TILE_ROWS];
            kernel.block(rows, count, strip, &mut block, ahead);
            for (row, numbers) in block[..count].iter().enumerate() {
                // SAFETY: `count` rows and `columns` numbers of them lie in the product and belong to this
                // task.
                unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), at.add(row * n), columns) };
            }
        }
        (kernel.end)();
    });
    // SAFETY: the strips cover all columns and the pairs all rows, so every number is written.
    unsafe { product.set_len(m * n) };
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use half::bf16;

    pub(super) fn every_kernel() -> Vec<Kernel> {
        #[cfg(target_arch = "x86_64")]
        if dot::available() {
            return vec![kernel(), DOT, PLAIN];
        }
        vec![kernel(), PLAIN]
    }

    #[test]
    fn every_kernel_multiplies_what_was_rounded_to_bf16() {
        let kernels = every_kernel();
        let mut rng = Rng::new(17);
        for (m, k, n) in
            [(1, 576, 100), (2, 64, 33), (33, 65, 70), (8, 96, 40), (16, 7, 1), (40, 64, 32), (3, 1, 33)]
        {
            let (x, w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let (rows, matrix) = (Rows::round(&x, m, k), Matrix::round(&w, n, k));
            for kernel in &kernels {
                let found = multiply_with(*kernel, &rows, &matrix);
                for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                    let terms = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
                    let rounded = |x: &f32| bf16::from_f32(*x).to_f64();
                    let exact: f64 = terms.map(|(x, w)| rounded(x) * rounded(w)).sum();
                    let off = (f64::from(found[row * n + column]) - exact).abs();
                    assert!(off < 1e-5, "{} {m} {k} {n}: off by {off} at {row}, {column}", kernel.name);
                }
            }
        }
    }

    #[test]
    fn few_rows_are_to_the_bit_what_they_are_among_many() {
        let mut rng = Rng::new(19);
        let (k, n) = (70, 40);
        let x = numbers(&mut rng, 9 * k, 1.0);
        let matrix = Matrix::round(&numbers(&mut rng, n * k, 1.0), n, k);
        for kernel in every_kernel() {
            let many = multiply_with(kernel, &Rows::round(&x, 9, k), &matrix);
            for m in 1..=FEW {
                let few = multiply_with(kernel, &Rows::round(&x[..m * k], m, k), &matrix);
                assert_eq!(few, many[..m * n], "{m} rows, {}", kernel.name);
            }
        }
    }

    #[test]
    fn a_nan_and_an_infinity_stay_what_they_are() {
        for kernel in every_kernel() {
            let rows = Rows::round(&[f32::NAN, f32::INFINITY, f32::from_bits(0x7fff_ffff)], 3, 1);
            let product = multiply_with(kernel, &rows, &Matrix::round(&[1.0], 1, 1));
            assert!(
                product[0].is_nan() && product[1] == f32::INFINITY && product[2].is_nan(),
                "{}",
                kernel.name
            );
        }
    }
}
