//! [`super::times`] written out for AVX-512: eight rows and three vectors in registers. Products are added
//! with one rounding.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castsi512_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_permutex2var_ps, _mm512_set1_epi32,
    _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::packed::{STEP, TILE_ROWS, Tile};
use crate::kernel::{LANES, cpu, fetch};

/// Vectors whose products are summed side by side, so that rows are widened once for all.
const VECTORS: usize = 3;
/// Rows that are: with three vectors, 24 of 32 registers.
const ROWS: usize = 8;

/// Whether the instructions can be used.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx512)
}

/// See [`super::times::times`].
pub(super) fn times(tiles: &[Tile], vectors: &[f32], products: &mut [f32]) {
    assert!(available(), "this kernel is chosen where its instructions are");
    // SAFETY: the processor has AVX-512F.
    unsafe { times_avx512(tiles, vectors, products) }
}

#[target_feature(enable = "avx512f")]
fn times_avx512(tiles: &[Tile], vectors: &[f32], products: &mut [f32]) {
    let width = tiles.len() * STEP;
    let vectors = vectors.chunks(VECTORS * width);
    for (vectors, products) in vectors.zip(products.chunks_mut(VECTORS * TILE_ROWS)) {
        let products = products.as_chunks_mut().0;
        match products.len() {
            1 => some::<1>(tiles, vectors, products),
            2 => some::<2>(tiles, vectors, products),
            _ => some::<VECTORS>(tiles, vectors, products),
        }
    }
}

/// The products with `N` vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn some<const N: usize>(tiles: &[Tile], vectors: &[f32], products: &mut [[f32; TILE_ROWS]]) {
    let width = tiles.len() * STEP;
    let vectors: [&[[f32; STEP]]; N] = std::array::from_fn(|i| vectors[i * width..][..width].as_chunks().0);
    let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let mut halves = [[_mm512_setzero_ps(); 2]; N];
    for half in 0..TILE_ROWS / ROWS {
        let mut sums = [[_mm512_setzero_ps(); ROWS]; N];
        for (step, tile) in tiles.iter().enumerate() {
            if half == 0 {
                fetch::behind(tile);
            }
            let mut x = [[_mm512_setzero_ps(); 2]; N];
            for (x, vector) in x.iter_mut().zip(&vectors) {
                *x = even_and_odd(&vector[step]);
            }
            let rows = &tile.0.as_chunks::<STEP>().0[half * ROWS..][..ROWS];
            for (row, numbers) in rows.iter().enumerate() {
                // SAFETY: 32 numbers of 16 bits are the 64 bytes that are read.
                let pairs = unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) };
                let first = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
                let second = _mm512_castsi512_ps(_mm512_and_si512(pairs, high));
                for (x, sums) in x.iter().zip(&mut sums) {
                    sums[row] = _mm512_fmadd_ps(x[0], first, sums[row]);
                    sums[row] = _mm512_fmadd_ps(x[1], second, sums[row]);
                }
            }
        }
        for (halves, sums) in halves.iter_mut().zip(sums) {
            halves[half] = across_half(sums);
        }
    }
    for (products, halves) in products.iter_mut().zip(halves) {
        // SAFETY: the sixteen numbers that are written.
        unsafe { _mm512_storeu_ps(products.as_mut_ptr(), quarters(halves)) };
    }
}

/// The numbers at even places and those at odd ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_and_odd(x: &[f32; STEP]) -> [__m512; 2] {
    const EVEN: [u32; LANES] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
    const ODD: [u32; LANES] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31];
    let (parts, _) = x.as_chunks::<LANES>();
    // SAFETY: each part holds the sixteen numbers that are read.
    let [low, high] = [0, 1].map(|part: usize| unsafe { _mm512_loadu_ps(parts[part].as_ptr()) });
    [EVEN, ODD].map(|places| {
        // SAFETY: sixteen places are read.
        let places = unsafe { _mm512_loadu_si512(places.as_ptr().cast()) };
        _mm512_permutex2var_ps(low, places, high)
    })
}

/// The sums of half of the lanes of eight registers each.
#[inline]
#[target_feature(enable = "avx512f")]
fn across_half(rows: [__m512; ROWS]) -> __m512 {
    let zero = _mm512_setzero_ps();
    let mut pairs = [zero; ROWS / 2]; // of each four lanes: a + c of two rows, b + d of two rows
    for (pair, [a, b]) in pairs.iter_mut().zip(rows.as_chunks::<2>().0) {
        *pair = _mm512_add_ps(_mm512_unpacklo_ps(*a, *b), _mm512_unpackhi_ps(*a, *b));
    }
    let mut fours = [zero; ROWS / 4]; // a quarter of the lanes of four rows in each four lanes
    for (four, [a, b]) in fours.iter_mut().zip(pairs.as_chunks::<2>().0) {
        let (a, b) = (_mm512_castps_pd(*a), _mm512_castps_pd(*b));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        *four = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    }
    quarters(fours)
}

/// Every two quarters of two registers, added.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters([a, b]: [__m512; 2]) -> __m512 {
    let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
    let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
    _mm512_add_ps(even, odd)
}
