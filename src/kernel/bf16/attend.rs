//! Attention of 32 queries, page by page, with an online normaliser (arXiv 1805.02867, arXiv 2205.14135).
//!
//! Everything is transposed, so that queries lie side by side in a register: scores `[keys, queries]` are
//! keys times queries, `z = K qᵀ`; weights `exp(z - max)` go back to bf16; the mix `[d, queries]` is values
//! times weights, `o = Vᵀ p`. Numbers are rounded to bf16, or are sums of parts in bf16 ([`super::parts`]).

use std::mem::MaybeUninit;

use super::packed::{STEP, STRIP, TILE_ROWS, Tile, pack_strip};
use super::page::{PAGE, Page};
use super::weigh::{Running, Visible, weigh};
use super::{Block, Kernel, Out, kernel};
use crate::kernel::lines::Lines;
use crate::kernel::rescale::rescale;

/// Keys whose scores are kept at once.
pub(super) const KEYS: usize = 128;
const BLOCKS: usize = KEYS / STRIP;

/// The scores of some keys, and the weights made of them.
#[repr(C, align(64))]
struct Scratch<const PARTS: usize> {
    scores: [Block; BLOCKS],               // [keys, queries]
    weights: [[[Tile; 2]; BLOCKS]; PARTS], // [pairs of keys, queries, 2] each
}

/// Up to 32 queries that share their keys, and what they have gathered so far.
struct Strip<const PARTS: usize> {
    d: usize,
    rows: usize,
    queries: [Vec<[Tile; 2]>; PARTS], // [steps of d] each
    mixed: Lines,                     // [d, queries]; what it holds counts only when not fresh
    fresh: bool,
    running: Running,
}

impl<const PARTS: usize> Strip<PARTS> {
    fn new(d: usize) -> Self {
        Self {
            d,
            rows: 0,
            queries: std::array::from_fn(|_| vec![[Tile::ZERO; 2]; d.div_ceil(STEP)]),
            mixed: Lines::zeros(d.next_multiple_of(STRIP)),
            fresh: true,
            running: Running::default(),
        }
    }

    /// Begins anew with `queries` `[rows, d]`, scaled.
    fn begin(&mut self, queries: &[f32]) {
        self.rows = queries.len() / self.d;
        if self.rows < STRIP {
            self.queries.iter_mut().for_each(|tiles| tiles.fill([Tile::ZERO; 2]));
        }
        pack_strip(self.queries.each_mut().map(|tiles| &mut tiles[..]), queries, self.d);
        self.fresh = true;
        self.running = Running::default();
    }
}

/// Room for the attention of some strips at a time, of numbers that are rounded to bf16.
pub(crate) type Attention = AttentionInParts<1>;

/// The same of numbers in so many parts.
pub(crate) struct AttentionInParts<const PARTS: usize> {
    kernel: Kernel,
    strips: Vec<Strip<PARTS>>,
    begun: usize,
    scratch: Box<Scratch<PARTS>>,
}

impl<const PARTS: usize> AttentionInParts<PARTS> {
    /// Queries in a strip.
    pub(crate) const QUERIES: usize = STRIP;

    /// Room for `strips` strips of queries of `d` numbers.
    pub(crate) fn new(strips: usize, d: usize) -> Self {
        let scores = [[[0.0; STRIP]; 2 * TILE_ROWS]; BLOCKS];
        let scratch = Scratch { scores, weights: [[[Tile::ZERO; 2]; BLOCKS]; PARTS] };
        Self {
            kernel: kernel(),
            strips: (0..strips).map(|_| Strip::new(d)).collect(),
            begun: 0,
            scratch: Box::new(scratch),
        }
    }

