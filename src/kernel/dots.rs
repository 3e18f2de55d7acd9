//! Dot products of [`super::lanes`] written out for AVX-512 and AVX2: compilers make pairs of numbers of its
//! loop. Lanes, and the order that they are added in, are those of the plain one, and so are the bits. Numbers of
//! 16 bits are widened where they are read, which is exact.

use std::arch::x86_64::{
    __m256, __m512, _mm_loadu_si128, _mm256_add_ps, _mm256_castsi256_ps, _mm256_cvtepu16_epi32,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_setzero_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtepu16_epi32,
    _mm512_cvtph_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32,
    _mm512_storeu_ps,
};

use super::bf16::transposed;
use super::{LANES, cpu};

/// Rows of the matrix that are multiplied side by side.
const FOUR: usize = 4;

/// Lanes of a register of AVX2.
const HALF: usize = LANES / 2;

/// The two bytes of a number of 16 bits, as a file has them.
pub(super) type Bytes = [u8; 2];

/// `products[j, i] = x[i] · w[j]` for rows of `k` numbers, where the processor has AVX-512 or AVX2; whether
/// it has.
pub(super) fn products(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    check(x.len(), w.len(), k, products);
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512::f32(x, w, k, products) };
        return true;
    }
    products_with_avx2(x, w, k, products)
}

/// The same with AVX2 alone.
fn products_with_avx2(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx2) {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::f32(x, w, k, products) };
        return true;
    }
    false
}

/// The same for numbers in bf16.
pub(super) fn products_of_bf16(x: &[f32], w: &[Bytes], k: usize, products: &mut [f32]) -> bool {
    check(x.len(), w.len(), k, products);
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512::bf16(x, w, k, products) };
        return true;
    }
    products_of_bf16_with_avx2(x, w, k, products)
}

fn products_of_bf16_with_avx2(x: &[f32], w: &[Bytes], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx2) {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::bf16(x, w, k, products) };
        return true;
    }
    false
}

/// The same for numbers in f16, where the processor has AVX-512.
pub(super) fn products_of_f16(x: &[f32], w: &[Bytes], k: usize, products: &mut [f32]) -> bool {
    check(x.len(), w.len(), k, products);
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512::f16(x, w, k, products) };
        return true;
    }
    false
}

fn check(x: usize, w: usize, k: usize, products: &[f32]) {
    assert!(k > 0 && w / k * (x / k) == products.len(), "a product for each pair of rows");
}

/// The sum that nothing is added to.
fn nothing() -> f32 {
    [0f32; 0].iter().sum()
}

/// The sum of the products that fill no lanes.
#[inline(always)]
fn rest<T: Copy>(x: &[f32], w: &[T], number: impl Fn(T) -> f32) -> f32 {
    let (_, x) = x.as_chunks::<{ 2 * LANES }>();
    let (_, w) = w.as_chunks::<{ 2 * LANES }>();
    x.iter().zip(w).map(|(x, w)| x * number(*w)).sum()
}

/// Four rows from `first` on, of `count`; the last one in place of those behind it.
#[inline(always)]
fn four<T>(rows: &[T], k: usize, first: usize) -> [&[T]; FOUR] {
    let last = rows.len() / k - 1;
    std::array::from_fn(|row| &rows[(first + row).min(last) * k..][..k])
}

mod avx512 {
    use super::*;

    /// `$name`, the products of rows of numbers that are a `$number` each, of which `$wide` reads a register
    /// and `$one` a single one.
    macro_rules! products {
        ($name:ident, $number:ty, $wide:path, $one:expr) => {
            #[target_feature(enable = "avx512f")]
            pub(super) fn $name(x: &[f32], w: &[$number], k: usize, products: &mut [f32]) {
                /// The lanes of `x · w`, both sets of them added, for four rows `w`.
                #[inline]
                #[target_feature(enable = "avx512f")]
                fn lanes(x: &[f32], w: [&[$number]; FOUR]) -> [__m512; FOUR] {
                    let mut sums = [[_mm512_setzero_ps(); 2]; FOUR];
                    let (x, _) = x.as_chunks::<LANES>();
                    let w = w.map(|w| w.as_chunks::<LANES>().0);
                    for chunk in 0..x.len() / 2 {
                        for set in [0, 1] {
                            let at = 2 * chunk + set;
                            let x = wide_f32(&x[at]);
                            for (w, sums) in w.iter().zip(&mut sums) {
                                sums[set] = _mm512_add_ps(sums[set], _mm512_mul_ps(x, $wide(&w[at])));
                            }
                        }
                    }
                    sums.map(|[first, second]| _mm512_add_ps(first, second))
                }

                let m = x.len() / k;
                for (rows, products) in w.chunks(LANES * k).zip(products.chunks_mut(LANES * m)) {
                    for (i, x) in x.chunks_exact(k).enumerate() {
                        let mut by_row = [_mm512_setzero_ps(); LANES]; // [rows][lanes]
                        let fours = by_row.as_chunks_mut::<FOUR>().0;
                        for (first, of_rows) in (0..rows.len() / k).step_by(FOUR).zip(fours) {
                            *of_rows = lanes(x, four(rows, k, first));
                        }
                        for (j, (w, sum)) in rows.chunks_exact(k).zip(added(by_row)).enumerate() {
                            products[j * m + i] = sum + rest(x, w, $one);
                        }
                    }
                }
            }
        };
    }

