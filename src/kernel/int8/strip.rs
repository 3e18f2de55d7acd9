//! 32 columns of a product side by side.

use std::ops::Range;

use super::rows::Part;
use super::{BLOCK, Matrix, STRIP};
use crate::kernel::ggml::levels::Group;

/// Levels that stand together: those of a lane of integer products.
pub(super) const WORD: usize = 4;

/// Four levels of each column, one column behind the other.
pub(super) type Words = [[u8; WORD]; STRIP];

/// Columns of a matrix as kernels take them.
#[derive(Default)]
pub(super) struct Strip {
    group: usize,
    wide: bool,
    words: Vec<Words>,               // [width / 4]
    factors: Vec<[[f32; STRIP]; 2]>, // [width / group], scales and offsets
    levels: Vec<u8>,                 // [32, width], as they are read
    groups: Vec<Group>,              // [32, width / group]
}

impl Strip {
    /// Puts some columns of the product side by side; those that are not there keep what was there before.
    pub(super) fn put(&mut self, w: &Matrix, columns: Range<usize>) {
        let (count, width) = (columns.len(), w.width());
        (self.group, self.wide) = (w.group(), w.is_wide());
        let groups = width / self.group;
        self.levels.resize(STRIP * width, 0);
        self.groups.resize(STRIP * groups, [0.0; 2]);
        w.levels(columns, &mut self.levels[..count * width], &mut self.groups[..count * groups]);
        self.words.resize(width / WORD, [[0; WORD]; STRIP]);
        self.factors.resize(groups, [[0.0; STRIP]; 2]);
        turn(self.levels.as_chunks().0, width / WORD, self.words.as_flattened_mut());
        let factors = self.factors.as_flattened_mut().as_flattened_mut();
        turn(self.groups.as_flattened(), 2 * groups, factors);
    }

    /// Numbers of a group.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Whether there are levels above 127.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The words of each group of `N` words, with their scales and offsets.
    pub(super) fn groups<const N: usize>(&self) -> impl Iterator<Item = (&[Words; N], &[[f32; STRIP]; 2])> {
        debug_assert_eq!(N * WORD, self.group);
        self.words.as_chunks::<N>().0.iter().zip(&self.factors)
    }

    /// Panics unless the rows are as wide: what kernels rely on.
    pub(super) fn check(&self, rows: &Part<'_>) {
        let (count, width) = (rows.count, rows.width);
        assert!(width == self.words.len() * WORD && width == self.factors.len() * self.group);
        assert!((1..=super::ROWS).contains(&count) && rows.quants.len() == count * width);
        assert!(rows.scales.len() == count * (width / BLOCK));
        assert!(rows.sums.len() == count * (width / self.group));
    }
}

/// What takes four bytes: levels or a factor.
pub(super) trait Word: Copy {}
impl Word for [u8; WORD] {}
impl Word for f32 {}

/// `[32, count]` words as `[count, 32]`.
fn turn<T: Word>(columns: &[T], count: usize, lines: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if super::avx512::available() {
        super::avx512::turn(columns, count, lines);
        return;
    }
    turn_from(0, columns, count, lines);
}

/// The same from a line on.
pub(super) fn turn_from<T: Word>(first: usize, columns: &[T], count: usize, lines: &mut [T]) {
    for (at, column) in columns.chunks_exact(count).enumerate() {
        for (line, word) in lines.chunks_exact_mut(STRIP).zip(column).skip(first) {
            line[at] = *word;
        }
    }
}
