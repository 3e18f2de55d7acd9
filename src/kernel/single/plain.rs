//! The kernel that any processor runs, and that the others are held to.

use super::{Out, Rows, STRIP};

/// See [`super::Multiply`].
pub(super) unsafe fn multiply(rows: Rows<'_>, strip: &[[f32; STRIP]], out: Out, add: bool) {
    for row in 0..rows.count {
        let x = rows.numbers[row * rows.stride..].iter().step_by(rows.step);
        // SAFETY: the caller promises these rows of the output.
        let out = unsafe { &mut *out.first.add(row * out.stride).cast::<[f32; STRIP]>() };
        let mut sums = if add { *out } else { [0.0; STRIP] };
        for (x, weights) in x.zip(strip) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = x.mul_add(*weight, *sum);
            }
        }
        *out = sums;
    }
}
