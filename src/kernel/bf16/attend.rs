//! Attention of 32 queries of one head, page by page, with an online normaliser (arXiv 1805.02867, arXiv 2205.14135).
//!
//! Everything is transposed, so that queries lie side by side in a register: scores `[keys, queries]` are keys times queries,
//! `z = K qᵀ`; weights `exp(z - max)` go back to bf16; the mix `[d, queries]` is values times weights, `o = Vᵀ p`.

use super::packed::{STEP, STRIP, TILE_ROWS, Tile, pack_strip, round};
use super::page::{PAGE, Page};
use super::{Block, Kernel, kernel};
use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;

/// Keys whose scores are kept at once.
const KEYS: usize = 128;
const BLOCKS: usize = KEYS / STRIP;

/// One number a query.
type Lanes = [f32; STRIP];

/// The scores of some keys, and the weights made of them.
struct Scratch {
    scores: [Block; BLOCKS],      // [keys, queries]
    weights: [[Tile; 2]; BLOCKS], // [pairs of keys, queries, 2]
}

/// Up to 32 queries of one head and what they have gathered so far.
pub(crate) struct Strip {
    d: usize,
    rows: usize,
    queries: Vec<[Tile; 2]>, // [steps of d]
    mixed: Vec<Block>,       // [d, queries]
    max: Lanes,
    sum: Lanes,
}

/// The keys of a page that each query sees: `start[q]..end[q]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible {
    pub(crate) start: [i32; STRIP],
    pub(crate) end: [i32; STRIP],
}

impl Strip {
    /// Queries in a strip.
    pub(crate) const QUERIES: usize = STRIP;

    /// `queries` `[rows, d]`, scaled.
    pub(crate) fn new(queries: &[f32], d: usize) -> Self {
        let mut packed = vec![[Tile::ZERO; 2]; d.div_ceil(STEP)];
        pack_strip(&mut packed, queries, d);
        Self {
            d,
            rows: queries.len() / d,
            queries: packed,
            mixed: vec![[[0.0; STRIP]; 2 * TILE_ROWS]; d.div_ceil(STRIP)],
            max: [f32::NEG_INFINITY; STRIP],
            sum: [0.0; STRIP],
        }
    }

    /// The values mixed, `[rows, d]`.
    pub(crate) fn finish(&self) -> Vec<f32> {
        let mixed = |row: usize, j: usize| self.mixed[j / STRIP][j % STRIP][row] / self.sum[row];
        (0..self.rows).flat_map(|row| (0..self.d).map(move |j| mixed(row, j))).collect()
    }
}

/// Lets every strip meet the pages in turn; `visible(page)` says what its queries, at the same positions in all strips, see of
/// it.
pub(crate) fn attend<'p>(
    strips: &mut [Strip],
    pages: impl Iterator<Item = &'p Page>,
    softcap: Option<f32>,
    visible: impl Fn(usize) -> Visible,
) {
    let kernel = kernel();
    let mut scratch = Box::new(Scratch {
        scores: [[[0.0; STRIP]; 2 * TILE_ROWS]; BLOCKS],
        weights: [[Tile::ZERO; 2]; BLOCKS],
    });
    (kernel.begin)();
    for (number, page) in pages.enumerate() {
        let visible = visible(number);
        for strip in strips.iter_mut() {
            meet(kernel, strip, page, visible, softcap, &mut scratch);
        }
    }
    (kernel.end)();
}

fn meet(
    kernel: Kernel,
    strip: &mut Strip,
    page: &Page,
    visible: Visible,
    softcap: Option<f32>,
    scratch: &mut Scratch,
) {
    let first = visible.start[..strip.rows].iter().copied().min().unwrap_or(0);
    let last = visible.end[..strip.rows].iter().copied().max().unwrap_or(0);
    for from in (0..PAGE).step_by(KEYS) {
        let (start, end) = (from as i32, (from + KEYS) as i32);
        if first >= end || last <= start {
            continue;
        }
        // Blocks past the last key seen would be all hidden.
        let blocks = (last.min(end) - start).unsigned_abs() as usize;
        let blocks = blocks.div_ceil(STRIP);
        for (block, scores) in scratch.scores[..blocks].iter_mut().enumerate() {
            (kernel.multiply)(page.keys(from / STRIP + block), &strip.queries, scores, false);
        }
        let here = Visible { start: visible.start.map(|x| x - start), end: visible.end.map(|x| x - start) };
        let mut factor = [0f32; STRIP];
        weigh(
            &mut scratch.scores[..blocks],
            &mut scratch.weights[..blocks],
            &here,
            softcap,
            &mut strip.max,
            &mut strip.sum,
            &mut factor,
        );
        for (index, mixed) in strip.mixed.iter_mut().enumerate() {
            for row in mixed.iter_mut() {
                row.iter_mut().zip(&factor).for_each(|(x, factor)| *x *= factor);
            }
            let values = page.values(index, from / STEP, blocks);
            (kernel.multiply)(values, &scratch.weights[..blocks], mixed, true);
        }
    }
}

for_every_instruction_set! {
    /// Turns scores into weights `exp(z - max)`, 0 for keys that are not seen, and keeps the running maximum and sum; `factor`
    /// brings what was summed before to the new maximum.
    fn weigh = weigh_plain(
        scores: &mut [Block],
        weights: &mut [[Tile; 2]],
        visible: &Visible,
        softcap: Option<f32>,
        max: &mut Lanes,
        sum: &mut Lanes,
        factor: &mut Lanes
    )
}

