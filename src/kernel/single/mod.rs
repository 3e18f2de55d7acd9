//! Matrix multiplies in f32 that keep the processor's units of multiplication busy.
//!
//! `y = x Wᵀ`. Every number of the product is one chain of fused multiply-adds along `k`, from the first to
//! the last: `y <- fma(x_i, w_i, y)`. So it is the same to the bit on every instruction set, on any number of
//! threads, and whatever rows are computed along with it. [`plain`] says what the others compute.

mod attend;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gated;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod plain;

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::Shared;
use super::lines::Lines;
use super::matmul::Stored;
pub(crate) use attend::{Attention, KEYS};
pub(crate) use gated::gated_rows;
use pack::pack;

/// Columns of the product that a kernel computes at once, two registers of AVX-512.
pub(super) const STRIP: usize = 32;

/// Rows of the product that a kernel computes at once, at most: with a strip they fill 24 of the 32
/// registers.
const ROWS: usize = 12;

/// Numbers along `k` that are multiplied with all rows before the next ones: so much of a strip, 128 KiB,
/// stays in the second-level cache.
const DEPTH: usize = 1024;

/// Some rows, and numbers of all of them from one place on: `x [count, k]` in a longer matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// From the first number of the first row to the last number of the last one, at least.
    numbers: &'a [f32],
    /// Numbers from the beginning of a row to that of the next.
    stride: usize,
    /// Numbers from one along `k` to the next.
    step: usize,
    /// At most [`ROWS`], and at least one.
    count: usize,
}

impl Rows<'_> {
    /// Panics unless all rows have `k` numbers: what kernels rely on.
    fn check(&self, k: usize) {
        assert!((1..=ROWS).contains(&self.count), "{} rows", self.count);
        let last = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
        let end = last(self.count, self.stride).saturating_add(last(k, self.step));
        assert!(k == 0 || end < self.numbers.len(), "rows of {k} numbers");
    }
}

/// Where a block of the product is: rows of [`STRIP`] numbers, which may stand apart.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) first: *mut f32,
    /// Numbers from the beginning of a row to that of the next.
    pub(super) stride: usize,
}

/// `out = x stripᵀ`, or with `add` the chains of `out` gone on with.
///
/// # Safety
/// The processor has the kernel's instructions; [`Rows::check`] has passed for the length of `strip`; the
/// rows of `out`, as many as `rows` has, can be written, and with `add` read, and belong to nobody else.
type Multiply = unsafe fn(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool);

/// A kernel of some instruction set.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    multiply: Multiply,
}

const PLAIN: Kernel = Kernel { name: "fma-plain", multiply: plain::multiply };
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel { name: "fma-avx2", multiply: avx2::multiply };
#[cfg(target_arch = "x86_64")]
const AVX512: Kernel = Kernel { name: "fma-avx512", multiply: avx512::multiply };
#[cfg(target_arch = "aarch64")]
const NEON: Kernel = Kernel { name: "fma-neon", multiply: neon::multiply };

/// The kernels that this processor runs, the fastest first.
fn kernels() -> impl Iterator<Item = Kernel> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if avx512::available() {
            found.push(AVX512);
        }
        if avx2::available() {
            found.push(AVX2);
        }
    }
    #[cfg(target_arch = "aarch64")]
    found.push(NEON);
    found.into_iter().chain([PLAIN])
}

/// The fastest kernel of this processor.
fn kernel() -> Kernel {
    kernels().next().unwrap_or(PLAIN)
}

/// Name of the kernel that runs on this processor.
pub(crate) fn kernel_name() -> &'static str {
    kernel().name
}

impl Kernel {
    /// The product of rows with a part of a strip.
    ///
    /// # Safety
    /// The rows of `out`, as many as `rows` has, can be written, and with `add` read, and belong to nobody
    /// else.
    unsafe fn multiply(self, rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
        rows.check(strip.len());
        // SAFETY: a kernel is only chosen where the processor has it, the rows are checked, and the caller
        // promises the rest.
        unsafe { (self.multiply)(rows, strip, out, add) };
    }
}

