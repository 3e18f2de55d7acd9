//! Numbers that are stored one by one. Those that f32 cannot hold are rounded to it.

use half::bf16;

#[inline(always)]
pub(super) fn f32(bytes: &[u8; 4], number: &mut [f32; 1]) {
    number[0] = f32::from_le_bytes(*bytes);
}

#[inline(always)]
pub(super) fn f16(bytes: &[u8; 2], number: &mut [f32; 1]) {
    number[0] = super::half_at(bytes, 0);
}

#[inline(always)]
pub(super) fn bf16(bytes: &[u8; 2], number: &mut [f32; 1]) {
    number[0] = bf16::from_le_bytes(*bytes).to_f32();
}

#[inline(always)]
pub(super) fn f64(bytes: &[u8; 8], number: &mut [f32; 1]) {
    number[0] = f64::from_le_bytes(*bytes) as f32;
}

#[inline(always)]
pub(super) fn i8(bytes: &[u8; 1], number: &mut [f32; 1]) {
    number[0] = f32::from(bytes[0] as i8);
}

#[inline(always)]
pub(super) fn i16(bytes: &[u8; 2], number: &mut [f32; 1]) {
    number[0] = f32::from(i16::from_le_bytes(*bytes));
}

#[inline(always)]
pub(super) fn i32(bytes: &[u8; 4], number: &mut [f32; 1]) {
    number[0] = i32::from_le_bytes(*bytes) as f32;
}

#[inline(always)]
pub(super) fn i64(bytes: &[u8; 8], number: &mut [f32; 1]) {
    number[0] = i64::from_le_bytes(*bytes) as f32;
}
