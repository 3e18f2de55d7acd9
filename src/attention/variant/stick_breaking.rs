//! Stick-breaking: `p_j = sigmoid(z_j) prod_{l > j} (1 - sigmoid(z_l))` over the keys `l` behind `j` up to
//! the row's own (arXiv 2410.17980): the nearest key takes its share of a stick, the next one of what is
//! left. Rows sum to at most 1, and the order of keys stands in the place of positions.
//!
//! With scores of 0: `p = 1/2` for the row's own key, `1/4` for the one before, `1/8`, and so on.

use super::{AttentionVariant, VariantInputs, whole_row};
use crate::attention::row_rule::largest;
use crate::attention::{RowRule, TrainedRule};
use crate::error::Result;

const NAME: &str = "stick-breaking";

/// In the place of Softmax, on every layer or on those of the checkpoint's own rule.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    Ok(whole_row::build(inputs, NAME, "sigmoid(z_j) times 1 - sigmoid(z_l) of every key behind", Rule))
}

/// The rule of a row.
pub(in crate::attention) struct Rule;

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl RowRule for Rule {
    /// From the last key to the first, with what is left of the stick.
    fn weigh(&self, scores: &mut [f32], _sink: f32) {
        if largest(scores).is_nan() {
            return scores.fill(f32::NAN);
        }
        let mut left = 1.0;
        for z in scores.iter_mut().rev() {
            let score = f64::from(*z);
            *z = (sigmoid(score) * left) as f32;
            left *= sigmoid(-score);
        }
    }

    /// By logarithms: `ln p_j = ln sigmoid(z_j) - sum_{l > j} ln(1 + e^z_l)`.
    fn reference(&self, scores: &[f64], _sink: f64) -> Vec<f64> {
        let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
        let mut sums = vec![0.0; scores.len()];
        for key in (0..scores.len().saturating_sub(1)).rev() {
            sums[key] = sums[key + 1] + softplus(scores[key + 1]);
        }
        scores.iter().zip(sums).map(|(&z, sum)| (-softplus(-z) - sum).exp()).collect()
    }
}

impl TrainedRule for Rule {
    /// `dz_j = p_j (1 - s_j) dp_j - s_j sum_{k < j} p_k dp_k` with `s = sigmoid(z)`.
    fn backward(&self, scores: &[f32], weights: &[f32], dweights: &mut [f32]) {
        let mut before = 0.0;
        for ((dp, &p), &z) in dweights.iter_mut().zip(weights).zip(scores) {
            let (share, own) = (sigmoid(f64::from(z)), f64::from(p) * f64::from(*dp));
            *dp = (own * (1.0 - share) - share * before) as f32;
            before += own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers};
    use super::*;
    use crate::attention::row_rule::tests::{
        both_forms_agree, gradients_are_the_finite_differences, no_number_stays_none,
    };

    #[test]
    fn scores_of_zero_halve_the_stick_from_the_last_key_on() {
        let mut row = [0.0; 4];
        Rule.weigh(&mut row, f32::NEG_INFINITY);
        assert_eq!(row, [0.0625, 0.125, 0.25, 0.5]);
    }

    #[test]
    fn the_fast_form_agrees_with_the_plain_one() {
        both_forms_agree(&Rule, &[f32::NEG_INFINITY]);
        no_number_stays_none(&Rule);
        gradients_are_the_finite_differences(&Rule);
        let variant = build(NAME, &inputs(&layers())).unwrap();
        assert!(variant.row_rule(0).is_some());
    }
}