/// `x [m, k] · wᵀ` for `w [n, k]`: `[m, n]`, on all threads. 32 rows of `w` at a time are widened and put
/// side by side, which is little beside the products of many rows `x`.
///
/// # Panics
/// When `x` has not `m` rows of `k` numbers.
pub(crate) fn many_rows(x: &[f32], w: &impl Stored, m: usize, k: usize) -> Vec<f32> {
    many_rows_with(kernel(), x, w, m, k)
}

/// What a thread keeps from strip to strip.
#[derive(Default)]
struct Scratch {
    widened: Vec<f32>, // [32, k]
    strip: Lines,      // [k, 32]
    products: Lines,   // [m, 32]
}

impl Scratch {
    /// Puts some rows of `w` side by side; columns that are not there keep what was there before.
    fn pack(&mut self, w: &(impl Stored + ?Sized), rows: Range<usize>, k: usize) {
        self.strip.resize(k);
        pack(&mut self.strip, w.widened(rows, k, &mut self.widened), k);
    }

    /// The products of all rows `x [m, k]` with the strip that is packed.
    fn multiply(&mut self, kernel: Kernel, x: &[f32], m: usize, k: usize) {
        self.products.resize(m);
        let out = Out { first: self.products.as_mut_ptr().cast(), stride: STRIP };
        // SAFETY: there is a row of products for each of the rows.
        unsafe { times_strip(kernel, x, m, k, &self.strip, out) };
    }
}

/// `out = x stripᵀ` for `x [m, k]`, some [`DEPTH`] of the strip at a time.
///
/// # Safety
/// `m` rows of `out` can be written and read, and belong to nobody else.
unsafe fn times_strip(kernel: Kernel, x: &[f32], m: usize, k: usize, strip: &[[f32; STRIP]], out: Out) {
    let depth = k.div_ceil(k.div_ceil(DEPTH));
    for (part, strip) in strip.chunks(depth).enumerate() {
        for first in (0..m).step_by(ROWS) {
            let numbers = &x[first * k + part * depth..];
            let rows = Rows { numbers, stride: k, step: 1, count: ROWS.min(m - first) };
            // SAFETY: rows of the output that the caller promises; what is added to was written by the part
            // before.
            unsafe {
                let out = Out { first: out.first.add(first * out.stride), stride: out.stride };
                kernel.multiply(rows, strip, out, part > 0);
            }
        }
    }
}

/// Writes the first of 32 numbers of each row to where its rows are in an output.
///
/// # Safety
/// `count` numbers of as many rows of `out` as there are can be written, and belong to nobody else.
unsafe fn write_columns(rows: &[[f32; STRIP]], count: usize, out: Out) {
    for (row, numbers) in rows.iter().enumerate() {
        let numbers = &numbers[..count];
        // SAFETY: by the promise above.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), out.first.add(row * out.stride), count) };
    }
}

fn many_rows_with(kernel: Kernel, x: &[f32], w: &impl Stored, m: usize, k: usize) -> Vec<f32> {
    let [product] = many_rows_of_with(kernel, x, [w], [m, k]);
    product
}

/// The same for several matrices whose rows are as long: their strips are shared out together, so that
/// threads wait for each other once.
pub(crate) fn many_rows_of<const N: usize>(
    x: &[f32],
    matrices: [&dyn Stored; N],
    [m, k]: [usize; 2],
) -> [Vec<f32>; N] {
    many_rows_of_with(kernel(), x, matrices, [m, k])
}

fn many_rows_of_with<const N: usize>(
    kernel: Kernel,
    x: &[f32],
    matrices: [&dyn Stored; N],
    [m, k]: [usize; 2],
) -> [Vec<f32>; N] {
    assert!(k > 0 && x.len() == m * k, "m rows of k numbers");
    let columns = matrices.map(|w| w.rows(k));
    // SAFETY: a strip is multiplied with all rows.
    unsafe {
        by_strips(m, columns, |scratch: &mut Scratch, matrix, columns, out| {
            scratch.pack(matrices[matrix], columns, k);
            times_strip(kernel, x, m, k, &scratch.strip, out);
        })
    }
}

