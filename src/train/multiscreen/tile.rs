//! One tile of one sequence with its backward pass, over blocks of queries and the keys within the window of
//! one of them.

use std::f64::consts::PI;
use std::ops::Range;

use super::workspace::{LayerActivations, TileActivations};
use super::{Layer, TrainableMultiscreen};
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::training::{
    Heads, Screen, dot_f64, gate_backward, gate_row, heads, heads_backward, screen_backward, screen_rows,
};

/// Queries of a block.
const BLOCK: usize = 64;

/// A block of queries.
pub(super) struct Block {
    queries: Range<usize>,
    /// Where its trims begin among those of a tile.
    start: usize,
}

impl Block {
    pub(super) fn all(rows: usize) -> Vec<Self> {
        let mut start = 0;
        let block = |first: usize| {
            let block = Self { queries: first..rows.min(first + BLOCK), start };
            start += block.room();
            block
        };
        (0..rows).step_by(BLOCK).map(block).collect()
    }

    /// Trims of the block when its window has no end.
    pub(super) fn room(&self) -> usize {
        self.queries.len() * self.queries.end
    }

    /// The keys that one of the queries has within a window of `reach` keys, and for each query those of its
    /// own, counted from the first.
    fn keys(&self, reach: usize) -> (Range<usize>, Vec<Range<usize>>) {
        let first = |row: usize| (row + 1).saturating_sub(reach);
        let keys = first(self.queries.start)..self.queries.end;
        let visible = self.queries.clone().map(|row| first(row) - keys.start..row + 1 - keys.start);
        (keys.clone(), visible.collect())
    }
}

/// `w = e^{sw} + 1`.
pub(super) fn window(sw: f32) -> f64 {
    f64::from(sw).exp() + 1.0
}

/// The learned numbers of a tile.
struct Numbers {
    window: f64,
    /// `1 / r = e^{sr} + 1`.
    inverse_r: f64,
    /// `e^{s_O}`.
    output: f64,
}

impl Numbers {
    fn of(layer: &Layer, tile: usize, p: &[f32]) -> Self {
        Self {
            window: window(p[layer.sw + tile]),
            inverse_r: f64::from(p[layer.sr + tile]).exp() + 1.0,
            output: f64::from(p[layer.s_o + tile]).exp(),
        }
    }

    /// Keys that a row has within the window: those at distances below `w`.
    fn reach(&self, rows: usize) -> usize {
        (self.window.ceil() as usize).clamp(1, rows)
    }

    /// What MiPE turns position 1 by, `pi gamma(w) / w`, and its derivative by `sw`.
    fn phase(&self, threshold: f64) -> (f64, f64) {
        let w = self.window;
        if w >= threshold {
            return (0.0, 0.0);
        }
        let (sin, cos) = (PI * w / threshold).sin_cos();
        let gamma = 0.5 * (cos + 1.0);
        let slope = -0.5 * sin * PI / threshold;
        (PI * gamma / w, PI * (slope / w - gamma / (w * w)) * (w - 1.0))
    }

    /// Softmasks `(cos(pi d / w) + 1) / 2` of distances `d < w` and their derivatives by `sw`, the nearest
    /// last; 0 beyond.
    fn softmask(&self, now: &mut TileActivations) {
        let (w, t) = (self.window, now.mask.len());
        for (distance, (mask, slope)) in now.mask.iter_mut().rev().zip(now.slope.iter_mut().rev()).enumerate()
        {
            if distance >= self.reach(t) {
                (*mask, *slope) = (0.0, 0.0);
                continue;
            }
            let angle = PI * distance as f64 / w;
            let (sin, cos) = angle.sin_cos();
            *mask = (0.5 * (cos + 1.0)) as f32;
            *slope = (0.5 * sin * angle / w * (w - 1.0)) as f32;
        }
    }
}

/// Where a tile's parts begin in a row of the projection: q, k, v and g.
fn places(model: &TrainableMultiscreen, tile: usize) -> [usize; 4] {
    let (tiles, key, value) = (model.spec.num_attention_heads, model.spec.head_dim, model.spec.value_dim());
    let values = 2 * tiles * key;
    [tile * key, (tiles + tile) * key, values + tile * value, values + (tiles + tile) * value]
}

/// How unit vectors are made of a part of the projection.
fn unit<'a>(model: &'a TrainableMultiscreen, start: usize, rotation: (&'a [f32], &'a [f32])) -> Heads<'a> {
    let keys = start < places(model, 0)[2];
    Heads {
        stride: model.projection_width(),
        start,
        width: if keys { model.spec.head_dim } else { model.spec.value_dim() },
        norm: Some(0.0),
        gain: &[],
        rotation,
        factors: if keys { &model.key_factors } else { &model.value_factors },
    }
}

