//! Four bits that choose from a table of 16 uneven steps.
//!
//! | type | numbers, bytes of a block | number |
//! |---|---|---|
//! | IQ4_NL | 32: d 2, q 16 | `d table[q]` |
//! | IQ4_XS | 256: d 2, high bits of s 2, low bits of s 4, q 128 | `d (s - 32) table[q]`, groups of 32 |
//!
//! Byte `j` of a group holds numbers `j` and `j + 16`. A scale has 4 bits in the nibble of its group and 2
//! above them in bits `2 g` of the high ones.

use super::{half_at, word_at};

pub(super) const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[inline(always)]
fn nibbles(d: f32, bytes: &[u8], numbers: &mut [f32; 32]) {
    for (j, byte) in bytes.iter().enumerate() {
        numbers[j] = d * f32::from(TABLE[usize::from(byte & 15)]);
        numbers[j + 16] = d * f32::from(TABLE[usize::from(byte >> 4)]);
    }
}

#[inline(always)]
pub(super) fn iq4_nl(block: &[u8; 18], numbers: &mut [f32; 32]) {
    nibbles(half_at(block, 0), &block[2..], numbers);
}

#[inline(always)]
pub(super) fn iq4_xs(block: &[u8; 136], numbers: &mut [f32; 256]) {
    let (d, high) = (half_at(block, 0), word_at(block, 2));
    for (group, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        nibbles(d * scale_of_iq4_xs(block, high, group), &block[8 + group * 16..][..16], numbers);
    }
}

/// `s - 32` of a group, whose high bits are in `high`.
#[inline(always)]
pub(super) fn scale_of_iq4_xs(block: &[u8; 136], high: u16, group: usize) -> f32 {
    let low = block[4 + group / 2] >> (group % 2 * 4) & 15;
    f32::from(low | ((high >> (2 * group) & 3) as u8 * 16)) - 32.0
}
