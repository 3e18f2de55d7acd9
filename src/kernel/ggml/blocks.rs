//! A matrix that is kept as a file stores it.

use std::ops::Range;

use bytes::Bytes;
use rayon::prelude::*;

use super::levels::{self, Group, Levels};
use super::{TYPES, TensorType};
use crate::kernel::blocks::in_blocks;
use crate::kernel::fetch;

/// A matrix `[n, k]` in the blocks of a file, its rows in the order that a decoder reads them. Its numbers
/// exist where they are computed with, a few rows at a time.
pub struct Blocks {
    kind: &'static TensorType,
    n: usize,
    k: usize,
    /// Rows after rows; of a mapped file where it has them in this order.
    parts: Vec<Bytes>, // each [some of n, row_bytes]
    /// What every number is multiplied by.
    factor: Option<f32>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks [{}, {}] of {}", self.n, self.k, self.kind.name)
    }
}

impl Blocks {
    /// `n` rows of `k` numbers of a type in `bytes`; `None` when these are not `n` rows of whole blocks.
    pub(crate) fn new(
        kind: &'static TensorType,
        [n, k]: [usize; 2],
        bytes: impl Into<Bytes>,
        factor: Option<f32>,
    ) -> Option<Self> {
        let (row, bytes) = (kind.row_bytes(k)?, bytes.into());
        (row > 0 && n > 0 && n.checked_mul(row) == Some(bytes.len())).then_some(Self {
            kind,
            n,
            k,
            parts: vec![bytes],
            factor,
        })
    }

    /// Rows of zeros of a type that is given by its name; `None` where rows are no whole blocks of it.
    pub(crate) fn zeros(name: &str, [n, k]: [usize; 2]) -> Option<Self> {
        let kind = TYPES.iter().find(|kind| kind.name == name)?;
        Self::new(kind, [n, k], vec![0; n.checked_mul(kind.row_bytes(k)?)?], None)
    }

    /// The rows of several matrices of one type and width, one after the other; `None` of others.
    #[must_use]
    pub fn stacked(parts: &[&Self]) -> Option<Self> {
        let first = parts.first()?;
        let alike = |part: &&Self| part.kind.id == first.kind.id && part.k == first.k;
        if !parts.iter().all(alike) || parts.iter().any(|part| part.factor != first.factor) {
            return None;
        }
        let n = parts.iter().map(|part| part.n).sum();
        let parts = parts.iter().flat_map(|part| part.parts.iter().cloned()).collect();
        Some(Self { kind: first.kind, n, k: first.k, parts, factor: first.factor })
    }

    /// Some rows, in this order; `None` where there are no such rows.
    pub(crate) fn rows(&self, ranges: &[Range<usize>]) -> Option<Self> {
        let n = ranges.iter().map(Range::len).sum();
        if n == 0 || ranges.iter().any(|rows| rows.end > self.n) {
            return None;
        }
        let pieces = ranges.iter().flat_map(|rows| self.pieces(rows.clone()));
        let parts = pieces.map(|(part, bytes)| part.slice(bytes)).collect();
        Some(Self { kind: self.kind, n, k: self.k, parts, factor: self.factor })
    }

