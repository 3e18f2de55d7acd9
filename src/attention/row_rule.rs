//! Rules that need the scores of a row all at once.

/// Turns the scores of one row into its weights, where no running sum can.
///
/// `scores` `[n]` are those of the keys that the row sees, scaled, behind cap and bias; `sink` is the logit
/// of the head's sink, minus infinity without one.
pub trait RowRule: Send + Sync {
    /// The weights, in the place of the scores: the fast form. A score that is no number makes all weights
    /// none, so that it is noticed.
    fn weigh(&self, scores: &mut [f32], sink: f32);

    /// The weights `[n]`: the plain form, which the other is held to.
    fn reference(&self, scores: &[f64], sink: f64) -> Vec<f64>;
}

/// A rule of whole rows that can be trained with.
pub trait TrainedRule: RowRule {
    /// Turns `dweights` `[n]`, the gradient by a row's `weights`, into that by its `scores`.
    fn backward(&self, scores: &[f32], weights: &[f32], dweights: &mut [f32]);
}

/// The largest of some scores; no number where one of them is none.
pub(super) fn largest(scores: &[f32]) -> f32 {
    let larger = |max: f32, &z: &f32| if z > max || z.is_nan() { z } else { max };
    scores.iter().fold(f32::NEG_INFINITY, larger)
}

/// `exp(z_j) / (exp(sink) + sum_k exp(z_k))`.
pub(super) fn softmax(scores: &[f64], sink: f64) -> Vec<f64> {
    let max = scores.iter().copied().fold(sink, f64::max);
    let powers: Vec<f64> = scores.iter().map(|z| (z - max).exp()).collect();
    let sum = powers.iter().sum::<f64>() + (sink - max).exp();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// Holds the two forms of a rule together over rows of several lengths and scales, and their sums.
    pub(in crate::attention) fn both_forms_agree(rule: &dyn RowRule, sinks: &[f32]) {
        let mut rng = Rng::new(23);
        for (n, scale) in [(1, 1.0), (2, 9.0), (7, 0.1), (300, 1.0), (300, 20.0), (5000, 3.0)] {
            for &sink in sinks {
                let scores = numbers(&mut rng, n, scale);
                let exact: Vec<f64> = scores.iter().map(|&z| f64::from(z)).collect();
                let exact = rule.reference(&exact, f64::from(sink));
                let mut found = scores.clone();
                rule.weigh(&mut found, sink);
                let off =
                    found.iter().zip(&exact).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
                assert!(off < 2e-6, "{n} scores up to {scale}, sink {sink}: off by {off}");
                let total: f64 = found.iter().map(|&w| f64::from(w)).sum();
                let whole: f64 = exact.iter().sum();
                assert!((total - whole).abs() < 2e-5, "{n} scores up to {scale}: sum {total}");
            }
        }
    }

    /// The rows of a rule that normalises sum to 1.
    pub(in crate::attention) fn rows_sum_to_1(rule: &dyn RowRule) {
        let mut rng = Rng::new(29);
        for (n, scale) in [(1, 1.0), (7, 0.1), (300, 20.0), (5000, 3.0)] {
            let mut row = numbers(&mut rng, n, scale);
            rule.weigh(&mut row, f32::NEG_INFINITY);
            let total: f64 = row.iter().map(|&w| f64::from(w)).sum();
            assert!((total - 1.0).abs() < 2e-5, "{n} scores up to {scale}: sum {total}");
        }
    }

    /// The gradient by every score is what the plain form of the rule changes by.
    pub(in crate::attention) fn gradients_are_the_finite_differences(rule: &dyn TrainedRule) {
        let mut rng = Rng::new(31);
        for (n, scale) in [(1, 1.0), (5, 2.0), (40, 0.5), (40, 6.0)] {
            let (scores, given) = (numbers(&mut rng, n, scale), numbers(&mut rng, n, 1.0));
            let (mut weights, mut gradients) = (scores.clone(), given.clone());
            rule.weigh(&mut weights, f32::NEG_INFINITY);
            rule.backward(&scores, &weights, &mut gradients);
            let loss = |key: usize, by: f64| -> f64 {
                let mut moved: Vec<f64> = scores.iter().map(|&z| f64::from(z)).collect();
                moved[key] += by;
                let weights = rule.reference(&moved, f64::NEG_INFINITY);
                weights.iter().zip(&given).map(|(w, &g)| w * f64::from(g)).sum()
            };
            for (key, found) in gradients.iter().enumerate() {
                let slope = (loss(key, 1e-5) - loss(key, -1e-5)) / 2e-5;
                let off = (f64::from(*found) - slope).abs();
                assert!(off < 1e-5, "{n} scores up to {scale}, key {key}: {found} and not {slope}");
            }
        }
    }

    /// A score that is no number is not lost.
    pub(in crate::attention) fn no_number_stays_none(rule: &dyn RowRule) {
        for at in 0..3 {
            let mut scores = [3.0, 2.0, 1.0];
            scores[at] = f32::NAN;
            rule.weigh(&mut scores, f32::NEG_INFINITY);
            assert!(scores.iter().any(|weight| weight.is_nan()), "{scores:?}");
        }
    }

    #[test]
    fn the_largest_of_scores_is_no_number_where_one_is_none() {
        assert_eq!(largest(&[1.0, 3.0, 2.0]), 3.0);
        assert!(largest(&[1.0, f32::NAN, 2.0]).is_nan());
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
