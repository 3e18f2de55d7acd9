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
