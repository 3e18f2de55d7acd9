//! Blocks of 256 numbers whose groups of 16 or 32 have scales of a few bits, which have a scale themselves.
//!
//! | type | bytes of a block | number, with `s` and `t` of its group |
//! |---|---|---|
//! | Q2_K | s and t 16, q 64, d 2, m 2 | `d s q - m t`, groups of 16 |
//! | Q3_K | high bits 32, low bits 64, s 12, d 2 | `d (s - 32) (q - 4)`, groups of 16 |
//! | Q4_K | d 2, m 2, s and t 12, q 128 | `d s q - m t`, groups of 32 |
//! | Q5_K | d 2, m 2, s and t 12, high bits 32, low bits 128 | `d s q - m t`, groups of 32 |
//! | Q6_K | low bits 128, high bits 64, s 16 (signed), d 2 | `d s (q - 32)`, groups of 16 |
//! | Q8_K | d 4 (f32), q 256 (signed), sums of 16 quants 32 | `d q` |
//!
//! Quants of 2 bits: byte `32 h + l` holds those of numbers `128 h + 32 j + l`, `j` from 0 to 3, the first
//! lowest. Of 4 bits in Q4_K and Q5_K: byte `32 h + l` holds numbers `64 h + l` and `64 h + 32 + l`; in Q6_K
//! byte `64 h + l` holds numbers `128 h + l` and `128 h + 64 + l`. High bits alone: bit `j` of byte `l` is of
//! number `32 j + l`.

use super::{bytes_at, half_at};

#[inline(always)]
pub(super) fn q2_k(block: &[u8; 84], numbers: &mut [f32; 256]) {
    let (d, m) = (half_at(block, 80), half_at(block, 82));
    for (group, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (scale, smallest) = (d * f32::from(block[group] & 15), m * f32::from(block[group] >> 4));
        let (at, shift) = (16 + group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        for (number, byte) in numbers.iter_mut().zip(bytes_at::<16>(block, at)) {
            *number = scale * f32::from(byte >> shift & 3) - smallest;
        }
    }
}

/// The scales of Q3_K: the low 4 bits of `g` and `g + 8` in byte `g`, the high 2 of `g + 4 j` in byte
/// `8 + g`.
#[inline(always)]
pub(super) fn scales_of_q3_k(bytes: &[u8]) -> [f32; 16] {
    let scale = |group: usize| {
        let low = bytes[group % 8] >> (group / 8 * 4) & 15;
        let high = bytes[8 + group % 4] >> (group / 4 * 2) & 3;
        f32::from(low | high << 4) - 32.0
    };
    std::array::from_fn(scale)
}

/// The quants of a group of Q3_K.
#[inline(always)]
pub(super) fn quants_of_q3_k(block: &[u8; 110], group: usize) -> [u8; 16] {
    let (part, shift) = (group % 2 * 16, group % 8 / 2 * 2);
    let low: &[u8; 16] = bytes_at(block, 32 + group / 8 * 32 + part);
    let high: &[u8; 16] = bytes_at(block, part);
    std::array::from_fn(|i| low[i] >> shift & 3 | (high[i] >> (group / 2) & 1) << 2)
}

#[inline(always)]
pub(super) fn q3_k(block: &[u8; 110], numbers: &mut [f32; 256]) {
    let d = half_at(block, 108);
    let scales = scales_of_q3_k(&block[96..108]);
    for (group, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * scales[group];
        for (number, q) in numbers.iter_mut().zip(quants_of_q3_k(block, group)) {
            *number = scale * (f32::from(q) - 4.0);
        }
    }
}

/// Scale and smallest number of one of eight groups, 6 bits each in 12 bytes: `s` of groups 0 to 3 in bytes 0
/// to 3, `t` in bytes 4 to 7; of groups 4 to 7 the low 4 bits of both in bytes 8 to 11, the high 2 above
/// those of the first four.
#[inline(always)]
pub(super) fn scale_and_smallest(bytes: &[u8], group: usize) -> (f32, f32) {
    let (scale, smallest) = if group < 4 {
        (bytes[group] & 63, bytes[group + 4] & 63)
    } else {
        let low = bytes[group + 4];
        (low & 15 | bytes[group - 4] >> 6 << 4, low >> 4 | bytes[group] >> 6 << 4)
    };
    (f32::from(scale), f32::from(smallest))
}

/// The numbers of Q4_K and Q5_K, whose fifth bit is in `high` bytes or 0.
#[inline(always)]
fn four_bits_and_more(head: &[u8], high: &[u8; 32], low: &[u8], numbers: &mut [f32; 256]) {
    let (d, m) = (half_at(head, 0), half_at(head, 2));
    for (group, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, smallest) = scale_and_smallest(&head[4..16], group);
        let (scale, smallest) = (d * scale, m * smallest);
        let (low, shift): (&[u8; 32], _) = (bytes_at(low, group / 2 * 32), group % 2 * 4);
        for ((number, low), high) in numbers.iter_mut().zip(low).zip(high) {
            let q = low >> shift & 15 | (high >> group & 1) << 4;
            *number = scale * f32::from(q) - smallest;
        }
    }
}

#[inline(always)]
pub(super) fn q4_k(block: &[u8; 144], numbers: &mut [f32; 256]) {
    four_bits_and_more(&block[..16], &[0; 32], &block[16..], numbers);
}

#[inline(always)]
pub(super) fn q5_k(block: &[u8; 176], numbers: &mut [f32; 256]) {
    let (high, low) = block[16..].split_at(32);
    let high = high.first_chunk().unwrap_or(&[0; 32]);
    four_bits_and_more(&block[..16], high, low, numbers);
}

/// The quants of a group of Q6_K.
#[inline(always)]
pub(super) fn quants_of_q6_k(block: &[u8; 210], group: usize) -> [u8; 16] {
    // Its half of the block, and which of four rows of 32 numbers in it.
    let (half, row, part) = (group / 8, group % 8 / 2, group % 2 * 16);
    let low: &[u8; 16] = bytes_at(block, half * 64 + row % 2 * 32 + part);
    let high: &[u8; 16] = bytes_at(block, 128 + half * 32 + part);
    std::array::from_fn(|i| low[i] >> (row / 2 * 4) & 15 | (high[i] >> (row * 2) & 3) << 4)
}

#[inline(always)]
pub(super) fn q6_k(block: &[u8; 210], numbers: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for (group, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(block[192 + group] as i8);
        for (number, q) in numbers.iter_mut().zip(quants_of_q6_k(block, group)) {
            *number = scale * (f32::from(q) - 32.0);
        }
    }
}

#[inline(always)]
pub(super) fn q8_k(block: &[u8; 292], numbers: &mut [f32; 256]) {
    let d = f32::from_bits(super::long_at(block, 0));
    numbers.iter_mut().zip(&block[4..260]).for_each(|(number, q)| *number = d * f32::from(*q as i8));
}
