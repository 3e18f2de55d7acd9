//! Blocks of 32 numbers that are rounded to steps of one size: `d (q - zero)`, or `d q + m` where the
//! smallest is stored.
//!
//! | type | bytes of a block | number |
//! |---|---|---|
//! | Q4_0 | d 2, low bits 16 | `d (q - 8)` |
//! | Q4_1 | d 2, m 2, low bits 16 | `d q + m` |
//! | Q5_0 | d 2, high bits 4, low bits 16 | `d (q - 16)` |
//! | Q5_1 | d 2, m 2, high bits 4, low bits 16 | `d q + m` |
//! | Q8_0 | d 2, q 32 (signed) | `d q` |
//! | Q8_1 | d 2, `d * sum of q` 2, q 32 (signed) | `d q` |
//!
//! Byte `j` of the low bits holds those of numbers `j` and `j + 16`; bit `i` of the high bits, of 32 in one
//! little-endian number, is the fifth bit of number `i`.

use super::{bytes_at, half_at, long_at};

/// The quants of 16 bytes, with the fifth bits `high`.
#[inline(always)]
fn quants(low: &[u8; 16], high: u32, mut put: impl FnMut(usize, u8)) {
    for (j, byte) in low.iter().enumerate() {
        put(j, byte & 15 | ((high >> j) as u8 & 1) << 4);
        put(j + 16, byte >> 4 | ((high >> (j + 16)) as u8 & 1) << 4);
    }
}

#[inline(always)]
pub(super) fn q4_0(block: &[u8; 18], numbers: &mut [f32; 32]) {
    let d = half_at(block, 0);
    quants(bytes_at(block, 2), 0, |i, q| numbers[i] = d * (f32::from(q) - 8.0));
}

#[inline(always)]
pub(super) fn q4_1(block: &[u8; 20], numbers: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    quants(bytes_at(block, 4), 0, |i, q| numbers[i] = d * f32::from(q) + m);
}

#[inline(always)]
pub(super) fn q5_0(block: &[u8; 22], numbers: &mut [f32; 32]) {
    let d = half_at(block, 0);
    quants(bytes_at(block, 6), long_at(block, 2), |i, q| numbers[i] = d * (f32::from(q) - 16.0));
}

#[inline(always)]
pub(super) fn q5_1(block: &[u8; 24], numbers: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    quants(bytes_at(block, 8), long_at(block, 4), |i, q| numbers[i] = d * f32::from(q) + m);
}

#[inline(always)]
pub(super) fn q8_0(block: &[u8; 34], numbers: &mut [f32; 32]) {
    let d = half_at(block, 0);
    signed(d, bytes_at(block, 2), numbers);
}

#[inline(always)]
pub(super) fn q8_1(block: &[u8; 36], numbers: &mut [f32; 32]) {
    let d = half_at(block, 0);
    signed(d, bytes_at(block, 4), numbers);
}

/// `d q` of signed quants.
#[inline(always)]
fn signed(d: f32, quants: &[u8; 32], numbers: &mut [f32; 32]) {
    for (number, q) in numbers.iter_mut().zip(quants) {
        *number = d * f32::from(*q as i8);
    }
}