    products!(f32, f32, wide_f32, |number| number);
    products!(bf16, Bytes, wide_bf16, |bytes| half::bf16::from_le_bytes(bytes).to_f32());
    products!(f16, Bytes, wide_f16, |bytes| half::f16::from_le_bytes(bytes).to_f32());

    /// The sums of the lanes of each row: lane after lane, for all rows at once.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn added(rows: [__m512; LANES]) -> [f32; LANES] {
        let by_lane = transposed(rows.map(|row| _mm512_castps_si512(row)));
        let mut sums = _mm512_set1_ps(nothing());
        for lane in by_lane {
            sums = _mm512_add_ps(sums, _mm512_castsi512_ps(lane));
        }
        let mut of_rows = [0f32; LANES];
        // SAFETY: sixteen numbers are written.
        unsafe { _mm512_storeu_ps(of_rows.as_mut_ptr(), sums) };
        of_rows
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_f32(numbers: &[f32; LANES]) -> __m512 {
        // SAFETY: sixteen numbers are read.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_bf16(numbers: &[Bytes; LANES]) -> __m512 {
        // SAFETY: sixteen numbers of two bytes are read.
        let halves = unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_f16(numbers: &[Bytes; LANES]) -> __m512 {
        // SAFETY: sixteen numbers of two bytes are read.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) })
    }
}

mod avx2 {
    use super::*;

    /// As for AVX-512.
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

    products!(f32, f32, wide_f32, |number| number);
    products!(bf16, Bytes, wide_bf16, |bytes| half::bf16::from_le_bytes(bytes).to_f32());

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
}

#[cfg(test)]
mod tests {
    use super::super::lanes::dot;
    use super::super::random::numbers;
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn products_of_rows_have_the_bits_of_the_plain_sums() {
        let mut rng = Rng::new(61);
        for (m, k, n) in [(1, 576, 12), (3, 70, 33), (2, 31, 16), (1, 1, 5), (8, 640, 17)] {
            let (mut x, mut w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            // A row of zeros against positive numbers: zeros have signs.
            x[..k].fill(-0.0);
            w[..k].iter_mut().for_each(|number| *number = number.abs());
            let expected = w.chunks(k).flat_map(|w| x.chunks(k).map(move |x| dot(x, w).to_bits()));
            let expected: Vec<u32> = expected.collect();
            for by in [products, products_with_avx2] {
                let mut found = vec![f32::NAN; n * m];
                if by(&x, &w, k, &mut found) {
                    assert_eq!(
                        found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                        expected,
                        "{m} {k} {n}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_of_16_bits_give_the_bits_of_their_widened_products() {
        /// Products, and the number that bytes stand for.
        type Case = (fn(&[f32], &[Bytes], usize, &mut [f32]) -> bool, fn(Bytes) -> f32);
        let cases: [Case; 3] = [
            (products_of_bf16, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            (products_of_bf16_with_avx2, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            (products_of_f16, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        ];
        let mut rng = Rng::new(67);
        for (m, k, n) in [(1, 576, 12), (3, 70, 33), (2, 31, 16), (1, 1, 5), (4, 640, 17)] {
            let x = numbers(&mut rng, m * k, 1.0);
            // Subnormal numbers of f16 are among them; nothing is infinite.
            let bits = (0..n * k).map(|_| (rng.below(1 << 16) as u16) & 0xBBFF).collect::<Vec<_>>();
            let w: Vec<Bytes> = bits.into_iter().map(u16::to_le_bytes).collect();
            for (by, number) in cases {
                let rows: Vec<f32> = w.iter().map(|bytes| number(*bytes)).collect();
                let expected = rows.chunks(k).flat_map(|w| x.chunks(k).map(move |x| dot(x, w).to_bits()));
                let expected: Vec<u32> = expected.collect();
                let mut found = vec![f32::NAN; n * m];
                if by(&x, &w, k, &mut found) {
                    let found: Vec<u32> = found.iter().map(|x| x.to_bits()).collect();
                    assert_eq!(found, expected, "{m} {k} {n}");
                }
            }
        }
    }
}
