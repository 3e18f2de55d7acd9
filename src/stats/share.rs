//! The interval of a share.

use super::Z95;
use super::groups::{effective, of_counts, total};
use super::interval::{Interval, Method, Withheld};

/// The 95 % interval of a share, from the `(right, all)` of every trial. Prompts of a trial depend on each
/// other: they share a haystack.
///
/// Wilson's (1927) at the number of independent prompts that these are worth, n: with p the share of all and
/// z = 1.96, `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`. n is the number of prompts where every
/// trial has one. Else it is their number over the design effect, with a factor for few trials, and at least
/// that of the trials (Korn and Graubard 1998). Withheld of several prompts in one trial.
///
/// ```
/// use niah::stats::share_interval;
/// let (low, high) = share_interval(&[(1, 1); 10]).ends().unwrap();
/// assert!((low - 0.722).abs() < 5e-4 && high == 1.0);
/// // Ten prompts of two trials that never miss are worth two.
/// assert_eq!(share_interval(&[(5, 5); 2]), share_interval(&[(1, 1); 2]));
/// ```
#[must_use]
pub fn share_interval(trials: &[(usize, usize)]) -> Interval {
    let groups = of_counts(trials);
    let (right, n) = total(&groups);
    if n == 0.0 {
        return Interval::Withheld(Withheld::NoValue);
    }
    let p = right / n;
    let Some(effective) = effective(&groups, p * (1.0 - p)) else {
        return Interval::Withheld(Withheld::OneGroup);
    };
    let (low, high) = wilson(p, effective);
    Interval::Given { low, high, method: Method::Wilson }
}

fn wilson(p: f64, n: f64) -> (f64, f64) {
    let z2 = Z95 * Z95;
    let centre = p + z2 / (2.0 * n);
    let half = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // The ends are exactly 0 and 1 there; rounding must not move them.
    let low = if p == 0.0 { 0.0 } else { (centre - half) / scale };
    let high = if p == 1.0 { 1.0 } else { (centre + half) / scale };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn independent_prompts_have_the_known_intervals() {
        // 8 of 10 and 0 of 10 as in Newcombe's tables.
        for (right, n, low, high) in [
            (1, 1, 0.207, 1.0),
            (10, 10, 0.722, 1.0),
            (100, 100, 0.963, 1.0),
            (0, 10, 0.0, 0.278),
            (8, 10, 0.490, 0.943),
        ] {
            let trials: Vec<_> = (0..n).map(|trial| (usize::from(trial < right), 1)).collect();
            let interval = share_interval(&trials).ends().unwrap();
            assert!(
                (interval.0 - low).abs() < 5e-4 && (interval.1 - high).abs() < 5e-4,
                "{right}/{n}: {interval:?}"
            );
        }
    }

    #[test]
    fn nothing_and_several_prompts_of_one_trial_have_no_interval() {
        assert_eq!(share_interval(&[]), Interval::Withheld(Withheld::NoValue));
        assert_eq!(share_interval(&[(0, 0)]), Interval::Withheld(Withheld::NoValue));
        assert_eq!(share_interval(&[(3, 5)]), Interval::Withheld(Withheld::OneGroup));
    }

    #[test]
    fn prompts_that_depend_on_each_other_have_a_wider_interval() {
        let width =
            |trials: &[(usize, usize)]| share_interval(trials).ends().map(|(low, high)| high - low).unwrap();
        let mixed: Vec<_> = (0..10).map(|trial| (2 + trial % 2, 5)).collect();
        let whole: Vec<_> = (0..10).map(|trial| (5 * (trial % 2), 5)).collect();
        assert!(width(&whole) > 1.8 * width(&mixed));
    }
}
