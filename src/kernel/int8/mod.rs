//! Products of matrices in integers of 8 bits, summed in f32 from group to group.
//!
//! Of 32 inputs `x` at a time, `d = max |x| / 127` and `q = round(x / d)`. Of a group of weights, number `i`
//! is `s l + o` with a level `l` from 0 to 255 ([`levels`](super::ggml::levels)): exactly what a file has in
//! blocks, and else rounded as inputs are. Then
//!
//! ```text
//! y <- fma(o, d (sum of q), fma(s (sum of l q), d, y))
//! ```
//!
//! from the first group to the last, where sums within a group are exact. So a product is the same to the
//! bit on every instruction set, on any number of threads, and whatever rows are computed along with it.
//! [`plain`] says what the others compute. For a few rows, which take no longer than reading the weights, the
//! same numbers are multiplied in f32 as they are read.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod matrix;
mod plain;
mod rows;
mod strip;

use super::ggml::levels::Group;
use super::matmul::{Stored, few_rows_of};
use super::single::{Out, STRIP, by_strips};
pub(crate) use matrix::Matrix;
use rows::Part;
pub(crate) use rows::Rows;
use strip::Strip;

/// Numbers that have a scale of their own, in inputs and in most types of weights.
const BLOCK: usize = 32;

/// Rows up to which a matrix is multiplied as it is read, and not put into strips.
const FEW: usize = 4;

/// Rows of the product that a kernel computes at once: with a strip they fill 24 of the 32 registers of
/// AVX-512.
const ROWS: usize = 6;

/// `out = x stripᵀ`.
///
/// # Safety
/// The processor has the kernel's instructions; the rows have as many numbers as the strip; the rows of
/// `out`, as many as there are, can be written and belong to nobody else.
type Multiply = unsafe fn(rows: Part<'_>, strip: &Strip, out: Out);

/// A kernel of some instruction set.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    multiply: Multiply,
}

const PLAIN: Kernel = Kernel { name: "int8-plain", multiply: plain::multiply };
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel { name: "int8-avx2", multiply: avx2::multiply };
#[cfg(target_arch = "x86_64")]
const AVX_VNNI: Kernel = Kernel { name: "int8-avx-vnni", multiply: avx2::multiply_vnni };
#[cfg(target_arch = "x86_64")]
const AVX512: Kernel = Kernel { name: "int8-avx512-vnni", multiply: avx512::multiply };

/// The next step of the chain of a product.
#[inline(always)]
fn next(y: f32, products: i32, [factor, offset]: Group, scale: f32, sum: f32) -> f32 {
    offset.mul_add(sum, (products as f32 * factor).mul_add(scale, y))
}

/// The kernels that this processor runs, the fastest first.
fn kernels() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        avx512::available().then_some(AVX512),
        avx2::vnni_available().then_some(AVX_VNNI),
        avx2::available().then_some(AVX2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let found = [None];
    found.into_iter().flatten().chain([PLAIN])
}

/// The fastest kernel of this processor.
fn kernel() -> Kernel {
    kernels().next().unwrap_or(PLAIN)
}

/// Name of the kernel that runs on this processor.
pub(crate) fn kernel_name() -> &'static str {
    kernel().name
}

/// `x [m, k] · wᵀ` for several matrices `w [n, k]`: `[m, n]` each, on all threads, which wait for each other
/// once.
///
/// # Panics
/// When rows and matrices differ in width.
pub(crate) fn multiply<const N: usize>(x: &Rows, matrices: [&Matrix; N]) -> [Vec<f32>; N] {
    assert!(matrices.iter().all(|w| w.k() == x.k()), "rows as wide as the matrices");
    let few = (1..=FEW).contains(&x.m());
    match all(matrices.map(Matrix::exact)) {
        Some(exact) if few => few_rows_of(&x.numbers(), exact.map(|w| w as &dyn Stored), [x.m(), x.width()]),
        // What one of them is does not change the bits of another.
        None if few && N > 1 => matrices.map(|w| {
            let [product] = multiply(x, [w]);
            product
        }),
        _ => multiply_with(kernel(), x, matrices),
    }
}

/// All of them, where none is missing.
fn all<T: Copy, const N: usize>(some: [Option<T>; N]) -> Option<[T; N]> {
    some.into_iter().collect::<Option<Vec<T>>>()?.try_into().ok()
}

fn multiply_with<const N: usize>(kernel: Kernel, x: &Rows, matrices: [&Matrix; N]) -> [Vec<f32>; N] {
    // SAFETY: a strip is multiplied with all rows.
    unsafe {
        by_strips(x.m(), matrices.map(Matrix::n), |strip: &mut Strip, matrix, columns, out| {
            strip.put(matrices[matrix], columns);
            times_strip(kernel, x, strip, out);
        })
    }
}

/// `out = x stripᵀ` for all rows.
///
/// # Safety
/// As many rows of `out` as `x` has can be written, and belong to nobody else.
unsafe fn times_strip(kernel: Kernel, x: &Rows, strip: &Strip, out: Out) {
    for first in (0..x.m()).step_by(ROWS) {
        let rows = x.some(first..x.m().min(first + ROWS), strip.group());
        strip.check(&rows);
        // SAFETY: a kernel is only chosen where the processor has it; widths are checked; the caller promises
        // the rows of the output.
        unsafe {
            let out = Out { first: out.first.add(first * out.stride), stride: out.stride };
            (kernel.multiply)(rows, strip, out);
        }
    }
}

#[cfg(test)]
mod tests;
