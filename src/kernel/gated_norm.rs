//! The gated norm of what heads have read from their states.

use super::blocks::in_blocks;
use super::for_every_instruction_set;
use super::gated::sigmoid;
use super::norm::rms_norm_rows_plain;

/// Tokens that a thread takes at once.
const TOKENS: usize = 16;

/// The norm of a head's output: `weight x / sqrt(mean(x²) + eps)`, and what it is multiplied by.
#[derive(Clone, Copy)]
pub(crate) struct GatedNorm<'a> {
    /// `[width]`.
    pub(crate) weight: &'a [f32],
    pub(crate) eps: f32,
    /// Whether a gate is `g sigmoid(g)`; `sigmoid(g)` else.
    pub(crate) silu: bool,
}

/// The norm of each `x[h, t]`, times its gate, for `x` `[heads, t, width]` and `gate` `[t, heads, width]`:
/// `[t, heads, width]`, on all threads.
pub(crate) fn gated_head_norm(x: &[f32], gate: &[f32], heads: usize, norm: GatedNorm<'_>) -> Vec<f32> {
    assert_eq!(x.len(), gate.len(), "each number has its gate");
    let width = norm.weight.len();
    let t = x.len() / (heads * width);
    in_blocks(x.len(), TOKENS * heads * width, |at, block| {
        for (row, y) in block.chunks_exact_mut(width).enumerate() {
            let place = at / width + row;
            let (token, head) = (place / heads, place % heads);
            let read = &x[(head * t + token) * width..][..width];
            norm_row(y, read, &gate[place * width..][..width], norm);
        }
    })
}

for_every_instruction_set! {
    /// One head of one token.
    fn norm_row = norm_row_plain(y: &mut [f32], x: &[f32], gate: &[f32], norm: GatedNorm<'_>)
}

#[inline(always)]
fn norm_row_plain(y: &mut [f32], x: &[f32], gate: &[f32], norm: GatedNorm<'_>) {
    rms_norm_rows_plain(x, norm.weight, norm.eps, y, &mut [0.0]);
    for (y, &gate) in y.iter_mut().zip(gate) {
        let factor = sigmoid(gate);
        *y *= if norm.silu { gate * factor } else { factor };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn outputs_of_heads_are_normed_gated_and_put_side_by_side() {
        let mut rng = Rng::new(7);
        let (heads, t, width) = (3, 40, 20);
        let [x, gate] = [0; 2].map(|_| numbers(&mut rng, heads * t * width, 3.0));
        let weight = numbers(&mut rng, width, 1.0);
        for silu in [false, true] {
            let norm = GatedNorm { weight: &weight, eps: 1e-5, silu };
            let found = gated_head_norm(&x, &gate, heads, norm);
            for (place, y) in found.iter().enumerate() {
                let (token, head, d) = (place / width / heads, place / width % heads, place % width);
                let row = &x[(head * t + token) * width..][..width];
                let square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                let g = f64::from(gate[place]);
                let gate = if silu { g } else { 1.0 } / (1.0 + (-g).exp());
                let exact = f64::from(row[d]) * f64::from(weight[d]) / (square + 1e-5).sqrt() * gate;
                assert!((f64::from(*y) - exact).abs() < 3e-6, "{y}, not {exact}");
            }
        }
    }
}
