//! Values that belong together in groups: the prompts of a trial, which share a haystack.

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

/// What the spread of groups is judged by.
pub(super) struct Spread {
    /// Variance of one value, were all independent.
    pub plain: f64,
    /// Groups that hold anything but the commonest value ([`holding_others`]).
    pub telling: usize,
    /// Groups of copies that are added to these.
    pub added: f64,
}

/// How many independent values the values of these groups are worth for their mean: their number over the
/// design effect. `None` of several values in one group.
///
/// The design effect (Kish 1965), `variance_of_mean / (plain / Σ n_k)`, is taken between 1 and that of groups
/// whose values are all copies of one, `Σ n_k² / Σ n_k`. Where a value is rare, only the groups that hold it
/// tell whether it comes one by one or by whole groups, and few say little. So `added` groups of copies are
/// taken to have been seen beside the `telling` ones: the effect is drawn towards that of copies by
/// `added / (telling + added)`, and it is that of copies where groups do not differ at all.
pub(super) fn effective(groups: &[Group], spread: &Spread) -> Option<f64> {
    let (_, n) = total(groups);
    if groups.iter().all(|(_, values)| *values == 1.0) {
        return (n > 0.0).then_some(n);
    }
    let (found, copies) = effects(groups, spread.plain)?;
    Some(n / shrunk(found, copies, spread.telling as f64, spread.added))
}

/// The design effect of the mean of these groups, and that of copies, where `plain` is the variance of one
/// value; `None` of fewer than two groups. Of groups that do not differ the first is that of copies.
pub(super) fn effects(groups: &[Group], plain: f64) -> Option<(f64, f64)> {
    let (_, n) = total(groups);
    let variance = variance_of_mean(groups)?;
    let copies = groups.iter().map(|(_, values)| values * values).sum::<f64>() / n;
    let alike = variance == 0.0 || plain <= 0.0;
    Some((if alike { copies } else { (variance * n / plain).clamp(1.0, copies) }, copies))
}

/// A design effect drawn towards that of copies, which `added` groups beside the `telling` ones have.
pub(super) fn shrunk(found: f64, copies: f64, telling: f64, added: f64) -> f64 {
    (found * telling + copies * added) / (telling + added)
}

/// The number of groups that hold anything but the commonest value, from how often each value is in each
/// group; of several values that are equally common, that which leaves the fewest groups.
pub(super) fn holding_others<const VALUES: usize>(groups: &[[usize; VALUES]]) -> usize {
    let count = |value: usize| groups.iter().map(|group| group[value]).sum::<usize>();
    let most = (0..VALUES).map(count).max().unwrap_or(0);
    let others =
        |value: usize| groups.iter().filter(|group| group.iter().sum::<usize>() > group[value]).count();
    (0..VALUES).filter(|&value| count(value) == most).map(others).min().unwrap_or(0)
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
        let worth =
            |groups: &[Group], plain, telling| effective(groups, &Spread { plain, telling, added: 2.0 });
        assert_eq!(worth(&[(1.0, 1.0), (0.0, 1.0)], 0.25, 1), Some(2.0));
        assert_eq!(worth(&[(3.0, 5.0)], 0.25, 1), None);
        assert_eq!(worth(&[(5.0, 5.0), (5.0, 5.0)], 0.0, 0), Some(2.0), "alike");
        assert_eq!(worth(&[(0.0, 5.0), (5.0, 5.0)], 0.25, 1), Some(2.0), "copies");
        let many: Vec<Group> = (0..40).map(|k| (f64::from(2 + k % 2), 5.0)).collect();
        // More alike than chance has it: 1 of 40 groups, and 5 of the two that are added.
        assert_eq!(worth(&many, 0.25, 40), Some(200.0 / (50.0 / 42.0)));
        assert_eq!(worth(&many, 0.25, 2), Some(200.0 / 3.0), "and where two groups alone tell");
        // One large group and one small one: (9 + 1)² / (81 + 1).
        assert_eq!(worth(&[(9.0, 9.0), (1.0, 1.0)], 0.0, 0), Some(10.0 / 8.2));
    }

    #[test]
    fn the_groups_that_tell_are_those_with_a_rare_value() {
        assert_eq!(holding_others(&[[5, 0], [4, 1], [5, 0]]), 1);
        assert_eq!(holding_others(&[[0, 5], [1, 4], [0, 5]]), 1, "whichever value is the rare one");
        assert_eq!(holding_others(&[[4, 0], [2, 2], [0, 4]]), 2, "equally common");
        assert_eq!(holding_others(&[[4, 0, 0], [3, 0, 1], [3, 1, 0]]), 2);
        assert_eq!(holding_others::<2>(&[]), 0);
    }
}
