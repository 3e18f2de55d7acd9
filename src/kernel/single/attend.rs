//! Attention in f32 of 32 queries, some keys at a time, with an online normaliser (arXiv 1805.02867, arXiv
//! 2205.14135).
//!
//! Everything is transposed, so that queries lie side by side in a register: scores `[keys, queries]` are
//! keys times queries, `z = K qᵀ`; the mix `[d, queries]` is values times weights, `o = Vᵀ p`. Keys and
//! values are read as they lie in a cache, `[keys, d]`.

use std::mem::MaybeUninit;

use super::{Kernel, Out, ROWS, Rows, STRIP, kernel};
use crate::kernel::bf16::Visible;
use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;
use crate::kernel::lines::Lines;
use crate::kernel::rescale::rescale;
use crate::kernel::screening::tanh;

/// Keys that are met at once, at most: their scores stay in the first-level cache.
pub(crate) const KEYS: usize = 120;

/// One number a query.
pub(crate) type Lanes = [f32; STRIP];

/// The largest score of each query so far, and the sum of its weights relative to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running {
    largest: Lanes,
    sum: Lanes,
}

impl Default for Running {
    fn default() -> Self {
        Self { largest: [f32::NEG_INFINITY; STRIP], sum: [0.0; STRIP] }
    }
}

/// Up to 32 queries that share their keys, and what they have gathered so far.
struct Strip {
    queries: Lines, // [d, queries]
    mixed: Lines,   // [d, queries]
    running: Running,
}

/// Room for the attention of some strips at a time.
pub(crate) struct Attention {
    kernel: Kernel,
    d: usize,
    strips: Vec<Strip>,
    begun: usize,
    scores: Lines, // [keys, queries]
}

impl Attention {
    /// Room for `strips` strips of queries of `d` numbers.
    pub(crate) fn new(strips: usize, d: usize) -> Self {
        let strip =
            || Strip { queries: Lines::zeros(d), mixed: Lines::zeros(d), running: Running::default() };
        Self {
            kernel: kernel(),
            d,
            strips: (0..strips).map(|_| strip()).collect(),
            begun: 0,
            scores: Lines::zeros(KEYS),
        }
    }

    /// Begins with strips of up to 32 `queries` each, `[rows, d]`, scaled.
    pub(crate) fn begin<'q>(&mut self, queries: impl Iterator<Item = &'q [f32]>) {
        self.begun = 0;
        for (strip, queries) in self.strips.iter_mut().zip(queries) {
            strip.queries.fill([0.0; STRIP]);
            for (row, query) in queries.chunks_exact(self.d).enumerate() {
                strip.queries.iter_mut().zip(query).for_each(|(lanes, number)| lanes[row] = *number);
            }
            strip.mixed.fill([0.0; STRIP]);
            strip.running = Running::default();
            self.begun += 1;
        }
    }

    /// Lets every strip meet up to [`KEYS`] keys with their values, `[keys, d]` both; `visible` is what its
    /// queries, the same positions in all strips, see of them.
    pub(crate) fn meet(&mut self, keys: &[f32], values: &[f32], softcap: Option<f32>, visible: &Visible) {
        let d = self.d;
        let count = keys.len() / d;
        let scores = &mut self.scores[..count];
        for strip in &mut self.strips[..self.begun] {
            multiply(self.kernel, keys, [d, 1], count, &strip.queries, scores, false);
            if let Some(softcap) = softcap {
                cap(scores, softcap);
            }
            let keys = count as i32;
            if visible.start.iter().any(|&start| start > 0) || visible.end.iter().any(|&end| end < keys) {
                hide(scores, visible);
            }
            let factor = weigh(scores, &mut strip.running);
            rescale(&mut strip.mixed, &factor);
            multiply(self.kernel, values, [1, d], d, scores, &mut strip.mixed, true);
        }
    }

    /// Writes the values that query `row` of strip `strip` has mixed, `[d]`. `sink(largest)` is what its
    /// normaliser holds besides its keys, relative to `exp(largest)`.
    pub(crate) fn finish(
        &self,
        strip: usize,
        row: usize,
        sink: impl Fn(f32) -> f32,
        mixed: &mut [MaybeUninit<f32>],
    ) {
        let strip = &self.strips[strip];
        let sum = strip.running.sum[row] + sink(strip.running.largest[row]);
        for (x, lanes) in mixed.iter_mut().zip(&*strip.mixed) {
            x.write(lanes[row] / sum);
        }
    }
}

