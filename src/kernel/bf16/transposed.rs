//! Packing of columns for the bf16 kernels, written out for AVX-512: rounding and a transposition in
//! registers. To the bit what [`super::packed`] and [`super::page`] do on any processor.

use std::arch::x86_64::{
    __m512i, _CMP_LT_OQ, _CMP_UNORD_Q, _mm512_abs_ps, _mm512_add_epi32, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi256_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_epi16, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_mask_mov_epi32,
    _mm512_maskz_sub_ps, _mm512_or_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::packed::{STEP, TILE_ROWS, Tile};
use crate::kernel::cpu;

/// Whether the instructions can be used.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx512)
}

/// Packs the steps that are whole of sixteen columns of `k` numbers each into one half of the tiles of each
/// part of a strip. Returns how many steps that were.
pub(super) fn pack_whole_steps<const PARTS: usize>(
    tiles: &mut [&mut [[Tile; 2]]; PARTS],
    half: usize,
    columns: &[f32],
    k: usize,
) -> usize {
    assert!(available() && columns.len() == TILE_ROWS * k, "sixteen columns, where the instructions are");
    let steps = tiles.iter().map(|tiles| tiles.len()).fold(k / STEP, usize::min);
    // SAFETY: the processor has AVX-512F.
    unsafe { pack_avx512(tiles, steps, half, columns, k) };
    steps
}

#[target_feature(enable = "avx512f")]
fn pack_avx512<const PARTS: usize>(
    tiles: &mut [&mut [[Tile; 2]]; PARTS],
    steps: usize,
    half: usize,
    columns: &[f32],
    k: usize,
) {
    for step in 0..steps {
        let mut pairs = [[_mm512_setzero_si512(); TILE_ROWS]; PARTS]; // [parts][columns][pairs]
        for (index, column) in columns.chunks_exact(k).enumerate() {
            let (numbers, _) = column[step * STEP..][..STEP].as_chunks::<{ STEP / 2 }>();
            let mut rest = [0, 1].map(|part: usize| {
                // SAFETY: sixteen numbers are read.
                unsafe { _mm512_loadu_si512(numbers[part].as_ptr().cast()) }
            });
            for (part, pairs) in pairs.iter_mut().enumerate() {
                let bits = rest.map(|bits| rounded(bits));
                let [low, high] = bits.map(|bits| _mm512_cvtepi32_epi16(bits));
                pairs[index] = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
                if part + 1 < PARTS {
                    rest = [0, 1].map(|half: usize| left(rest[half], bits[half]));
                }
            }
        }
        for (tiles, pairs) in tiles.iter_mut().zip(pairs) {
            let (lines, _) = tiles[step][half].0.as_chunks_mut::<{ 2 * TILE_ROWS }>();
            for (line, pairs) in lines.iter_mut().zip(transposed(pairs)) {
                // SAFETY: 32 numbers of 16 bits are the 64 bytes that are written.
                unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), pairs) };
            }
        }
    }
}

/// What numbers have besides those that they are rounded to, whose bits are in the low halves; 0 where that
/// is no finite one.
#[inline]
#[target_feature(enable = "avx512f")]
fn left(numbers: __m512i, rounded: __m512i) -> __m512i {
    let part = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(rounded));
    let finite = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(part), _mm512_set1_ps(f32::INFINITY));
    _mm512_castps_si512(_mm512_maskz_sub_ps(finite, _mm512_castsi512_ps(numbers), part))
}

/// Writes a tile whose rows are 16 columns of the 32 `rows`, each of at least 16 numbers, rounded.
pub(super) fn pack_columns(tile: &mut Tile, rows: [&[f32]; STEP]) {
    assert!(available() && rows.iter().all(|row| row.len() >= TILE_ROWS), "sixteen numbers of each row");
    // SAFETY: the processor has AVX-512F.
    unsafe { pack_columns_avx512(tile, rows) };
}

#[target_feature(enable = "avx512f")]
fn pack_columns_avx512(tile: &mut Tile, rows: [&[f32]; STEP]) {
    let mut pairs = [_mm512_setzero_si512(); TILE_ROWS]; // [pairs of rows][columns]
    for (rows, pair) in rows.as_chunks::<2>().0.iter().zip(&mut pairs) {
        // SAFETY: each row has the sixteen numbers that are read, as the caller has made sure.
        let [first, second] = rows.map(|row| rounded(unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }));
        *pair = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
    }
    let (lines, _) = tile.0.as_chunks_mut::<STEP>();
    for (line, pairs) in lines.iter_mut().zip(transposed(pairs)) {
        // SAFETY: 32 numbers of 16 bits are the 64 bytes that are written.
        unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), pairs) };
    }
}

/// The bits of the nearest bf16 in the low halves, ties to even; a NaN becomes a quiet one.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(bits: __m512i) -> __m512i {
    let high = _mm512_srli_epi32::<16>(bits);
    let odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    let nearest = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    let number = _mm512_castsi512_ps(bits);
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(number, number);
    let quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    _mm512_mask_mov_epi32(_mm512_srli_epi32::<16>(nearest), nan, quiet)
}

/// Words `[16, 16]`, transposed.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) fn transposed(rows: [__m512i; TILE_ROWS]) -> [__m512i; TILE_ROWS] {
    let zero = _mm512_setzero_si512();
    let mut words = [zero; TILE_ROWS];
    for row in (0..TILE_ROWS).step_by(2) {
        words[row] = _mm512_unpacklo_epi32(rows[row], rows[row + 1]);
        words[row + 1] = _mm512_unpackhi_epi32(rows[row], rows[row + 1]);
    }
    // Of four rows each: word `j` of the quarters of a register, for `j` from 0 to 3.
    let mut fours = [zero; TILE_ROWS];
    for row in (0..TILE_ROWS).step_by(4) {
        fours[row] = _mm512_unpacklo_epi64(words[row], words[row + 2]);
        fours[row + 1] = _mm512_unpackhi_epi64(words[row], words[row + 2]);
        fours[row + 2] = _mm512_unpacklo_epi64(words[row + 1], words[row + 3]);
        fours[row + 3] = _mm512_unpackhi_epi64(words[row + 1], words[row + 3]);
    }
    // Quarter `q` of four such registers is a line: word `4 q + j` of all sixteen rows.
    let mut lines = [zero; TILE_ROWS];
    for word in 0..4 {
        let [a, b, c, d] = [fours[word], fours[word + 4], fours[word + 8], fours[word + 12]];
        let even_ab = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let odd_ab = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let even_cd = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
        let odd_cd = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
        lines[word] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even_ab, even_cd);
        lines[word + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even_ab, even_cd);
        lines[word + 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_ab, odd_cd);
        lines[word + 12] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_ab, odd_cd);
    }
    lines
}
