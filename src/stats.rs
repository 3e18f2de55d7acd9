//! Statistics of few trials: intervals of shares, and the comparison of two runs on the same prompts.

mod bootstrap;
mod mcnemar;

pub use bootstrap::{RESAMPLES, cluster_bootstrap};
pub use mcnemar::{holm, mcnemar_exact};

mod regression;
mod student;

pub use regression::{LineFit, SizeFit, line_fit, size_fit};
pub use student::student_interval;

/// Two-sided 95 % point of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share, `(low, high)` in 0..=1; `None` for no trials.
///
/// With p = successes / n and z = 1.96: `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)` (Wilson 1927). Unlike
/// p ± 1.96 standard errors it is never empty at 0 and 1 and never leaves 0..=1.
///
/// ```
/// let (low, high) = niah::stats::wilson(10, 10).unwrap();
/// assert!((low - 0.722).abs() < 5e-4 && high == 1.0);
/// ```
#[must_use]
pub fn wilson(successes: usize, n: usize) -> Option<(f64, f64)> {
    if n == 0 {
        return None;
    }
    let (count, z2) = (n as f64, Z95 * Z95);
    let p = successes as f64 / count;
    let centre = p + z2 / (2.0 * count);
    let half = Z95 * (p * (1.0 - p) / count + z2 / (4.0 * count * count)).sqrt();
    let scale = 1.0 + z2 / count;
    // The ends are exactly 0 and 1 there; rounding must not move them.
    let low = if successes == 0 { 0.0 } else { (centre - half) / scale };
    let high = if successes == n { 1.0 } else { (centre + half) / scale };
    Some((low, high))
}

/// The mean; `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median: of an even number of values, the mean of the two in the middle. `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => Some(sorted[half]),
        _ => mean(sorted.get(half.checked_sub(1)?..=half)?),
    }
}

/// The sample standard deviation `√(Σ(x - mean)² / (n - 1))`; `None` of fewer than two values.
#[must_use]
pub fn sample_sd(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of other implementations; `fixtures/make_statistics.py` says how they were made.
    pub(super) fn golden() -> serde_json::Value {
        serde_json::from_str(include_str!("../fixtures/statistics.json")).unwrap()
    }

    #[test]
    fn wilson_gives_the_known_intervals() {
        // 8 of 10 and 0 of 10 as in Newcombe's tables.
        for (successes, n, low, high) in [
            (1, 1, 0.207, 1.0),
            (10, 10, 0.722, 1.0),
            (100, 100, 0.963, 1.0),
            (0, 10, 0.0, 0.278),
            (8, 10, 0.490, 0.943),
        ] {
            let interval = wilson(successes, n).unwrap();
            assert!(
                (interval.0 - low).abs() < 5e-4 && (interval.1 - high).abs() < 5e-4,
                "{successes}/{n}: {interval:?}"
            );
        }
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn mean_and_deviation_of_too_few_values_are_missing() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[0.25, 0.75]), Some(0.5));
        assert_eq!(sample_sd(&[1.0]), None);
        assert_eq!(sample_sd(&[1.0, 2.0, 3.0]), Some(1.0));
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn regression_a_mean_is_not_a_running_half() {
        assert_eq!(mean(&[1.0, 1.0, 1.0, 0.0]), Some(0.75));
    }
}
