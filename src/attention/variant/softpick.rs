//! Softpick: `p_j = relu(e^z_j - 1) / (sum_k |e^z_k - 1| + eps)` (arXiv 2504.20966). Keys whose score is not
//! above 0 weigh exactly 0 and still stand in the normaliser, so that rows sum to at most 1, and a head whose
//! scores are all low attends to nothing.
//!
//! With two scores `ln 3` and `ln 0.5`: `2 / (2 + 0.5) = 0.8` and 0.

use super::{AttentionVariant, VariantInputs, whole_row};
use crate::attention::row_rule::largest;
use crate::attention::{RowRule, TrainedRule};
use crate::error::Result;

const NAME: &str = "softpick";

/// What keeps a row of nothing from a division by 0.
const EPS: f64 = 1e-6;

/// In the place of Softmax, on every layer or on those of the checkpoint's own rule.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    Ok(whole_row::build(inputs, NAME, "relu(e^z - 1) / (sum |e^z - 1| + eps)", Rule))
}

/// The rule of a row.
pub(in crate::attention) struct Rule;

/// `e^(z - level)` of every score with `level` at least 0 and no score above it, `e^-level`, and the
/// normaliser over `e^level`.
fn powers(scores: &[f32]) -> (Vec<f64>, f64, f64) {
    let level = f64::from(largest(scores)).max(0.0);
    let powers: Vec<f64> = scores.iter().map(|&z| (f64::from(z) - level).exp()).collect();
    let one = (-level).exp();
    let sum = powers.iter().map(|power| (power - one).abs()).sum::<f64>() + EPS * one;
    (powers, one, sum)
}

impl RowRule for Rule {
    fn weigh(&self, scores: &mut [f32], _sink: f32) {
        if largest(scores).is_nan() {
            return scores.fill(f32::NAN);
        }
        let (powers, one, sum) = powers(scores);
        scores.iter_mut().zip(powers).for_each(|(p, power)| *p = ((power - one).max(0.0) / sum) as f32);
    }

    fn reference(&self, scores: &[f64], _sink: f64) -> Vec<f64> {
        let above = scores.iter().map(|z| z.exp_m1());
        let sum = above.clone().map(f64::abs).sum::<f64>() + EPS;
        above.map(|above| above.max(0.0) / sum).collect()
    }
}

impl TrainedRule for Rule {
    /// `dz_j = e^z_j / S ([z_j > 0] dp_j - sign(z_j) sum_i p_i dp_i)` with the normaliser `S`.
    fn backward(&self, scores: &[f32], weights: &[f32], dweights: &mut [f32]) {
        let (powers, one, sum) = powers(scores);
        let mean: f64 = weights.iter().zip(&*dweights).map(|(&p, &dp)| f64::from(p) * f64::from(dp)).sum();
        for (dp, power) in dweights.iter_mut().zip(powers) {
            let slope = if power > one { f64::from(*dp) - mean } else { mean };
            *dp = (power / sum * slope) as f32;
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
    fn weights_can_be_checked_by_hand_and_low_scores_weigh_nothing() {
        let mut row = [3f32.ln(), 0.5f32.ln()];
        Rule.weigh(&mut row, f32::NEG_INFINITY);
        assert!((row[0] - 0.8).abs() < 1e-6 && row[1] == 0.0, "{row:?}");
        let mut low = [-1.0, -2.0, 0.0];
        Rule.weigh(&mut low, f32::NEG_INFINITY);
        assert_eq!(low, [0.0; 3]);
    }

    #[test]
    fn the_fast_form_agrees_with_the_plain_one() {
        both_forms_agree(&Rule, &[f32::NEG_INFINITY]);
        no_number_stays_none(&Rule);
        gradients_are_the_finite_differences(&Rule);
        let variant = build(NAME, &inputs(&layers())).unwrap();
        assert!(variant.description().starts_with("zero-shot swap, relu(e^z - 1)"));
    }
}
