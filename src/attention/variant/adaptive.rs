//! A learned multiplier for every number of keys: `m = p_n + b_h`, the experiment that led to
//! Scalable-Softmax (arXiv 2501.19399, Figure 2).

use super::{AttentionVariant, QueryRow, VariantInputs};
use crate::error::{Error, Result};

const NAME: &str = "adaptive";

/// What a checkpoint has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    /// `p_n` for n = 1, 2, ..., shared by all layers and heads that follow the rule.
    pub sizes: Vec<f32>,
    /// `b` of each query head, by layer; `None` for a layer that does not follow the rule.
    pub biases: Vec<Option<Vec<f32>>>,
}

struct Learned {
    learned: Adaptive,
    description: String,
}

/// With the `p_n` and `b` of the checkpoint; there is nothing to take in their place.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.adaptive.as_ref());
    let learned = own.cloned().ok_or_else(|| {
        let expected = "a checkpoint that was trained with it (niah train --variant adaptive): its \
                        multipliers are learned";
        Error::invalid("variant", NAME, expected)
    })?;
    let follows: Vec<bool> = learned.biases.iter().map(Option::is_some).collect();
    let description = format!(
        "m = p_n + b, p_n learned up to n = {}, b per layer and head{}",
        learned.sizes.len(),
        inputs.on_layers(&follows)
    );
    Ok(Box::new(Learned { learned, description }))
}

impl AttentionVariant for Learned {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn longest(&self) -> Option<usize> {
        Some(self.learned.sizes.len())
    }

    /// Past [`Self::longest`] the multiplier is NaN, which the decoder refuses: no number stands for one that
    /// was never learned.
    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let biases = self.learned.biases[layer].as_ref()?;
        let size = |row: &QueryRow| self.learned.sizes.get(row.visible - 1).copied().unwrap_or(f32::NAN);
        Some(biases.iter().map(|b| rows.iter().map(|row| size(row) + b).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers, own, rows};
    use super::*;

    #[test]
    fn each_size_has_its_multiplier_and_none_is_invented() {
        let layers = layers();
        let adaptive = Adaptive { sizes: vec![1.0, 1.5, 2.0], biases: vec![None, Some(vec![0.0, -0.5])] };
        let own = OwnVariant { adaptive: Some(adaptive), ..own(NAME) };
        let learned = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build(NAME, &learned).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[2])), None);
        assert_eq!(variant.multipliers(1, &rows(&[1, 3])).unwrap(), [[1.0, 2.0], [0.5, 1.5]]);
        assert!(variant.multipliers(1, &rows(&[4])).unwrap()[0][0].is_nan());
        assert_eq!(variant.longest(), Some(3));
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("niah train --variant adaptive"), "{error}");
    }
}
