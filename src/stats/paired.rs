//! The difference of two shares on the same prompts: its interval, and the p value that belongs to it.

use super::Z95;
use super::groups::{Group, Spread, effective, holding_others, total};
use super::interval::{Interval, Method, Withheld};
use super::normal::two_sided;

/// The prompts of a trial that two runs answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairedTrial {
    /// Prompts.
    pub n: usize,
    /// Those that A alone answers right.
    pub only_a: usize,
    /// Those that B alone answers right.
    pub only_b: usize,
}

/// What is known of the difference of two shares, B - A.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Its 95 % interval.
    pub interval: Interval,
    /// The two-sided p of no difference. It is below 0.05 exactly where the interval does not hold 0; missing
    /// where that is.
    pub p: Option<f64>,
}

/// The interval of the difference of two shares on the same prompts, B - A, and its p value. Prompts of a
/// trial depend on each other: they share a haystack.
///
/// Tango's score interval (1998) with a continuity correction, at the number of independent prompts that
/// these are worth, n, as in [`super::share_worth`], with one trial added and not two: the correction is
/// another allowance for few trials. With b and c the prompts that B alone and A alone
/// answer right, of n, it holds every Δ with `|b - c - nΔ| - 1 <= 1.96 √(n (2q + Δ(1 - Δ)))`, q the likeliest
/// probability that A alone is right given Δ. At Δ = 0 that is McNemar's test with Edwards' correction,
/// `(|b - c| - 1) / √(b + c)`, whose p is returned. Withheld of several prompts in one trial.
///
/// ```
/// use niah::stats::{PairedTrial, paired_interval};
/// let better = PairedTrial { n: 1, only_a: 0, only_b: 1 };
/// // Four trials are too few to tell, however they come out; six are not.
/// assert!(paired_interval(&[better; 4]).interval.ends().unwrap().0 < 0.0);
/// assert!(paired_interval(&[better; 6]).interval.ends().unwrap().0 > 0.0);
/// ```
#[must_use]
pub fn paired_interval(trials: &[PairedTrial]) -> PairedDifference {
    let difference = |trial: &PairedTrial| (trial.only_b as f64 - trial.only_a as f64, trial.n as f64);
    let groups: Vec<Group> = trials.iter().filter(|trial| trial.n > 0).map(difference).collect();
    let withheld = |why| PairedDifference { interval: Interval::Withheld(why), p: None };
    let (sum, n) = total(&groups);
    if n == 0.0 {
        return withheld(Withheld::NoValue);
    }
    let count = |of: fn(&PairedTrial) -> usize| trials.iter().map(of).sum::<usize>() as f64;
    let (only_a, only_b) = (count(|trial| trial.only_a), count(|trial| trial.only_b));
    let mean = sum / n;
    let values =
        trials.iter().map(|trial| [trial.only_a, trial.only_b, trial.n - trial.only_a - trial.only_b]);
    let spread = Spread {
        plain: (only_a + only_b) / n - mean * mean,
        telling: holding_others(&values.collect::<Vec<_>>()),
        added: COPIES,
    };
    let Some(worth) = effective(&groups, &spread) else {
        return withheld(Withheld::OneGroup);
    };
    let pairs = Pairs { only_a: only_a * worth / n, only_b: only_b * worth / n, n: worth };
    let (low, high) = pairs.interval();
    PairedDifference {
        interval: Interval::Given { low, high, method: Method::PairedScore },
        p: Some(pairs.p()),
    }
}

/// Trials of copies that are taken to have been seen beside those that tell how differences come.
const COPIES: f64 = 1.0;

/// Independent pairs; their numbers need not be whole.
struct Pairs {
    only_a: f64,
    only_b: f64,
    n: f64,
}

impl Pairs {
    fn interval(&self) -> (f64, f64) {
        let found = (self.only_b - self.only_a) / self.n;
        (self.end(found, -1.0), self.end(found, 1.0))
    }

