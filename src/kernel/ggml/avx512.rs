//! The most common types written out for AVX-512, as [`super::avx2`] writes others: sixteen numbers in a
//! register. Each gives the bits of its twin for any processor.

use std::arch::x86_64::{
    __m128i, __m512, __mmask16, _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_srli_epi16,
    _mm256_set1_epi16, _mm512_add_ps, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtph_ps, _mm512_mask_add_epi32, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_storeu_ps, _mm512_sub_ps,
};

use super::{bytes_at, long_at, word_at};
use crate::kernel::cpu;

/// Whether the instructions can be used.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx512)
}

/// Defines `$name`, which expands whole blocks of 32 numbers by `$one`.
macro_rules! each_block {
    ($name:ident = $one:ident, $bytes:literal) => {
        pub(super) fn $name(bytes: &[u8], numbers: &mut [f32]) {
            #[target_feature(enable = "avx512f")]
            fn each(bytes: &[u8], numbers: &mut [f32]) {
                let (numbers, _) = numbers.as_chunks_mut::<16>();
                let (numbers, _) = numbers.as_chunks_mut::<2>();
                for (block, numbers) in bytes.as_chunks::<$bytes>().0.iter().zip(numbers) {
                    for (numbers, wide) in numbers.iter_mut().zip($one(block)) {
                        // SAFETY: sixteen numbers are written.
                        unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), wide) };
                    }
                }
            }
            assert!(available(), "these are called where their instructions are");
            // SAFETY: the processor has AVX-512F.
            unsafe { each(bytes, numbers) };
        }
    };
}

each_block!(q4_0 = one_q4_0, 18);
each_block!(q4_1 = one_q4_1, 20);
each_block!(q5_0 = one_q5_0, 22);
each_block!(q5_1 = one_q5_1, 24);
each_block!(q8_0 = one_q8_0, 34);

/// The half at byte `at`, sixteen times.
#[inline]
#[target_feature(enable = "avx512f")]
fn half(block: &[u8], at: usize) -> __m512 {
    _mm512_cvtph_ps(_mm256_set1_epi16(word_at(block, at).cast_signed()))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The low nibbles of 16 bytes and the high ones, in f32; 16 more where a bit of `fifth` is set.
#[inline]
#[target_feature(enable = "avx512f")]
fn quants(bytes: &[u8; 16], fifth: u32) -> [__m512; 2] {
    let (bytes, low) = (load(bytes), _mm_set1_epi8(15));
    let both = [_mm_and_si128(bytes, low), _mm_and_si128(_mm_srli_epi16::<4>(bytes), low)];
    [wide(both[0], fifth as __mmask16), wide(both[1], (fifth >> 16) as __mmask16)]
}

/// Sixteen quants in f32, 16 more where a bit of `fifth` is set.
#[inline]
#[target_feature(enable = "avx512f")]
fn wide(quants: __m128i, fifth: __mmask16) -> __m512 {
    let quants = _mm512_cvtepu8_epi32(quants);
    _mm512_cvtepi32_ps(_mm512_mask_add_epi32(quants, fifth, quants, _mm512_set1_epi32(16)))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn one_q4_0(block: &[u8; 18]) -> [__m512; 2] {
    let (d, zero) = (half(block, 0), _mm512_set1_ps(8.0));
    let [low, high] = quants(bytes_at(block, 2), 0);
    [_mm512_mul_ps(d, _mm512_sub_ps(low, zero)), _mm512_mul_ps(d, _mm512_sub_ps(high, zero))]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn one_q4_1(block: &[u8; 20]) -> [__m512; 2] {
    let (d, m) = (half(block, 0), half(block, 2));
    let [low, high] = quants(bytes_at(block, 4), 0);
    [_mm512_add_ps(_mm512_mul_ps(d, low), m), _mm512_add_ps(_mm512_mul_ps(d, high), m)]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn one_q5_0(block: &[u8; 22]) -> [__m512; 2] {
    let (d, zero) = (half(block, 0), _mm512_set1_ps(16.0));
    let [low, high] = quants(bytes_at(block, 6), long_at(block, 2));
    [_mm512_mul_ps(d, _mm512_sub_ps(low, zero)), _mm512_mul_ps(d, _mm512_sub_ps(high, zero))]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn one_q5_1(block: &[u8; 24]) -> [__m512; 2] {
    let (d, m) = (half(block, 0), half(block, 2));
    let [low, high] = quants(bytes_at(block, 8), long_at(block, 4));
    [_mm512_add_ps(_mm512_mul_ps(d, low), m), _mm512_add_ps(_mm512_mul_ps(d, high), m)]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn one_q8_0(block: &[u8; 34]) -> [__m512; 2] {
    let d = half(block, 0);
    let low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load(bytes_at(block, 2))));
    let high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load(bytes_at(block, 18))));
    [_mm512_mul_ps(d, low), _mm512_mul_ps(d, high)]
}
