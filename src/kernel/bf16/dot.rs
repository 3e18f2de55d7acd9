//! The kernel for processors with `vdpbf16ps`: sixteen sums of two products at a time (Zen 4, Cooper Lake and
//! later).

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::packed::{STEP, STRIP, TILE_ROWS, Tile};
use super::{Block, FEW, Out};

/// Rows whose sums are kept in registers: with two columns of tiles, sixteen of thirty-two.
const ROWS: usize = 8;

/// Steps by which few rows fetch columns before they are needed: the processor itself stops at the end of a
/// page of memory.
const AHEAD: usize = 4;

/// Whether this processor has the instructions.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16") && std::arch::is_x86_feature_detected!("avx512f")
}

/// See [`super::Multiply`].
pub(super) fn multiply(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: Out<'_>, add: bool, _ahead: &[Tile]) {
    assert!(available(), "this kernel is chosen where its instructions are");
    // SAFETY: the processor has AVX512-BF16.
    unsafe { multiply_avx512(rows, strip, out, add) };
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_avx512(rows: [&[Tile]; 2], strip: &[[Tile; 2]], mut out: Out<'_>, add: bool) {
    for first in (0..2 * TILE_ROWS).step_by(ROWS) {
        let tiles = rows[first / TILE_ROWS];
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        if add {
            for (row, sums) in sums.iter_mut().enumerate() {
                let (halves, _) = out.row(first + row).as_chunks::<TILE_ROWS>();
                // SAFETY: a half holds the sixteen numbers that are read.
                *sums = [0, 1].map(|half: usize| unsafe { _mm512_loadu_ps(halves[half].as_ptr()) });
            }
        }
        for (left, right) in tiles.iter().zip(strip) {
            add_products(&left.0.as_chunks().0[first % TILE_ROWS..][..ROWS], right, &mut sums);
        }
        for (row, sums) in sums.iter().enumerate() {
            store(out.row(first + row), sums);
        }
    }
}

/// Adds the products of some rows with two tiles of columns.
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_products(rows: &[[u16; STEP]], columns: &[Tile; 2], sums: &mut [[__m512; 2]]) {
    for pair in 0..TILE_ROWS {
        let columns = [0, 1].map(|half: usize| {
            let columns: &[u16; 2 * TILE_ROWS] = &columns[half].0.as_chunks().0[pair];
            // SAFETY: 32 numbers of 16 bits are the 64 bytes that are read.
            as_bf16(unsafe { _mm512_loadu_si512(columns.as_ptr().cast()) })
        });
        for (row, sums) in rows.iter().zip(&mut *sums) {
            let pair = u32::from(row[2 * pair]) | u32::from(row[2 * pair + 1]) << 16;
            let pair = as_bf16(_mm512_set1_epi32(pair.cast_signed()));
            sums[0] = _mm512_dpbf16_ps(sums[0], pair, columns[0]);
            sums[1] = _mm512_dpbf16_ps(sums[1], pair, columns[1]);
        }
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn store(row: &mut [f32; STRIP], sums: &[__m512; 2]) {
    let (halves, _) = row.as_chunks_mut::<TILE_ROWS>();
    for (sum, half) in sums.iter().zip(halves) {
        // SAFETY: the half holds the sixteen numbers that are written.
        unsafe { _mm512_storeu_ps(half.as_mut_ptr(), *sum) };
    }
}

/// See [`super::Few`].
pub(super) fn few(rows: &[Tile], count: usize, strip: &[[Tile; 2]], block: &mut Block) {
    assert!(available(), "this kernel is chosen where its instructions are");
    // Rows that are missing are 0 in their tiles.
    let few = match count {
        1 => few_avx512::<1>,
        2 => few_avx512::<2>,
        3..=4 => few_avx512::<4>,
        _ => few_avx512::<FEW>,
    };
    // SAFETY: the processor has AVX512-BF16.
    unsafe { few(rows, strip, block) };
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn few_avx512<const M: usize>(rows: &[Tile], strip: &[[Tile; 2]], block: &mut Block) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for (left, right) in rows.iter().zip(strip) {
        fetch(right);
        add_products(&left.0.as_chunks().0[..M], right, &mut sums);
    }
    for (row, sums) in block.iter_mut().zip(&sums) {
        store(row, sums);
    }
}

/// Fetches the columns that come some steps behind these.
#[inline]
pub(super) fn fetch(columns: &[Tile; 2]) {
    for line in 0..2 * TILE_ROWS {
        let ahead = (&raw const *columns).wrapping_add(AHEAD).cast::<i8>().wrapping_add(line * 64);
        // SAFETY: fetching ahead reads nothing that the program sees and may pass the end of the strip.
        #[allow(unused_unsafe, reason = "newer compilers take it for safe")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(ahead)
        };
    }
}

/// The same bits, for the instructions that take bf16.
#[target_feature(enable = "avx512f")]
fn as_bf16(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes, and every pattern of bits is a value of both.
    unsafe { std::mem::transmute(bits) }
}
