//! Products of f32 with matrices that are kept in the blocks of a file: a few of their rows are widened into
//! the cache where they are multiplied.
//!
//! Every number is, to the bit, that of the same product with the whole matrix in memory. Few rows take the
//! sums of [`super::few_rows`]. Many are multiplied by the `gemm` crate, which cuts the sums of an element by
//! the length of its rows alone, save where a product has no more than 64 rows and 64 columns: no panel is
//! that narrow unless the matrix is.

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::Blocks;
use super::blocks::Shared;
use super::gemm::{Into, Matrix, multiply_at};
use super::matmul::Stored;

/// Columns of the product that a thread computes at once, and up to twice as many where the last are fewer: a
/// multiple of what the `gemm` crate takes at once on every processor.
const PANEL: usize = 96;

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

    /// `x [m, k] · wᵀ`: `[m, n]`, on all threads.
    pub(crate) fn multiply(&self, x: &[f32], m: usize) -> Vec<f32> {
        let [n, k] = self.shape();
        assert_eq!(x.len(), m * k, "m rows of k numbers");
        let mut product: Vec<f32> = Vec::with_capacity(m * n); // [m, n]
        if m == 0 {
            return product;
        }
        let out = Shared(product.as_mut_ptr());
        let panels = (n / PANEL).max(1);
        (0..panels).into_par_iter().for_each_init(Vec::new, |numbers, index| {
            let columns = index * PANEL..if index + 1 == panels { n } else { (index + 1) * PANEL };
            numbers.resize(columns.len() * k, 0.0);
            self.widen(columns.clone(), numbers);
            let panel = Matrix::new(numbers, columns.len(), k).t();
            // SAFETY: these columns lie in the product, and no other panel writes them.
            unsafe { multiply_at(Matrix::new(x, m, k), panel, Into::Write, out.at(columns.start), n) };
        });
        // SAFETY: the panels cover all columns, and each wrote them in all rows.
        unsafe { product.set_len(m * n) };
        product
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

    fn at_once(&self, k: usize) -> usize {
        (FEW_NUMBERS / k / FEW_ROWS).clamp(1, 4) * FEW_ROWS
    }
}
