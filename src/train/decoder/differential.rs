//! The difference of two attention maps with its backward pass, as [`crate::model::decoder`] has it.
//!
//! Query head `i` of the first half and its fellow `j` of the second mix the same wide values, those of two
//! value heads side by side. With their mixtures `a_i` and `a_j`, `2 d` numbers each,
//!
//! ```text
//! y = (1 - l0) norm(a_i - l a_j),   l = exp(q_1 · k_1) - exp(q_2 · k_2) + l0
//! ```

use std::ops::Range;

use super::TrainableDecoder;
use super::workspace::LayerActivations;
use crate::kernel::rms_norm_rows;
use crate::kernel::training::{dot_f64, rms_norm_backward};

/// What a layer subtracts.
pub(super) struct Differential {
    /// `l0`.
    pub(super) initial: f64,
    /// `q_1`, `k_1`, `q_2` and `k_2`, `[d]` each.
    pub(super) lambdas: [Range<usize>; 4],
}

impl Differential {
    /// `exp(q · k)` of the first two and of the others.
    fn powers(&self, p: &[f32]) -> [f64; 2] {
        let of = |at: usize| &p[self.lambdas[at].clone()];
        [0, 2].map(|at| dot_f64(of(at), of(at + 1)).exp())
    }

    fn lambda(&self, p: &[f32]) -> f32 {
        let [first, second] = self.powers(p);
        (first - second + self.initial) as f32
    }

    /// What the norm multiplies by, `[2 d]`.
    fn kept(&self) -> Vec<f32> {
        vec![(1.0 - self.initial) as f32; 2 * self.lambdas[0].len()]
    }
}

/// From `now.wide` `[t, 2, heads / 2, 2 d]` to `now.mixed` `[t, heads / 2, 2 d]`.
pub(super) fn forward(
    decoder: &TrainableDecoder,
    layer: &Differential,
    p: &[f32],
    now: &mut LayerActivations,
) {
    let (lambda, half) = (layer.lambda(p), now.mixed.len() / decoder.rows);
    let rows = now.wide.chunks_exact(2 * half).zip(now.differences.chunks_exact_mut(half));
    for (wide, difference) in rows {
        let (first, second) = wide.split_at(half);
        for ((y, a), b) in difference.iter_mut().zip(first).zip(second) {
            *y = a - lambda * b;
        }
    }
    let eps = decoder.spec.norm_eps as f32;
    rms_norm_rows(&now.differences, &layer.kept(), eps, &mut now.mixed, &mut now.pair_factors);
}

/// From the gradient of `mixed` to that of `wide`; adds to those of the lambdas.
pub(super) fn backward(
    decoder: &TrainableDecoder,
    layer: &Differential,
    p: &[f32],
    now: &LayerActivations,
    dmixed: &[f32],
    gradients: &mut [f32],
) -> Vec<f32> {
    let (lambda, half, kept) = (layer.lambda(p), now.mixed.len() / decoder.rows, layer.kept());
    let (mut ddifferences, mut dkept) = (vec![0f32; dmixed.len()], vec![0f32; kept.len()]);
    rms_norm_backward(dmixed, &now.differences, &kept, &now.pair_factors, &mut ddifferences, &mut dkept);
    let (mut dwide, mut dlambda) = (vec![0f32; now.wide.len()], 0f64);
    let rows = dwide.chunks_exact_mut(2 * half).zip(now.wide.chunks_exact(2 * half));
    for ((dwide, wide), dy) in rows.zip(ddifferences.chunks_exact(half)) {
        dwide[..half].copy_from_slice(dy);
        dwide[half..].iter_mut().zip(dy).for_each(|(db, dy)| *db = -lambda * dy);
        dlambda -= dot_f64(&wide[half..], dy);
    }
    let [first, second] = layer.powers(p);
    for (pair, by_product) in [(0, first * dlambda), (2, -second * dlambda)] {
        let (q, k) = (layer.lambdas[pair].clone(), layer.lambdas[pair + 1].clone());
        for (place, other) in [(q.clone(), k.clone()), (k, q)] {
            gradients[place].iter_mut().zip(&p[other]).for_each(|(d, x)| *d += by_product as f32 * x);
        }
    }
    dwide // [t, 2, heads / 2, 2 d]
}
