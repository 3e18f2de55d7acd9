//! Sixteen lanes in a register, four rows of the matrix at a time.
//!
//! Registers go through loops and by name: a closure that the compiler does not put in its place hands them
//! over in memory.

use std::arch::x86_64::{
    __m256i, __m512, _mm256_loadu_si256, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps,
};

use super::{Bytes, nothing, rest, wide_bf16, wide_f16};
use crate::kernel::LANES;
use crate::kernel::bf16::transposed;
use crate::kernel::fetch;
use crate::kernel::ggml::{self, avx512};

/// Rows of the matrix that are multiplied side by side.
const FOUR: usize = 4;

/// Numbers of a step, which both sets of lanes take; and of a block.
const STEP: usize = 2 * LANES;

/// A step of plain numbers.
type Plain<T> = [[T; LANES]; 2];

/// The products with rows of a type with this number, as they are stored; whether there are such.
#[target_feature(enable = "avx512f")]
pub(super) fn of_type(x: &[f32], kind: u64, w: &[u8], k: usize, products: &mut [f32]) -> bool {
    match kind {
        ggml::F16 => of_f16(x, w.as_chunks().0, k, products),
        ggml::BF16 => of_bf16(x, w.as_chunks().0, k, products),
        super::Q4_0 => of_q4_0(x, w.as_chunks().0, k, products),
        super::Q4_1 => of_q4_1(x, w.as_chunks().0, k, products),
        super::Q5_0 => of_q5_0(x, w.as_chunks().0, k, products),
        super::Q5_1 => of_q5_1(x, w.as_chunks().0, k, products),
        super::Q8_0 => of_q8_0(x, w.as_chunks().0, k, products),
        _ => return false,
    }
    true
}

/// `$name`, the products of rows of units, which are numbers or blocks: `$width` of them are a row of `k`
/// numbers, `$steps` the steps of a row, of which `$wide` makes the two registers of one, and `$rest` the sum
/// of the products that fill no step.
macro_rules! products {
    ($name:ident, $unit:ty, $width:path, $steps:path, $wide:path, $rest:path) => {
        #[target_feature(enable = "avx512f")]
        pub(super) fn $name(x: &[f32], w: &[$unit], k: usize, products: &mut [f32]) {
            let (m, width) = (x.len() / k, $width(k));
            assert_eq!(w.len() / width * m, products.len(), "a product for each pair of rows");
            for (rows, products) in w.chunks(LANES * width).zip(products.chunks_mut(LANES * m)) {
                let count = rows.len() / width;
                for (i, x) in x.chunks_exact(k).enumerate() {
                    let steps = plain_steps(x);
                    let mut by_row = [_mm512_setzero_ps(); LANES]; // [rows][lanes]
                    let fours = by_row.as_chunks_mut::<FOUR>().0;
                    for (first, of_rows) in (0..count).step_by(FOUR).zip(fours) {
                        // The last row in place of those behind it.
                        let mut four = [&$steps(&rows[..width])[..steps.len()]; FOUR];
                        for (row, of_row) in four.iter_mut().enumerate() {
                            let at = (first + row).min(count - 1) * width;
                            *of_row = &$steps(&rows[at..at + width])[..steps.len()];
                        }
                        let mut sums = [[_mm512_setzero_ps(); 2]; FOUR];
                        for (at, x) in steps.iter().enumerate() {
                            let x = wide_f32(x);
                            for (row, sums) in four.iter().zip(&mut sums) {
                                fetch::behind(&row[at]);
                                let w = $wide(&row[at]);
                                sums[0] = _mm512_add_ps(sums[0], _mm512_mul_ps(x[0], w[0]));
                                sums[1] = _mm512_add_ps(sums[1], _mm512_mul_ps(x[1], w[1]));
                            }
                        }
                        for (of_row, [first, second]) in of_rows.iter_mut().zip(sums) {
                            *of_row = _mm512_add_ps(first, second);
                        }
                    }
                    for (j, (w, sum)) in rows.chunks_exact(width).zip(added(by_row)).enumerate() {
                        products[j * m + i] = sum + $rest(x, w);
                    }
                }
            }
        }
    };
}

products!(of_f32, f32, numbers, plain_steps, wide_f32, rest_of_f32);
products!(of_bf16, Bytes, numbers, plain_steps, both_bf16, rest_of_bf16);
products!(of_f16, Bytes, numbers, plain_steps, both_f16, rest_of_f16);
products!(of_q4_0, [u8; 18], blocks, itself, avx512::one_q4_0, no_rest);
products!(of_q4_1, [u8; 20], blocks, itself, avx512::one_q4_1, no_rest);
products!(of_q5_0, [u8; 22], blocks, itself, avx512::one_q5_0, no_rest);
products!(of_q5_1, [u8; 24], blocks, itself, avx512::one_q5_1, no_rest);
products!(of_q8_0, [u8; 34], blocks, itself, avx512::one_q8_0, no_rest);

fn numbers(k: usize) -> usize {
    k
}

fn blocks(k: usize) -> usize {
    k / STEP
}

#[inline(always)]
fn plain_steps<T>(row: &[T]) -> &[Plain<T>] {
    row.as_chunks::<LANES>().0.as_chunks::<2>().0
}

#[inline(always)]
fn itself<T>(row: &[T]) -> &[T] {
    row
}

#[inline(always)]
fn rest_of_f32(x: &[f32], w: &[f32]) -> f32 {
    rest(x, w, |number| number)
}

#[inline(always)]
fn rest_of_bf16(x: &[f32], w: &[Bytes]) -> f32 {
    rest(x, w, wide_bf16)
}

#[inline(always)]
fn rest_of_f16(x: &[f32], w: &[Bytes]) -> f32 {
    rest(x, w, wide_f16)
}

#[inline(always)]
fn no_rest<T>(_: &[f32], _: &[T]) -> f32 {
    nothing()
}

/// The sums of the lanes of each row: lane after lane, for all rows at once.
#[inline]
#[target_feature(enable = "avx512f")]
fn added(rows: [__m512; LANES]) -> [f32; LANES] {
    let mut words = [_mm512_setzero_si512(); LANES];
    for (words, row) in words.iter_mut().zip(rows) {
        *words = _mm512_castps_si512(row);
    }
    let mut sums = _mm512_set1_ps(nothing());
    for lane in transposed(words) {
        sums = _mm512_add_ps(sums, _mm512_castsi512_ps(lane));
    }
    let mut of_rows = [0f32; LANES];
    // SAFETY: sixteen numbers are written.
    unsafe { _mm512_storeu_ps(of_rows.as_mut_ptr(), sums) };
    of_rows
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_f32([low, high]: &Plain<f32>) -> [__m512; 2] {
    // SAFETY: sixteen numbers are read each time.
    unsafe { [_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr())] }
}

/// Sixteen numbers of two bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(numbers: &[Bytes; LANES]) -> __m256i {
    // SAFETY: so many bytes are read.
    unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn both_bf16([low, high]: &Plain<Bytes>) -> [__m512; 2] {
    let [low, high] = [_mm512_cvtepu16_epi32(halves(low)), _mm512_cvtepu16_epi32(halves(high))];
    let [low, high] = [_mm512_slli_epi32::<16>(low), _mm512_slli_epi32::<16>(high)];
    [_mm512_castsi512_ps(low), _mm512_castsi512_ps(high)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn both_f16([low, high]: &Plain<Bytes>) -> [__m512; 2] {
    [_mm512_cvtph_ps(halves(low)), _mm512_cvtph_ps(halves(high))]
}
