//! Adaptive temperature: `softmax(beta(H) z)` with `H` the entropy of `softmax(z)` in nats, and
//! `beta(H) = max(1, -0.037 H^4 + 0.481 H^3 - 2.3 H^2 + 4.917 H - 1.791)` for `H > 0.5`, else 1 (arXiv
//! 2410.01104, which fits the polynomial to a network that finds the largest of some numbers, once for all
//! models). Rows that are sharp already are left alone, and none becomes flatter.
//!
//! The polynomial is above 1 from `H = 0.85` to `H = 5.94` alone: a row that is flatter, as where 380 keys or
//! more weigh the same, is plain Softmax again.

use super::{AttentionVariant, VariantInputs, whole_row};
use crate::attention::RowRule;
use crate::attention::row_rule::{largest, softmax};
use crate::error::Result;
use crate::kernel::{Running, online_softmax};

const NAME: &str = "adaptive-temperature";

/// The coefficients, that of the highest power first.
const POLYNOMIAL: [f64; 5] = [-0.037, 0.481, -2.3, 4.917, -1.791];

/// Rows of no more entropy are left as they are.
const SHARP: f64 = 0.5;

/// In the place of Softmax, on every layer.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    Ok(whole_row::build(inputs, NAME, "softmax(beta z), beta by a polynomial of the row's entropy", Rule))
}

/// `beta` of a row of this entropy.
fn inverse_temperature(entropy: f64) -> f64 {
    match entropy > SHARP {
        true => POLYNOMIAL.iter().fold(0.0, |value, coefficient| value * entropy + coefficient).max(1.0),
        false => 1.0,
    }
}

struct Rule;

impl RowRule for Rule {
    /// With `p = exp(z - max)` and `Z = sum p`, `H = ln Z - sum p (z - max) / Z`.
    fn weigh(&self, scores: &mut [f32], _sink: f32) {
        let max = largest(scores);
        if max.is_nan() {
            return scores.fill(f32::NAN);
        }
        let (mut powers, mut running) = (scores.to_vec(), Running::default());
        online_softmax(&mut powers, scores.len(), &mut running);
        let of_key = |(z, p): (&f32, &f32)| match *p > 0.0 {
            true => f64::from(*p) * f64::from(z - max),
            false => 0.0,
        };
        let sum: f64 = powers.iter().map(|&p| f64::from(p)).sum();
        let entropy = sum.ln() - scores.iter().zip(&powers).map(of_key).sum::<f64>() / sum;
        let beta = inverse_temperature(entropy) as f32;
        scores.iter_mut().for_each(|z| *z *= beta);
        let mut running = Running::default();
        online_softmax(scores, scores.len(), &mut running);
        let inverse = 1.0 / running.sum;
        scores.iter_mut().for_each(|weight| *weight *= inverse);
    }

    fn reference(&self, scores: &[f64], sink: f64) -> Vec<f64> {
        let weights = softmax(scores, sink);
        let entropy: f64 = weights.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
        let beta = inverse_temperature(entropy);
        softmax(&scores.iter().map(|z| beta * z).collect::<Vec<_>>(), sink)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers};
    use super::*;
    use crate::attention::row_rule::tests::{both_forms_agree, no_number_stays_none, rows_sum_to_1};

    #[test]
    fn rows_in_the_middle_become_sharper_and_sharp_and_flat_ones_stay() {
        assert_eq!(inverse_temperature(0.4), 1.0);
        // -0.037 + 0.481 - 2.3 + 4.917 - 1.791 at H = 1.
        assert!((inverse_temperature(1.0) - 1.27).abs() < 1e-12, "{}", inverse_temperature(1.0));
        assert!((inverse_temperature(2.0) - 2.099).abs() < 1e-12, "{}", inverse_temperature(2.0));
        assert!(inverse_temperature(5.93) > 1.0);
        assert_eq!([0.84, 5.95, 8.0].map(inverse_temperature), [1.0; 3]);
    }

    #[test]
    fn the_fast_form_agrees_with_the_plain_one() {
        both_forms_agree(&Rule, &[f32::NEG_INFINITY]);
        no_number_stays_none(&Rule);
        rows_sum_to_1(&Rule);
        let variant = build(NAME, &inputs(&layers())).unwrap();
        assert!(variant.row_rule(1).is_some());
        assert!(variant.description().starts_with("zero-shot swap, softmax(beta z)"));
    }
}