    /// Begins with strips of up to 32 `queries` each, `[rows, d]`, scaled.
    pub(crate) fn begin<'q>(&mut self, queries: impl Iterator<Item = &'q [f32]>) {
        self.begun = 0;
        for (strip, queries) in self.strips.iter_mut().zip(queries) {
            strip.begin(queries);
            self.begun += 1;
        }
    }

    /// Lets every strip meet a page, given by its parts: `visible` says what its queries, the same positions
    /// in all strips, see of it, and `hidden` what of that is kept from them.
    pub(crate) fn meet(
        &mut self,
        page: [&Page; PARTS],
        softcap: Option<f32>,
        visible: &Visible,
        hidden: &[Visible],
    ) {
        (self.kernel.begin)();
        for strip in &mut self.strips[..self.begun] {
            meet(self.kernel, strip, page, (visible, hidden), softcap, &mut self.scratch);
        }
        (self.kernel.end)();
    }

    /// Writes the values that query `row` of strip `strip` has mixed, `[d]`. `sink(level)` is what its
    /// normaliser holds besides its keys, relative to `exp(level)`.
    pub(crate) fn finish(
        &self,
        strip: usize,
        row: usize,
        sink: impl Fn(f32) -> f32,
        mixed: &mut [MaybeUninit<f32>],
    ) {
        let strip = &self.strips[strip];
        let factor = 1.0 / (strip.running.sum[row] + sink(strip.running.level[row]));
        for (j, x) in mixed.iter_mut().enumerate() {
            x.write(strip.mixed[j][row] * factor);
        }
    }

    /// The scores of the 32 keys of `page` from `32 * index` on with the first strip, `[keys, queries]`.
    pub(crate) fn scores(&mut self, page: [&Page; PARTS], index: usize) -> &Block {
        let block = &mut self.scratch.scores[0];
        let queries = self.strips[0].queries.each_ref().map(|tiles| &tiles[..]);
        (self.kernel.begin)();
        self.kernel.multiply_parts(page.map(|page| page.keys(index)), queries, Out::block(block), false);
        (self.kernel.end)();
        block
    }
}

fn meet<const PARTS: usize>(
    kernel: Kernel,
    strip: &mut Strip<PARTS>,
    page: [&Page; PARTS],
    (visible, hidden): (&Visible, &[Visible]),
    softcap: Option<f32>,
    scratch: &mut Scratch<PARTS>,
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
            let keys = page.map(|page| page.keys(from / STRIP + block));
            let queries = strip.queries.each_ref().map(|tiles| &tiles[..]);
            kernel.multiply_parts(keys, queries, Out::block(scores), false);
        }
        let here = |keys: &Visible| Visible {
            start: keys.start.map(|x| x - start),
            end: keys.end.map(|x| x - start),
        };
        let hidden: Vec<Visible> = hidden.iter().map(here).collect();
        let factor = weigh(
            &mut scratch.scores[..blocks],
            scratch.weights.each_mut().map(|tiles| &mut tiles[..blocks]),
            (&here(visible), &hidden),
            softcap,
            &mut strip.running,
        );
        for (index, mixed) in strip.mixed.as_chunks_mut::<STRIP>().0.iter_mut().enumerate() {
            if !strip.fresh {
                rescale(mixed, &factor);
            }
            let values = page.map(|page| page.values(index, from / STEP, blocks));
            let weights = scratch.weights.each_ref().map(|tiles| &tiles[..blocks]);
            kernel.multiply_parts(values, weights, Out::block(mixed), !strip.fresh);
        }
        strip.fresh = false;
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
                pages[j / PAGE].fill(j % PAGE, &k[j * d..][..d], &v[j * d..][..d], d);
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
            let mut attention = Attention::new(1, d);
            attention.begin([&queries[..]].into_iter());
            for (number, page) in pages.iter().enumerate() {
                attention.meet([page], cap, &visible(number), &[]);
            }
            let rounded: Vec<Vec<f32>> = (0..keys).map(|j| pages[j / PAGE].key(j % PAGE).collect()).collect();
            for row in 0..rows {
                let mut found = vec![MaybeUninit::new(0.0); d];
                attention.finish(0, row, |_| 0.0, &mut found);
                let query: Vec<f32> =
                    queries[row * d..][..d].iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
                let expected = exact(&query, &rounded, &v, cap, seen(row));
                for (found, expected) in found.iter().zip(&expected) {
                    // SAFETY: it was there from the beginning.
                    let found = unsafe { found.assume_init() };
                    let off = (f64::from(found) - expected).abs();
                    // Values and weights are rounded to bf16: to 2^-9 of numbers up to 1.
                    assert!(off < 4.0 / 512.0, "{d} wide, row {row}: {found} instead of {expected}");
                }
            }
        }
    }
}
