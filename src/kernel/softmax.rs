//! The online normaliser of blocked attention (arXiv 1805.02867).

use super::exp::exp;
use super::{for_every_instruction_set, lanes};

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

impl Running {
    /// Takes in what was summed of other scores; returns the factors that bring what goes with each sum to
    /// the common maximum.
    pub(crate) fn join(&mut self, other: &Self) -> [f32; 2] {
        let max = if other.max > self.max { other.max } else { self.max };
        if max == f32::NEG_INFINITY {
            // Nothing is visible in either.
            return [1.0; 2];
        }
        let factors = [exp(self.max - max), exp(other.max - max)];
        self.sum = self.sum * factors[0] + other.sum * factors[1];
        self.max = max;
        factors
    }
}

for_every_instruction_set! {
    /// Turns the first `shown` scores of a block into `exp(z - max)` and the others into 0; returns the
    /// factor that brings what was summed before to the new maximum.
    fn online_softmax = online_softmax_plain(scores: &mut [f32], shown: usize, running: &mut Running) -> f32
}

#[inline(always)]
fn online_softmax_plain(scores: &mut [f32], shown: usize, running: &mut Running) -> f32 {
    let (visible, hidden) = scores.split_at_mut(shown);
    hidden.fill(0.0);
    let largest = lanes::max(visible);
    let max = if largest > running.max { largest } else { running.max };
    if max == f32::NEG_INFINITY {
        // Nothing is visible yet: hidden scores are 0 already.
        return 1.0;
    }
    let factor = exp(running.max - max);
    running.sum = running.sum * factor + lanes::map_sum(visible, |z| exp(z - max));
    running.max = max;
    factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn sums_of_two_parts_join_to_that_of_all_and_an_empty_part_changes_nothing() {
        let scores = numbers(&mut Rng::new(7), 60, 20.0);
        let sum = |scores: &[f32]| {
            let mut running = Running::default();
            online_softmax(&mut scores.to_vec(), scores.len(), &mut running);
            running
        };
        let (mut joined, all) = (sum(&scores[..25]), sum(&scores));
        joined.join(&sum(&scores[25..]));
        assert_eq!(joined.max, all.max);
        assert!((joined.sum / all.sum - 1.0).abs() < 1e-6);
        let before = joined.clone();
        assert_eq!(joined.join(&Running::default()), [1.0, 0.0]);
        assert_eq!(joined, before);
        let mut empty = Running::default();
        assert_eq!(empty.join(&Running::default()), [1.0; 2]);
        assert_eq!(empty.join(&before), [0.0, 1.0]);
        assert_eq!(empty, before);
    }

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