/// Products `[m, n]`, given by `n`, a strip of columns at a time: `fill` computes some columns of a product,
/// on any thread, with what that thread keeps from strip to strip.
///
/// # Safety
/// `fill` writes [`STRIP`] numbers to each of the `m` rows of its output.
pub(super) unsafe fn by_strips<S: Default, const N: usize>(
    m: usize,
    columns: [usize; N],
    fill: impl Fn(&mut S, usize, Range<usize>, Out) + Sync,
) -> [Vec<f32>; N] {
    let mut products = columns.map(|n| Vec::with_capacity(m * n)); // [m, n] each
    let outputs = products.each_mut().map(|product| Shared(product.as_mut_ptr()));
    let strips = |(product, n): (usize, &usize)| (0..n.div_ceil(STRIP)).map(move |strip| (product, strip));
    let strips: Vec<_> = columns.iter().enumerate().flat_map(strips).collect();
    let kept = || (S::default(), Lines::default());
    strips.into_par_iter().with_max_len(1).for_each_init(kept, |(scratch, apart), (product, index)| {
        let n = columns[product];
        let strip = index * STRIP..n.min((index + 1) * STRIP);
        // SAFETY: the first row of these columns, which lies in the product.
        let out = Out { first: unsafe { outputs[product].at(strip.start) }, stride: n };
        if strip.len() == STRIP {
            fill(scratch, product, strip, out);
        } else {
            apart.resize(m);
            let count = strip.len();
            fill(scratch, product, strip, Out { first: apart.as_mut_ptr().cast(), stride: STRIP });
            // SAFETY: all rows of these columns lie in the product; strips write apart.
            unsafe { write_columns(apart, count, out) };
        }
    });
    for (product, n) in products.iter_mut().zip(columns) {
        // SAFETY: the strips cover all columns, and each wrote all rows by the caller's promise.
        unsafe { product.set_len(m * n) };
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// One number as it is defined.
    fn chain(x: &[f32], w: &[f32]) -> f32 {
        x.iter().zip(w).fold(0.0, |sum, (x, w)| x.mul_add(*w, sum))
    }

    #[test]
    fn every_number_is_its_chain_to_the_bit_on_every_kernel_and_with_any_rows() {
        let mut rng = Rng::new(17);
        for (m, k, n) in [(1, 576, 100), (13, 64, 33), (31, 65, 70), (5, 7, 1), (24, 2 * DEPTH + 9, 40)] {
            let (x, w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            for kernel in kernels() {
                let found = many_rows_with(kernel, &x, &&w[..], m, k);
                for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                    let expected = chain(&x[row * k..][..k], &w[column * k..][..k]);
                    assert_eq!(found[row * n + column], expected, "{} {m} {k} {n}", kernel.name);
                }
            }
        }
    }

    #[test]
    fn several_matrices_at_once_give_the_bits_of_each_alone() {
        let mut rng = Rng::new(29);
        let (m, k) = (25, 65);
        let x = numbers(&mut rng, m * k, 1.0);
        let [a, b, c] = [40, 7, 64].map(|n| numbers(&mut rng, n * k, 1.0));
        let (a, b, c) = (&a[..], &b[..], &c[..]);
        for kernel in kernels() {
            let found = many_rows_of_with(kernel, &x, [&a, &b, &c], [m, k]);
            assert_eq!(found, [a, b, c].map(|w| many_rows_with(kernel, &x, &w, m, k)), "{}", kernel.name);
        }
    }

    #[test]
    fn a_nan_and_an_infinity_stay_what_they_are() {
        for kernel in kernels() {
            let product = many_rows_with(kernel, &[f32::NAN, f32::INFINITY], &&[1.0f32][..], 2, 1);
            assert!(product[0].is_nan() && product[1] == f32::INFINITY, "{}", kernel.name);
        }
    }

    #[test]
    #[should_panic(expected = "rows of")]
    fn rows_that_are_too_short_are_refused() {
        let x = [0.0; 3];
        Rows { numbers: &x, stride: 2, step: 1, count: 2 }.check(2);
    }
}