/// `out [count, 32] = x · strip`, or that added to it, for `count` rows of numbers that stand
/// `[stride, step]` apart from row to row and within a row.
fn multiply(
    kernel: Kernel,
    x: &[f32],
    [stride, step]: [usize; 2],
    count: usize,
    strip: &[Lanes],
    out: &mut [Lanes],
    add: bool,
) {
    assert!(count <= out.len(), "a row for each");
    // Blocks of about the same height: a low one waits for its own sums.
    let height = count.div_ceil(count.div_ceil(ROWS).max(1)).max(1);
    for first in (0..count).step_by(height) {
        let rows = Rows { numbers: &x[first * stride..], stride, step, count: height.min(count - first) };
        let out = Out { first: out[first..].as_mut_ptr().cast(), stride: STRIP };
        // SAFETY: `out` has a row for each, by the assertion above.
        unsafe { kernel.multiply(rows, strip, out, add) };
    }
}

for_every_instruction_set! {
    /// Scores `z` to `c tanh(z / c)`.
    fn cap = cap_plain(scores: &mut [Lanes], softcap: f32)
}

#[inline(always)]
fn cap_plain(scores: &mut [Lanes], softcap: f32) {
    for z in scores.as_flattened_mut() {
        *z = softcap * tanh(*z / softcap);
    }
}

for_every_instruction_set! {
    /// Puts the scores of keys that are not seen to minus infinity.
    fn hide = hide_plain(scores: &mut [Lanes], visible: &Visible)
}

#[inline(always)]
fn hide_plain(scores: &mut [Lanes], visible: &Visible) {
    for (key, row) in (0i32..).zip(scores) {
        for ((z, start), end) in row.iter_mut().zip(&visible.start).zip(&visible.end) {
            *z = if key >= *start && key < *end { *z } else { f32::NEG_INFINITY };
        }
    }
}

for_every_instruction_set! {
    /// Turns scores `[keys, queries]` into `exp(z - largest)` and takes them into the running numbers; the
    /// factors that come back bring what was summed before to the new maximum.
    fn weigh = weigh_plain(scores: &mut [Lanes], running: &mut Running) -> Lanes
}

#[inline(always)]
fn weigh_plain(scores: &mut [Lanes], running: &mut Running) -> Lanes {
    let mut largest = running.largest;
    for row in &*scores {
        for (largest, z) in largest.iter_mut().zip(row) {
            *largest = if *z > *largest { *z } else { *largest };
        }
    }
    // A query that has seen no key yet keeps its sum of 0, whatever is subtracted.
    let level = largest.map(|largest| if largest == f32::NEG_INFINITY { 0.0 } else { largest });
    let mut factor = [0.0; STRIP];
    for ((factor, before), level) in factor.iter_mut().zip(&running.largest).zip(&level) {
        *factor = exp(before - level);
    }
    // Two sums, of even and of odd keys: one waits for its addition while the other is added to.
    let mut sums = [[0f32; STRIP]; 2];
    let weigh = |row: &mut Lanes, sum: &mut Lanes| {
        for ((z, level), sum) in row.iter_mut().zip(&level).zip(sum) {
            *z = exp(*z - level);
            *sum += *z;
        }
    };
    let (pairs, last) = scores.as_chunks_mut::<2>();
    for [even, odd] in pairs {
        weigh(even, &mut sums[0]);
        weigh(odd, &mut sums[1]);
    }
    last.iter_mut().for_each(|row| weigh(row, &mut sums[0]));
    for (lane, sum) in running.sum.iter_mut().enumerate() {
        *sum = *sum * factor[lane] + (sums[0][lane] + sums[1][lane]);
    }
    running.largest = largest;
    factor
}

