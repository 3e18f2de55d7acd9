//! The kernel that any processor runs, and that the others are held to.

use super::rows::Part;
use super::strip::{Strip, WORD};
use super::{BLOCK, next};
use crate::kernel::single::{Out, STRIP};

/// See [`super::Multiply`].
pub(super) unsafe fn multiply(rows: Part<'_>, strip: &Strip, out: Out) {
    // SAFETY: the caller's promises.
    unsafe {
        match strip.group() {
            BLOCK => groups::<{ BLOCK / WORD }>(rows, strip, out),
            _ => groups::<{ BLOCK / 2 / WORD }>(rows, strip, out),
        }
    }
}

/// Groups of `N` words.
unsafe fn groups<const N: usize>(rows: Part<'_>, strip: &Strip, out: Out) {
    let of_group = N * WORD;
    for row in 0..rows.count {
        let quants = &rows.quants[row * rows.width..][..rows.width];
        let scales = &rows.scales[row * (rows.width / BLOCK)..];
        let sums = &rows.sums[row * (rows.width / of_group)..];
        let mut y = [0f32; STRIP];
        for (group, (words, [factors, offsets])) in strip.groups::<N>().enumerate() {
            let (scale, sum) = (scales[group * of_group / BLOCK], sums[group]);
            let quants = quants[group * of_group..][..of_group].as_chunks::<WORD>().0;
            for (column, y) in y.iter_mut().enumerate() {
                let products = words.iter().zip(quants).flat_map(|(word, quants)| {
                    word[column].iter().zip(quants).map(|(l, q)| i32::from(*l) * i32::from(*q))
                });
                *y = next(*y, products.sum(), [factors[column], offsets[column]], scale, sum);
            }
        }
        // SAFETY: the caller promises these rows of the output.
        unsafe { *out.first.add(row * out.stride).cast::<[f32; STRIP]>() = y };
    }
}
