//! Where attention in f32 has its keys and values from.

use std::ops::Range;

use super::storage::Rows;

/// Where rows of keys or values come from.
pub(super) trait Source: Sync {
    /// The given rows of a head, counted from the first that a chunk is given, and how many numbers lie from
    /// the beginning of one to that of the next. `room` is there for rows that are made.
    fn rows<'r>(&'r self, head: usize, rows: Range<usize>, room: &'r mut Vec<f32>) -> (&'r [f32], usize);
}

/// Rows in f32, which are handed out as they are.
pub(super) struct Given<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) d: usize,
}

impl Source for Given<'_> {
    fn rows<'r>(&'r self, head: usize, rows: Range<usize>, _room: &'r mut Vec<f32>) -> (&'r [f32], usize) {
        (&self.rows.matrix(head)[rows.start * self.d..rows.end * self.d], self.d)
    }
}
