//! Softmax over the `K` largest scores of a row, the first of equals; the other keys weigh exactly 0. How
//! many keys does a head need?
//!
//! With a sink of a checkpoint in the normaliser: `exp(z_j) / (exp(c_h) + sum over the K largest of
//! exp(z_k))`. A row that sees no more than `K` keys is plain Softmax.

use super::{AttentionVariant, VariantInputs, whole_row};
use crate::attention::RowRule;
use crate::attention::row_rule::{largest, softmax};
use crate::error::{Error, Result};

const NAME: &str = "topk";

/// With the number behind the name; there is none to take in its place.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let keys = inputs.parameter.and_then(|keys| keys.trim().parse().ok()).filter(|&keys| keys > 0);
    let Some(keys) = keys else {
        let expected = "the number of keys that a row keeps behind the name, at least 1: topk:64";
        return Err(Error::invalid("variant", inputs.named(NAME), expected));
    };
    let words = format!("softmax over the {keys} largest scores");
    Ok(whole_row::build(inputs, NAME, &words, Largest(keys)))
}

/// Softmax over so many of a row's scores.
struct Largest(usize);

impl RowRule for Largest {
    fn weigh(&self, scores: &mut [f32], sink: f32) {
        let max = largest(scores);
        if max.is_nan() {
            return scores.fill(f32::NAN);
        }
        let keys = self.0.min(scores.len());
        // The smallest score that is kept, and how many of its equals are.
        let mut ordered = scores.to_vec();
        let (above, least, _) = ordered.select_nth_unstable_by(keys - 1, |a, b| b.total_cmp(a));
        let least = *least;
        let mut equals = keys - above.iter().filter(|z| **z > least).count();
        let level = max.max(sink);
        let mut sum = f64::from((sink - level).exp());
        for z in scores.iter_mut() {
            let kept = *z > least || (*z == least && equals > 0);
            equals -= usize::from(kept && *z == least);
            *z = if kept { (*z - level).exp() } else { 0.0 };
            sum += f64::from(*z);
        }
        let inverse = (1.0 / sum) as f32;
        scores.iter_mut().for_each(|weight| *weight *= inverse);
    }

    fn reference(&self, scores: &[f64], sink: f64) -> Vec<f64> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut kept = vec![f64::NEG_INFINITY; scores.len()];
        order.iter().take(self.0).for_each(|&key| kept[key] = scores[key]);
        softmax(&kept, sink)
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::tests::{inputs, layers};
    use super::*;
    use crate::attention::row_rule::tests::{both_forms_agree, no_number_stays_none, rows_sum_to_1};

    #[test]
    fn a_row_keeps_the_largest_scores_and_the_first_of_equals() {
        let mut scores = [1.0, 2.0, 2.0, 2.0, 0.0];
        Largest(2).weigh(&mut scores, f32::NEG_INFINITY);
        assert_eq!(scores, [0.0, 0.5, 0.5, 0.0, 0.0]);
        assert_eq!(
            Largest(2).reference(&[1.0, 2.0, 2.0, 2.0, 0.0], f64::NEG_INFINITY),
            [0.0, 0.5, 0.5, 0.0, 0.0]
        );
        let mut scores = [0.0, 0.0, -9.0];
        Largest(2).weigh(&mut scores, 0.0);
        assert!(scores[..2].iter().all(|weight| (weight - 1.0 / 3.0).abs() < 1e-7), "{scores:?}");
    }

    #[test]
    fn the_fast_form_agrees_with_the_plain_one() {
        for keys in [1, 3, 64, 10_000] {
            both_forms_agree(&Largest(keys), &[f32::NEG_INFINITY, 0.0, 30.0]);
            no_number_stays_none(&Largest(keys));
            rows_sum_to_1(&Largest(keys));
        }
    }

    #[test]
    fn the_number_of_keys_stands_behind_the_name_and_is_never_invented() {
        let layers = layers();
        let variant = build("topk:64", &inputs(&layers)).unwrap();
        assert_eq!(variant.name(), "topk:64");
        assert_eq!(variant.description(), "zero-shot swap, softmax over the 64 largest scores");
        assert!(variant.row_rule(0).is_some());
        for name in ["topk", "topk:", "topk:0", "topk:-1", "topk:x"] {
            let error = build(name, &inputs(&layers)).err().unwrap().to_string();
            assert!(error.contains("topk:64"), "{name}: {error}");
        }
    }
}
