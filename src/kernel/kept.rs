//! Matrices that are kept in the blocks of a file, as products of f32 take them: a few of their rows are
//! widened into the cache where they are multiplied. Every number is, to the bit, that of the same product
//! with the whole matrix in memory, as both take the same sums.

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::Blocks;
#[cfg(target_arch = "x86_64")]
use super::dots;
use super::matmul::{Stored, few_products};

/// Numbers of a few rows that are widened at once: they stay in the first-level cache.
const FEW_NUMBERS: usize = 1 << 13;

/// Rows are widened by as many as are multiplied side by side.
const FEW_ROWS: usize = 4;

/// A matrix `[n, k]` in blocks, as f32 or as f16 has its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    blocks: Arc<Blocks>,
    in_f16: bool,
}

impl Kept {
    /// The numbers of `blocks`, rounded to f16 or as they are.
    pub(crate) fn new(blocks: Arc<Blocks>, in_f16: bool) -> Self {
        Self { blocks, in_f16 }
    }

    /// `[n, k]`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        self.blocks.shape()
    }

    /// Writes the numbers of some rows.
    pub(crate) fn widen(&self, rows: Range<usize>, numbers: &mut [f32]) {
        self.blocks.widen(rows, numbers);
        if self.in_f16 {
            let mut halves = [f16::ZERO; 256];
            for numbers in numbers.chunks_mut(halves.len()) {
                let halves = &mut halves[..numbers.len()];
                halves.convert_from_f32_slice(numbers);
                halves.convert_to_f32_slice(numbers);
            }
        }
    }
}

impl Kept {
    /// The products of rows that are widened where they are read; whether that was done. For more than a few
    /// rows `x` they are better widened once.
    #[cfg(target_arch = "x86_64")]
    fn products_where_read(&self, x: &[f32], rows: Range<usize>, k: usize, products: &mut [f32]) -> bool {
        match self.blocks.stored(rows).filter(|_| !self.in_f16 && x.len() <= FEW_ROWS * k) {
            Some((kind, bytes)) => dots::products_of_stored(x, kind, bytes, k, products),
            None => false,
        }
    }

    /// Compilers do well on their own.
    #[cfg(not(target_arch = "x86_64"))]
    fn products_where_read(&self, _: &[f32], _: Range<usize>, _: usize, _: &mut [f32]) -> bool {
        false
    }
}

impl Stored for Kept {
    fn rows(&self, _k: usize) -> usize {
        self.shape()[0]
    }

    fn widened<'a>(&'a self, rows: Range<usize>, k: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        buffer.resize(rows.len() * k, 0.0);
        self.widen(rows, buffer);
        buffer
    }

    fn products(&self, x: &[f32], rows: Range<usize>, k: usize, buffer: &mut Vec<f32>, products: &mut [f32]) {
        if !self.products_where_read(x, rows.clone(), k, products) {
            few_products(x, self.widened(rows, k, buffer), k, products);
        }
    }

    fn at_once(&self, k: usize) -> usize {
        (FEW_NUMBERS / k / FEW_ROWS).clamp(1, 4) * FEW_ROWS
    }
}
