//! Three bits and a little: four numbers at a time are a point of a table, with signs of their own.
//!
//! | type | bytes of a block of 256 | number, by an element of a point |
//! |---|---|---|
//! | IQ3_XXS | d 2, points 64, for each 32 numbers 4 signs of 7 bits and s of 4 | `d (0.5 + s) / 2` times it |
//! | IQ3_S | d 2, points 64, ninth bits 8, signs 32, s 4 | `d (1 + 2 s)` times it, a nibble of s for 32 |
//!
//! Signs of 7 bits leave out the eighth, as their number is even.

use super::grids::{IQ3_S, IQ3_XXS, even_signs, signed};
use super::{half_at, long_at};

#[inline(always)]
pub(super) fn iq3_xxs(block: &[u8; 98], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (four, numbers) in numbers.chunks_exact_mut(4).enumerate() {
        let signs = long_at(block, 66 + four / 8 * 4);
        let d = d * (0.5 + (signs >> 28) as f32) * 0.5;
        let signs = even_signs(signs >> (four % 8 / 2 * 7)) >> (four % 2 * 4);
        signed(d, &IQ3_XXS[usize::from(block[2 + four])], signs, numbers);
    }
}

#[inline(always)]
pub(super) fn iq3_s(block: &[u8; 110], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (four, numbers) in numbers.chunks_exact_mut(4).enumerate() {
        let nibble = block[106 + four / 16] >> (four / 8 % 2 * 4) & 15;
        let ninth = block[66 + four / 8] >> (four % 8) & 1;
        let point = usize::from(block[2 + four]) | usize::from(ninth) << 8;
        let signs = block[74 + four / 2] >> (four % 2 * 4);
        signed(d * f32::from(1 + 2 * nibble), &IQ3_S[point], signs, numbers);
    }
}
