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

/// Rows of a prompt that are multiplied at once.
const ROWS: usize = 512;

/// How often each form takes its turn; the fastest counts.
const ROUNDS: usize = 3;

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
    let [expanded, kept] = seconds(&sample, weights.dtype(), 1)?;
    let part = |blocks: &Arc<Blocks>| first_rows(blocks, blocks.shape()[0] / PART);
    let part: Vec<_> = sample.iter().filter_map(part).collect();
    let of_part: usize = part.iter().map(|blocks| size(blocks)).sum();
    let [expanded_prefill, kept_prefill] = seconds(&part, weights.dtype(), ROWS)?;
    let speed = |prefill: Duration, decode: Duration| FormSpeed {
        prefill: prefill.as_secs_f64() * 1e9 / (of_part * ROWS) as f64,
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

/// The least time that `rows` rows take through all matrices: expanded, and as they are. Both take turns, so
/// that neither finds its own in the cache, and a machine that is slower for a while is so for both.
fn seconds(sample: &[Arc<Blocks>], dtype: Dtype, rows: usize) -> Result<[Duration; 2]> {
    let inputs: BTreeMap<usize, Tensor> = sample
        .iter()
        .map(|blocks| blocks.shape()[1])
        .map(|width| Ok((width, Tensor::full(0.5f32, (rows, width), &Device::Cpu)?)))
        .collect::<candle_core::Result<_>>()?; // [rows, in] each
    let maps = |form: &dyn Fn(&Arc<Blocks>) -> candle_core::Result<Matrix>| {
        let map = |blocks: &Arc<Blocks>| Linear::of(&form(blocks)?, None, dtype);
        sample.iter().map(map).collect::<candle_core::Result<Vec<_>>>()
    };
    let forms = [
        maps(&|blocks| Ok(Matrix::Numbers(Matrix::Blocks(blocks.clone()).numbers()?)))?,
        maps(&|blocks| Ok(Matrix::Blocks(blocks.clone())))?,
    ];
    let mut least = [Duration::MAX; 2];
    // On a thread of the pool, as decoders compute.
    rayon::scope(|_| {
        // The first round warms up.
        for round in 0..=ROUNDS {
            for (maps, least) in forms.iter().zip(&mut least) {
                let started = Instant::now();
                for (map, blocks) in maps.iter().zip(sample) {
                    map.forward(&inputs[&blocks.shape()[1]])?; // [rows, out]
                }
                if round > 0 {
                    *least = started.elapsed().min(*least);
                }
            }
        }
        Ok(least)
    })
}
