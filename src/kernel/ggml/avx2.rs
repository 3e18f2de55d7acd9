//! Types that compilers do not turn into instructions for many numbers, written out for AVX2: sixteen quants
//! become sixteen numbers at a time. Each gives the bits of its twin for any processor.

use std::arch::x86_64::{
    __m128i, __m256, _mm_and_si128, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_or_si128, _mm_set1_epi8,
    _mm_set1_epi16, _mm_shuffle_epi8, _mm_slli_epi16, _mm_srl_epi16, _mm_srli_epi16, _mm_srli_si128,
    _mm256_add_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtph_ps,
    _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::fp4::{TWICE, power_of_two};
use super::iq4::{TABLE, scale_of_iq4_xs};
use super::{bytes_at, half_at, word_at};
use crate::kernel::cpu;

/// Whether the instructions can be used.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx2) && std::arch::is_x86_feature_detected!("f16c")
}

/// Defines `$name`, which expands whole blocks by `$one`.
macro_rules! each_block {
    ($name:ident = $one:ident, $numbers:literal, $bytes:literal) => {
        pub(super) fn $name(bytes: &[u8], numbers: &mut [f32]) {
            #[target_feature(enable = "avx2,f16c")]
            fn each(bytes: &[u8], numbers: &mut [f32]) {
                let numbers = numbers.as_chunks_mut::<$numbers>().0;
                for (block, numbers) in bytes.as_chunks::<$bytes>().0.iter().zip(numbers) {
                    $one(block, numbers);
                }
            }
            assert!(available(), "these are called where their instructions are");
            // SAFETY: the processor has AVX2 and F16C.
            unsafe { each(bytes, numbers) };
        }
    };
}

each_block!(q4_0 = one_q4_0, 32, 18);
each_block!(q4_1 = one_q4_1, 32, 20);
each_block!(q6_k = one_q6_k, 256, 210);
each_block!(iq4_nl = one_iq4_nl, 32, 18);
each_block!(iq4_xs = one_iq4_xs, 256, 136);
each_block!(mxfp4 = one_mxfp4, 32, 17);

/// Halves, eight at a time.
pub(super) fn f16(bytes: &[u8], numbers: &mut [f32]) {
    #[target_feature(enable = "avx2,f16c")]
    fn eight_by_eight(bytes: &[u8], numbers: &mut [f32]) {
        let (eights, rest) = bytes.as_chunks::<16>();
        let (numbers, last) = numbers.as_chunks_mut::<8>();
        for (halves, numbers) in eights.iter().zip(numbers) {
            // SAFETY: eight numbers are written.
            unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), _mm256_cvtph_ps(load(halves))) };
        }
        for (half, number) in rest.as_chunks::<2>().0.iter().zip(last) {
            *number = half_at(half, 0);
        }
    }
    assert!(available(), "these are called where their instructions are");
    // SAFETY: the processor has AVX2 and F16C.
    unsafe { eight_by_eight(bytes, numbers) };
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn store(numbers: &mut [f32; 16], [first, second]: [__m256; 2]) {
    // SAFETY: sixteen numbers are written.
    unsafe {
        _mm256_storeu_ps(numbers.as_mut_ptr(), first);
        _mm256_storeu_ps(numbers.as_mut_ptr().add(8), second);
    }
}

/// The low nibbles of 16 bytes, and the high ones.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn nibbles(bytes: &[u8; 16]) -> [__m128i; 2] {
    let (bytes, low) = (load(bytes), _mm_set1_epi8(15));
    [_mm_and_si128(bytes, low), _mm_and_si128(_mm_srli_epi16::<4>(bytes), low)]
}

/// Quants without a sign, in f32.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn widened(quants: __m128i) -> [__m256; 2] {
    let eight = |quants| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(quants));
    [eight(quants), eight(_mm_srli_si128::<8>(quants))]
}

/// The half at byte `at`, eight times.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn half(block: &[u8], at: usize) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(word_at(block, at).cast_signed()))
}

/// `d (q - zero)`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scaled(d: __m256, quants: __m128i, zero: f32, numbers: &mut [f32; 16]) {
    let zero = _mm256_set1_ps(zero);
    store(numbers, widened(quants).map(|q| _mm256_mul_ps(d, _mm256_sub_ps(q, zero))));
}

/// `d table[q]`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn chosen(d: __m256, table: &[i8; 16], bytes: &[u8; 16], numbers: &mut [[f32; 16]; 2]) {
    // SAFETY: sixteen bytes are read.
    let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
    let eight = |steps| _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(steps)));
    for (quants, numbers) in nibbles(bytes).into_iter().zip(numbers) {
        let steps = _mm_shuffle_epi8(table, quants);
        store(numbers, [eight(steps), eight(_mm_srli_si128::<8>(steps))]);
    }
}

/// The numbers of a block of 32 as two rows of sixteen.
#[inline]
fn rows(numbers: &mut [f32; 32]) -> &mut [[f32; 16]; 2] {
    match numbers.as_chunks_mut::<16>().0.first_chunk_mut() {
        Some(rows) => rows,
        None => unreachable!("twice sixteen are 32"),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_q4_0(block: &[u8; 18], numbers: &mut [f32; 32]) {
    let d = half(block, 0);
    let [low, high] = nibbles(bytes_at(block, 2));
    let [first, second] = rows(numbers);
    scaled(d, low, 8.0, first);
    scaled(d, high, 8.0, second);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_q4_1(block: &[u8; 20], numbers: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for (quants, numbers) in nibbles(bytes_at(block, 4)).into_iter().zip(rows(numbers)) {
        store(numbers, widened(quants).map(|q| _mm256_add_ps(_mm256_mul_ps(d, q), m)));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_q6_k(block: &[u8; 210], numbers: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for (group, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = _mm256_set1_ps(d * f32::from(block[192 + group] as i8));
        let (half, row, part) = (group / 8, group % 8 / 2, group % 2 * 16);
        let [low_shift, high_shift] = [row / 2 * 4, row * 2].map(|by| _mm_cvtsi32_si128(by as i32));
        let low = load(bytes_at(block, half * 64 + row % 2 * 32 + part));
        let low = _mm_and_si128(_mm_srl_epi16(low, low_shift), _mm_set1_epi8(15));
        let high = load(bytes_at(block, 128 + half * 32 + part));
        let high = _mm_and_si128(_mm_srl_epi16(high, high_shift), _mm_set1_epi8(3));
        scaled(scale, _mm_or_si128(low, _mm_slli_epi16::<4>(high)), 32.0, numbers);
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_iq4_nl(block: &[u8; 18], numbers: &mut [f32; 32]) {
    chosen(half(block, 0), &TABLE, bytes_at(block, 2), rows(numbers));
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_iq4_xs(block: &[u8; 136], numbers: &mut [f32; 256]) {
    let (d, high) = (half_at(block, 0), word_at(block, 2));
    for (group, numbers) in numbers.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let scale = scale_of_iq4_xs(block, high, group);
        chosen(_mm256_set1_ps(d * scale), &TABLE, bytes_at(block, 8 + group * 16), rows(numbers));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn one_mxfp4(block: &[u8; 17], numbers: &mut [f32; 32]) {
    chosen(_mm256_set1_ps(power_of_two(block[0])), &TWICE, bytes_at(block, 1), rows(numbers));
}
