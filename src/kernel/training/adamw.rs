//! AdamW (arXiv 1711.05101).

use crate::kernel::for_every_instruction_set;
use crate::kernel::lanes::dot;

/// The numbers of one step, for weights that decay alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamW {
    /// Learning rate.
    pub(crate) lr: f32,
    /// Decay of the first and of the second moment.
    pub(crate) betas: (f32, f32),
    /// Added to the root of the second moment.
    pub(crate) eps: f32,
    /// Weight decay, on the weights and not through the moments.
    pub(crate) weight_decay: f32,
    /// `1 - beta^step` of both moments.
    pub(crate) corrections: (f32, f32),
    /// Factor on the gradient, from clipping.
    pub(crate) gradient_scale: f32,
}

for_every_instruction_set! {
    /// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g²`, `w -= lr (m / c1 / (sqrt(v / c2) + eps) + decay w)`.
    fn adamw = adamw_plain(w: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], step: AdamW)
}

#[inline(always)]
fn adamw_plain(w: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], step: AdamW) {
    let (b1, b2) = step.betas;
    let (c1, c2) = step.corrections;
    for (((w, g), m), v) in w.iter_mut().zip(gradient).zip(m).zip(v) {
        let g = g * step.gradient_scale;
        *m = b1 * *m + (1.0 - b1) * g;
        *v = b2 * *v + (1.0 - b2) * g * g;
        let change = *m / c1 / ((*v / c2).sqrt() + step.eps);
        *w -= step.lr * (change + step.weight_decay * *w);
    }
}

for_every_instruction_set! {
    /// Sum of the squares of some numbers.
    fn sum_of_squares = sum_of_squares_plain(x: &[f32]) -> f32
}

#[inline(always)]
fn sum_of_squares_plain(x: &[f32]) -> f32 {
    dot(x, x)
}
