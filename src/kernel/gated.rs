//! The gate of a SwiGLU MLP (arXiv 2002.05202).

use rayon::prelude::*;

use super::exp::exp;
use super::for_every_instruction_set;

/// Numbers that a thread takes at once.
const BLOCK: usize = 1 << 14;

/// `gate = silu(gate) * up`, number by number, on all threads; `silu(x) = x / (1 + e^-x)`.
pub(crate) fn silu_gate(gate: &mut [f32], up: &[f32]) {
    gate.par_chunks_mut(BLOCK).zip(up.par_chunks(BLOCK)).for_each(|(gate, up)| gate_block(gate, up));
}

for_every_instruction_set! {
    /// The same for one block.
    fn gate_block = gate_block_plain(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
fn gate_block_plain(gate: &mut [f32], up: &[f32]) {
    for (x, up) in gate.iter_mut().zip(up) {
        // e^-|x| never overflows: sigmoid(x) is 1 / (1 + e) for x >= 0 and e / (1 + e) below.
        let e = exp(-x.abs());
        let numerator = if *x < 0.0 { e } else { 1.0 };
        *x = *x * numerator / (1.0 + e) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn the_gate_is_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(11);
        let (gate, up) = (numbers(&mut rng, 40_001, 30.0), numbers(&mut rng, 40_001, 2.0));
        let (mut fast, mut plain) = (gate.clone(), gate.clone());
        silu_gate(&mut fast, &up);
        gate_block_plain(&mut plain, &up);
        assert_eq!(fast, plain);
        for ((found, x), up) in fast.iter().zip(&gate).zip(&up) {
            let (x, up) = (f64::from(*x), f64::from(*up));
            let exact = x / (1.0 + (-x).exp()) * up;
            assert!(
                (f64::from(*found) - exact).abs() <= 1e-6 * exact.abs() + 1e-30,
                "silu({x}) * {up}: {found}"
            );
        }
        let mut extremes = [-1000.0, 1000.0, 0.0, f32::NAN];
        silu_gate(&mut extremes, &[1.0; 4]);
        assert_eq!(extremes[..3], [0.0, 1000.0, 0.0]);
        assert!(extremes[3].is_nan());
    }
}
