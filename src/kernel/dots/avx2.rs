//! Eight lanes in a register.

use std::arch::x86_64::{
    __m256, _mm_loadu_si128, _mm256_add_ps, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_loadu_ps,
    _mm256_mul_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps,
};

use super::{Bytes, rest};
use crate::kernel::LANES;

/// Lanes of a register.
const HALF: usize = LANES / 2;

/// `$name`, the products of rows of numbers that are a `$number` each, of which `$wide` reads a register and
/// `$one` a single one.
macro_rules! products {
    ($name:ident, $number:ty, $wide:path, $one:expr) => {
        #[target_feature(enable = "avx2")]
        pub(super) fn $name(x: &[f32], w: &[$number], k: usize, products: &mut [f32]) {
            /// The lanes of `x · w`, both sets of them added.
            #[inline]
            #[target_feature(enable = "avx2")]
            fn lanes(x: &[f32], w: &[$number]) -> [f32; LANES] {
                let mut sums: [__m256; 4] = [_mm256_setzero_ps(); 4];
                let (x, _) = x.as_chunks::<{ 4 * HALF }>();
                let (w, _) = w.as_chunks::<{ 4 * HALF }>();
                for (x, w) in x.iter().zip(w) {
                    let (x, w) = (x.as_chunks::<HALF>().0, w.as_chunks::<HALF>().0);
                    for (sum, (x, w)) in sums.iter_mut().zip(x.iter().zip(w)) {
                        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(wide_f32(x), $wide(w)));
                    }
                }
                let mut lanes = [0f32; LANES];
                for (half, lanes) in lanes.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
                    let both = _mm256_add_ps(sums[half], sums[half + 2]);
                    // SAFETY: eight numbers are written.
                    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), both) };
                }
                lanes
            }

            for (w, products) in w.chunks_exact(k).zip(products.chunks_exact_mut(x.len() / k)) {
                for (x, product) in x.chunks_exact(k).zip(products) {
                    *product = lanes(x, w).iter().sum::<f32>() + rest(x, w, $one);
                }
            }
        }
    };
}

products!(of_f32, f32, wide_f32, |number| number);
products!(of_bf16, Bytes, wide_bf16, super::wide_bf16);

#[inline]
#[target_feature(enable = "avx2")]
fn wide_f32(numbers: &[f32; HALF]) -> __m256 {
    // SAFETY: eight numbers are read.
    unsafe { _mm256_loadu_ps(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn wide_bf16(numbers: &[Bytes; HALF]) -> __m256 {
    // SAFETY: eight numbers of two bytes are read.
    let halves = unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}
