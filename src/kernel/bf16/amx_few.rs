//! Few rows on a processor with tile registers: the sums of [`super::amx`] to the bit, without computing rows
//! that are not there.
//!
//! A tile product adds the products of even places along `k` apart from those of odd ones, each with one
//! rounding, and adds both sums to what was there (`TDPBF16PS` in Intel's manual). Tile registers take
//! numbers below 2^-126 for 0; this does not.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_and_si512, _mm512_castsi512_ps, _mm512_fmadd_ps, _mm512_loadu_si512,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32,
};

use super::dot::{fetch, store};
use super::packed::{STEP, STRIP, TILE_ROWS, Tile, wide};
use super::{Block, FEW};

/// Rows whose sums fit into registers.
const ROWS: usize = 4;

/// Whether this processor has the instructions.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

/// See [`super::Few`].
pub(super) fn few(rows: &[Tile], count: usize, strip: &[[Tile; 2]], block: &mut Block) {
    assert!(available() && count <= FEW, "this kernel is chosen where its instructions are");
    // SAFETY: the processor has AVX-512.
    unsafe {
        match count {
            1 => few_avx512::<1, 1>(rows, strip, block),
            2 => few_avx512::<2, 1>(rows, strip, block),
            3..=ROWS => few_avx512::<ROWS, 1>(rows, strip, block),
            _ => few_avx512::<ROWS, { FEW / ROWS }>(rows, strip, block),
        }
    };
}

/// `GROUPS` times `M` rows. Rows that are missing are 0 in their tiles.
#[target_feature(enable = "avx512f")]
fn few_avx512<const M: usize, const GROUPS: usize>(rows: &[Tile], strip: &[[Tile; 2]], block: &mut Block) {
    let mut sums = [[[_mm512_setzero_ps(); 2]; M]; GROUPS];
    for (left, right) in rows.iter().zip(strip) {
        fetch(right);
        let (left, _) = left.0.as_chunks::<STEP>();
        for (rows, sums) in left.chunks_exact(M).zip(&mut sums) {
            let rows: [[f32; STEP]; M] = std::array::from_fn(|row| rows[row].map(wide));
            for (half, columns) in right.iter().enumerate() {
                let products = tile_product(&rows, columns);
                for (sums, product) in sums.iter_mut().zip(products) {
                    sums[half] = _mm512_add_ps(sums[half], product);
                }
            }
        }
    }
    for (row, sums) in block.iter_mut().zip(sums.as_flattened()) {
        store(row, sums);
    }
}

/// The products of rows with sixteen columns.
#[target_feature(enable = "avx512f")]
fn tile_product<const M: usize>(rows: &[[f32; STEP]; M], columns: &Tile) -> [__m512; M] {
    let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let (mut even, mut odd) = ([_mm512_setzero_ps(); M], [_mm512_setzero_ps(); M]);
    for (pair, columns) in columns.0.as_chunks::<STRIP>().0.iter().enumerate() {
        // SAFETY: 32 numbers of 16 bits are the 64 bytes that are read.
        let columns = unsafe { _mm512_loadu_si512(columns.as_ptr().cast()) };
        let first = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(columns));
        let second = _mm512_castsi512_ps(_mm512_and_si512(columns, high));
        for row in 0..M {
            even[row] = _mm512_fmadd_ps(_mm512_set1_ps(rows[row][2 * pair]), first, even[row]);
            odd[row] = _mm512_fmadd_ps(_mm512_set1_ps(rows[row][2 * pair + 1]), second, odd[row]);
        }
    }
    std::array::from_fn(|row| _mm512_add_ps(even[row], odd[row]))
}

const _: () =
    assert!(2 * TILE_ROWS == STRIP && FEW.is_multiple_of(ROWS), "a tile has pairs of sixteen columns");
