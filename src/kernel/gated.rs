//! The gate of a SwiGLU or GEGLU MLP (arXiv 2002.05202).

use super::blocks::in_blocks;
use super::exp::exp;
use super::for_every_instruction_set;

/// Numbers that a thread takes at once.
const BLOCK: usize = 1 << 14;

/// `gate = act(gate) * up`, number by number, on this thread.
pub(crate) type Gate = fn(gate: &mut [f32], up: &[f32]);

/// `act(gate) * up`, on all threads.
pub(crate) fn gated(act: Gate, gate: &[f32], up: &[f32]) -> Vec<f32> {
    assert_eq!(gate.len(), up.len(), "each number has its gate");
    in_blocks(gate.len(), BLOCK, |at, block| {
        block.copy_from_slice(&gate[at..at + block.len()]);
        act(block, &up[at..at + block.len()]);
    })
}

for_every_instruction_set! {
    /// A [`Gate`] with `silu(x) = x / (1 + e^-x)`.
    fn silu_gate = silu_gate_plain(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
fn silu_gate_plain(gate: &mut [f32], up: &[f32]) {
    for (x, up) in gate.iter_mut().zip(up) {
        *x = *x * sigmoid(*x) * up;
    }
}

for_every_instruction_set! {
    /// A [`Gate`] with `gelu(x) = x / 2 (1 + tanh u)` for `u = sqrt(2 / pi) (x + 0.044715 x^3)`, which is
    /// `x sigmoid(2 u)`.
    fn gelu_tanh_gate = gelu_tanh_gate_plain(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
fn gelu_tanh_gate_plain(gate: &mut [f32], up: &[f32]) {
    const TWICE_SQRT_2_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    for (x, up) in gate.iter_mut().zip(up) {
        *x = *x * sigmoid(TWICE_SQRT_2_PI * (*x + 0.044_715 * *x * *x * *x)) * up;
    }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    // e^-|x| never overflows: it is 1 / (1 + e) for x >= 0 and e / (1 + e) below.
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// A gate, its plain twin and its activation.
    type Case = (Gate, Gate, fn(f64) -> f64);

    #[test]
    fn gates_are_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(11);
        let (gate, up) = (numbers(&mut rng, 40_001, 30.0), numbers(&mut rng, 40_001, 2.0));
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let tanh = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh());
        let cases: [Case; 2] =
            [(silu_gate, silu_gate_plain, silu), (gelu_tanh_gate, gelu_tanh_gate_plain, tanh)];
        for (fast, plain, exact) in cases {
            let (found, mut twin) = (gated(fast, &gate, &up), gate.clone());
            plain(&mut twin, &up);
            assert_eq!(found, twin);
            for ((found, x), up) in found.iter().zip(&gate).zip(&up) {
                let (x, up) = (f64::from(*x), f64::from(*up));
                let exact = exact(x) * up;
                assert!(
                    (f64::from(*found) - exact).abs() <= 1e-6 * exact.abs() + 2e-6 * up.abs(),
                    "act({x}) * {up}: {found}, not {exact}"
                );
            }
            let mut extremes = [-1000.0, 1000.0, 0.0, f32::NAN];
            fast(&mut extremes, &[1.0; 4]);
            assert_eq!(extremes[..3], [0.0, 1000.0, 0.0]);
            assert!(extremes[3].is_nan());
        }
    }
}
