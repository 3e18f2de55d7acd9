//! How many trials give the interval of a share a wanted width.

use super::groups::{effects, holding_others, of_counts, shrunk, total};
use super::share::{COPIES, wilson};

/// Trials that a search for a number of them ends at.
const MOST: usize = 1 << 24;

/// What is taken of a share, and of how the prompts of a trial hang together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assumed {
    share: f64,
    /// Correlation of two prompts of a trial.
    correlation: f64,
    /// Share of the trials that hold an answer of the rarer kind.
    telling: f64,
}

impl Assumed {
    /// Half of the answers right, and the prompts of a trial all alike: nothing takes more trials.
    pub const ALIKE: Self = Self { share: 0.5, correlation: 1.0, telling: 1.0 };
    /// Half of the answers right, and every prompt independent.
    pub const INDEPENDENT: Self = Self { share: 0.5, correlation: 0.0, telling: 1.0 };

    /// As the `(right, all)` of these trials have it; `None` of fewer than two trials. Trials of one prompt
    /// say nothing of how several would hang together, which are then taken to be alike.
    #[must_use]
    pub fn measured(trials: &[(usize, usize)]) -> Option<Self> {
        let groups = of_counts(trials);
        let (right, n) = total(&groups);
        let share = right / n;
        let (found, copies) = effects(&groups, share * (1.0 - share))?;
        let values: Vec<[usize; 2]> = trials.iter().map(|&(right, n)| [right, n - right]).collect();
        Some(Self {
            share,
            correlation: if copies > 1.0 { (found - 1.0) / (copies - 1.0) } else { 1.0 },
            telling: holding_others(&values) as f64 / groups.len() as f64,
        })
    }

    /// The share of right answers.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Half the width of the 95 % interval ([`super::share_interval`]) of so many trials with as many prompts
    /// each.
    ///
    /// ```
    /// use niah::stats::Assumed;
    /// // 0.5 ± 1.96 / (2 √(n + 1.96²))
    /// assert!((Assumed::ALIKE.half_width(96, 5) - 0.0981).abs() < 5e-5);
    /// assert_eq!(Assumed::ALIKE.half_width(96, 5), Assumed::INDEPENDENT.half_width(96, 1));
    /// ```
    #[must_use]
    pub fn half_width(&self, trials: usize, prompts: usize) -> f64 {
        let (k, copies) = (trials as f64, prompts as f64);
        let found = 1.0 + (copies - 1.0) * self.correlation;
        let (low, high) = wilson(self.share, k * copies / shrunk(found, copies, self.telling * k, COPIES));
        0.5 * (high - low)
    }

    /// The smallest number of trials, with so many prompts each, whose interval reaches no further than
    /// `half` to either side; `None` above 16 million.
    ///
    /// ```
    /// use niah::stats::Assumed;
    /// assert_eq!(Assumed::ALIKE.trials_for(15, 0.05), Some(381));
    /// assert_eq!(Assumed::INDEPENDENT.trials_for(1, 0.05), Some(381));
    /// ```
    #[must_use]
    pub fn trials_for(&self, prompts: usize, half: f64) -> Option<usize> {
        let reached = |trials: usize| self.half_width(trials, prompts) <= half;
        // Several prompts of one trial have no interval.
        let least = if prompts > 1 { 2 } else { 1 };
        if reached(least) {
            return Some(least);
        }
        let mut high = 2 * least;
        while !reached(high) {
            high *= 2;
            if high > MOST {
                return None;
            }
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = low.midpoint(high);
            if reached(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::share_interval;

    fn half(trials: &[(usize, usize)]) -> f64 {
        share_interval(trials).ends().map(|(low, high)| 0.5 * (high - low)).unwrap()
    }

    #[test]
    fn as_many_trials_as_were_measured_have_the_interval_that_they_have() {
        let mixed: Vec<_> = (0..12).map(|trial| (3 + trial % 3, 5)).collect();
        let whole: Vec<_> = (0..12).map(|trial| (5 * (trial % 2), 5)).collect();
        for trials in [mixed, whole, vec![(4, 4); 6], vec![(0, 7); 3], vec![(1, 1), (0, 1), (1, 1)]] {
            let assumed = Assumed::measured(&trials).unwrap();
            let planned = assumed.half_width(trials.len(), trials[0].1);
            assert!((planned - half(&trials)).abs() < 1e-12, "{planned} {trials:?}");
        }
        assert_eq!((Assumed::measured(&[(3, 5)]), Assumed::measured(&[])), (None, None));
    }

    #[test]
    fn the_number_of_trials_is_the_first_that_suffices() {
        let measured = Assumed::measured(&[(3, 5), (5, 5), (4, 5), (1, 5)]).unwrap();
        for assumed in [Assumed::ALIKE, Assumed::INDEPENDENT, measured] {
            for prompts in [1, 5, 15] {
                let mut before = usize::MAX;
                for width in [0.01, 0.05, 0.1, 0.3] {
                    let trials = assumed.trials_for(prompts, width).unwrap();
                    assert!(assumed.half_width(trials, prompts) <= width);
                    assert!(trials <= 2 || assumed.half_width(trials - 1, prompts) > width);
                    assert!(trials <= before, "a wider interval takes no more trials");
                    before = trials;
                }
            }
        }
        assert_eq!(Assumed::ALIKE.trials_for(1, 1e-9), None);
    }

    #[test]
    fn what_was_measured_lies_between_the_worst_and_independent_prompts() {
        let measured = Assumed::measured(&[(3, 6), (6, 6), (1, 6), (2, 6), (3, 6)]).unwrap();
        let needed = |assumed: Assumed| assumed.trials_for(6, 0.05).unwrap();
        let (alike, alone) = (needed(Assumed::ALIKE), needed(Assumed::INDEPENDENT));
        assert!((alone + 1..alike).contains(&needed(measured)), "{alone} {} {alike}", needed(measured));
    }
}
