//! The online normaliser of blocked attention (arXiv 1805.02867).

use super::exp::exp;
use super::{LANES, for_every_instruction_set};

/// The running maximum and sum of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    /// Largest score so far.
    pub(crate) max: f32,
    /// Sum of `exp(z - max)` so far.
    pub(crate) sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, sum: 0.0 }
    }
}

for_every_instruction_set! {
    /// Turns the first `shown` scores of a block into `exp(z - max)` and the others into 0; returns the factor that brings
    /// what was summed before to the new maximum.
    fn online_softmax = online_softmax_plain(scores: &mut [f32], shown: usize, running: &mut Running) -> f32
}

#[inline(always)]
fn online_softmax_plain(scores: &mut [f32], shown: usize, running: &mut Running) -> f32 {
    let (visible, hidden) = scores.split_at_mut(shown);
    hidden.fill(0.0);
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = visible.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(running.max, |max, &x| if x > max { x } else { max });
    if max == f32::NEG_INFINITY {
        // Nothing is visible yet: hidden scores are 0 already.
        return 1.0;
    }
    let mut sums = [0f32; LANES];
    let (chunks, rest) = visible.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp(*x - max);
            *sum += *x;
        }
    }
    for x in rest.iter_mut() {
        *x = exp(*x - max);
    }
    let factor = exp(running.max - max);
    running.sum = running.sum * factor + sums.iter().sum::<f32>() + rest.iter().sum::<f32>();
    running.max = max;
    factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(5);
        for (width, shown) in [(256, 256), (256, 100), (37, 37), (37, 16), (37, 0), (5, 3)] {
            let scores = numbers(&mut rng, width, 20.0);
            let (mut fast, mut plain) = (scores.clone(), scores);
            let (mut a, mut b) = (Running { max: -3.0, sum: 2.0 }, Running { max: -3.0, sum: 2.0 });
            let factors =
                (online_softmax(&mut fast, shown, &mut a), online_softmax_plain(&mut plain, shown, &mut b));
            assert_eq!((fast, a, factors.0), (plain, b, factors.1));
        }
    }
}
