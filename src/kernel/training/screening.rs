//! The screen of a tile with its backward pass (Multiscreen, arXiv 2604.01178): of a similarity `s` and the
//! softmask `m` of the distance, trim `a = max(1 - (1 - s) / r, 0)` and relevance `a² m`; and the gate of
//! what a tile gives.

use std::ops::Range;

use crate::kernel::gated::sigmoid;
use crate::kernel::screening::tanh;
use crate::kernel::{LANES, for_every_instruction_set};

/// What a tile screens with.
#[derive(Clone, Copy)]
pub(crate) struct Screen<'a> {
    /// Softmasks `m` by distance, the nearest last.
    pub(crate) mask: &'a [f32],
    /// Their derivatives by the tile's window parameter `s_w`.
    pub(crate) slope: &'a [f32],
    /// `1 / r`.
    pub(crate) inverse_r: f32,
}

for_every_instruction_set! {
    /// Turns rows of similarities into `a` and writes `a² m` to `relevance`; keys outside of `visible`, one
    /// range a row whose last key is the row's own, get 0.
    fn screen_rows = screen_rows_plain(
        similarities: &mut [f32],
        width: usize,
        visible: &[Range<usize>],
        screen: Screen<'_>,
        relevance: &mut [f32])
}

#[inline(always)]
fn screen_rows_plain(
    similarities: &mut [f32],
    width: usize,
    visible: &[Range<usize>],
    screen: Screen<'_>,
    relevance: &mut [f32],
) {
    let rows = similarities.chunks_exact_mut(width).zip(relevance.chunks_exact_mut(width));
    for ((row, relevance), visible) in rows.zip(visible) {
        for outside in [0..visible.start, visible.end..width] {
            row[outside.clone()].fill(0.0);
            relevance[outside].fill(0.0);
        }
        let mask = &screen.mask[screen.mask.len() - visible.len()..];
        let row = row[visible.clone()].iter_mut().zip(&mut relevance[visible.clone()]);
        for ((s, relevance), m) in row.zip(mask) {
            let a = 1.0 - (1.0 - *s) * screen.inverse_r;
            let a = if a > 0.0 { a } else { 0.0 };
            *s = a;
            *relevance = a * a * m;
        }
    }
}

for_every_instruction_set! {
    /// Turns the gradient `d` of relevances into that of similarities, and adds to `sums` what belongs to
    /// `r`, divided by `1 / r`, and to `s_w`. `trims` are the `a` of [`screen_rows`]; where `a` is 0, so is
    /// the gradient. The relevances are written to `relevance` once more.
    fn screen_backward = screen_backward_plain(
        trims: &[f32],
        width: usize,
        visible: &[Range<usize>],
        screen: Screen<'_>,
        d: &mut [f32],
        relevance: &mut [f32],
        sums: &mut [f64; 2])
}

#[inline(always)]
fn screen_backward_plain(
    trims: &[f32],
    width: usize,
    visible: &[Range<usize>],
    screen: Screen<'_>,
    d: &mut [f32],
    relevance: &mut [f32],
    sums: &mut [f64; 2],
) {
    let rows = d.chunks_exact_mut(width).zip(relevance.chunks_exact_mut(width));
    for ((trims, (d, relevance)), visible) in trims.chunks_exact(width).zip(rows).zip(visible) {
        for outside in [0..visible.start, visible.end..width] {
            d[outside.clone()].fill(0.0);
            relevance[outside].fill(0.0);
        }
        let from = screen.mask.len() - visible.len();
        let (a, d) = (&trims[visible.clone()], &mut d[visible.clone()]);
        let (mask, slope) = (&screen.mask[from..], &screen.slope[from..]);
        for ((relevance, a), m) in relevance[visible.clone()].iter_mut().zip(a).zip(mask) {
            *relevance = a * a * m;
        }
        let mut lanes = [[0f32; LANES]; 2];
        let (a_chunks, a_rest) = a.as_chunks::<LANES>();
        let (d_chunks, d_rest) = d.as_chunks_mut::<LANES>();
        let (m_chunks, m_rest) = mask.as_chunks::<LANES>();
        let (n_chunks, n_rest) = slope.as_chunks::<LANES>();
        for (((a, d), m), n) in a_chunks.iter().zip(d_chunks).zip(m_chunks).zip(n_chunks) {
            for lane in 0..LANES {
                one(a[lane], &mut d[lane], m[lane], n[lane], screen.inverse_r, &mut lanes, lane);
            }
        }
        for (((a, d), m), n) in a_rest.iter().zip(d_rest).zip(m_rest).zip(n_rest) {
            one(*a, d, *m, *n, screen.inverse_r, &mut lanes, 0);
        }
        for (sum, lanes) in sums.iter_mut().zip(&lanes) {
            *sum += f64::from(lanes.iter().sum::<f32>());
        }
    }
}

/// Of one key: `da = 2 a m d`, `ds = da / r`, `dr = da (1 - s) / r² = da (1 - a) / r`.
#[inline(always)]
fn one(a: f32, d: &mut f32, m: f32, n: f32, inverse_r: f32, sums: &mut [[f32; LANES]; 2], lane: usize) {
    let da = 2.0 * a * m * *d;
    sums[0][lane] += da * (1.0 - a);
    sums[1][lane] += a * a * n * *d;
    *d = da * inverse_r;
}

for_every_instruction_set! {
    /// `out = f u tanh(silu(g))` of one row, with the factor `f` of the row and the tile.
    fn gate_row = gate_row_plain(u: &[f32], g: &[f32], factor: f32, out: &mut [f32])
}

