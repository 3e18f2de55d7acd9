//! The kernel for AVX2 with fused multiply-adds: up to six rows by two registers of columns, a strip in two
//! passes.

use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::{Out, Rows, STRIP};
use crate::kernel::cpu;

/// Whether the processor runs it.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx2) && std::arch::is_x86_feature_detected!("fma")
}

/// Columns of a register.
const LANES: usize = 8;

/// Rows at once: with two registers of columns they fill twelve of sixteen registers.
const MOST: usize = 6;

/// See [`super::Multiply`].
pub(super) unsafe fn multiply(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    for first in (0..rows.count).step_by(MOST) {
        let some = Rows {
            numbers: &rows.numbers[first * rows.stride..],
            stride: rows.stride,
            step: rows.step,
            count: MOST.min(rows.count - first),
        };
        // SAFETY: rows of the caller's, and rows of the output that belong to them.
        unsafe {
            let out = Out { first: out.first.add(first * out.stride), stride: out.stride };
            match some.count {
                1 => block::<1>(some, strip, out, add),
                2 => block::<2>(some, strip, out, add),
                3 => block::<3>(some, strip, out, add),
                4 => block::<4>(some, strip, out, add),
                5 => block::<5>(some, strip, out, add),
                _ => block::<6>(some, strip, out, add),
            }
        }
    }
}

/// The first `R` of the rows.
///
/// # Safety
/// As for [`super::Multiply`].
#[target_feature(enable = "avx2,fma")]
unsafe fn block<const R: usize>(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    let (x, stride) = (rows.numbers.as_ptr(), rows.stride);
    for half in [0, STRIP / 2] {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        // SAFETY: row `r` has as many numbers as the strip has steps, half a step has two registers of
        // numbers, and the caller promises the rows of the output.
        unsafe {
            if add {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let from = out.first.add(row * out.stride + half);
                    *sums = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES))];
                }
            }
            for (step, weights) in strip.iter().enumerate() {
                let x = x.add(step * rows.step);
                let weights = weights.as_ptr().add(half);
                let weights = [_mm256_loadu_ps(weights), _mm256_loadu_ps(weights.add(LANES))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*x.add(row * stride));
                    sums[0] = _mm256_fmadd_ps(x, weights[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(x, weights[1], sums[1]);
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let to = out.first.add(row * out.stride + half);
                _mm256_storeu_ps(to, sums[0]);
                _mm256_storeu_ps(to.add(LANES), sums[1]);
            }
        }
    }
}
