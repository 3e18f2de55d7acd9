//! Where attention has its keys and values from.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::storage::{Rows, with_rows};

/// Where rows of keys or values in f32 come from.
pub(super) trait Source: Sync {
    /// The given rows of a head, counted from the first that a chunk is given, and how many numbers lie from
    /// the beginning of one to that of the next. `room` is there for rows that are made.
    fn rows<'r>(&'r self, head: usize, rows: Range<usize>, room: &'r mut Vec<f32>) -> (&'r [f32], usize);
}

/// Keys and values that are rounded to bf16, for few queries.
pub(super) trait Rounded: Sync {
    /// Heads of keys.
    fn kv_heads(&self) -> usize;

    /// The products `[count, keys]` of some `queries` `[count, Page::query_width]` with the keys of head `kv`
    /// at the positions `keys`.
    fn products(&self, kv: usize, keys: Range<usize>, queries: &[f32], count: usize) -> Vec<f32>;

    /// The values of head `kv` at the positions `keys`, weighted by each row of `weights` `[count, keys]` and
    /// added: `[count, d]`.
    fn weighted(&self, kv: usize, keys: Range<usize>, weights: &[&[f32]], d: usize) -> Vec<f32>;
}

/// Rows in f32, which are handed out as they are.
pub(super) struct Given<'a> {
    rows: &'a Rows<'a>,
    d: usize,
}

impl Source for Given<'_> {
    fn rows<'r>(&'r self, head: usize, rows: Range<usize>, _room: &'r mut Vec<f32>) -> (&'r [f32], usize) {
        (&self.rows.matrix(head)[rows.start * self.d..rows.end * self.d], self.d)
    }
}

/// Hands over `keys` and `values` `[kv_heads, s, d]`, in f32 on the CPU, with the number of their heads.
pub(super) fn with_given<T>(
    keys: &Tensor,
    values: &Tensor,
    then: impl FnOnce(usize, &Given<'_>, &Given<'_>) -> Result<T>,
) -> Result<T> {
    let (kv_heads, _, d) = keys.dims3()?;
    with_rows(keys, |keys| {
        with_rows(values, |values| then(kv_heads, &Given { rows: keys, d }, &Given { rows: values, d }))
    })
}
