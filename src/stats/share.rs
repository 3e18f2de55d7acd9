//! The interval of a share.

use super::Z95;
use super::groups::{Spread, effective, holding_others, of_counts, total};
use super::interval::{Interval, Method, Withheld};

/// The 95 % interval of a share, from the `(right, all)` of every trial. Prompts of a trial depend on each
/// other: they share a haystack.
///
/// Wilson's (1927) at the number of independent prompts that these are worth, n: with p the share of all and
/// z = 1.96, `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`. n is what [`share_worth`] says. Withheld of
/// several prompts in one trial.
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
    let (right, n) = total(&of_counts(trials));
    if n == 0.0 {
        return Interval::Withheld(Withheld::NoValue);
    }
    let Some(worth) = share_worth(trials) else { return Interval::Withheld(Withheld::OneGroup) };
    let (low, high) = wilson(right / n, worth);
    Interval::Given { low, high, method: Method::Wilson }
}

/// Trials of copies that are taken to have been seen beside those that tell how the rarer answer comes. With
/// two the interval holds the truth as often as it says in `tests/all/coverage.rs`.
pub(super) const COPIES: f64 = 2.0;

/// How many independent prompts those of the trials are worth, from the `(right, all)` of every trial; `None`
/// of no prompt, and of several in one trial.
///
/// Where every trial has one prompt, it is their number. Else it is their number over the design effect,
/// which the trials with an answer of the rarer kind tell of: two more are added that came out as a whole, as
/// few of them tell little. It is at least the number of trials, where they have as many prompts each, and it
/// is that where no trial differs from the others.
///
/// ```
/// use niah::stats::share_worth;
/// assert_eq!(share_worth(&[(1, 1), (0, 1), (1, 1)]), Some(3.0));
/// assert_eq!(share_worth(&[(5, 5), (0, 5), (5, 5)]), Some(3.0));
/// assert!(share_worth(&[(4, 5), (3, 5), (4, 5)]) > Some(3.0));
/// ```
#[must_use]
pub fn share_worth(trials: &[(usize, usize)]) -> Option<f64> {
    let groups = of_counts(trials);
    let (right, n) = total(&groups);
    let p = right / n;
    let values: Vec<[usize; 2]> = trials.iter().map(|&(right, n)| [right, n - right]).collect();
    let telling = holding_others(&values);
    effective(&groups, &Spread { plain: p * (1.0 - p), telling, added: COPIES })
}

pub(super) fn wilson(p: f64, n: f64) -> (f64, f64) {
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
    use crate::stats::tests::golden;

    #[test]
    fn intervals_of_trials_are_those_of_a_cluster_robust_variance_and_wilson_from_statsmodels() {
        let golden = golden();
        let cases = golden["share"].as_array().unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let trials: Vec<(usize, usize)> = serde_json::from_value(case["trials"].clone()).unwrap();
            let number = |key: &str| case[key].as_f64().unwrap();
            assert!((share_worth(&trials).unwrap() - number("worth")).abs() < 1e-9, "{case}");
            let (low, high) = share_interval(&trials).ends().unwrap();
            assert!(
                (low - number("low")).abs() < 1e-9 && (high - number("high")).abs() < 1e-9,
                "{low} {high} {case}"
            );
        }
    }

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
        assert!(width(&whole) > 1.5 * width(&mixed));
    }

    #[test]
    fn right_and_wrong_change_places_without_another_width() {
        for trials in [vec![(3, 5), (5, 5), (4, 5)], vec![(2, 4), (4, 4), (0, 4), (2, 4)], vec![(5, 5); 3]] {
            let turned: Vec<_> = trials.iter().map(|&(right, n)| (n - right, n)).collect();
            let (low, high) = share_interval(&trials).ends().unwrap();
            let (from, to) = share_interval(&turned).ends().unwrap();
            assert!((low - (1.0 - to)).abs() < 1e-12 && (high - (1.0 - from)).abs() < 1e-12, "{trials:?}");
        }
    }
}
