//! The blocks of queries that attention on the CPU goes through, for kernels that take queries in strips.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::View;
use crate::kernel::bf16::{self, Visible};
use crate::kernel::single;

/// Queries in a strip.
const QUERIES: usize = bf16::Attention::QUERIES;

/// A kernel that lets strips of up to 32 queries, which lie side by side, meet keys and values.
pub(super) trait Strips {
    /// Room for so many strips of queries of `d` numbers.
    fn new(strips: usize, d: usize) -> Self;

    /// Begins with strips of queries, `[rows, d]` each, scaled.
    fn begin<'q>(&mut self, queries: impl Iterator<Item = &'q [f32]>);

    /// Writes what a query of a strip has mixed, `[d]`; `sink(level)` is what its normaliser holds besides
    /// its keys, relative to `exp(level)`.
    fn finish(&self, strip: usize, row: usize, sink: impl Fn(f32) -> f32, mixed: &mut [MaybeUninit<f32>]);
}

/// The same for a kernel whose own functions have these names.
macro_rules! strips {
    ($kernel:ty) => {
        impl Strips for $kernel {
            fn new(strips: usize, d: usize) -> Self {
                Self::new(strips, d)
            }

            fn begin<'q>(&mut self, queries: impl Iterator<Item = &'q [f32]>) {
                self.begin(queries);
            }

            fn finish(
                &self,
                strip: usize,
                row: usize,
                sink: impl Fn(f32) -> f32,
                mixed: &mut [MaybeUninit<f32>],
            ) {
                self.finish(strip, row, sink, mixed);
            }
        }
    };
}
strips!(bf16::Attention);
strips!(single::Attention);

/// A block of queries: the positions `rows` from `start` on in a chunk, of all heads that share the keys of
/// `kv`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) view: View<'a>,
    pub(super) kv: usize,
    start: usize,
    rows: usize,
    /// Queries in each of its strips.
    strip_rows: usize,
}

impl Block<'_> {
    /// The absolute positions of keys that any of its queries sees.
    pub(super) fn seen(self) -> Range<usize> {
        seen(self.view, self.start).start..seen(self.view, self.start + self.rows - 1).end
    }

    /// What the queries of a strip see of the `count` keys from the absolute position `first` on.
    pub(super) fn visible(self, first: usize, count: usize) -> Visible {
        self.keys(first, count, |row| seen(self.view, row))
    }

    /// What is kept from them of those keys: one for each span that has keys among them.
    pub(super) fn hidden(self, first: usize, count: usize) -> Vec<Visible> {
        let here = self.view.blocked.iter().filter(|span| span.start < first + count && first < span.end);
        let of = |span: &Range<usize>| {
            let behind = |row| span.end <= self.view.first_position + row;
            self.keys(first, count, |row| if behind(row) { span.clone() } else { 0..0 })
        };
        here.map(of).collect()
    }

    /// Where the positions that `range` gives for a row of the chunk are among those keys, for each query.
    fn keys(self, first: usize, count: usize, range: impl Fn(usize) -> Range<usize>) -> Visible {
        let mut keys = Visible { start: [0; QUERIES], end: [0; QUERIES] };
        let place = |position: usize| position.saturating_sub(first).min(count) as i32;
        for row in 0..self.strip_rows {
            let range = range(self.start + row % self.rows);
            (keys.start[row], keys.end[row]) = (place(range.start), place(range.end));
        }
        keys
    }
}

/// The absolute positions that `row` of the chunk sees.
pub(super) fn seen(view: View<'_>, row: usize) -> Range<usize> {
    let seen = view.visible(row);
    view.first_key + seen.start..view.first_key + seen.end
}

/// Mixed values `[t, heads * d]`, all written block by block on all threads: `queries(head)` are those of a
/// head, `[t, d]`, and `meet` lets the strips of a block meet what they see.
pub(super) fn mixed<'q, K: Strips>(
    queries: impl Fn(usize) -> &'q [f32] + Sync,
    [heads, kv_heads, t, d]: [usize; 4],
    view: View<'_>,
    meet: impl Fn(&mut K, Block<'_>) + Sync,
) -> Result<Tensor> {
    let mut mixed = Vec::with_capacity(t * heads * d); // [t, heads * d]
    let groups = heads / kv_heads;
    let height = QUERIES.min(t);
    // A few queries of heads that share their keys fit into one strip.
    let together = groups * height <= QUERIES;
    let strips = if together { 1 } else { groups };
    let mut blocks: Vec<_> =
        (0..t.div_ceil(height) * kv_heads).map(|block| (block, Vec::with_capacity(height))).collect();
    let out = &mut mixed.spare_capacity_mut()[..t * heads * d];
    for (index, rows) in out.chunks_exact_mut(groups * d).enumerate() {
        let (row, kv) = (index / kv_heads, index % kv_heads);
        blocks[row / height * kv_heads + kv].1.push(rows);
    }
    // The longest blocks come first, so that the threads end together.
    blocks.into_par_iter().rev().for_each_init(
        || K::new(strips, d),
        |kernel, (block, out)| {
            let (start, kv, rows) = (block / kv_heads * height, block % kv_heads, out.len());
            let query = |group: usize| &queries(kv * groups + group)[start * d..(start + rows) * d];
            if together {
                // [groups * rows, d]
                let queries: Vec<f32> = (0..groups).flat_map(query).copied().collect();
                kernel.begin([&queries[..]].into_iter());
            } else {
                kernel.begin((0..groups).map(query));
            }
            let strip_rows = if together { groups * rows } else { rows };
            meet(kernel, Block { view, kv, start, rows, strip_rows });
            for (row, out) in out.into_iter().enumerate() {
                for (group, out) in out.chunks_exact_mut(d).enumerate() {
                    let (strip, row) = if together { (0, group * rows + row) } else { (group, row) };
                    kernel.finish(strip, row, |level| view.sink(kv * groups + group, level), out);
                }
            }
        },
    );
    // SAFETY: there is room for them, and every row of every head was written.
    unsafe { mixed.set_len(t * heads * d) };
    Tensor::from_vec(mixed, (t, heads * d), &Device::Cpu)
}