    /// The difference nearest to `outside` that is held.
    fn end(&self, mut inside: f64, mut outside: f64) -> f64 {
        if self.holds(outside) {
            return outside;
        }
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            if self.holds(middle) { inside = middle } else { outside = middle }
        }
        inside
    }

    /// Whether the score test does not refuse this difference.
    fn holds(&self, difference: f64) -> bool {
        let Self { only_a, only_b, n } = *self;
        let distance = (only_b - only_a - n * difference).abs() - 1.0;
        // The root of the likelihood equation for the probability that A alone is right (Tango 1998, equation
        // 4).
        let linear = (2.0 * n - only_b + only_a) * difference - only_b - only_a;
        let constant = -only_a * difference * (1.0 - difference);
        let q = ((linear * linear - 8.0 * n * constant).max(0.0).sqrt() - linear) / (4.0 * n);
        let variance = n * (2.0 * q + difference * (1.0 - difference));
        distance <= Z95 * variance.max(0.0).sqrt()
    }

    fn p(&self) -> f64 {
        let Self { only_a, only_b, .. } = *self;
        let distance = (only_b - only_a).abs() - 1.0;
        if distance <= 0.0 { 1.0 } else { two_sided(distance / (only_a + only_b).sqrt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::golden;

    fn independent(only_a: usize, only_b: usize, both: usize) -> Vec<PairedTrial> {
        let one = |only_a, only_b| PairedTrial { n: 1, only_a, only_b };
        [vec![one(1, 0); only_a], vec![one(0, 1); only_b], vec![one(0, 0); both]].concat()
    }

    #[test]
    fn intervals_are_those_of_a_likelihood_maximised_by_scipy() {
        let golden = golden();
        let cases = golden["paired"].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let count = |key: &str| case[key].as_u64().unwrap() as usize;
            let pairs =
                independent(count("only_a"), count("only_b"), count("n") - count("only_a") - count("only_b"));
            let found = paired_interval(&pairs);
            let (low, high) = found.interval.ends().unwrap();
            let number = |key: &str| case[key].as_f64().unwrap();
            assert!(
                (low - number("low")).abs() < 1e-5 && (high - number("high")).abs() < 1e-5,
                "{low} {high} {case}"
            );
            assert!((found.p.unwrap() - number("p")).abs() < 1e-9, "{found:?} {case}");
        }
    }

    #[test]
    fn intervals_of_trials_are_those_of_a_cluster_robust_variance_from_statsmodels() {
        let golden = golden();
        let cases = golden["paired_trials"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let trials: Vec<[usize; 3]> = serde_json::from_value(case["trials"].clone()).unwrap();
            let trial = |&[n, only_a, only_b]: &[usize; 3]| PairedTrial { n, only_a, only_b };
            let found = paired_interval(&trials.iter().map(trial).collect::<Vec<_>>());
            let (low, high) = found.interval.ends().unwrap();
            let number = |key: &str| case[key].as_f64().unwrap();
            assert!(
                (low - number("low")).abs() < 1e-5 && (high - number("high")).abs() < 1e-5,
                "{low} {high} {case}"
            );
        }
    }

    #[test]
    fn p_and_interval_never_contradict_each_other() {
        for n in 1..=24 {
            for only_a in 0..=n {
                for only_b in 0..=n - only_a {
                    let found = paired_interval(&independent(only_a, only_b, n - only_a - only_b));
                    let (low, high) = found.interval.ends().unwrap();
                    assert!((-1.0..=1.0).contains(&low) && low < high && high <= 1.0);
                    assert_eq!(
                        found.p.unwrap() < 0.05,
                        low > 0.0 || high < 0.0,
                        "{only_a} {only_b} {n}: {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn trials_that_all_come_out_the_same_are_worth_one_prompt_each() {
        let trial = PairedTrial { n: 20, only_a: 0, only_b: 20 };
        assert_eq!(paired_interval(&[trial; 4]), paired_interval(&independent(0, 4, 0)));
        let none = PairedTrial { n: 20, only_a: 0, only_b: 0 };
        let (low, high) = paired_interval(&[none; 4]).interval.ends().unwrap();
        assert!(low < -0.4 && (low + high).abs() < 1e-12, "{low} {high}");
        assert_eq!(paired_interval(&[none; 4]).p, Some(1.0));
        assert_eq!(paired_interval(&[trial]).interval, Interval::Withheld(Withheld::OneGroup));
        assert_eq!(paired_interval(&[]).interval, Interval::Withheld(Withheld::NoValue));
    }
}
