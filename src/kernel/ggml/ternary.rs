//! Weights of one or two bits, or of three values, without offsets.
//!
//! | type | numbers, bytes of a block | number |
//! |---|---|---|
//! | Q1_0 | 128: d 2, q 16 | `d` where bit `i` is set, else `-d` |
//! | Q2_0 | 64: d 2, q 16 | `d (q - 1)`, byte `i / 4` holds four, the first lowest |
//! | TQ1_0 | 256: q 52, d 2 | `d (q - 1)`, q of three values |
//! | TQ2_0 | 256: q 64, d 2 | `d (q - 1)`, byte `32 h + l` holds numbers `128 h + 32 j + l`, `j` from 0 to 3 |
//!
//! A byte `b` of TQ1_0 holds digits to the base 3 behind the point: of `b / 256`, so digit `j` is
//! `3 (b 3^j mod 256) / 256` rounded down. Bytes 0 to 31 hold five digits each, of numbers `32 j + l`; bytes
//! 32 to 47 five, of numbers `160 + 16 j + l`; bytes 48 to 51 four, of numbers `240 + 4 j + l`.

use super::half_at;

#[inline(always)]
pub(super) fn q1_0(block: &[u8; 18], numbers: &mut [f32; 128]) {
    let d = half_at(block, 0);
    for (numbers, byte) in numbers.as_chunks_mut::<8>().0.iter_mut().zip(&block[2..]) {
        for (bit, number) in numbers.iter_mut().enumerate() {
            *number = if byte >> bit & 1 == 1 { d } else { -d };
        }
    }
}

#[inline(always)]
pub(super) fn q2_0(block: &[u8; 18], numbers: &mut [f32; 64]) {
    let d = half_at(block, 0);
    for (numbers, byte) in numbers.as_chunks_mut::<4>().0.iter_mut().zip(&block[2..]) {
        for (j, number) in numbers.iter_mut().enumerate() {
            *number = d * (f32::from(byte >> (2 * j) & 3) - 1.0);
        }
    }
}

#[inline(always)]
pub(super) fn tq1_0(block: &[u8; 54], numbers: &mut [f32; 256]) {
    const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
    let d = half_at(block, 52);
    // First number, bytes and digits of a byte.
    for (start, bytes, digits) in [(0, 0..32, 5), (160, 32..48, 5), (240, 48..52, 4)] {
        let rows = numbers[start..].chunks_exact_mut(bytes.len());
        for (numbers, power) in rows.zip(&POWERS[..digits]) {
            for (number, byte) in numbers.iter_mut().zip(&block[bytes.clone()]) {
                let q = (u16::from(byte.wrapping_mul(*power)) * 3) >> 8;
                *number = d * (f32::from(q) - 1.0);
            }
        }
    }
}

#[inline(always)]
pub(super) fn tq2_0(block: &[u8; 66], numbers: &mut [f32; 256]) {
    let d = half_at(block, 64);
    for (row, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (number, byte) in numbers.iter_mut().zip(&block[row / 4 * 32..]) {
            *number = d * (f32::from(byte >> (row % 4 * 2) & 3) - 1.0);
        }
    }
}
