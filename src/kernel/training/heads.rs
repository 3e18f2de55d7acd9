//! From a projection to the queries or keys of one head: norm, rotary positions, and a factor on every row.
//!
//! `y = f R(w x r)` with `r = 1 / sqrt(mean(x²) + eps)` when there is a norm and 1 otherwise, the gain `w` of
//! a norm or 1, the rotation `R` of the pairs `(j, j + rotary / 2)` of the first `rotary` coordinates, and a
//! factor `f` of the row: the scale of attention and the multiplier of its variant for queries, 1 for keys.

use crate::kernel::for_every_instruction_set;
use crate::kernel::lanes::dot;

/// How the rows of a head are made.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Numbers from one row of the projection to the next.
    pub(crate) stride: usize,
    /// Where the head begins in a row.
    pub(crate) start: usize,
    /// Numbers of a head.
    pub(crate) width: usize,
    /// Epsilon of the norm, when there is one.
    pub(crate) norm: Option<f32>,
    /// Its gain, `[width]`; empty for none.
    pub(crate) gain: &'a [f32],
    /// Cosines and sines `[rows, rotary / 2]`; empty without rotary positions.
    pub(crate) rotation: (&'a [f32], &'a [f32]),
    /// `f`, one a row.
    pub(crate) factors: &'a [f32],
}

impl<'a> Heads<'a> {
    #[inline(always)]
    fn factor(&self, x: &[f32]) -> f32 {
        let Some(eps) = self.norm else { return 1.0 };
        let square = dot(x, x) / self.width as f32 + eps;
        // A row of zeros stays one, and its gradient is 0, where no epsilon keeps it from infinity.
        if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
    }

    /// Cosines and sines of a row.
    #[inline(always)]
    fn angles(&self, row: usize) -> (&'a [f32], &'a [f32]) {
        let pairs = self.rotation.0.len() / self.factors.len();
        (&self.rotation.0[row * pairs..][..pairs], &self.rotation.1[row * pairs..][..pairs])
    }

    /// `R(w x r)` of a row, in `y`.
    #[inline(always)]
    fn turned(&self, x: &[f32], r: f32, row: usize, y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * r;
        }
        for (y, w) in y.iter_mut().zip(self.gain) {
            *y *= w;
        }
        let (cos, sin) = self.angles(row);
        rotate(y, cos, sin, 1.0);
    }
}

/// Turns the pairs of `y` by their angles, or back with `direction` -1.
#[inline(always)]
fn rotate(y: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let (first, second) = y.split_at_mut(cos.len());
    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
        let sin = direction * sin;
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

for_every_instruction_set! {
    /// Writes the rows `y` `[rows, width]` of a head.
    fn heads = heads_plain(x: &[f32], form: Heads<'_>, y: &mut [f32])
}

#[inline(always)]
fn heads_plain(x: &[f32], form: Heads<'_>, y: &mut [f32]) {
    for (row, y) in y.chunks_exact_mut(form.width).enumerate() {
        let x = &x[row * form.stride + form.start..][..form.width];
        form.turned(x, form.factor(x), row, y);
        for y in y {
            *y *= form.factors[row];
        }
    }
}

for_every_instruction_set! {
    /// Adds to `dx` and to the gradients of the gain and of the factors. `dy` is used up.
    fn heads_backward = heads_backward_plain(
        dy: &mut [f32], x: &[f32], form: Heads<'_>, dx: &mut [f32], dgain: &mut [f32], dfactors: &mut [f32])
}

#[inline(always)]
fn heads_backward_plain(
    dy: &mut [f32],
    x: &[f32],
    form: Heads<'_>,
    dx: &mut [f32],
    dgain: &mut [f32],
    dfactors: &mut [f32],
) {
    let mut turned = vec![0f32; form.width];
    for (row, dy) in dy.chunks_exact_mut(form.width).enumerate() {
        let at = row * form.stride + form.start..row * form.stride + form.start + form.width;
        let (x, dx) = (&x[at.clone()], &mut dx[at]);
        let r = form.factor(x);
        if let Some(dfactor) = dfactors.get_mut(row) {
            form.turned(x, r, row, &mut turned);
            *dfactor += dot(&turned, dy);
        }
        for dy in dy.iter_mut() {
            *dy *= form.factors[row];
        }
        let (cos, sin) = form.angles(row);
        rotate(dy, cos, sin, -1.0);
        for ((dy, w), (dw, x)) in dy.iter_mut().zip(form.gain).zip(dgain.iter_mut().zip(x)) {
            *dw += *dy * x * r;
            *dy *= w;
        }
        // As in a norm over the whole row; without one r is constant.
        let mean = if form.norm.is_some() { dot(x, dy) * r * r / form.width as f32 } else { 0.0 };
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy.iter()) {
            *dx += r * (dy - x * mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(5);
        for (width, pairs) in [(32, 16), (13, 0), (24, 4)] {
            let x = numbers(&mut rng, 3 * 50, 1.0);
            let [cos, sin] = [(); 2].map(|()| numbers(&mut rng, 3 * pairs, 1.0));
            let (gain, factors) = (numbers(&mut rng, width, 1.0), numbers(&mut rng, 3, 1.0));
            let form = Heads {
                stride: 50,
                start: 9,
                width,
                norm: Some(1e-6),
                gain: &gain,
                rotation: (&cos, &sin),
                factors: &factors,
            };
            let (mut y, mut plain) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
            heads(&x, form, &mut y);
            heads_plain(&x, form, &mut plain);
            assert_eq!(y, plain);
            let zeros = || {
                (numbers(&mut Rng::new(6), 3 * width, 1.0), vec![0.0; 150], vec![0.0; width], vec![0.0; 3])
            };
            let (mut fast, mut plain) = (zeros(), zeros());
            heads_backward(&mut fast.0, &x, form, &mut fast.1, &mut fast.2, &mut fast.3);
            heads_backward_plain(&mut plain.0, &x, form, &mut plain.1, &mut plain.2, &mut plain.3);
            assert_eq!(fast, plain);
        }
    }
}
