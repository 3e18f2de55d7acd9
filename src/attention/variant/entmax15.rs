//! 1.5-entmax: `p_j = max(z_j / 2 - tau, 0)^2` with the `tau` for which a row sums to 1 (arXiv 1905.05702).
//! Keys whose score falls more than 2 short of the largest weigh exactly 0, and more do where many are close.
//!
//! With two scores `z` and 0, `p = 1` from `z = 2` on: `(1 - 0)^2 = 1` with `tau = 0`.

use super::{AttentionVariant, VariantInputs, whole_row};
use crate::attention::row_rule::largest;
use crate::attention::{RowRule, TrainedRule};
use crate::error::Result;

const NAME: &str = "entmax15";

/// In the place of Softmax, on every layer.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    Ok(whole_row::build(inputs, NAME, "p = max(z / 2 - tau, 0)^2", Rule))
}

/// The rule of a row.
pub(in crate::attention) struct Rule;

impl RowRule for Rule {
    /// `tau` by the sorted scores that can weigh anything: with the largest brought to 0, the `k` largest of
    /// `x = z / 2` give `tau_k = mean - sqrt((1 - sum (x - mean)^2) / k)`, and the right `k` is the last
    /// whose own `x` is not below it.
    fn weigh(&self, scores: &mut [f32], _sink: f32) {
        let max = largest(scores);
        if max.is_nan() {
            return scores.fill(f32::NAN);
        }
        scores.iter_mut().for_each(|z| *z = (*z - max) / 2.0);
        let mut candidates: Vec<f32> = scores.iter().copied().filter(|&x| x > -1.0).collect();
        candidates.sort_unstable_by(|a, b| b.total_cmp(a));
        let (mut sum, mut squares, mut tau) = (0.0f64, 0.0f64, -1.0f64);
        for (x, k) in candidates.iter().map(|&x| f64::from(x)).zip(1u32..) {
            sum += x;
            squares += x * x;
            let (k, mean) = (f64::from(k), sum / f64::from(k));
            let spread = squares - sum * mean;
            let candidate = mean - ((1.0 - spread) / k).max(0.0).sqrt();
            if candidate > x {
                break;
            }
            tau = candidate;
        }
        for x in scores.iter_mut() {
            let above = (f64::from(*x) - tau).max(0.0) as f32;
            *x = above * above;
        }
    }

    /// `tau` by halving: the sum falls with it, from at least 1 at `max - 1` to 0 at `max`.
    fn reference(&self, scores: &[f64], _sink: f64) -> Vec<f64> {
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = |tau: f64| scores.iter().map(move |z| ((z - max) / 2.0 - tau).max(0.0).powi(2));
        let (mut low, mut high) = (-1.0, 0.0);
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            if weights(middle).sum::<f64>() >= 1.0 { low = middle } else { high = middle }
        }
        weights(low).collect()
    }
}

impl TrainedRule for Rule {
    /// `dz = g (dp - sum g dp / sum g)` with `g = sqrt(p)`.
    fn backward(&self, _scores: &[f32], weights: &[f32], dweights: &mut [f32]) {
        let root = |p: f32| f64::from(p).sqrt();
        let (mut sum, mut mean) = (0.0, 0.0);
        for (&p, &dp) in weights.iter().zip(&*dweights) {
            sum += root(p);
            mean += root(p) * f64::from(dp);
        }
        mean /= sum;
        for (dp, &p) in dweights.iter_mut().zip(weights) {
            *dp = (root(p) * (f64::from(*dp) - mean)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers};
    use super::super::{OwnVariant, VariantInputs};
    use super::*;
    use crate::attention::row_rule::tests::{
        both_forms_agree, gradients_are_the_finite_differences, no_number_stays_none, rows_sum_to_1,
    };

    #[test]
    fn weights_can_be_checked_by_hand() {
        let none = f32::NEG_INFINITY;
        let mut alone = [2.0, 0.0, -5.0];
        Rule.weigh(&mut alone, none);
        assert_eq!(alone, [1.0, 0.0, 0.0]);
        let mut equal = [7.0; 4];
        Rule.weigh(&mut equal, none);
        assert_eq!(equal, [0.25; 4]);
        // (0.5 - tau)^2 + tau^2 = 1 has tau = (1 - sqrt 7) / 4.
        let mut two = [1.0, 0.0];
        Rule.weigh(&mut two, none);
        let tau = (1.0 - 7f64.sqrt()) / 4.0;
        assert!((f64::from(two[0]) - (0.5 - tau).powi(2)).abs() < 1e-6, "{two:?}");
    }

    #[test]
    fn the_fast_form_agrees_with_the_plain_one() {
        both_forms_agree(&Rule, &[f32::NEG_INFINITY]);
        no_number_stays_none(&Rule);
        rows_sum_to_1(&Rule);
        gradients_are_the_finite_differences(&Rule);
    }

    #[test]
    fn sinks_are_refused() {
        let layers = layers();
        let sinks = Some(vec![Some(vec![0.5, -1.0]), None]);
        let own = OwnVariant { name: "sink", sinks, ..OwnVariant::softmax(2) };
        let error = build(NAME, &VariantInputs { own: Some(&own), ..inputs(&layers) }).err().unwrap();
        assert!(error.to_string().contains("sinks"), "{error}");
        let variant = build(NAME, &inputs(&layers)).unwrap();
        assert_eq!(variant.description(), "zero-shot swap, p = max(z / 2 - tau, 0)^2");
    }
}
