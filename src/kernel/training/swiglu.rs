//! The gate of a SwiGLU MLP (arXiv 2002.05202): `y = silu(g) u`, `silu(g) = g σ(g)`. Rows hold `g` and behind
//! it `u`.

use crate::kernel::gated::sigmoid;
use crate::kernel::{LANES, for_every_instruction_set};

for_every_instruction_set! {
    /// Writes `y`, rows of `inner` numbers, for rows of `2 inner`.
    fn swiglu = swiglu_plain(gate_up: &[f32], inner: usize, y: &mut [f32])
}

#[inline(always)]
fn swiglu_plain(gate_up: &[f32], inner: usize, y: &mut [f32]) {
    for (row, y) in gate_up.chunks_exact(2 * inner).zip(y.chunks_exact_mut(inner)) {
        let (gate, up) = row.split_at(inner);
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * sigmoid(*g) * u;
        }
    }
}

for_every_instruction_set! {
    /// Writes `dg = dy u σ (1 + g (1 - σ))` and `du = dy g σ` in the place of `g` and `u`.
    fn swiglu_backward = swiglu_backward_plain(dy: &[f32], inner: usize, gate_up: &mut [f32])
}

#[inline(always)]
fn swiglu_backward_plain(dy: &[f32], inner: usize, gate_up: &mut [f32]) {
    for (row, dy) in gate_up.chunks_exact_mut(2 * inner).zip(dy.chunks_exact(inner)) {
        let (gate, up) = row.split_at_mut(inner);
        let (gates, last_gates) = gate.as_chunks_mut::<LANES>();
        let (ups, last_ups) = up.as_chunks_mut::<LANES>();
        let (dys, last_dys) = dy.as_chunks::<LANES>();
        for ((gate, up), dy) in gates.iter_mut().zip(ups).zip(dys) {
            // Arrays of their own: a loop that writes into two slices is not vectorised.
            let (mut dgate, mut dup) = ([0f32; LANES], [0f32; LANES]);
            for lane in 0..LANES {
                (dgate[lane], dup[lane]) = gradient(gate[lane], up[lane], dy[lane]);
            }
            (*gate, *up) = (dgate, dup);
        }
        for ((gate, up), dy) in last_gates.iter_mut().zip(last_ups).zip(last_dys) {
            (*gate, *up) = gradient(*gate, *up, *dy);
        }
    }
}

/// `(dg, du)`.
#[inline(always)]
fn gradient(gate: f32, up: f32, dy: f32) -> (f32, f32) {
    let s = sigmoid(gate);
    (dy * up * s * (1.0 + gate * (1.0 - s)), dy * gate * s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(2);
        let (mut gate_up, dy) = (numbers(&mut rng, 2 * 2 * 37, 20.0), numbers(&mut rng, 2 * 37, 1.0));
        let (mut y, mut plain) = (vec![0.0; 2 * 37], vec![0.0; 2 * 37]);
        swiglu(&gate_up, 37, &mut y);
        swiglu_plain(&gate_up, 37, &mut plain);
        assert_eq!(y, plain);
        let mut plain = gate_up.clone();
        swiglu_backward(&dy, 37, &mut gate_up);
        swiglu_backward_plain(&dy, 37, &mut plain);
        assert_eq!(gate_up, plain);
    }
}
