//! How fast a checkpoint's own matrices multiply: as numbers, and as their file has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::linear::Linear;
use crate::error::Result;
use crate::spec::Dtype;
use crate::weights::{Blocks, Matrix, Weights};

/// Numbers of the matrices that a single row is multiplied by: 64 MiB in f32, which few caches hold.
const SAMPLE: usize = 1 << 24;

/// Numbers of one of them at most, so that all kinds of matrices are among them.
const LARGEST: usize = 1 << 21;

/// The part of their rows that many rows are multiplied by, which takes about as long.
const PART: usize = 8;

/// Rows of a matrix at least: what kernels take at once.
const LEAST: usize = 32;

/// Rows of a prompt that are multiplied at once, where there is time for so many.
const ROWS: usize = 512;

/// The part of them that both forms warm up with, and the least that they are measured by.
const WARMING: usize = 16;

/// How often each form takes its turn; the fastest counts. Of fewer turns a machine whose speed swings tells
/// forms apart that are as fast.
const ROUNDS: usize = 6;

/// Time for the turns of both forms. A processor that takes longer is measured by fewer rows, both forms by
/// as many, and in one turn at least.
const LIMIT: Duration = Duration::from_secs(1);

/// Nanoseconds that a number of a matrix takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FormSpeed {
    /// For a row, where many rows of a prompt are multiplied at once.
    pub prefill: f64,
    /// For a row alone, as in decoding.
    pub decode: f64,
}

/// The speeds of both forms of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FormSpeeds {
    /// Of numbers of their dtype.
    pub expanded: FormSpeed,
    /// Of numbers of 16 bits, or blocks, as the file has them.
    pub kept: FormSpeed,
}

/// Measures the first of these matrices, given by name and shape `[out, in]`, as numbers of the dtype of
/// `weights` and as their file has them; `None` where none can be kept so.
///
/// # Errors
/// When they are damaged, or memory is out.
pub fn measure(weights: &Weights<'_>, matrices: &[(String, [usize; 2])]) -> Result<Option<FormSpeeds>> {
    let (mut sample, mut numbers) = (Vec::new(), 0);
    for (name, shape) in matrices {
        if numbers >= SAMPLE {
            break;
        }
        let Matrix::Blocks(blocks) = weights.matrix(name, *shape)? else { continue };
        let rows = LARGEST / blocks.shape()[1].max(1);
        sample.extend(first_rows(&blocks, rows).inspect(|blocks| numbers += size(blocks)));
    }
    if sample.is_empty() {
        return Ok(None);
    }
    let (_, [expanded, kept]) = Forms::of(&sample, weights.dtype())?.times(1)?;
    let part = |blocks: &Arc<Blocks>| first_rows(blocks, blocks.shape()[0] / PART);
    let part: Vec<_> = sample.iter().filter_map(part).collect();
    let of_part: usize = part.iter().map(|blocks| size(blocks)).sum();
    let (rows, [expanded_prefill, kept_prefill]) = Forms::of(&part, weights.dtype())?.times(ROWS)?;
    let speed = |prefill: Duration, decode: Duration| FormSpeed {
        prefill: prefill.as_secs_f64() * 1e9 / (of_part * rows) as f64,
        decode: decode.as_secs_f64() * 1e9 / numbers as f64,
    };
    Ok(Some(FormSpeeds { expanded: speed(expanded_prefill, expanded), kept: speed(kept_prefill, kept) }))
}

fn size(blocks: &Blocks) -> usize {
    blocks.shape().iter().product()
}

fn first_rows(blocks: &Blocks, rows: usize) -> Option<Arc<Blocks>> {
    blocks.rows(&[0..rows.max(LEAST).min(blocks.shape()[0])]).map(Arc::new)
}

/// The same matrices in both forms: expanded, and as they are.
struct Forms {
    maps: [Vec<Linear>; 2],
    /// What each matrix takes in.
    widths: Vec<usize>,
}

impl Forms {
    fn of(sample: &[Arc<Blocks>], dtype: Dtype) -> Result<Self> {
        let maps = |form: &dyn Fn(&Arc<Blocks>) -> candle_core::Result<Matrix>| {
            let map = |blocks: &Arc<Blocks>| Linear::of(&form(blocks)?, None, dtype);
            sample.iter().map(map).collect::<candle_core::Result<Vec<_>>>()
        };
        Ok(Self {
            maps: [
                maps(&|blocks| Ok(Matrix::Numbers(Matrix::Blocks(blocks.clone()).numbers()?)))?,
                maps(&|blocks| Ok(Matrix::Blocks(blocks.clone())))?,
            ],
            widths: sample.iter().map(|blocks| blocks.shape()[1]).collect(),
        })
    }

    /// The least time that rows take through all matrices in each form, and how many rows: `most`, or as many
    /// as there is time for. Both take turns, so that neither finds its own in the cache, and a machine that
    /// is slower for a while is so for both.
    fn times(&self, most: usize) -> Result<(usize, [Duration; 2])> {
        // On a thread of the pool, as decoders compute.
        rayon::scope(|_| {
            let started = Instant::now();
            let few = most.div_ceil(WARMING);
            self.turn(few)?;
            let rows = affordable(few, most, started.elapsed());
            let mut least = [Duration::MAX; 2];
            for _ in 0..ROUNDS {
                for (least, taken) in least.iter_mut().zip(self.turn(rows)?) {
                    *least = taken.min(*least);
                }
                if started.elapsed() > LIMIT {
                    break;
                }
            }
            Ok((rows, least))
        })
    }

    /// The time that each form takes for so many rows.
    fn turn(&self, rows: usize) -> Result<[Duration; 2]> {
        let inputs: BTreeMap<usize, Tensor> = self
            .widths
            .iter()
            .map(|&width| Ok((width, Tensor::full(0.5f32, (rows, width), &Device::Cpu)?)))
            .collect::<candle_core::Result<_>>()?; // [rows, in] each
        let mut times = [Duration::ZERO; 2];
        for (maps, time) in self.maps.iter().zip(&mut times) {
            let started = Instant::now();
            for (map, width) in maps.iter().zip(&self.widths) {
                map.forward(&inputs[width])?; // [rows, out]
            }
            *time = started.elapsed();
        }
        Ok(times)
    }
}

/// How many rows, of `most` and at least `few`, all turns have time for, where a turn of `few` took so long.
fn affordable(few: usize, most: usize, taken: Duration) -> usize {
    let turns = |rows: usize| taken.as_secs_f64() * (ROUNDS * rows) as f64 / few as f64;
    let mut rows = most;
    while rows / 2 >= few && turns(rows) > LIMIT.as_secs_f64() {
        rows /= 2;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_a_slow_processor_is_measured_by_fewer_rows() {
        let rows = |milliseconds| affordable(32, 512, Duration::from_millis(milliseconds));
        // 6 turns of 512 rows take 96 times as long.
        assert_eq!([1, 10, 11, 21, 42, 84, 300].map(rows), [512, 512, 256, 128, 64, 32, 32]);
        assert_eq!(affordable(1, 1, Duration::from_secs(9)), 1);
    }
}
