//! The rows of a chunk in blocks, each of which one thread takes through half a layer.
//!
//! A thread that has a block to itself finds its numbers in its own cache from one operation to the next, and
//! threads meet twice a layer instead of after every operation: a thread that waits is one that the system
//! may take away.

use std::ops::Range;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use rayon::prelude::*;

use super::spent::Spent;
use crate::error::Result;

/// Rows of a block where weights are packed for the kernels of the CPU: enough to use a strip of weights
/// while it is in the first-level cache, and few enough that the threads end together.
const ROWS: usize = 128;

/// A block of the rows of a chunk.
pub(super) struct RowBlock {
    /// Its rows, counted from the first of the chunk.
    pub(super) rows: Range<usize>,
    /// Their residual stream.
    pub(super) x: Tensor, // [rows, hidden]
    /// All of their streams, where there are several: `x` is the first.
    pub(super) streams: Vec<Tensor>, // [rows, hidden] each
    /// Cosines and sines of each of the decoder's rotary rules.
    pub(super) tables: Vec<RopeTable>,
    /// What layers are given of each token besides.
    pub(super) per_layer: Option<Tensor>, // [rows, layers * width]
}

/// Cosines and sines, `[rows, rotary_dim / 2]` each.
pub(super) type RopeTable = (Tensor, Tensor);

/// The residual stream `x` `[t, hidden]`, its `tables` and what `per_layer` gives, in blocks; in a single one
/// unless `packed` for the CPU.
pub(super) fn split(
    x: &Tensor,
    tables: &[RopeTable],
    per_layer: Option<&Tensor>,
    packed: bool,
) -> candle_core::Result<Vec<RowBlock>> {
    let t = x.dim(0)?;
    let height = if packed { ROWS } else { t };
    let block = |first| {
        let rows = first..t.min(first + height);
        let part = |tensor: &Tensor| tensor.narrow(0, first, rows.len());
        let tables = tables.iter().map(|(cos, sin)| Ok((part(cos)?, part(sin)?)));
        Ok(RowBlock {
            tables: tables.collect::<candle_core::Result<_>>()?,
            x: part(x)?,
            streams: Vec::new(),
            per_layer: per_layer.map(part).transpose()?,
            rows,
        })
    };
    (0..t).step_by(height.max(1)).map(block).collect()
}

/// The last `count` rows of the residual stream: `[count, hidden]`.
pub(super) fn last(blocks: &[RowBlock], count: usize) -> candle_core::Result<Tensor> {
    let t = blocks.last().map_or(0, |block| block.rows.end);
    let first = t - count;
    let from = blocks.iter().position(|block| block.rows.end > first).unwrap_or(blocks.len() - 1);
    let held = blocks[from..].iter().map(|block| &block.x).collect::<Vec<_>>();
    Tensor::cat(&held, 0)?.narrow(0, first - blocks[from].rows.start, count)
}

/// What `work` makes of each of `items`, on all threads. The wall time of it all is divided among the parts
/// of `spent` as the times of the threads are.
pub(super) fn each<T: Send, U: Send>(
    items: Vec<T>,
    spent: &mut Spent,
    work: impl Fn(T, &mut Spent) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    if items.len() < 2 {
        return items.into_iter().map(|item| work(item, spent)).collect();
    }
    let started = Instant::now();
    let timed = |item| {
        let (started, mut spent) = (Instant::now(), Spent::default());
        work(item, &mut spent).map(|done| (done, spent, started.elapsed()))
    };
    let done = items.into_par_iter().map(timed).collect::<Result<Vec<_>>>()?;
    let all: Duration = done.iter().map(|(_, _, all)| *all).sum();
    let share = started.elapsed().as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
    for (_, of_block, _) in &done {
        spent.attention += of_block.attention.mul_f64(share);
        spent.linear += of_block.linear.mul_f64(share);
    }
    Ok(done.into_iter().map(|(done, _, _)| done).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn blocks_hold_every_row_once_and_give_the_last_ones_back() {
        let t = 2 * ROWS + 5;
        let x = Tensor::arange(0f32, t as f32, &Device::Cpu).unwrap().reshape((t, 1)).unwrap();
        for (packed, count) in [(true, 3), (false, 1)] {
            let blocks = split(&x, &[(x.clone(), x.clone())], None, packed).unwrap();
            assert_eq!(blocks.len(), count);
            let rows: Vec<usize> = blocks.iter().flat_map(|block| block.rows.clone()).collect();
            assert_eq!(rows, (0..t).collect::<Vec<_>>());
            for kept in [0, 1, 5, 6, t] {
                let last = last(&blocks, kept).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(last, (t - kept..t).map(|row| row as f32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_time_of_blocks_adds_up_to_no_more_than_the_wall_time() {
        let mut spent = Spent::default();
        let started = Instant::now();
        let squares = each((0..50u64).collect(), &mut spent, |number, spent| {
            Ok(spent.on_linear(|| (0..20_000u64).fold(number, |a, b| std::hint::black_box(a ^ b))))
        });
        assert_eq!(squares.unwrap().len(), 50);
        assert!(spent.linear > Duration::ZERO && spent.linear <= started.elapsed());
    }
}
