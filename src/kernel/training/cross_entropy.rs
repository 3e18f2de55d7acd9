//! Cross entropy of a row of logits: `ln sum_v e^{z_v} - z_target`, in nats.

use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;
use crate::kernel::lanes::{map_sum, max};

for_every_instruction_set! {
    /// Returns the loss of one row and turns its logits into `factor * (softmax(z) - onehot(target))`.
    fn cross_entropy = cross_entropy_plain(logits: &mut [f32], target: usize, factor: f32) -> f32
}

#[inline(always)]
fn cross_entropy_plain(logits: &mut [f32], target: usize, factor: f32) -> f32 {
    let (max, wanted) = (max(logits), logits[target]);
    let sum = map_sum(logits, |z| exp(z - max));
    let scale = factor / sum;
    for z in logits.iter_mut() {
        *z *= scale;
    }
    logits[target] -= factor;
    max - wanted + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn the_loss_is_right_and_the_same_on_every_instruction_set() {
        let logits = numbers(&mut Rng::new(3), 101, 8.0);
        let (mut fast, mut plain) = (logits.clone(), logits.clone());
        let losses = (cross_entropy(&mut fast, 7, 0.5), cross_entropy_plain(&mut plain, 7, 0.5));
        assert_eq!((losses.0, fast), (losses.1, plain));
        let sum: f64 = logits.iter().map(|z| f64::from(*z).exp()).sum();
        assert!((f64::from(losses.0) - (sum.ln() - f64::from(logits[7]))).abs() < 1e-5);
    }
}
