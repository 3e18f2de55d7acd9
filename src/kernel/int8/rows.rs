//! Inputs of products, rounded to 8 bits.

use std::ops::Range;

use rayon::prelude::*;

use super::BLOCK;
use crate::kernel::for_every_instruction_set;

/// Numbers of the smaller groups that weights have.
pub(super) const SMALL: usize = 16;

/// The largest integer.
const LARGEST: f32 = 127.0;

/// Numbers that a thread rounds at once, at least.
const PART: usize = 1 << 14;

/// Rows `[m, k]`, rounded, with zeros behind them to a width of whole blocks.
#[derive(Debug)]
pub(crate) struct Rows {
    m: usize,
    k: usize,
    width: usize,
    quants: Vec<i8>,        // [m, width]
    scales: Vec<f32>,       // [m, width / 32]
    sums: Vec<f32>,         // [m, width / 32], scale times sum of a block
    sums_of_half: Vec<f32>, // [m, width / 16], of half a block
}

/// Some of the rows as a kernel takes them, with the sums of groups of a size.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) count: usize,
    /// Numbers of a row, whole blocks.
    pub(super) width: usize,
    pub(super) quants: &'a [i8],  // [count, width]
    pub(super) scales: &'a [f32], // [count, width / 32]
    pub(super) sums: &'a [f32],   // [count, width / group]
}

impl Rows {
    /// Rounds `x [m, k]`, on all threads.
    ///
    /// # Panics
    /// When there are not so many numbers.
    pub(crate) fn round(x: &[f32], m: usize, k: usize) -> Self {
        assert!(k > 0 && x.len() == m * k, "m rows of k numbers");
        let width = k.next_multiple_of(BLOCK);
        let mut rows = Self {
            m,
            k,
            width,
            quants: vec![0; m * width],
            scales: vec![0.0; m * (width / BLOCK)],
            sums: vec![0.0; m * (width / BLOCK)],
            sums_of_half: vec![0.0; m * (width / SMALL)],
        };
        let x = x.par_chunks_exact(k);
        let quants = rows.quants.par_chunks_exact_mut(width);
        let scales = rows.scales.par_chunks_exact_mut(width / BLOCK);
        let sums = rows.sums.par_chunks_exact_mut(width / BLOCK);
        let halves = rows.sums_of_half.par_chunks_exact_mut(width / SMALL);
        let all = x.zip(quants).zip(scales).zip(sums).zip(halves);
        all.with_min_len(PART.div_ceil(k)).for_each(|((((x, quants), scales), sums), halves)| {
            round(x, quants, scales, [sums, halves]);
        });
        rows
    }

    /// How many rows.
    pub(crate) fn m(&self) -> usize {
        self.m
    }

    /// Numbers of a row.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// What the integers stand for, `[m, width]`.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let blocks = self.quants.as_chunks::<BLOCK>().0.iter().zip(&self.scales);
        blocks.flat_map(|(quants, scale)| quants.map(|q| scale * f32::from(q))).collect()
    }

    /// Numbers of a row, whole blocks.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Some rows, for weights in groups of this size.
    pub(super) fn some(&self, rows: Range<usize>, group: usize) -> Part<'_> {
        let of = |width: usize| rows.start * width..rows.end * width;
        let sums = if group == SMALL { &self.sums_of_half } else { &self.sums };
        Part {
            count: rows.len(),
            width: self.width,
            quants: &self.quants[of(self.width)],
            scales: &self.scales[of(self.width / BLOCK)],
            sums: &sums[of(self.width / group)],
        }
    }
}

for_every_instruction_set! {
    /// A row of [`Rows`]; the sums of blocks, and of halves of them.
    fn round = round_plain(x: &[f32], quants: &mut [i8], scales: &mut [f32], sums: [&mut [f32]; 2])
}

#[inline(always)]
fn round_plain(x: &[f32], quants: &mut [i8], scales: &mut [f32], [sums, halves]: [&mut [f32]; 2]) {
    let blocks = quants.as_chunks_mut::<BLOCK>().0.iter_mut().zip(scales).zip(sums);
    let blocks = blocks.zip(halves.as_chunks_mut::<2>().0);
    for (x, (((quants, scale), sum), halves)) in x.chunks(BLOCK).zip(blocks) {
        let mut numbers = [0f32; BLOCK];
        numbers[..x.len()].copy_from_slice(x);
        *scale = round_block(&numbers, quants);
        let mut of_half = [0i32; 2];
        for (half, quants) in of_half.iter_mut().zip(quants.as_chunks::<SMALL>().0) {
            *half = quants.iter().map(|q| i32::from(*q)).sum();
        }
        *halves = of_half.map(|sum| *scale * sum as f32);
        *sum = *scale * (of_half[0] + of_half[1]) as f32;
    }
}

/// Rounds a block and returns its scale; a NaN, which every product has then, where a number is not finite.
#[inline(always)]
pub(super) fn round_block(numbers: &[f32; BLOCK], quants: &mut [i8; BLOCK]) -> f32 {
    /// The bits of a size, which are in the order of sizes, and of the first that is not finite.
    const SIZE: u32 = 0x7FFF_FFFF;
    const INFINITE: u32 = 0x7F80_0000;
    /// Added to a small number, it leaves the nearest integer in the lowest bits, of two the even one.
    const TO_INTEGER: f32 = 12_582_912.0;
    let bits = numbers.iter().fold(0, |max, x| (x.to_bits() & SIZE).max(max));
    let largest = f32::from_bits(bits);
    let inverse = LARGEST / largest;
    // That of a number near 0 is none.
    let inverse = if inverse < f32::INFINITY { inverse } else { 0.0 };
    for (q, x) in quants.iter_mut().zip(numbers) {
        *q = (x * inverse + TO_INTEGER).to_bits() as i8;
    }
    if bits < INFINITE { largest / LARGEST } else { f32::NAN }
}