    /// The parts that hold some rows, in order, and where they are in each.
    fn pieces(&self, rows: Range<usize>) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let row = self.kind.row_bytes(self.k).unwrap_or(0);
        let mut wanted = rows.start * row..rows.end * row;
        let pieces = self.parts.iter().map(move |part| {
            let here = wanted.start.min(part.len())..wanted.end.min(part.len());
            wanted = wanted.start.saturating_sub(part.len())..wanted.end.saturating_sub(part.len());
            (part, here)
        });
        pieces.filter(|(_, bytes)| !bytes.is_empty())
    }

    /// The same, every number multiplied by a factor; `None` where one is there already.
    pub(crate) fn times(self, factor: f32) -> Option<Self> {
        self.factor.is_none().then_some(Self { factor: Some(factor), ..self })
    }

    /// `[n, k]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    /// The number of the type of some rows, and their bytes, where these stand together and are all that
    /// makes their numbers.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn stored(&self, rows: Range<usize>) -> Option<(u64, &[u8])> {
        let mut pieces = self.pieces(rows);
        let (part, bytes) = pieces.next()?;
        (self.factor.is_none() && pieces.next().is_none()).then(|| (self.kind.id, &part[bytes]))
    }

    /// Writes the numbers of some rows, on this thread.
    ///
    /// # Panics
    /// When there are no such rows, or `numbers` are not as many.
    pub(crate) fn widen(&self, rows: Range<usize>, numbers: &mut [f32]) {
        assert!(rows.end <= self.n && numbers.len() == rows.len() * self.k, "the numbers of rows");
        let mut rest = &mut *numbers;
        for (part, bytes) in self.pieces(rows) {
            let count = bytes.len() / self.kind.block_bytes * self.kind.block_size;
            let (these, later) = std::mem::take(&mut rest).split_at_mut(count);
            self.kind.expand_here(&part[bytes], these);
            rest = later;
        }
        if let Some(factor) = self.factor {
            // As candle's `affine` computes it.
            numbers.iter_mut().for_each(|number| *number = *number * factor + 0.0);
        }
    }

    /// How its numbers stand for integers, where its type does so exactly.
    pub(crate) fn exact_levels(&self) -> Option<&'static Levels> {
        levels::of(self.kind.id)
    }

    /// Writes the levels of a row, and scale and offset of each group of its numbers, and returns `true`,
    /// where its type has them exactly.
    ///
    /// # Panics
    /// When there is no such row, or its levels and groups are not as many.
    pub(crate) fn take_levels(&self, row: usize, levels: &mut [u8], groups: &mut [Group]) -> bool {
        let Some(exact) = self.exact_levels() else { return false };
        assert!(row < self.n && levels.len() == self.k && groups.len() * exact.group == self.k);
        // A row is never in two parts.
        for (part, bytes) in self.pieces(row..row + 1) {
            let bytes = &part[bytes];
            fetch::behind(bytes);
            exact.take(bytes, levels, groups);
        }
        if let Some(factor) = self.factor {
            groups.iter_mut().flatten().for_each(|number| *number *= factor);
        }
        true
    }

    /// All numbers `[n, k]`, by all threads.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let rows = self.rows_at_once();
        in_blocks(self.n * self.k, rows * self.k, |at, numbers| {
            let first = at / self.k;
            self.widen(first..first + numbers.len() / self.k, numbers);
        })
    }

    /// Whether every number is finite, and so far from f32's limit that the squares of a row add up to
    /// something finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let at_once = self.rows_at_once();
        (0..self.n.div_ceil(at_once)).into_par_iter().all(|part| {
            let rows = part * at_once..self.n.min((part + 1) * at_once);
            let mut numbers = vec![0f32; rows.len() * self.k];
            self.widen(rows, &mut numbers);
            let squares = numbers.chunks_exact(self.k).map(|row| row.iter().map(|x| x * x).sum::<f32>());
            squares.fold(0.0, |sum, row| sum + row * 0.0) == 0.0
        })
    }

    /// Rows of some 64 KiB of numbers.
    fn rows_at_once(&self) -> usize {
        ((1 << 14) / self.k.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn of_bytes(name: &str, shape: [usize; 2], bytes: &[u8], factor: Option<f32>) -> Option<Blocks> {
        let kind = super::super::TYPES.iter().find(|kind| kind.name == name).unwrap();
        Blocks::new(kind, shape, bytes.to_vec(), factor)
    }

    #[test]
    fn rows_are_whole_blocks_and_as_many_as_are_said() {
        assert!(of_bytes("I8", [2, 3], &[1, 2, 3, 4, 5, 6], None).is_some());
        assert!(of_bytes("I8", [2, 3], &[1, 2, 3, 4, 5], None).is_none());
        assert!(of_bytes("Q8_0", [1, 31], &[0; 34], None).is_none());
        assert!(of_bytes("I8", [usize::MAX, 2], &[1, 2], None).is_none());
    }

    #[test]
    fn some_rows_are_those_of_all_and_are_multiplied_by_the_factor() {
        let blocks = of_bytes("I8", [3, 2], &[1, 2, 3, 0, 0xFB, 6], Some(-0.5)).unwrap();
        assert_eq!(blocks.to_f32(), [-0.5, -1.0, -1.5, 0.0, 2.5, -3.0]);
        assert!(blocks.to_f32()[3].is_sign_positive());
        let mut middle = [9.0; 2];
        blocks.widen(1..2, &mut middle);
        assert_eq!(middle, [-1.5, 0.0]);
    }

    #[test]
    fn rows_are_picked_in_an_order_and_those_that_are_not_there_are_none() {
        let blocks = of_bytes("BF16", [3, 1], &[0x80, 0x3F, 0, 0x40, 0x80, 0x40], None).unwrap();
        assert_eq!(blocks.to_f32(), [1.0, 2.0, 4.0]);
        let picked = blocks.rows(&[2..3, 0..2]).unwrap().times(0.5).unwrap();
        assert_eq!((picked.shape(), picked.to_f32()), ([3, 1], vec![2.0, 0.5, 1.0]));
        assert!(blocks.rows(&[2..4]).is_none() && blocks.rows(&[]).is_none());
        assert!(picked.times(2.0).is_none());
    }

    #[test]
    fn matrices_of_one_type_are_stacked_and_others_are_not() {
        let [a, b] =
            [&[1, 2][..], &[3, 4, 5, 6]].map(|bytes| of_bytes("I8", [bytes.len() / 2, 2], bytes, None));
        let (a, b) = (a.unwrap(), b.unwrap());
        let both = Blocks::stacked(&[&a, &b]).unwrap();
        assert_eq!((both.shape(), both.to_f32()), ([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let (mut across, mut last) = ([0.0; 4], [0.0; 2]);
        both.widen(0..2, &mut across);
        both.widen(2..3, &mut last);
        assert_eq!((across, last), ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]));
        let wider = of_bytes("I8", [1, 3], &[1, 2, 3], None).unwrap();
        let scaled = of_bytes("I8", [1, 2], &[1, 2], Some(2.0)).unwrap();
        let other = of_bytes("F16", [1, 2], &[0; 4], None).unwrap();
        for odd in [&wider, &scaled, &other] {
            assert!(Blocks::stacked(&[&a, odd]).is_none());
        }
    }

    #[test]
    fn a_nan_an_infinity_and_what_is_near_the_limit_are_found() {
        let of = |numbers: &[f32]| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Blocks::new(find(0).unwrap(), [numbers.len() / 2, 2], bytes, None).unwrap().is_finite()
        };
        assert!(of(&[1.0, -2.0, 1e18, 0.0]));
        for damaged in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e20] {
            assert!(!of(&[1.0, 0.0, 2.0, damaged]), "{damaged}");
        }
    }
}
