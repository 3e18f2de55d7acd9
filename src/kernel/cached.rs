//! Rows of keys and values as a cache keeps them: exact, in bf16, or in ggml's blocks.
//!
//! A row lies in blocks of [`BLOCK`] numbers; behind a row whose width is no multiple of that stand zeros. Of
//! the numbers `x` of a block, with the scale `d` in f16:
//!
//! - `q8_0`: `d = max |x| / 127`, `q = round(x / d)` in 8 bits, read as `d q`: 34 bytes.
//! - `q4_0`: `d = m / -8` for the number `m` of the largest magnitude, the first of equals,
//!   `q = min(floor(x / d + 8.5), 15)` in 4 bits, read as `d (q - 8)`: 18 bytes; a byte holds the `j`th
//!   number below the one 16 places on.
//!
//! Both round as the reference functions of ggml do (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`): with
//! the reciprocal of `d` before it is rounded to f16, halves away from zero, and without a contracted
//! multiply and add. One thing differs: a block with a number that is not finite has no finite scale, so that
//! it is noticed in the logits and not read as something else.

use half::f16;

use super::for_every_instruction_set;

/// Numbers in a block.
pub(crate) const BLOCK: usize = 32;

/// Bytes of a scale.
const SCALE: usize = size_of::<f16>();

/// A block in f32.
const F32: usize = BLOCK * size_of::<f32>();
/// A block in bf16.
const BF16: usize = BLOCK * size_of::<u16>();
/// A block of `q8_0`.
const Q8_0: usize = SCALE + BLOCK;
/// A block of `q4_0`.
const Q4_0: usize = SCALE + BLOCK / 2;

/// How the numbers of a row are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    F32,
    /// Rounded to bf16, ties to even.
    Bf16,
    /// In ggml's blocks of 8 bits.
    Q8_0,
    /// In ggml's blocks of 4 bits.
    Q4_0,
}

impl Form {
    /// Bytes of a block.
    const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => F32,
            Self::Bf16 => BF16,
            Self::Q8_0 => Q8_0,
            Self::Q4_0 => Q4_0,
        }
    }

    /// Bytes of a row of `width` numbers.
    pub(crate) const fn row_bytes(self, width: usize) -> usize {
        width.div_ceil(BLOCK) * self.block_bytes()
    }

    /// Writes all of `bytes`, those of a row, with the numbers of `row`.
    ///
    /// # Panics
    /// When the sizes are not those of [`Self::row_bytes`].
    pub(crate) fn keep(self, row: &[f32], bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.row_bytes(row.len()), "whole blocks of a row");
        match self {
            Self::F32 => keep_f32(row, bytes),
            Self::Bf16 => keep_bf16(row, bytes),
            Self::Q8_0 => keep_q8_0(row, bytes),
            Self::Q4_0 => keep_q4_0(row, bytes),
        }
    }

    /// Writes all of `numbers`, those of whole blocks, as they are read from `bytes`.
    ///
    /// # Panics
    /// When the sizes do not fit together.
    pub(crate) fn widen(self, bytes: &[u8], numbers: &mut [f32]) {
        assert!(numbers.len().is_multiple_of(BLOCK) && bytes.len() == self.row_bytes(numbers.len()));
        match self {
            Self::F32 => widen_f32(bytes, numbers),
            Self::Bf16 => widen_bf16(bytes, numbers),
            Self::Q8_0 => widen_q8_0(bytes, numbers),
            Self::Q4_0 => widen_q4_0(bytes, numbers),
        }
    }
}

/// The width of a row with the zeros behind it.
pub(crate) const fn padded(width: usize) -> usize {
    width.next_multiple_of(BLOCK)
}

/// Every block of a row, with zeros behind the last, and its bytes.
#[inline(always)]
fn blocks<'a, const BYTES: usize>(
    row: &'a [f32],
    bytes: &'a mut [u8],
) -> impl Iterator<Item = ([f32; BLOCK], &'a mut [u8; BYTES])> {
    let block = |numbers: &[f32]| {
        let mut block = [0f32; BLOCK];
        block[..numbers.len()].copy_from_slice(numbers);
        block
    };
    row.chunks(BLOCK).map(block).zip(bytes.as_chunks_mut::<BYTES>().0)
}

for_every_instruction_set! {
    /// See [`Form::keep`].
    fn keep_f32 = keep_f32_plain(row: &[f32], bytes: &mut [u8])
}

#[inline(always)]
fn keep_f32_plain(row: &[f32], bytes: &mut [u8]) {
    for (numbers, bytes) in blocks::<F32>(row, bytes) {
        for (x, bytes) in numbers.iter().zip(bytes.as_chunks_mut().0) {
            *bytes = x.to_le_bytes();
        }
    }
}

for_every_instruction_set! {
    /// See [`Form::widen`].
    fn widen_f32 = widen_f32_plain(bytes: &[u8], numbers: &mut [f32])
}

#[inline(always)]
fn widen_f32_plain(bytes: &[u8], numbers: &mut [f32]) {
    for (x, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *x = f32::from_le_bytes(*bytes);
    }
}

