//! The kernel for AVX-512 with its products of integers (VNNI): up to six rows by two registers of columns.

use std::arch::x86_64::{
    _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps, _mm512_storeu_si512,
};

use super::BLOCK;
use super::rows::Part;
use super::strip::{Strip, WORD, Word, turn_from};
use crate::kernel::bf16::transposed;
use crate::kernel::cpu;
use crate::kernel::single::{Out, STRIP};

/// Numbers of a register.
const LANES: usize = 16;

/// Whether the processor runs it.
pub(super) fn available() -> bool {
    cpu::has(cpu::Set::Avx512) && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// See [`super::Multiply`].
pub(super) unsafe fn multiply(rows: Part<'_>, strip: &Strip, out: Out) {
    // SAFETY: the caller's promises.
    unsafe {
        match strip.group() {
            BLOCK => some::<{ BLOCK / WORD }>(rows, strip, out),
            _ => some::<{ BLOCK / 2 / WORD }>(rows, strip, out),
        }
    }
}

/// Groups of `N` words.
///
/// # Safety
/// As for [`super::Multiply`].
unsafe fn some<const N: usize>(rows: Part<'_>, strip: &Strip, out: Out) {
    // SAFETY: the caller's promises.
    unsafe {
        match rows.count {
            1 => block::<N, 1>(rows, strip, out),
            2 => block::<N, 2>(rows, strip, out),
            3 => block::<N, 3>(rows, strip, out),
            4 => block::<N, 4>(rows, strip, out),
            5 => block::<N, 5>(rows, strip, out),
            _ => block::<N, 6>(rows, strip, out),
        }
    }
}

/// The first `R` of the rows.
///
/// # Safety
/// As for [`super::Multiply`].
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn block<const N: usize, const R: usize>(rows: Part<'_>, strip: &Strip, out: Out) {
    let (width, blocks, groups) = (rows.width, rows.width / BLOCK, rows.width / (N * WORD));
    let (quants, scales, sums) = (rows.quants.as_ptr(), rows.scales.as_ptr(), rows.sums.as_ptr());
    let mut y = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: rows are as wide as the strip, a word of all columns is two registers, as are their factors,
    // and the caller promises the rows of the output.
    unsafe {
        for (group, (words, factors)) in strip.groups::<N>().enumerate() {
            let mut products = [[_mm512_setzero_si512(); 2]; R];
            for (index, word) in words.iter().enumerate() {
                let levels = [0, 1].map(|half| _mm512_loadu_si512(word.as_ptr().add(half * LANES).cast()));
                let at = (group * N + index) * WORD;
                for (row, products) in products.iter_mut().enumerate() {
                    let four = quants.add(row * width + at).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    products[0] = _mm512_dpbusd_epi32(products[0], levels[0], four);
                    products[1] = _mm512_dpbusd_epi32(products[1], levels[1], four);
                }
            }
            for half in 0..2 {
                let [factor, offset] =
                    [0, 1].map(|of: usize| _mm512_loadu_ps(factors[of].as_ptr().add(half * LANES)));
                for (row, (products, y)) in products.iter().zip(&mut y).enumerate() {
                    let scale = *scales.add(row * blocks + group * N * WORD / BLOCK);
                    let sum = *sums.add(row * groups + group);
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(products[half]), factor);
                    y[half] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(scale), y[half]);
                    y[half] = _mm512_fmadd_ps(offset, _mm512_set1_ps(sum), y[half]);
                }
            }
        }
        for (row, y) in y.iter().enumerate() {
            let out = out.first.add(row * out.stride);
            _mm512_storeu_ps(out, y[0]);
            _mm512_storeu_ps(out.add(LANES), y[1]);
        }
    }
}

/// `[32, count]` words as `[count, 32]`.
pub(super) fn turn<T: Word>(columns: &[T], count: usize, lines: &mut [T]) {
    const { assert!(size_of::<T>() == WORD) };
    assert!(available() && columns.len() == STRIP * count && lines.len() == STRIP * count);
    // SAFETY: the processor has the instructions.
    unsafe { turn_whole(columns, count, lines) };
    turn_from(count / LANES * LANES, columns, count, lines);
}

/// As many lines as words fill registers.
#[target_feature(enable = "avx512f")]
fn turn_whole<T: Word>(columns: &[T], count: usize, lines: &mut [T]) {
    for (part, lines) in lines.chunks_exact_mut(LANES * STRIP).enumerate() {
        for half in [0, LANES] {
            let mut registers = [_mm512_setzero_si512(); LANES]; // [columns][words]
            for (column, register) in registers.iter_mut().enumerate() {
                let from = &columns[(half + column) * count + part * LANES..][..LANES];
                // SAFETY: sixteen words of four bytes are read.
                *register = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
            }
            for (line, register) in lines.chunks_exact_mut(STRIP).zip(transposed(registers)) {
                let to = &mut line[half..][..LANES];
                // SAFETY: sixteen words of four bytes are written.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), register) };
            }
        }
    }
}
