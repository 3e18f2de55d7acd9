//! The kernel for NEON: up to six rows by four registers of columns, a strip in two passes.

use std::arch::aarch64::{vdupq_n_f32, vfmaq_n_f32, vld1q_f32, vst1q_f32};

use super::{Out, Rows, STRIP};

/// Columns of a register.
const LANES: usize = 4;

/// Registers of columns at once.
const WIDE: usize = 4;

/// Rows at once: with four registers of columns they fill 24 of 32 registers.
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
unsafe fn block<const R: usize>(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    let (x, stride) = (rows.numbers.as_ptr(), rows.stride);
    for half in [0, STRIP / 2] {
        // SAFETY: row `r` has as many numbers as the strip has steps, half a step has four registers of
        // numbers, and the caller promises the rows of the output; every 64-bit ARM processor has NEON.
        unsafe {
            let mut sums = [[vdupq_n_f32(0.0); WIDE]; R];
            if add {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let from = out.first.add(row * out.stride + half);
                    for (register, sum) in sums.iter_mut().enumerate() {
                        *sum = vld1q_f32(from.add(register * LANES));
                    }
                }
            }
            for (step, weights) in strip.iter().enumerate() {
                let x = x.add(step * rows.step);
                let weights = weights.as_ptr().add(half);
                let mut wide = [vdupq_n_f32(0.0); WIDE];
                for (register, wide) in wide.iter_mut().enumerate() {
                    *wide = vld1q_f32(weights.add(register * LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = *x.add(row * stride);
                    for (sum, weights) in sums.iter_mut().zip(wide) {
                        *sum = vfmaq_n_f32(*sum, weights, x);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let to = out.first.add(row * out.stride + half);
                for (register, sum) in sums.iter().enumerate() {
                    vst1q_f32(to.add(register * LANES), *sum);
                }
            }
        }
    }
}
