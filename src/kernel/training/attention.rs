//! Softmax over the keys that a row sees, and its backward pass.

use std::ops::Range;

use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;
use crate::kernel::lanes::{dot, map_sum, max};

for_every_instruction_set! {
    /// Turns rows of scores into weights; the keys outside of `visible`, one range a row, get 0.
    fn softmax_rows = softmax_rows_plain(scores: &mut [f32], width: usize, visible: &[Range<usize>])
}

#[inline(always)]
fn softmax_rows_plain(scores: &mut [f32], width: usize, visible: &[Range<usize>]) {
    for (row, visible) in scores.chunks_exact_mut(width).zip(visible) {
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        let row = &mut row[visible.clone()];
        let max = max(row);
        let scale = 1.0 / map_sum(row, |z| exp(z - max));
        for p in row {
            *p *= scale;
        }
    }
}

for_every_instruction_set! {
    /// Turns `dp` into `dz = p (dp - p · dp)`, for rows of weights `p`. Where `p` is 0, `dz` is 0.
    fn softmax_backward = softmax_backward_plain(p: &[f32], width: usize, dp: &mut [f32])
}

#[inline(always)]
fn softmax_backward_plain(p: &[f32], width: usize, dp: &mut [f32]) {
    for (p, dp) in p.chunks_exact(width).zip(dp.chunks_exact_mut(width)) {
        let mean = dot(p, dp);
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_hidden_keys_weigh_nothing() {
        let mut rng = Rng::new(4);
        let (mut scores, mut dp) = (numbers(&mut rng, 3 * 70, 9.0), numbers(&mut rng, 3 * 70, 1.0));
        let visible = [0..1, 3..40, 10..70];
        let mut plain = scores.clone();
        softmax_rows(&mut scores, 70, &visible);
        softmax_rows_plain(&mut plain, 70, &visible);
        assert_eq!(scores, plain);
        for (row, visible) in scores.chunks(70).zip(visible) {
            let outside: f32 = row[..visible.start].iter().chain(&row[visible.end..]).sum();
            assert!(outside == 0.0 && (row[visible].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let mut plain = dp.clone();
        softmax_backward(&scores, 70, &mut dp);
        softmax_backward_plain(&scores, 70, &mut plain);
        assert_eq!(dp, plain);
    }
}
