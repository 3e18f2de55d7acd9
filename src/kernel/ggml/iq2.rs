//! Two bits and a little: eight numbers at a time are a point of a table and eight signs.
//!
//! A number is `d (0.5 + s) / 4` times an element of a point, with its sign.
//!
//! | type | bytes of a block of 256 | |
//! |---|---|---|
//! | IQ2_XXS | d 2, groups of 32 in 8 bytes: four points of 8 bits, then 4 signs of 7 bits and s of 4 | 256 points |
//! | IQ2_XS | d 2, points 64 (9 bits, then signs of 7), s 8 | 512 points, a nibble of s for 16 numbers |
//! | IQ2_S | d 2, points 32, signs 32 (8 bits), high bits 8, s 8 | 1024 points, a nibble of s for 16 numbers |
//!
//! Signs of 7 bits leave out the eighth, as their number is even.

use super::grids::{IQ2_S, IQ2_XS, IQ2_XXS, even_signs, signed};
use super::{half_at, long_at, word_at};

/// The scale of 16 numbers by their nibble.
#[inline(always)]
fn scale(d: f32, nibbles: &[u8], group: usize) -> f32 {
    d * (0.5 + f32::from(nibbles[group / 2] >> (group % 2 * 4) & 15)) * 0.25
}

#[inline(always)]
pub(super) fn iq2_xxs(block: &[u8; 66], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (group, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let at = 2 + group * 8;
        let signs = long_at(block, at + 4);
        let d = d * (0.5 + (signs >> 28) as f32) * 0.25;
        for (l, numbers) in numbers.chunks_exact_mut(8).enumerate() {
            signed(d, &IQ2_XXS[usize::from(block[at + l])], even_signs(signs >> (7 * l)), numbers);
        }
    }
}

#[inline(always)]
pub(super) fn iq2_xs(block: &[u8; 74], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (eight, numbers) in numbers.chunks_exact_mut(8).enumerate() {
        let word = word_at(block, 2 + eight * 2);
        let d = scale(d, &block[66..], eight / 2);
        signed(d, &IQ2_XS[usize::from(word & 511)], even_signs(u32::from(word >> 9)), numbers);
    }
}

#[inline(always)]
pub(super) fn iq2_s(block: &[u8; 82], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (eight, numbers) in numbers.chunks_exact_mut(8).enumerate() {
        let high = block[66 + eight / 4] >> (eight % 4 * 2) & 3;
        let point = usize::from(block[2 + eight]) | usize::from(high) << 8;
        signed(scale(d, &block[74..], eight / 2), &IQ2_S[point], block[34 + eight], numbers);
    }
}
