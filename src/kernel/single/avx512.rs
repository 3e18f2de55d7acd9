//! The kernel for AVX-512: up to twelve rows by two registers of columns.

use std::arch::x86_64::{
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_storeu_ps, _mm512_storeu_si512,
};

use super::{Out, Rows, STRIP};
use crate::kernel::bf16::transposed;
use crate::kernel::cpu;

/// Whether the processor runs it.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx512)
}

/// Columns of a register.
const LANES: usize = 16;

/// Writes the steps of a strip, sixteen at a time, of 32 columns of `k` numbers each; returns how many were
/// written.
pub(super) fn pack_whole(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize) -> usize {
    assert!(available() && strip.len() == k && columns.len() == STRIP * k, "32 columns of k numbers");
    // SAFETY: the processor has AVX-512F.
    unsafe { pack_sixteen(strip, columns, k) };
    k / LANES * LANES
}

#[target_feature(enable = "avx512f")]
fn pack_sixteen(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize) {
    for (part, steps) in strip.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        for half in 0..STRIP / LANES {
            let mut rows = [_mm512_setzero_si512(); LANES]; // [columns][steps]
            for (column, row) in rows.iter_mut().enumerate() {
                let numbers = &columns[(half * LANES + column) * k + part * LANES..][..LANES];
                // SAFETY: sixteen numbers are read.
                *row = unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) };
            }
            for (step, row) in steps.iter_mut().zip(transposed(rows)) {
                let numbers = &mut step[half * LANES..][..LANES];
                // SAFETY: sixteen numbers are written.
                unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), row) };
            }
        }
    }
}

/// See [`super::Multiply`].
pub(super) unsafe fn multiply(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    // SAFETY: the promises of the caller are those of `block`; there are `rows.count` rows.
    unsafe {
        match rows.count {
            1 => block::<1>(rows, strip, out, add),
            2 => block::<2>(rows, strip, out, add),
            3 => block::<3>(rows, strip, out, add),
            4 => block::<4>(rows, strip, out, add),
            5 => block::<5>(rows, strip, out, add),
            6 => block::<6>(rows, strip, out, add),
            7 => block::<7>(rows, strip, out, add),
            8 => block::<8>(rows, strip, out, add),
            9 => block::<9>(rows, strip, out, add),
            10 => block::<10>(rows, strip, out, add),
            11 => block::<11>(rows, strip, out, add),
            _ => block::<12>(rows, strip, out, add),
        }
    }
}

/// The first `R` of the rows.
///
/// # Safety
/// As for [`super::Multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn block<const R: usize>(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    let (x, stride) = (rows.numbers.as_ptr(), rows.stride);
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: row `r` has as many numbers as the strip has steps, a step has two registers of numbers, and
    // the caller promises the rows of the output.
    unsafe {
        if add {
            for (row, sums) in sums.iter_mut().enumerate() {
                let from = out.first.add(row * out.stride);
                *sums = [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))];
            }
        }
        for (step, weights) in strip.iter().enumerate() {
            let x = x.add(step * rows.step);
            let weights = weights.as_ptr();
            let weights = [_mm512_loadu_ps(weights), _mm512_loadu_ps(weights.add(LANES))];
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*x.add(row * stride));
                sums[0] = _mm512_fmadd_ps(x, weights[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(x, weights[1], sums[1]);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let to = out.first.add(row * out.stride);
            _mm512_storeu_ps(to, sums[0]);
            _mm512_storeu_ps(to.add(LANES), sums[1]);
        }
    }
}