#[inline(always)]
fn gate_row_plain(u: &[f32], g: &[f32], factor: f32, out: &mut [f32]) {
    for ((u, g), out) in u.iter().zip(g).zip(out) {
        *out = factor * u * tanh(g * sigmoid(*g));
    }
}

for_every_instruction_set! {
    /// Of the gradient `d` of [`gate_row`]: writes that of `u` in its place, without the factor, and that of
    /// `g` to `dg`.
    fn gate_backward = gate_backward_plain(u: &[f32], g: &[f32], factor: f32, d: &mut [f32], dg: &mut [f32])
}

#[inline(always)]
fn gate_backward_plain(u: &[f32], g: &[f32], factor: f32, d: &mut [f32], dg: &mut [f32]) {
    for (((u, g), d), dg) in u.iter().zip(g).zip(d).zip(dg) {
        let sigmoid = sigmoid(*g);
        let gate = tanh(g * sigmoid);
        let slope = (1.0 - gate * gate) * sigmoid * (1.0 + g * (1.0 - sigmoid));
        *dg = factor * u * slope * *d;
        *d *= gate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// The sum of the relevances of keys with these similarities, and its gradient by them and by `1 / r`.
    fn sum_and_gradient(similarities: &[f32], mask: &[f32], inverse_r: f32) -> (f64, Vec<f32>, f64) {
        let n = similarities.len();
        let (slope, visible) = (vec![0.0; n], [0..n]);
        let screen = Screen { mask, slope: &slope, inverse_r };
        let (mut trims, mut relevance) = (similarities.to_vec(), vec![0.0; n]);
        screen_rows(&mut trims, n, &visible, screen, &mut relevance);
        let sum = relevance.iter().map(|&x| f64::from(x)).sum();
        let (mut d, mut sums) = (vec![1.0; n], [0.0; 2]);
        screen_backward(&trims, n, &visible, screen, &mut d, &mut relevance, &mut sums);
        (sum, d, sums[0])
    }

    #[test]
    fn gradients_around_the_threshold_of_a_screen_are_finite_differences() {
        // With r = 1/2 keys pass from a similarity of 1/2 on: below it, at it, a little above, well above.
        let (threshold, inverse_r) = (0.5f32, 2.0f32);
        let mask = [1.0, 0.75, 0.5, 0.25];
        let similarities = [threshold - 0.01, threshold, threshold + 0.001, 0.9];
        let (_, by_similarity, by_r) = sum_and_gradient(&similarities, &mask, inverse_r);
        assert_eq!(by_similarity[..2], [0.0, 0.0], "nothing passes below the threshold or at it");
        for (key, found) in by_similarity.iter().enumerate() {
            let moved = |h: f32| {
                let mut similarities = similarities;
                similarities[key] += h;
                sum_and_gradient(&similarities, &mask, inverse_r).0
            };
            // a² has a second derivative that jumps from 0 to 2 / r² at the threshold.
            let h = 1f32 / 1024.0;
            let difference = (moved(h) - moved(-h)) / f64::from(2.0 * h);
            assert!((difference - f64::from(*found)).abs() < 0.01, "key {key}: {difference}, {found}");
        }
        // The sums are those of d / dr times r.
        let moved = |r: f64| sum_and_gradient(&similarities, &mask, (1.0 / r) as f32).0;
        let difference = (moved(0.5 + 1e-3) - moved(0.5 - 1e-3)) / 2e-3;
        assert!((difference * 0.5 - by_r).abs() < 2e-3, "{difference}, {by_r}");
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_hidden_keys_weigh_nothing() {
        let mut rng = Rng::new(5);
        let [mask, slope] = [(); 2].map(|()| numbers(&mut rng, 64, 1.0));
        let screen = Screen { mask: &mask, slope: &slope, inverse_r: 1.5 };
        let visible = [0..1, 3..40, 10..70];
        let (mut fast, mut d) = (numbers(&mut rng, 3 * 70, 1.0), numbers(&mut rng, 3 * 70, 1.0));
        let (mut plain, mut plain_d) = (fast.clone(), d.clone());
        let mut relevances = [(); 2].map(|()| vec![9.0; 3 * 70]);
        let mut sums = [[0.0; 2]; 2];
        screen_rows(&mut fast, 70, &visible, screen, &mut relevances[0]);
        screen_rows_plain(&mut plain, 70, &visible, screen, &mut relevances[1]);
        assert_eq!((&fast, &relevances[0]), (&plain, &relevances[1]));
        let mut again = [(); 2].map(|()| vec![9.0; 3 * 70]);
        screen_backward(&fast, 70, &visible, screen, &mut d, &mut again[0], &mut sums[0]);
        screen_backward_plain(&plain, 70, &visible, screen, &mut plain_d, &mut again[1], &mut sums[1]);
        assert_eq!((&d, sums[0], &again), (&plain_d, sums[1], &relevances));
        for (row, visible) in visible.iter().enumerate() {
            for key in (0..70).filter(|key| !visible.contains(key)) {
                assert_eq!((relevances[0][70 * row + key], d[70 * row + key]), (0.0, 0.0));
            }
        }
        let [u, g, d] = [(); 3].map(|()| numbers(&mut rng, 37, 3.0));
        let (mut fast, mut plain) = ([(); 3].map(|()| d.clone()), [(); 3].map(|()| d.clone()));
        let ([out, du, dg], [plain_out, plain_du, plain_dg]) = (&mut fast, &mut plain);
        gate_row(&u, &g, 0.7, out);
        gate_row_plain(&u, &g, 0.7, plain_out);
        gate_backward(&u, &g, 0.7, du, dg);
        gate_backward_plain(&u, &g, 0.7, plain_du, plain_dg);
        assert_eq!(fast, plain);
    }
}
