//! The kernels for AVX2 and for AVX2 with products of integers (AVX-VNNI): up to three rows by two registers
//! of columns, a strip in two passes.
//!
//! The instruction of AVX2 multiplies bytes and adds two products in 16 bits, which hold them for levels up
//! to 128. Levels above are multiplied in two parts.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_storeu_ps, _mm256_sub_epi8,
};

use super::BLOCK;
use super::rows::Part;
use super::strip::{Strip, WORD};
use crate::kernel::cpu;
use crate::kernel::single::{Out, STRIP};

/// Numbers of a register.
const LANES: usize = 8;
/// Rows at once: with two registers of columns, sums of integers and of f32 fill twelve of sixteen.
const MOST: usize = 3;

/// Whether the processor runs it.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx2) && std::arch::is_x86_feature_detected!("fma")
}

/// Whether the processor runs the one with products of integers.
pub(super) fn vnni_available() -> bool {
    available() && std::arch::is_x86_feature_detected!("avxvnni")
}

/// A kernel with these instructions: `$parts` makes of levels what `$add` multiplies, adding sums of four
/// products in each lane.
macro_rules! kernel {
    ($multiply:ident, $instructions:literal, $parts:ident, $add:ident) => {
        /// See [`super::Multiply`].
        pub(super) unsafe fn $multiply(rows: Part<'_>, strip: &Strip, out: Out) {
            const WHOLE: usize = BLOCK / WORD;
            const HALF: usize = WHOLE / 2;
            // SAFETY: the caller's promises.
            unsafe {
                match (strip.group(), strip.is_wide()) {
                    (BLOCK, false) => some::<WHOLE, false>(rows, strip, out),
                    (BLOCK, true) => some::<WHOLE, true>(rows, strip, out),
                    (_, false) => some::<HALF, false>(rows, strip, out),
                    (_, true) => some::<HALF, true>(rows, strip, out),
                }
            }

            /// Groups of `N` words, whose levels may be above 127 where they are `WIDE`.
            ///
            /// # Safety
            /// As for [`super::Multiply`].
            unsafe fn some<const N: usize, const WIDE: bool>(rows: Part<'_>, strip: &Strip, out: Out) {
                for first in (0..rows.count).step_by(MOST) {
                    // SAFETY: rows of the caller's.
                    unsafe {
                        match rows.count - first {
                            1 => block::<N, WIDE, 1>(rows, first, strip, out),
                            2 => block::<N, WIDE, 2>(rows, first, strip, out),
                            _ => block::<N, WIDE, MOST>(rows, first, strip, out),
                        }
                    }
                }
            }

            /// `R` of the rows, from the `first` on.
            ///
            /// # Safety
            /// As for [`super::Multiply`].
            #[target_feature(enable = $instructions)]
            unsafe fn block<const N: usize, const WIDE: bool, const R: usize>(
                rows: Part<'_>,
                first: usize,
                strip: &Strip,
                out: Out,
            ) {
                let (width, blocks, groups) = (rows.width, rows.width / BLOCK, rows.width / (N * WORD));
                // SAFETY: rows are as wide as the strip, a word of half the columns is two registers, as are
                // their factors, and the caller promises the rows of the output.
                unsafe {
                    let quants = rows.quants.as_ptr().add(first * width);
                    let scales = rows.scales.as_ptr().add(first * blocks);
                    let sums = rows.sums.as_ptr().add(first * groups);
                    for pass in [0, STRIP / 2] {
                        let mut y = [[_mm256_setzero_ps(); 2]; R];
                        for (group, (words, factors)) in strip.groups::<N>().enumerate() {
                            let mut products = [[_mm256_setzero_si256(); 2]; R];
                            for (index, word) in words.iter().enumerate() {
                                let at = (group * N + index) * WORD;
                                for half in 0..2 {
                                    let levels = word.as_ptr().add(pass + half * LANES).cast();
                                    let levels = $parts::<WIDE>(_mm256_loadu_si256(levels));
                                    for (row, products) in products.iter_mut().enumerate() {
                                        let four =
                                            quants.add(row * width + at).cast::<i32>().read_unaligned();
                                        products[half] =
                                            $add::<WIDE>(products[half], levels, _mm256_set1_epi32(four));
                                    }
                                }
                            }
                            for half in 0..2 {
                                let at = pass + half * LANES;
                                let [factor, offset] =
                                    [0, 1].map(|of: usize| _mm256_loadu_ps(factors[of].as_ptr().add(at)));
                                for (row, (products, y)) in products.iter().zip(&mut y).enumerate() {
                                    let scale = *scales.add(row * blocks + group * N * WORD / BLOCK);
                                    let sum = *sums.add(row * groups + group);
                                    let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(products[half]), factor);
                                    y[half] = _mm256_fmadd_ps(scaled, _mm256_set1_ps(scale), y[half]);
                                    y[half] = _mm256_fmadd_ps(offset, _mm256_set1_ps(sum), y[half]);
                                }
                            }
                        }
                        for (row, y) in y.iter().enumerate() {
                            let out = out.first.add((first + row) * out.stride + pass);
                            _mm256_storeu_ps(out, y[0]);
                            _mm256_storeu_ps(out.add(LANES), y[1]);
                        }
                    }
                }
            }
        }
    };
}

kernel!(multiply, "avx2,fma", parts, add_fours);
kernel!(multiply_vnni, "avx2,fma,avxvnni", whole, add_products);

/// Levels as two numbers up to 128 each that add up to them; the second is 0 unless they are `WIDE`.
#[inline]
#[target_feature(enable = "avx2")]
fn parts<const WIDE: bool>(levels: __m256i) -> [__m256i; 2] {
    if !WIDE {
        return [levels, _mm256_setzero_si256()];
    }
    let low = _mm256_and_si256(levels, _mm256_set1_epi8(0x7F));
    [low, _mm256_sub_epi8(levels, low)]
}

/// `sums` and the sums of four products in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn add_fours<const WIDE: bool>(sums: __m256i, [low, high]: [__m256i; 2], quants: __m256i) -> __m256i {
    let one = _mm256_set1_epi16(1);
    let sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(low, quants), one));
    if !WIDE {
        return sums;
    }
    _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(high, quants), one))
}

/// Levels as they are.
#[inline]
#[target_feature(enable = "avx2")]
fn whole<const WIDE: bool>(levels: __m256i) -> __m256i {
    levels
}

/// The same as [`add_fours`] in one instruction, whatever the levels.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_products<const WIDE: bool>(sums: __m256i, levels: __m256i, quants: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sums, levels, quants)
}