#[inline(always)]
fn weigh_plain(
    scores: &mut [Block],
    weights: &mut [[Tile; 2]],
    visible: &Visible,
    softcap: Option<f32>,
    max: &mut Lanes,
    sum: &mut Lanes,
    factor: &mut Lanes,
) {
    if let Some(cap) = softcap {
        scores.iter_mut().flatten().flatten().for_each(|z| *z = cap * (*z / cap).tanh());
    }
    let keys = (scores.len() * 2 * TILE_ROWS) as i32;
    let all = visible.start.iter().all(|&start| start <= 0) && visible.end.iter().all(|&end| end >= keys);
    if !all {
        for (key, row) in (0i32..).zip(scores.iter_mut().flatten()) {
            for ((z, start), end) in row.iter_mut().zip(&visible.start).zip(&visible.end) {
                *z = if key >= *start && key < *end { *z } else { f32::NEG_INFINITY };
            }
        }
    }
    let mut new = *max;
    for row in scores.iter().flatten() {
        for (max, &z) in new.iter_mut().zip(row) {
            *max = if z > *max { z } else { *max };
        }
    }
    // A query that has seen no key yet keeps its sum of 0, whatever is subtracted.
    let level = new.map(|max| if max == f32::NEG_INFINITY { 0.0 } else { max });
    for (factor, (old, new)) in factor.iter_mut().zip(max.iter().zip(&level)) {
        *factor = exp(*old - *new);
    }
    *max = new;
    sum.iter_mut().zip(&*factor).for_each(|(sum, factor)| *sum *= factor);
    for (block, tiles) in scores.iter().zip(weights) {
        let [left, right] = tiles;
        let pairs = left.0.as_chunks_mut::<{ 2 * TILE_ROWS }>().0.iter_mut();
        let pairs = pairs.zip(right.0.as_chunks_mut::<{ 2 * TILE_ROWS }>().0);
        for (rows, (left, right)) in block.as_chunks::<2>().0.iter().zip(pairs) {
            let mut rounded = [[0u16; STRIP]; 2];
            for (row, rounded) in rows.iter().zip(&mut rounded) {
                for (((z, level), sum), rounded) in
                    row.iter().zip(&level).zip(sum.iter_mut()).zip(rounded.iter_mut())
                {
                    let weight = exp(*z - *level);
                    *sum += weight;
                    *rounded = round(weight);
                }
            }
            for column in 0..TILE_ROWS {
                left[2 * column] = rounded[0][column];
                left[2 * column + 1] = rounded[1][column];
                right[2 * column] = rounded[0][TILE_ROWS + column];
                right[2 * column + 1] = rounded[1][TILE_ROWS + column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// Softmax attention of one query in f64.
    fn exact(
        query: &[f32],
        keys: &[Vec<f32>],
        values: &[f32],
        cap: Option<f32>,
        seen: std::ops::Range<usize>,
    ) -> Vec<f64> {
        let d = query.len();
        let score = |j: usize| {
            let z: f64 = query.iter().zip(&keys[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            cap.map_or(z, |cap| f64::from(cap) * (z / f64::from(cap)).tanh())
        };
        let max = seen.clone().map(score).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = seen.clone().map(|j| (score(j) - max).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mix =
            |i: usize| seen.clone().zip(&weights).map(|(j, w)| w * f64::from(values[j * d + i])).sum::<f64>();
        (0..d).map(|i| mix(i) / total).collect()
    }

    #[test]
    fn strips_that_meet_pages_give_softmax_attention() {
        let mut rng = Rng::new(29);
        for (d, keys, first, rows, window, cap) in [
            (64, 700, 668, 32, usize::MAX, None),
            (40, 300, 250, 20, usize::MAX, Some(3.0)),
            (5, 300, 295, 5, 70, None),
            (128, 257, 256, 1, usize::MAX, None),
            (16, 33, 1, 32, 9, Some(2.0)),
        ] {
            let queries = numbers(&mut rng, rows * d, 2.0);
            let (k, v) = (numbers(&mut rng, keys * d, 1.0), numbers(&mut rng, keys * d, 1.0));
            let mut pages = vec![Page::new(d); keys.div_ceil(PAGE)];
            for j in 0..keys {
                pages[j / PAGE].fill(j % PAGE, &k[j * d..][..d], &v[j * d..][..d]);
            }
            let seen = |row: usize| {
                let end = (first + row + 1).min(keys);
                end.saturating_sub(window)..end
            };
            let visible = |page: usize| {
                let place = |at: usize| at as i32 - (page * PAGE) as i32;
                let mut visible = Visible { start: [0; STRIP], end: [0; STRIP] };
                for row in 0..rows {
                    (visible.start[row], visible.end[row]) = (place(seen(row).start), place(seen(row).end));
                }
                visible
            };
            let mut strips = [Strip::new(&queries, d)];
            attend(&mut strips, pages.iter(), cap, visible);
            let found = strips[0].finish();
            let rounded: Vec<Vec<f32>> = (0..keys).map(|j| pages[j / PAGE].key(j % PAGE).collect()).collect();
            for row in 0..rows {
                let query: Vec<f32> =
                    queries[row * d..][..d].iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
                let expected = exact(&query, &rounded, &v, cap, seen(row));
                for (found, expected) in found[row * d..][..d].iter().zip(&expected) {
                    let off = (f64::from(*found) - expected).abs();
                    // Values and weights are rounded to bf16: to 2^-9 of numbers up to 1.
                    assert!(off < 4.0 / 512.0, "{d} wide, row {row}: {found} instead of {expected}");
                }
            }
        }
    }
}
