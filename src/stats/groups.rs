//! Values that belong together in groups: the prompts of a trial, which share a haystack.

use super::Z95;
use super::student::t95;

/// The sum and the number of the values of a group.
pub(super) type Group = (f64, f64);

/// The variance of the mean of all values, by the spread of the groups; `None` for fewer than two of them.
///
/// With K groups of `n_k` values that sum to `s_k`, the mean is the ratio `R = Σ s_k / Σ n_k` and its
/// variance, by linearisation, `K / (K - 1) Σ (s_k - R n_k)² / (Σ n_k)²` (Cochran 1977, section 6.4). Of
/// groups of one size this is the variance of their means over K.
pub(super) fn variance_of_mean(groups: &[Group]) -> Option<f64> {
    let k = groups.len();
    if k < 2 {
        return None;
    }
    let (sum, n) = total(groups);
    let mean = sum / n;
    let squares: f64 = groups.iter().map(|(sum, n)| (sum - mean * n).powi(2)).sum();
    let variance = k as f64 / (k - 1) as f64 * squares / (n * n);
    // What rounding leaves of groups that are alike is no spread.
    let rounding =
        f64::EPSILON * (mean.abs() + groups.iter().map(|(sum, n)| (sum / n).abs()).fold(0.0, f64::max));
    Some(if variance.sqrt() <= 4.0 * rounding { 0.0 } else { variance })
}

/// The `(right, all)` of every trial as groups of ones and zeros, without empty ones.
pub(super) fn of_counts(trials: &[(usize, usize)]) -> Vec<Group> {
    trials.iter().filter(|(_, n)| *n > 0).map(|&(right, n)| (right as f64, n as f64)).collect()
}

/// The sum and the number of all values.
pub(super) fn total(groups: &[Group]) -> Group {
    groups.iter().fold((0.0, 0.0), |(sum, n), (more, values)| (sum + more, n + values))
}

/// How many independent values the values of these groups are worth for their mean; `plain` is the variance
/// of one value. `None` of several values in one group.
///
/// Their number over the design effect (Kish 1965), times `(z / t)²` for K - 1 degrees of freedom (Korn and
/// Graubard 1998). It is never more than the number of values, and never less than what they are worth when
/// all values of a group are copies of one, `(Σ n_k)² / Σ n_k²`: K for groups of one size. It is that where
/// groups do not differ: then nothing shows that they hold more.
pub(super) fn effective(groups: &[Group], plain: f64) -> Option<f64> {
    let (_, n) = total(groups);
    if groups.iter().all(|(_, values)| *values == 1.0) {
        return (n > 0.0).then_some(n);
    }
    let variance = variance_of_mean(groups)?;
    let least = n * n / groups.iter().map(|(_, values)| values * values).sum::<f64>();
    if variance == 0.0 || plain <= 0.0 {
        return Some(least);
    }
    let degrees = (Z95 / t95(groups.len() - 1)).powi(2);
    Some((plain / variance * degrees).clamp(least, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_of_equal_groups_is_that_of_their_means() {
        // Means 1, 2 and 3 of four values: 1 / 3.
        let variance = variance_of_mean(&[(4.0, 4.0), (8.0, 4.0), (12.0, 4.0)]).unwrap();
        assert!((variance - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(variance_of_mean(&[(4.0, 4.0)]), None);
        assert_eq!(
            variance_of_mean(&[(0.3, 3.0), (0.1, 1.0), (0.7, 7.0)]),
            Some(0.0),
            "alike but for rounding"
        );
    }

    #[test]
    fn values_of_a_group_are_worth_no_more_than_they_are_and_no_less_than_one() {
        assert_eq!(effective(&[(1.0, 1.0), (0.0, 1.0)], 0.25), Some(2.0));
        assert_eq!(effective(&[(3.0, 5.0)], 0.25), None);
        assert_eq!(effective(&[(5.0, 5.0), (5.0, 5.0)], 0.0), Some(2.0), "alike");
        assert_eq!(effective(&[(0.0, 5.0), (5.0, 5.0)], 0.25), Some(2.0), "copies");
        let many: Vec<Group> = (0..40).map(|k| (f64::from(2 + k % 2), 5.0)).collect();
        assert_eq!(effective(&many, 0.25), Some(200.0), "more alike than chance has it");
        // One large group and one small one: (9 + 1)² / (81 + 1).
        assert_eq!(effective(&[(9.0, 9.0), (1.0, 1.0)], 0.0), Some(100.0 / 82.0));
    }
}