/// `tanh(n) / n` of a norm `n`, and `(1 - tanh² n - tanh(n) / n) / n²`: what TanhNorm and its derivative
/// multiply by.
fn tanh_norm(n: f64) -> (f64, f64) {
    if n < 0.02 {
        let square = n * n;
        return (
            1.0 - square / 3.0 + 2.0 / 15.0 * square * square,
            -2.0 / 3.0 + 8.0 / 15.0 * square - 34.0 / 105.0 * square * square,
        );
    }
    let tanh = n.tanh();
    (tanh / n, (1.0 - tanh * tanh - tanh / n) / (n * n))
}

/// From `now.projection` to the columns of `tile` in `now.gated`.
pub(super) fn forward(
    model: &TrainableMultiscreen,
    layer: &Layer,
    tile: usize,
    p: &[f32],
    now: &mut LayerActivations,
    relevance: &mut [f32],
) {
    let (t, key, value) = (model.rows, model.spec.head_dim, model.spec.value_dim());
    let (width, gated_width) = (model.projection_width(), model.spec.num_attention_heads * value);
    let [q, k, v, g] = places(model, tile);
    let numbers = Numbers::of(layer, tile, p);
    let LayerActivations { projection, tiles, gated } = now;
    let now = &mut tiles[tile];
    numbers.softmask(now);
    let (phase, _) = numbers.phase(model.mipe_threshold);
    for (row, (cos, sin)) in now.cos.iter_mut().zip(&mut now.sin).enumerate() {
        let (s, c) = (phase * row as f64).sin_cos();
        (*cos, *sin) = (c as f32, s as f32);
    }
    let TileActivations { queries, keys, values, trims, mixed, mask, slope, cos, sin } = now;
    heads(projection, unit(model, q, (cos, sin)), queries); // [t, key]
    heads(projection, unit(model, k, (cos, sin)), keys); // [t, key]
    heads(projection, unit(model, v, (&[], &[])), values); // [t, value]
    let screen = Screen { mask, slope, inverse_r: numbers.inverse_r as f32 };
    for block in &model.blocks {
        let (seen, visible) = block.keys(numbers.reach(t));
        let (m, n) = (block.queries.len(), seen.len());
        let (trims, relevance) = (&mut trims[block.start..][..m * n], &mut relevance[..m * n]);
        let block_queries = Matrix::new(&queries[block.queries.start * key..], m, key);
        let block_keys = Matrix::new(&keys[seen.start * key..], n, key);
        multiply(block_queries, block_keys.t(), Into::Write, trims, n); // [m, n]
        screen_rows(trims, n, &visible, screen, relevance);
        let block_values = Matrix::new(&values[seen.start * value..], n, value);
        let mixed = &mut mixed[block.queries.start * value..];
        multiply(Matrix::new(relevance, m, n), block_values, Into::Write, mixed, value); // [m, value]
    }
    for (row, y) in mixed.chunks_exact(value).enumerate() {
        let (factor, _) = tanh_norm(dot_f64(y, y).sqrt());
        let gate = &projection[row * width + g..][..value];
        let out = &mut gated[row * gated_width + tile * value..][..value];
        gate_row(y, gate, (factor * numbers.output) as f32, out);
    }
}

/// What the backward pass reads and writes besides the activations.
pub(super) struct Buffers<'a> {
    pub(super) dgated: &'a mut [f32],
    pub(super) dprojection: &'a mut [f32],
    pub(super) dmixed: &'a mut [f32],
    pub(super) dqueries: &'a mut [f32],
    pub(super) dkeys: &'a mut [f32],
    pub(super) dvalues: &'a mut [f32],
    pub(super) drelevance: &'a mut [f32],
    pub(super) relevance: &'a mut [f32],
}

