//! Matrix multiplies with weights in bf16: half the memory of f32, and the processor's own instructions for it.
//!
//! `y = x Wᵀ` where both sides are rounded to bf16 (to nearest, ties to even) and products are summed in f32. Three kernels
//! compute it over one order of the weights: [`amx`] (tile registers), [`dot`] (`vdpbf16ps`) and [`plain`], which any
//! processor runs. They sum in different orders, so they agree within f32's rounding and not to the bit.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attend;
#[cfg(target_arch = "x86_64")]
mod dot;
mod packed;
mod page;
mod plain;

use rayon::prelude::*;

pub(crate) use attend::{Strip, Visible, attend};
pub(crate) use packed::{Matrix, Rows, rounded};
pub(crate) use page::{PAGE, Page};

use packed::{STRIP, TILE_ROWS, Tile};

/// A part of a product: 32 rows of 32 columns.
type Block = [[f32; STRIP]; 2 * TILE_ROWS];

/// The products of two blocks of rows, `[steps]` tiles each, and a strip `[steps, 2]`; added to what `out` holds, or in its
/// place.
type Multiply = fn(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: &mut Block, add: bool);

/// A kernel of some instruction set.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    /// Must come before the first product on a thread.
    begin: fn(),
    multiply: Multiply,
    /// Must come after the last one.
    end: fn(),
}

const PLAIN: Kernel = Kernel { name: "plain", begin: || {}, multiply: plain::multiply, end: || {} };
#[cfg(target_arch = "x86_64")]
const DOT: Kernel = Kernel { name: "avx512-bf16", begin: || {}, multiply: dot::multiply, end: || {} };
#[cfg(target_arch = "x86_64")]
const AMX: Kernel =
    Kernel { name: "amx-bf16", begin: amx::configure, multiply: amx::multiply, end: amx::release };

/// Name of the kernel that runs on this processor.
pub(crate) fn kernel_name() -> &'static str {
    kernel().name
}

/// The fastest kernel of this processor.
fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if amx::available() {
            return AMX;
        }
        if dot::available() {
            return DOT;
        }
    }
    PLAIN
}

/// `x [m, k] · wᵀ` for `w [n, k]`: `[m, n]`, on all threads.
pub(crate) fn multiply(x: &Rows, w: &Matrix) -> Vec<f32> {
    multiply_with(kernel(), x, w)
}

/// A pointer into the output that threads share.
struct Output(*mut f32);
// SAFETY: every task writes columns of its own (see `multiply_with`).
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    /// `at..at + numbers.len()` lies in the output, and no other thread touches it.
    unsafe fn write(&self, at: usize, numbers: &[f32]) {
        // SAFETY: by the promise above; `numbers` is on this thread's stack, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), self.0.add(at), numbers.len()) };
    }
}

fn multiply_with(kernel: Kernel, x: &Rows, w: &Matrix) -> Vec<f32> {
    assert_eq!(x.k, w.k, "both sides have rows of k numbers");
    let (m, n) = (x.m, w.n);
    let mut product = vec![0f32; m * n]; // [m, n]
    let output = Output(product.as_mut_ptr());
    (0..w.strips()).into_par_iter().for_each(|index| {
        let strip = w.strip(index);
        let columns = STRIP.min(n - index * STRIP);
        let mut block = [[0f32; STRIP]; 2 * TILE_ROWS];
        (kernel.begin)();
        for (first, rows) in x.pairs() {
            (kernel.multiply)(rows, strip, &mut block, false);
            let rows = (2 * TILE_ROWS).min(m - first * TILE_ROWS);
            for (row, numbers) in block[..rows].iter().enumerate() {
                let at = (first * TILE_ROWS + row) * n + index * STRIP;
                // SAFETY: row < m and the columns are those of this strip alone, so the range lies in `product`, and the
                // tasks, one a strip, write apart from each other.
                unsafe { output.write(at, &numbers[..columns]) };
            }
        }
        (kernel.end)();
    });
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use half::bf16;

    fn every_kernel() -> Vec<Kernel> {
        let mut kernels = vec![kernel(), PLAIN];
        #[cfg(target_arch = "x86_64")]
        if dot::available() {
            kernels.push(DOT);
        }
        kernels
    }

    #[test]
    fn every_kernel_multiplies_what_was_rounded_to_bf16() {
        let kernels = every_kernel();
        let mut rng = Rng::new(17);
        for (m, k, n) in [(1, 576, 100), (33, 65, 70), (16, 7, 1), (40, 64, 32), (3, 1, 33)] {
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
