//! A bit and a half: eight numbers at a time are a point of a table whose elements are -1, 0 and 1, moved up
//! or down by an eighth.
//!
//! A number is `d (2 s + 1) (element ± 1/8)`.
//!
//! | type | bytes of a block of 256 | |
//! |---|---|---|
//! | IQ1_S | d 2, points 32, for each 32 numbers 16 bits: 4 times 3 high bits of a point, s of 3, the sign | s and sign for 32 numbers |
//! | IQ1_M | points 32, for each 8 numbers a nibble: 3 high bits of a point, the sign; 4 times 16 bits: 4 times s of 3, 4 bits of d | s for 16 numbers, a sign for 8 |

use super::grids::IQ1;
use super::{half_at, widen_half, word_at};

#[inline(always)]
fn moved(d: f32, point: usize, down: bool, numbers: &mut [f32]) {
    let by = if down { -0.125 } else { 0.125 };
    numbers.iter_mut().zip(&IQ1[point]).for_each(|(number, step)| *number = d * (f32::from(*step) + by));
}

#[inline(always)]
pub(super) fn iq1_s(block: &[u8; 50], numbers: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (eight, numbers) in numbers.chunks_exact_mut(8).enumerate() {
        let word = word_at(block, 34 + eight / 4 * 2);
        let point = usize::from(block[2 + eight]) | usize::from(word >> (eight % 4 * 3) & 7) << 8;
        moved(d * f32::from(2 * (word >> 12 & 7) + 1), point, word >> 15 == 1, numbers);
    }
}

#[inline(always)]
pub(super) fn iq1_m(block: &[u8; 56], numbers: &mut [f32; 256]) {
    let words: [u16; 4] = std::array::from_fn(|word| word_at(block, 48 + 2 * word));
    let pieces = words.iter().rev().fold(0, |d, word| d << 4 | word >> 12);
    let d = widen_half(pieces);
    for (eight, numbers) in numbers.chunks_exact_mut(8).enumerate() {
        let sixteen = eight / 2;
        let scale = words[sixteen / 4] >> (sixteen % 4 * 3) & 7;
        let nibble = block[32 + sixteen] >> (eight % 2 * 4) & 15;
        let point = usize::from(block[eight]) | usize::from(nibble & 7) << 8;
        moved(d * f32::from(2 * scale + 1), point, nibble & 8 == 8, numbers);
    }
}