/// From the gradient of `gated` to that of the projection and of the tile's own numbers.
pub(super) fn backward(
    model: &TrainableMultiscreen,
    layer: &Layer,
    tile: usize,
    p: &[f32],
    now: &LayerActivations,
    buffers: &mut Buffers<'_>,
    gradients: &mut [f32],
) {
    let (t, key, value) = (model.rows, model.spec.head_dim, model.spec.value_dim());
    let (width, gated_width) = (model.projection_width(), model.spec.num_attention_heads * value);
    let [q, k, v, g] = places(model, tile);
    let numbers = Numbers::of(layer, tile, p);
    let LayerActivations { projection, tiles, gated } = now;
    let TileActivations { queries, keys, values, trims, mixed, mask, slope, cos, sin } = &tiles[tile];
    let Buffers { dgated, dprojection, dmixed, dqueries, dkeys, dvalues, drelevance, relevance } = buffers;
    let mut dscale = 0.0;
    for (row, (y, dmixed)) in mixed.chunks_exact(value).zip(dmixed.chunks_exact_mut(value)).enumerate() {
        let at = row * gated_width + tile * value;
        let d = &mut dgated[at..at + value];
        dscale += dot_f64(d, &gated[at..at + value]);
        let (factor, bend) = tanh_norm(dot_f64(y, y).sqrt());
        let factor = factor * numbers.output;
        let at = row * width + g;
        gate_backward(y, &projection[at..at + value], factor as f32, d, &mut dprojection[at..at + value]);
        // Of u = f(|y|) y: dy = f du + (f' / |y|) (y · du) y.
        let along = (bend * numbers.output * dot_f64(y, d)) as f32;
        for ((dy, du), y) in dmixed.iter_mut().zip(d.iter()).zip(y) {
            *dy = factor as f32 * du + along * y;
        }
    }
    gradients[layer.s_o + tile] += dscale as f32;
    dkeys.fill(0.0);
    dvalues.fill(0.0);
    let screen = Screen { mask, slope, inverse_r: numbers.inverse_r as f32 };
    let mut sums = [0.0; 2];
    for block in &model.blocks {
        let (seen, visible) = block.keys(numbers.reach(t));
        let (m, n) = (block.queries.len(), seen.len());
        let trims = &trims[block.start..][..m * n];
        let (d, relevance) = (&mut drelevance[..m * n], &mut relevance[..m * n]);
        let first = block.queries.start;
        let dy = Matrix::new(&dmixed[first * value..], m, value);
        multiply(dy, Matrix::new(&values[seen.start * value..], n, value).t(), Into::Write, d, n); // [m, n]
        screen_backward(trims, n, &visible, screen, d, relevance, &mut sums);
        let dvalues = &mut dvalues[seen.start * value..];
        multiply(Matrix::new(relevance, m, n).t(), dy, Into::Add, dvalues, value); // [n, value]
        let ds = Matrix::new(d, m, n);
        let dqueries = &mut dqueries[first * key..];
        multiply(ds, Matrix::new(&keys[seen.start * key..], n, key), Into::Write, dqueries, key); // [m, key]
        let block_queries = Matrix::new(&queries[first * key..], m, key);
        multiply(ds.t(), block_queries, Into::Add, &mut dkeys[seen.start * key..], key); // [n, key]
    }
    // r = 1 / (e^{sr} + 1), so dr = -r (1 - r) dsr.
    gradients[layer.sr + tile] -= (sums[0] * (1.0 - 1.0 / numbers.inverse_r)) as f32;
    let (_, phase_slope) = numbers.phase(model.mipe_threshold);
    let dphase = turn_backward(queries, dqueries, key) + turn_backward(keys, dkeys, key);
    gradients[layer.sw + tile] += (sums[1] + phase_slope * dphase) as f32;
    heads_backward(dqueries, projection, unit(model, q, (cos, sin)), dprojection, &mut [], &mut []);
    heads_backward(dkeys, projection, unit(model, k, (cos, sin)), dprojection, &mut [], &mut []);
    heads_backward(dvalues, projection, unit(model, v, (&[], &[])), dprojection, &mut [], &mut []);
}

/// The gradient by the phase of position 1 of vectors whose first two coordinates turn by position.
fn turn_backward(turned: &[f32], d: &[f32], key: usize) -> f64 {
    let rows = turned.chunks_exact(key).zip(d.chunks_exact(key)).enumerate();
    rows.map(|(row, (x, d))| {
        row as f64 * (f64::from(x[0]) * f64::from(d[1]) - f64::from(x[1]) * f64::from(d[0]))
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_norm_is_smooth_where_its_series_ends_and_1_at_0() {
        assert_eq!(tanh_norm(0.0), (1.0, -2.0 / 3.0));
        let (below, above) = (tanh_norm(0.02 - 1e-9), tanh_norm(0.02));
        assert!((below.0 - above.0).abs() < 1e-9 && (below.1 - above.1).abs() < 1e-7, "{below:?} {above:?}");
        // The derivative of f is n times the second number.
        let f = |n: f64| tanh_norm(n).0;
        for n in [0.01, 0.5, 3.0] {
            let slope = (f(n + 1e-6) - f(n - 1e-6)) / 2e-6;
            assert!((slope - n * tanh_norm(n).1).abs() < 1e-8, "{n}");
        }
    }
}
