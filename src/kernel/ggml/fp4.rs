//! Floating-point numbers of 4 bits with a shared scale (OCP Microscaling Formats 1.0; NVIDIA's NVFP4).
//!
//! A nibble is sign, two bits of exponent and one of mantissa: 0, 0.5, 1, 1.5, 2, 3, 4 or 6. The table holds
//! twice these, and so scales are halved.
//!
//! | type | numbers, bytes of a block | number |
//! |---|---|---|
//! | MXFP4 | 32: e 1, q 16 | `2^(e - 128) table[q]` |
//! | NVFP4 | 64: e 4, q 32 | `s / 2 table[q]`, `s` the byte of its group of 16 as a float of 8 bits |
//!
//! Byte `j` holds numbers `j` and `j + 16` of MXFP4, `j` and `j + 8` of a group of NVFP4. The float of 8 bits
//! has no sign, 4 bits of exponent (bias 7) and 3 of mantissa: `(8 + mantissa) 2^(exponent - 10)`, with an
//! exponent of 0 `mantissa 2^-9`; 127 stands for 0 as well.

pub(super) const TWICE: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// `low` and `high` nibbles of each byte, times `d`.
#[inline(always)]
fn nibbles(d: f32, bytes: &[u8], numbers: &mut [f32]) {
    let (first, second) = numbers.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(first).zip(second) {
        *low = d * f32::from(TWICE[usize::from(byte & 15)]);
        *high = d * f32::from(TWICE[usize::from(byte >> 4)]);
    }
}

/// `2^(e - 128)`, the smallest two of which are subnormal.
#[inline(always)]
pub(super) fn power_of_two(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}

/// Half of the float of 8 bits without a sign.
#[inline(always)]
fn half_of_small_float(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    match exponent {
        _ if byte == 0x7F => 0.0,
        0 => mantissa * 2f32.powi(-10),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 11),
    }
}

#[inline(always)]
pub(super) fn mxfp4(block: &[u8; 17], numbers: &mut [f32; 32]) {
    nibbles(power_of_two(block[0]), &block[1..], numbers);
}

#[inline(always)]
pub(super) fn nvfp4(block: &[u8; 36], numbers: &mut [f32; 64]) {
    for (group, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        nibbles(half_of_small_float(block[group]), &block[4 + group * 8..][..8], numbers);
    }
}
