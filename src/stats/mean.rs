//! The interval of a mean over values that belong together in groups.

use super::groups::{Group, total, variance_of_mean};
use super::interval::{Interval, Method, Withheld};
use super::student::t95;
use crate::rng::Rng;

/// Groups from which on the studentised bootstrap takes the place of Student's t. Fewer of them are too often
/// drawn all alike; with as many it holds for skewed values, of which Student's interval misses too many.
pub const LARGE: usize = 10;

/// Samples that the bootstrap draws.
const RESAMPLES: usize = 4_000;

/// The 95 % interval of the mean of all values, from the values of every group; `within` are the least and
/// the most that a mean can be.
///
/// Values of one group depend on each other (the cells of a trial share a haystack, the tokens of a text that
/// text), so the groups are what is independent. Of fewer than [`LARGE`] groups it is Student's: the mean, a
/// ratio of sums, ± t(0.975, K - 1) standard errors by linearisation (Cochran 1977, section 6.4), which for
/// groups of one size is Student's t over their means. Of more it is the studentised bootstrap over groups
/// (Efron and Tibshirani 1993, section 12.5), from a fixed seed. Withheld of one group, and where all have
/// the same mean.
///
/// ```
/// use niah::stats::mean_interval;
/// // 2 ± 4.302653 / √3
/// let (low, high) = mean_interval(&[vec![1.0], vec![2.0], vec![3.0]], None).ends().unwrap();
/// assert!((low + 0.484138).abs() < 1e-6 && (high - 4.484138).abs() < 1e-6);
/// ```
#[must_use]
pub fn mean_interval(groups: &[Vec<f64>], within: Option<(f64, f64)>) -> Interval {
    let groups: Vec<Group> = groups
        .iter()
        .filter(|values| !values.is_empty())
        .map(|values| (values.iter().sum(), values.len() as f64))
        .collect();
    if groups.is_empty() {
        return Interval::Withheld(Withheld::NoValue);
    }
    let Some(variance) = variance_of_mean(&groups) else { return Interval::Withheld(Withheld::OneGroup) };
    if variance == 0.0 {
        return Interval::Withheld(Withheld::AllAlike);
    }
    let (sum, n) = total(&groups);
    let (mean, error) = (sum / n, variance.sqrt());
    let student = || {
        let half = t95(groups.len() - 1) * error;
        (mean - half, mean + half, Method::Student)
    };
    let (least, most) = within.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let clamped = |(low, high, method): (f64, f64, Method)| (low.max(least), high.min(most), method);
    let (low, high, method) = match groups.len() < LARGE {
        true => clamped(student()),
        false => {
            let (least, most) = studentised(&groups, mean);
            let found = clamped((mean - most * error, mean - least * error, Method::StudentisedBootstrap));
            // Where many samples have no spread an end is unknown.
            if found.0.is_finite() && found.1.is_finite() { found } else { clamped(student()) }
        }
    };
    Interval::Given { low, high, method }
}

/// The 2.5 and 97.5 percentiles of how far the mean of a sample lies from `mean`, in the sample's own
/// standard errors.
fn studentised(groups: &[Group], mean: f64) -> (f64, f64) {
    let mut rng = Rng::for_purpose(0, &["bootstrap"]);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sample: Vec<Group> = groups.iter().map(|_| *rng.choose(groups)).collect();
            let (sum, n) = total(&sample);
            let (step, error) = (sum / n - mean, variance_of_mean(&sample).unwrap_or(0.0).sqrt());
            if step == 0.0 { 0.0 } else { step / error }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let place = |share: f64| ratios[(share * (RESAMPLES - 1) as f64).round() as usize];
    (place(0.025), place(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::golden;

    fn alone(values: &[f64]) -> Vec<Vec<f64>> {
        values.iter().map(|&value| vec![value]).collect()
    }

    #[test]
    fn intervals_are_those_of_scipy_and_of_linearised_residuals_in_numpy() {
        let golden = golden();
        let cases = golden["mean"].as_array().unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let groups: Vec<Vec<f64>> = serde_json::from_value(case["groups"].clone()).unwrap();
            let (low, high) = mean_interval(&groups, None).ends().unwrap();
            let end = |key: &str| case[key].as_f64().unwrap();
            assert!(
                (low - end("low")).abs() < 1e-7 && (high - end("high")).abs() < 1e-7,
                "{low} {high} {case}"
            );
        }
    }

    #[test]
    fn the_studentised_bootstrap_is_that_of_numpy() {
        let golden = golden();
        let cases = golden["studentised"].as_array().unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let groups: Vec<Vec<f64>> = serde_json::from_value(case["groups"].clone()).unwrap();
            let Interval::Given { low, high, method } = mean_interval(&groups, None) else {
                panic!("{case}")
            };
            assert_eq!(method, Method::StudentisedBootstrap);
            let end = |key: &str| case[key].as_f64().unwrap();
            assert!(
                (low - end("low")).abs() < 1e-9 && (high - end("high")).abs() < 1e-9,
                "{low} {high} {case}"
            );
        }
    }

    #[test]
    fn no_interval_has_no_width() {
        let withheld = |groups: &[Vec<f64>]| match mean_interval(groups, None) {
            Interval::Withheld(why) => why,
            given => panic!("{given:?}"),
        };
        assert_eq!(withheld(&[]), Withheld::NoValue);
        assert_eq!(withheld(&[vec![]]), Withheld::NoValue);
        assert_eq!(withheld(&[vec![1.0, 2.0], vec![]]), Withheld::OneGroup);
        for k in [2, 9, 10, 40] {
            assert_eq!(withheld(&vec![vec![0.1; 3]; k]), Withheld::AllAlike);
        }
        assert_eq!(withheld(&[vec![0.1; 3], vec![0.1; 7]]), Withheld::AllAlike, "alike but for rounding");
    }

    #[test]
    fn no_interval_leaves_what_a_mean_can_be() {
        let bounds = Some((-1.0, 1.0));
        assert_eq!(mean_interval(&alone(&[0.0, 1.0]), bounds).ends(), Some((-1.0, 1.0)));
        // Of ten alike but one many samples have no spread, so that the upper end is not known.
        let mut one = vec![0.0; 10];
        one[3] = 0.5;
        let (low, high) = mean_interval(&alone(&one), bounds).ends().unwrap();
        assert!(low < 0.05 && high == 1.0, "{low} {high}");
        assert!(mean_interval(&alone(&one), None).ends().unwrap().1 < 0.2);
    }
}
