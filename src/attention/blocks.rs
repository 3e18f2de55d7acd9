//! The blocks of queries that attention on the CPU goes through, for kernels that take queries in strips.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::View;
use crate::kernel::bf16::{self, Visible};
use crate::kernel::single;

/// Queries in a strip.
pub(super) const QUERIES: usize = bf16::Attention::QUERIES;

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
    ($kernel:ty $(, $parts:ident)?) => {
        impl$(<const $parts: usize>)? Strips for $kernel {
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
strips!(bf16::AttentionInParts<PARTS>, PARTS);
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
    /// Those of the keys at these absolute positions that end before any that none of its queries sees any
    /// more; nothing where it sees none of them.
    pub(super) fn of_those(self, keys: Range<usize>) -> Option<Range<usize>> {
        let seen = self.seen();
        let keys = keys.start..keys.end.min(seen.end);
        (keys.start.max(seen.start) < keys.end).then_some(keys)
    }

    /// The absolute positions of keys that any of its queries sees.
    fn seen(self) -> Range<usize> {
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

/// Queries of all blocks that meet keys together: with so many, keys and values come from the cache most of
/// the time, whatever their number.
const QUERIES_TOGETHER: usize = 256;

/// Parts of the work for each thread at least, so that all end together.
const PARTS: usize = 4;

/// Blocks that meet keys together, of so many that share the keys of a head. No number depends on it: every
/// block meets the same keys in the same order.
fn together(groups: usize, blocks: usize, kv_heads: usize) -> usize {
    let parts = PARTS * rayon::current_num_threads();
    (QUERIES_TOGETHER / (groups * QUERIES)).min(blocks * kv_heads / parts).max(1)
}

/// Blocks of queries that each thread has where heads are taken together: enough for all threads to end
/// together, and tiles of few heads at a time.
const BLOCKS: usize = 8;

/// Heads of keys whose tiles are there at once for a chunk of `t` queries.
pub(super) fn heads_at_once(t: usize) -> usize {
    (BLOCKS * rayon::current_num_threads()).div_ceil(t.div_ceil(QUERIES).max(1))
}

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]`, some heads of keys after the other:
/// `mix` makes those of the queries that share the keys of such heads.
pub(super) fn by_heads(
    queries: &Tensor,
    kv_heads: usize,
    view: View<'_>,
    mix: impl Fn(Range<usize>, &Tensor, View<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let (heads, t, _) = queries.dims3()?;
    let (groups, at_once) = (heads / kv_heads, heads_at_once(t));
    let firsts = (0..kv_heads).step_by(at_once);
    let mixed = firsts.map(|first| {
        let kvs = first..kv_heads.min(first + at_once);
        let of_heads = kvs.start * groups..kvs.end * groups;
        let queries = queries.narrow(0, of_heads.start, of_heads.len())?; // [their heads, t, d]
        let view = View { sinks: view.sinks.map(|sinks| &sinks[of_heads]), ..view };
        mix(kvs, &queries, view) // [t, their heads * d]
    });
    Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, 1)
}

/// The rows of a block that are mixed.
struct Part<'o> {
    start: usize,
    out: Vec<&'o mut [MaybeUninit<f32>]>, // [rows][groups * d]
}

/// Mixed values `[t, heads * d]`, all written block by block on all threads: `queries(head)` are those of a
/// head, `[t, d]`, and `meet` lets the strips of some blocks, a kernel each, meet what they see.
pub(super) fn mixed<'q, K: Strips>(
    queries: impl Fn(usize) -> &'q [f32] + Sync,
    [heads, kv_heads, t, d]: [usize; 4],
    view: View<'_>,
    meet: impl Fn(&mut [K], &[Block<'_>]) + Sync,
) -> Result<Tensor> {
    let mut mixed = Vec::with_capacity(t * heads * d); // [t, heads * d]
    let groups = heads / kv_heads;
    let height = QUERIES.min(t);
    // A few queries of heads that share their keys fit into one strip.
    let in_one = groups * height <= QUERIES;
    let strips = if in_one { 1 } else { groups };
    let blocks = t.div_ceil(height);
    let together = together(groups, blocks, kv_heads);
    let mut work: Vec<(usize, Vec<Part<'_>>)> =
        (0..blocks.div_ceil(together) * kv_heads).map(|index| (index % kv_heads, Vec::new())).collect();
    let out = &mut mixed.spare_capacity_mut()[..t * heads * d];
    for (index, rows) in out.chunks_exact_mut(groups * d).enumerate() {
        let (row, kv) = (index / kv_heads, index % kv_heads);
        let (_, parts) = &mut work[row / (height * together) * kv_heads + kv];
        if row.is_multiple_of(height) {
            parts.push(Part { start: row, out: Vec::with_capacity(height) });
        }
        if let Some(part) = parts.last_mut() {
            part.out.push(rows);
        }
    }
    // The longest blocks come first, so that the threads end together.
    work.into_par_iter().rev().for_each_init(
        || (0..together).map(|_| K::new(strips, d)).collect::<Vec<_>>(),
        |kernels, (kv, parts)| {
            let kernels = &mut kernels[..parts.len()];
            for (kernel, part) in kernels.iter_mut().zip(&parts) {
                let rows = part.start..part.start + part.out.len();
                let query = |group: usize| &queries(kv * groups + group)[rows.start * d..rows.end * d];
                if in_one {
                    // [groups * rows, d]
                    let queries: Vec<f32> = (0..groups).flat_map(query).copied().collect();
                    kernel.begin([&queries[..]].into_iter());
                } else {
                    kernel.begin((0..groups).map(query));
                }
            }
            let block = |part: &Part<'_>| {
                let rows = part.out.len();
                let strip_rows = if in_one { groups * rows } else { rows };
                Block { view, kv, start: part.start, rows, strip_rows }
            };
            meet(kernels, &parts.iter().map(block).collect::<Vec<_>>());
            for (kernel, part) in kernels.iter().zip(parts) {
                let rows = part.out.len();
                for (row, out) in part.out.into_iter().enumerate() {
                    for (group, out) in out.chunks_exact_mut(d).enumerate() {
                        let (strip, row) = if in_one { (0, group * rows + row) } else { (group, row) };
                        kernel.finish(strip, row, |level| view.sink(kv * groups + group, level), out);
                    }
                }
            }
        },
    );
    // SAFETY: there is room for them, and every row of every head was written.
    unsafe { mixed.set_len(t * heads * d) };
    Tensor::from_vec(mixed, (t, heads * d), &Device::Cpu)
}

/// The absolute positions of keys that any query of some `blocks`, in the order of their positions, sees.
pub(super) fn seen_of(blocks: &[Block<'_>]) -> Range<usize> {
    let of = |block: Option<&Block<'_>>| block.map_or(0..0, |block| block.seen());
    of(blocks.first()).start..of(blocks.last()).end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Pages, Window, plain_view, strips};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn no_number_depends_on_how_many_blocks_meet_keys_together() {
        let mut rng = Rng::new(41);
        for (heads, kv_heads, d, s, t, window) in [
            (9, 3, 64, 900, 512, Window::Full),
            (4, 4, 16, 900, 500, Window::Sliding(130)),
            (4, 2, 8, 700, 300, Window::Chunked(170)),
        ] {
            let mut random = |heads: usize, rows: usize, scale: f64| {
                let numbers = numbers(&mut rng, heads * rows * d, scale);
                Tensor::from_vec(numbers, (heads, rows, d), &Device::Cpu).unwrap()
            };
            let queries = random(heads, t, 3.0);
            let (keys, values) = (random(kv_heads, s, 2.0), random(kv_heads, s, 1.0));
            let mut pages = Pages::new([kv_heads, d, s]);
            pages.write(0, &[(&keys, &values)]).unwrap();
            let view = plain_view(s - t, window);
            let given = s - view.first_key;
            let [keys, values] = [keys, values].map(|x| x.narrow(1, view.first_key, given).unwrap());
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mixed = [strips::mix(&queries, &keys, &values, view), pages.mix(&queries, view)];
                    let numbers = mixed.map(|x| x.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
                    (together(heads / kv_heads, t.div_ceil(QUERIES), kv_heads), numbers)
                })
            };
            let (many, alone) = on(1);
            let (one, apart) = on(64);
            assert!(many > 1 && one == 1, "{many} blocks with one thread, {one} with 64");
            assert!(alone == apart && alone == on(3).1, "{heads} heads, {window:?}");
        }
    }
}
