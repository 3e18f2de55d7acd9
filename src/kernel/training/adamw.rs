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
    /// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g²`,
    /// `w -= lr (m / c1 / (sqrt(v / c2) + eps) + decay w)`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn a_step_is_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(7);
        let [w, g, m] = [(); 3].map(|()| numbers(&mut rng, 37, 1.0));
        let v: Vec<f32> = numbers(&mut rng, 37, 1.0).iter().map(|x| x * x).collect();
        let step = AdamW {
            lr: 0.1,
            betas: (0.9, 0.99),
            eps: 1e-8,
            weight_decay: 0.5,
            corrections: (0.1, 0.01),
            gradient_scale: 0.5,
        };
        let start = || (w.clone(), m.clone(), v.clone());
        let (mut fast, mut plain) = (start(), start());
        adamw(&mut fast.0, &g, &mut fast.1, &mut fast.2, step);
        adamw_plain(&mut plain.0, &g, &mut plain.1, &mut plain.2, step);
        assert_eq!(fast, plain);
        // The first step of a weight of 2 with gradient 0.5: m / c1 = 0.5 and sqrt(v / c2) = 0.5, so it is
        // 2 - 0.1 (1 + 1).
        let (mut w, mut m, mut v) = ([2.0], [0.0], [0.0]);
        adamw(&mut w, &[1.0], &mut m, &mut v, step);
        assert!((w[0] - 1.8f32).abs() < 1e-6, "{w:?}");
        assert_eq!(sum_of_squares(&g), sum_of_squares_plain(&g));
    }
}
