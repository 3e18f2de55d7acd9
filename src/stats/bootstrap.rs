//! The interval of a mean over values that belong together in groups.

use crate::rng::Rng;

/// Samples that a bootstrap draws.
pub const RESAMPLES: usize = 10_000;

/// The 95 % percentile interval of the mean of all values, `(low, high)`, by the cluster bootstrap; `None` for fewer than two clusters
/// that hold a value: one alone says nothing of how others would be.
///
/// Values of one cluster depend on each other (the cells of a trial share a haystack), so whole clusters are drawn, not values: each of
/// [`RESAMPLES`] samples draws as many clusters as there are, with replacement, and takes the mean of the values in them. The ends are
/// the 2.5 and 97.5 percentiles of these means, between two samples by linear interpolation (Efron and Tibshirani 1993, ch. 13).
/// For paired runs the values are differences, B - A on the same prompt. The generator is this crate's own, so a seed gives the
/// same interval everywhere.
///
/// With few clusters the interval is too narrow; it has no width where all clusters have one mean.
///
/// ```
/// use niah::stats::cluster_bootstrap;
/// assert_eq!(cluster_bootstrap(&[vec![0.5, 0.5], vec![0.5]], 1), Some((0.5, 0.5)));
/// assert_eq!(cluster_bootstrap(&[vec![0.0, 1.0], vec![]], 1), None);
/// ```
#[must_use]
pub fn cluster_bootstrap(clusters: &[Vec<f64>], seed: u64) -> Option<(f64, f64)> {
    let sums: Vec<(f64, f64)> = clusters
        .iter()
        .filter(|values| !values.is_empty())
        .map(|values| (values.iter().sum(), values.len() as f64))
        .collect();
    if sums.len() < 2 {
        return None;
    }
    let mut rng = Rng::for_purpose(seed, &["bootstrap"]);
    let mut mean = |_| {
        let (sum, count) = (0..sums.len()).fold((0.0, 0.0), |(sum, count), _| {
            let (more, values) = rng.choose(&sums);
            (sum + more, count + values)
        });
        sum / count
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(&mut mean).collect();
    means.sort_by(f64::total_cmp);
    Some((percentile(&means, 0.025), percentile(&means, 0.975)))
}

/// The value below which this share of the sorted values lies, between two of them by linear interpolation.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::golden;

    #[test]
    fn the_interval_is_that_of_an_implementation_in_numpy() {
        let golden = golden();
        let cases = golden["bootstrap"].as_array().unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let clusters: Vec<Vec<f64>> = serde_json::from_value(case["clusters"].clone()).unwrap();
            let (low, high) = cluster_bootstrap(&clusters, case["seed"].as_u64().unwrap()).unwrap();
            let end = |key: &str| case[key].as_f64().unwrap();
            let close = (low - end("low")).abs() < 1e-12 && (high - end("high")).abs() < 1e-12;
            assert!(close, "{low} {high} {case}");
        }
    }

    #[test]
    fn values_of_a_cluster_are_drawn_together() {
        // Forty values that are really two: drawn one by one, their mean would hardly move.
        let clusters = [vec![0.0; 20], vec![1.0; 20]];
        assert_eq!(cluster_bootstrap(&clusters, 0), Some((0.0, 1.0)));
        let one_by_one: Vec<Vec<f64>> = clusters.concat().into_iter().map(|value| vec![value]).collect();
        let (low, high) = cluster_bootstrap(&one_by_one, 0).unwrap();
        assert!(low > 0.3 && high < 0.7, "{low} {high}");
    }
}
