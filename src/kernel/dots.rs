//! Dot products of [`super::lanes`] written out for AVX-512 and AVX2: compilers make pairs of numbers of its
//! loop. Lanes, and the order that they are added in, are those of the plain one, and so are the bits.

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::bf16::transposed;
use super::{LANES, cpu};

/// Rows of the matrix that are multiplied side by side.
const FOUR: usize = 4;

/// `products[j, i] = x[i] · w[j]` for rows of `k` numbers, where the processor has AVX-512 or AVX2; whether
/// it has.
pub(super) fn products(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    assert!(k > 0 && w.len() / k * (x.len() / k) == products.len(), "a product for each pair of rows");
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        unsafe { products_avx512(x, w, k, products) };
        return true;
    }
    products_with_avx2(x, w, k, products)
}

/// The same with AVX2 alone.
fn products_with_avx2(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx2) {
        // SAFETY: the processor has AVX2.
        unsafe { products_avx2(x, w, k, products) };
        return true;
    }
    false
}

/// The sum that nothing is added to.
fn nothing() -> f32 {
    [0f32; 0].iter().sum()
}

/// The sum of the products that fill no lanes.
#[inline(always)]
fn rest(x: &[f32], w: &[f32]) -> f32 {
    let (_, x) = x.as_chunks::<{ 2 * LANES }>();
    let (_, w) = w.as_chunks::<{ 2 * LANES }>();
    x.iter().zip(w).map(|(x, w)| x * w).sum()
}

/// Four rows from `first` on, of `count`; the last one in place of those behind it.
#[inline(always)]
fn four(rows: &[f32], k: usize, first: usize) -> [&[f32]; FOUR] {
    let last = rows.len() / k - 1;
    std::array::from_fn(|row| &rows[(first + row).min(last) * k..][..k])
}

#[target_feature(enable = "avx512f")]
fn products_avx512(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) {
    let m = x.len() / k;
    for (rows, products) in w.chunks(LANES * k).zip(products.chunks_mut(LANES * m)) {
        for (i, x) in x.chunks_exact(k).enumerate() {
            let mut lanes = [_mm512_setzero_ps(); LANES]; // [rows][lanes]
            for (first, lanes) in (0..rows.len() / k).step_by(FOUR).zip(lanes.as_chunks_mut::<FOUR>().0) {
                *lanes = lanes_avx512(x, four(rows, k, first));
            }
            // Lane after lane, for all rows at once.
            let by_lane = transposed(lanes.map(|row| _mm512_castps_si512(row)));
            let mut sums = _mm512_set1_ps(nothing());
            for lane in by_lane {
                sums = _mm512_add_ps(sums, _mm512_castsi512_ps(lane));
            }
            let mut of_rows = [0f32; LANES];
            // SAFETY: sixteen numbers are written.
            unsafe { _mm512_storeu_ps(of_rows.as_mut_ptr(), sums) };
            for (j, (w, sum)) in rows.chunks_exact(k).zip(of_rows).enumerate() {
                products[j * m + i] = sum + rest(x, w);
            }
        }
    }
}

/// The lanes of `x · w`, both sets of them added, for four rows `w`.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes_avx512(x: &[f32], w: [&[f32]; FOUR]) -> [__m512; FOUR] {
    let mut sums = [[_mm512_setzero_ps(); 2]; FOUR];
    let (x, _) = x.as_chunks::<LANES>();
    let w = w.map(|w| w.as_chunks::<LANES>().0);
    for chunk in 0..x.len() / 2 {
        for set in [0, 1] {
            let at = 2 * chunk + set;
            // SAFETY: sixteen numbers are read each time.
            let x = unsafe { _mm512_loadu_ps(x[at].as_ptr()) };
            for (w, sums) in w.iter().zip(&mut sums) {
                // SAFETY: as above.
                let w = unsafe { _mm512_loadu_ps(w[at].as_ptr()) };
                sums[set] = _mm512_add_ps(sums[set], _mm512_mul_ps(x, w));
            }
        }
    }
    sums.map(|[first, second]| _mm512_add_ps(first, second))
}

#[target_feature(enable = "avx2")]
fn products_avx2(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) {
    for (w, products) in w.chunks_exact(k).zip(products.chunks_exact_mut(x.len() / k)) {
        for (x, product) in x.chunks_exact(k).zip(products) {
            *product = lanes_avx2(x, w).iter().sum::<f32>() + rest(x, w);
        }
    }
}

/// The lanes of `x · w`, both sets of them added.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes_avx2(x: &[f32], w: &[f32]) -> [f32; LANES] {
    const HALF: usize = LANES / 2;
    let mut sums: [__m256; 4] = [_mm256_setzero_ps(); 4];
    let (x, _) = x.as_chunks::<{ 4 * HALF }>();
    let (w, _) = w.as_chunks::<{ 4 * HALF }>();
    for (x, w) in x.iter().zip(w) {
        let (x, w) = (x.as_chunks::<HALF>().0, w.as_chunks::<HALF>().0);
        for (sum, (x, w)) in sums.iter_mut().zip(x.iter().zip(w)) {
            // SAFETY: eight numbers are read each time.
            let (x, w) = unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(w.as_ptr())) };
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(x, w));
        }
    }
    let mut lanes = [0f32; LANES];
    for (half, lanes) in lanes.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
        // SAFETY: eight numbers are written.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_add_ps(sums[half], sums[half + 2])) };
    }
    lanes
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
}