for_every_instruction_set! {
    /// See [`Form::keep`].
    fn keep_bf16 = keep_bf16_plain(row: &[f32], bytes: &mut [u8])
}

#[inline(always)]
fn keep_bf16_plain(row: &[f32], bytes: &mut [u8]) {
    for (numbers, bytes) in blocks::<BF16>(row, bytes) {
        for (x, bytes) in numbers.iter().zip(bytes.as_chunks_mut().0) {
            *bytes = super::bf16::round(*x).to_le_bytes();
        }
    }
}

for_every_instruction_set! {
    /// See [`Form::widen`].
    fn widen_bf16 = widen_bf16_plain(bytes: &[u8], numbers: &mut [f32])
}

#[inline(always)]
fn widen_bf16_plain(bytes: &[u8], numbers: &mut [f32]) {
    for (x, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *x = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

for_every_instruction_set! {
    /// See [`Form::keep`].
    fn keep_q8_0 = keep_q8_0_plain(row: &[f32], bytes: &mut [u8])
}

#[inline(always)]
fn keep_q8_0_plain(row: &[f32], bytes: &mut [u8]) {
    for (numbers, bytes) in blocks::<Q8_0>(row, bytes) {
        let largest = numbers.iter().fold(0f32, |max, x| if x.abs() > max { x.abs() } else { max });
        let d = largest / 127.0;
        let (scale, quants) = bytes.split_at_mut(SCALE);
        scale.copy_from_slice(&scale_bytes(d, &numbers));
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        for (x, quant) in numbers.iter().zip(quants) {
            *quant = ((x * inverse).round() as i8).cast_unsigned();
        }
    }
}

for_every_instruction_set! {
    /// See [`Form::widen`].
    fn widen_q8_0 = widen_q8_0_plain(bytes: &[u8], numbers: &mut [f32])
}

#[inline(always)]
fn widen_q8_0_plain(bytes: &[u8], numbers: &mut [f32]) {
    for (bytes, numbers) in bytes.as_chunks::<Q8_0>().0.iter().zip(numbers.as_chunks_mut::<BLOCK>().0) {
        let [low, high, quants @ ..] = bytes;
        let d = widened_scale([*low, *high]);
        for (x, quant) in numbers.iter_mut().zip(quants) {
            *x = d * f32::from(quant.cast_signed());
        }
    }
}

for_every_instruction_set! {
    /// See [`Form::keep`].
    fn keep_q4_0 = keep_q4_0_plain(row: &[f32], bytes: &mut [u8])
}

#[inline(always)]
fn keep_q4_0_plain(row: &[f32], bytes: &mut [u8]) {
    for (numbers, bytes) in blocks::<Q4_0>(row, bytes) {
        let farthest = numbers.iter().fold(0f32, |max, &x| if x.abs() > max.abs() { x } else { max });
        let d = farthest / -8.0;
        let (scale, quants) = bytes.split_at_mut(SCALE);
        scale.copy_from_slice(&scale_bytes(d, &numbers));
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        let quant = |x: f32| ((x * inverse + 8.5) as u8).min(15);
        let (low, high) = numbers.split_at(BLOCK / 2);
        for ((low, high), quants) in low.iter().zip(high).zip(quants) {
            *quants = quant(*low) | quant(*high) << 4;
        }
    }
}

for_every_instruction_set! {
    /// See [`Form::widen`].
    fn widen_q4_0 = widen_q4_0_plain(bytes: &[u8], numbers: &mut [f32])
}

#[inline(always)]
fn widen_q4_0_plain(bytes: &[u8], numbers: &mut [f32]) {
    for (bytes, numbers) in bytes.as_chunks::<Q4_0>().0.iter().zip(numbers.as_chunks_mut::<BLOCK>().0) {
        let [scale_low, scale_high, quants @ ..] = bytes;
        let d = widened_scale([*scale_low, *scale_high]);
        let (low, high) = numbers.split_at_mut(BLOCK / 2);
        for ((low, high), quants) in low.iter_mut().zip(high).zip(quants) {
            *low = d * (f32::from(quants & 15) - 8.0);
            *high = d * (f32::from(quants >> 4) - 8.0);
        }
    }
}

/// The scale of a block of `numbers` in f16; not finite where one of them is not.
#[inline(always)]
fn scale_bytes(d: f32, numbers: &[f32; BLOCK]) -> [u8; SCALE] {
    let finite = numbers.iter().fold(true, |finite, x| finite & x.is_finite());
    if finite { f16::from_f32(d).to_le_bytes() } else { f16::NAN.to_le_bytes() }
}

/// A scale in f32, which has every number of f16. In plain operations, so that it is compiled into the loop
/// that needs it: the bits of f16 in the places of f32's are the number times `2^-112`.
#[inline(always)]
fn widened_scale(bytes: [u8; SCALE]) -> f32 {
    const REBASE: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(bytes));
    let finite = f32::from_bits((bits & 0x7fff) << 13) * REBASE;
    let not_finite = f32::from_bits((bits & 0x7fff) << 13 | 0x7f80_0000);
    let magnitude = if bits & 0x7c00 == 0x7c00 { not_finite } else { finite };
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    const FORMS: [Form; 4] = [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4_0];

    type Keep = fn(&[f32], &mut [u8]);
    type Widen = fn(&[u8], &mut [f32]);

    /// The plain twins.
    fn plain(form: Form) -> (Keep, Widen) {
        match form {
            Form::F32 => (keep_f32_plain, widen_f32_plain),
            Form::Bf16 => (keep_bf16_plain, widen_bf16_plain),
            Form::Q8_0 => (keep_q8_0_plain, widen_q8_0_plain),
            Form::Q4_0 => (keep_q4_0_plain, widen_q4_0_plain),
        }
    }

    fn kept(form: Form, row: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0xaa; form.row_bytes(row.len())];
        form.keep(row, &mut bytes);
        bytes
    }

    fn widened(form: Form, bytes: &[u8]) -> Vec<f32> {
        let mut numbers = vec![9.0; bytes.len() / form.block_bytes() * BLOCK];
        form.widen(bytes, &mut numbers);
        numbers
    }

    #[test]
    fn every_instruction_set_keeps_and_widens_to_the_same_bits() {
        let mut rng = Rng::new(83);
        for (form, width, scale) in
            FORMS.into_iter().flat_map(|form| [(form, 64, 1.0), (form, 5, 40.0), (form, 320, 1e-5)])
        {
            let (keep, widen) = plain(form);
            for _ in 0..20 {
                let row = numbers(&mut rng, width, scale);
                let bytes = kept(form, &row);
                let mut twin = vec![0; bytes.len()];
                keep(&row, &mut twin);
                assert_eq!(bytes, twin, "{form:?} of {width}");
                let found = widened(form, &bytes);
                let mut twin = vec![0.0; found.len()];
                widen(&bytes, &mut twin);
                assert_eq!(found, twin, "{form:?} of {width}");
                assert!(found[width..].iter().all(|x| *x == 0.0), "zeros behind: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_read_is_within_a_step_of_what_was_kept() {
        let row = numbers(&mut Rng::new(89), 96, 3.0);
        for (form, share) in [(Form::F32, 0.0), (Form::Bf16, 1.0 / 256.0)] {
            for (found, x) in widened(form, &kept(form, &row)).iter().zip(&row) {
                assert!((found - x).abs() <= share * x.abs(), "{form:?}: {found}, not {x}");
            }
        }
        // Half a step of the scale, and what the scale is rounded by. The last step of four bits is missing
        // on one side.
        for (form, steps, most) in [(Form::Q8_0, 127.0, 0.51), (Form::Q4_0, 8.0, 1.01)] {
            for (found, x) in widened(form, &kept(form, &row)).chunks(BLOCK).zip(row.chunks(BLOCK)) {
                let step = x.iter().fold(0f32, |max, x| max.max(x.abs())) / steps;
                let off = found.iter().zip(x).fold(0f32, |off, (a, b)| off.max((a - b).abs())) / step;
                assert!(off < most + steps / 2048.0, "{form:?}: off by {off} steps");
            }
        }
    }

    #[test]
    fn blocks_can_be_checked_by_hand() {
        let mut row = [0f32; BLOCK];
        (row[0], row[1], row[16], row[31]) = (-8.0, 4.4, 7.9, -0.5);
        let bytes = kept(Form::Q4_0, &row);
        // d = 1: in f16 0x3c00; a half goes up, 7.9 has no step of its own, and zeros are in the middle.
        let mut expected = vec![0x88u8; 18];
        (expected[0], expected[1]) = (0x00, 0x3c);
        (expected[2], expected[3], expected[17]) = (0xf0, 0x8c, 0x88);
        assert_eq!(bytes, expected);
        row[0] = -127.0;
        let bytes = kept(Form::Q8_0, &row);
        assert_eq!((&bytes[..4], bytes[18], bytes[33]), (&[0x00, 0x3c, 0x81, 4][..], 8, 0xff));
        assert_eq!(
            [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4_0].map(|form| form.row_bytes(64)),
            [256, 128, 68, 36]
        );
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_lost() {
        for (form, wrong) in
            FORMS.into_iter().flat_map(|form| [f32::NAN, f32::INFINITY, f32::MAX].map(|x| (form, x)))
        {
            let mut row = [1f32; 40];
            row[7] = wrong;
            let found = widened(form, &kept(form, &row));
            let exact = wrong == f32::MAX && form == Form::F32;
            assert_eq!(found[..BLOCK].iter().all(|x| x.is_finite()), exact, "{wrong} in {form:?}");
            assert!(found[BLOCK..].iter().all(|x| x.is_finite()), "the next block of {form:?}");
        }
    }

    #[test]
    fn every_scale_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (widened_scale(bits.to_le_bytes()), f16::from_bits(bits).to_f32());
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{bits:#x}: {found}, not {expected}");
        }
    }
}