#[cfg(test)]
mod tests {
    use super::super::kernels;
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::rescale::rescale_plain;
    use crate::rng::Rng;

    fn lanes(rng: &mut Rng, rows: usize, scale: f64) -> Vec<Lanes> {
        numbers(rng, rows * STRIP, scale).as_chunks().0.to_vec()
    }

    #[test]
    fn every_instruction_set_weighs_caps_and_hides_to_the_same_bits() {
        let mut rng = Rng::new(41);
        let given = lanes(&mut rng, 37, 60.0);
        let visible = Visible { start: [3; STRIP], end: [31; STRIP] };
        let (mut fast, mut plain) = (given.clone(), given);
        cap(&mut fast, 50.0);
        cap_plain(&mut plain, 50.0);
        hide(&mut fast, &visible);
        hide_plain(&mut plain, &visible);
        assert_eq!(fast, plain);
        let (mut a, mut b) = (Running::default(), Running::default());
        for _ in 0..2 {
            let (mut fast, mut plain) = (fast.clone(), plain.clone());
            let factors = (weigh(&mut fast, &mut a), weigh_plain(&mut plain, &mut b));
            rescale(&mut fast, &factors.0);
            rescale_plain(&mut plain, &factors.1);
            assert_eq!((fast, &a, factors.0), (plain, &b, factors.1));
        }
    }

    #[test]
    fn attention_is_the_same_to_the_bit_on_every_kernel_and_right() {
        let mut rng = Rng::new(43);
        for (d, rows, counts) in [(64, 32, &[KEYS, KEYS, 40][..]), (7, 3, &[5, 1]), (20, 1, &[KEYS])] {
            let queries = numbers(&mut rng, rows * d, 0.25);
            let total: usize = counts.iter().sum();
            let (keys, values) = (numbers(&mut rng, total * d, 1.0), numbers(&mut rng, total * d, 1.0));
            let end = |row: usize| (total - rows + row + 1) as i32;
            let mut all = Vec::new();
            for kernel in kernels() {
                let mut attention = Attention { kernel, ..Attention::new(1, d) };
                attention.begin([&queries[..]].into_iter());
                let mut first = 0;
                for &count in counts {
                    let ends = std::array::from_fn(|row| end(row.min(rows - 1)) - first as i32);
                    let part = first * d..(first + count) * d;
                    let visible = Visible { start: [0; STRIP], end: ends };
                    attention.meet(&keys[part.clone()], &values[part], None, &visible);
                    first += count;
                }
                let mut mixed = vec![MaybeUninit::new(0f32); rows * d];
                for (row, mixed) in mixed.chunks_exact_mut(d).enumerate() {
                    attention.finish(0, row, |_| 0.0, mixed);
                }
                // SAFETY: they began as numbers.
                all.push(mixed.iter().map(|x| unsafe { x.assume_init() }).collect::<Vec<f32>>());
            }
            assert!(all.iter().all(|mixed| *mixed == all[0]), "{d} {rows}");
            for (row, query) in queries.chunks_exact(d).enumerate() {
                let dot = |key: &[f32]| {
                    query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>()
                };
                let weights: Vec<f64> =
                    keys.chunks_exact(d).take(end(row) as usize).map(|key| dot(key).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for j in 0..d {
                    let mix: f64 =
                        weights.iter().zip(values.chunks_exact(d)).map(|(w, v)| w * f64::from(v[j])).sum();
                    assert!((f64::from(all[0][row * d + j]) - mix / sum).abs() < 2e-6, "{d} {rows}");
                }
            }
        }
    }
}
