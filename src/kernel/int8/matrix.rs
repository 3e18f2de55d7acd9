//! Weights of products in integers.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::BLOCK;
use super::rows::round_block;
use crate::kernel::cached::Form;
use crate::kernel::ggml;
use crate::kernel::ggml::levels::{Group, ZERO};
use crate::kernel::{Blocks, Kept};

/// The number of the type that weights are rounded to that stand in no blocks.
const Q8_0: u64 = 8;

/// A matrix `[n, k]`: as its file has it in blocks, or rounded to those of Q8_0.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    blocks: Arc<Blocks>, // [n, k], or wider by zeros
    kept: Kept,          // the same for products of f32
    k: usize,
}

impl Matrix {
    /// The numbers of `blocks`: those of a type that has no levels are rounded to them where they are read.
    pub(crate) fn kept(blocks: Arc<Blocks>) -> Self {
        let k = blocks.shape()[1];
        Self { kept: Kept::new(blocks.clone(), false), blocks, k }
    }

    /// `w [n, k]`, rounded; `None` when there are not so many numbers.
    pub(crate) fn round(w: &[f32], n: usize, k: usize) -> Option<Self> {
        let (kind, width) = (ggml::find(Q8_0)?, k.next_multiple_of(BLOCK));
        let row = kind.row_bytes(width)?;
        if k == 0 || w.len() != n * k {
            return None;
        }
        let mut bytes = vec![0; n * row];
        bytes.par_chunks_mut(row).zip(w.par_chunks(k)).for_each(|(bytes, row)| Form::Q8_0.keep(row, bytes));
        Some(Self { k, ..Self::kept(Arc::new(Blocks::new(kind, [n, width], bytes, None)?)) })
    }

    /// How many columns a product has.
    pub(crate) fn n(&self) -> usize {
        self.blocks.shape()[0]
    }

    /// Numbers of a row that it is multiplied by.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// The same as whole blocks.
    pub(super) fn width(&self) -> usize {
        self.k.next_multiple_of(BLOCK)
    }

    /// Its numbers in f32, where they are those of its levels.
    pub(super) fn exact(&self) -> Option<&Kept> {
        self.blocks.exact_levels().map(|_| &self.kept)
    }

    /// Numbers of a group: 16 or 32.
    pub(super) fn group(&self) -> usize {
        self.blocks.exact_levels().map_or(BLOCK, |levels| levels.group)
    }

    /// Whether there are levels above 127.
    pub(super) fn is_wide(&self) -> bool {
        self.blocks.exact_levels().is_none_or(|levels| levels.wide)
    }

    /// Writes the levels `[rows, width]` of some rows, and their groups `[rows, width / group]`.
    pub(super) fn levels(&self, rows: Range<usize>, levels: &mut [u8], groups: &mut [Group]) {
        let width = self.width();
        let of_rows = levels.chunks_exact_mut(width).zip(groups.chunks_exact_mut(width / self.group()));
        for (row, (levels, groups)) in rows.zip(of_rows) {
            if !self.blocks.take_levels(row, levels, groups) {
                self.rounded_levels(row, levels, groups);
            }
        }
    }

    /// Those of numbers that are rounded here.
    fn rounded_levels(&self, row: usize, levels: &mut [u8], groups: &mut [Group]) {
        let mut numbers = vec![0f32; self.width()];
        self.blocks.widen(row..row + 1, &mut numbers[..self.k]);
        let blocks = levels.as_chunks_mut::<BLOCK>().0.iter_mut().zip(groups);
        for (numbers, (levels, group)) in numbers.as_chunks::<BLOCK>().0.iter().zip(blocks) {
            let mut quants = [0; BLOCK];
            let scale = round_block(numbers, &mut quants);
            *group = [scale, -ZERO * scale];
            levels.iter_mut().zip(quants).for_each(|(level, q)| *level = q.cast_unsigned() ^ 0x80);
        }
    }
}
