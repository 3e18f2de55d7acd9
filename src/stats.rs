//! Statistics of few trials: intervals that hold, and the comparison of two runs on the same prompts.
//!
//! Every interval that is printed comes from one of four functions, [`share_interval`], [`paired_interval`],
//! [`unpaired_interval`] and [`mean_interval`], which give it with its method or say why there is none
//! ([`Interval`]). `docs/statistics.md` says how often each holds the truth, and `tests/all/coverage.rs`
//! counts it.

mod deciding;
mod effective_length;
mod groups;
mod holm;
mod interval;
mod mean;
mod normal;
mod paired;
mod precision;
mod rank;
mod regression;
mod share;
mod student;
mod unpaired;

pub use deciding::{drop_decides, share_decides, trials_for_drop, trials_for_share};
pub use effective_length::{Decides, EffectiveLength, Judged, LengthRule, LengthScores, RULES, Rule, Score};
pub use holm::holm;
pub use interval::{Interval, Method, Withheld};
pub use mean::{LARGE, mean_interval};
pub use paired::{PairedDifference, PairedTrial, paired_interval};
pub use precision::Assumed;
pub use rank::spearman;
pub use regression::{LineFit, SizeFit, line_fit, size_fit};
pub use share::{share_interval, share_worth};
pub use unpaired::unpaired_interval;

/// Two-sided 95 % point of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

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

/// The value that a `share` of the values, 0 to 1, lies at or below, between two values on the line through
/// them; `None` of nothing.
///
/// ```
/// use niah::stats::quantile;
/// assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.5), Some(2.0));
/// assert_eq!(quantile(&[4.0, 1.0, 2.0], 0.75), Some(3.0));
/// assert_eq!(quantile(&[], 0.5), None);
/// ```
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = sorted.get(below + 1).unwrap_or(&sorted[below]);
    Some(sorted[below] + part * (above - sorted[below]))
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
