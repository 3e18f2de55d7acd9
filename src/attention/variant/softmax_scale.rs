//! Softmax with a learned sharpness: `m = s_h`, whatever `n`. It has everything that Scalable-Softmax has but
//! `ln n`, and so is its control: what both do better than plain Softmax is not owed to `n`.

use super::{AttentionVariant, LayerScale, QueryRow, VariantInputs, describe_learned, swapped_layers};
use crate::error::{Error, Result};

const NAME: &str = "softmax-scale";

struct SoftmaxScale {
    /// `s`, `[layers][heads]`; `None` is plain softmax.
    layers: Vec<Option<Vec<f32>>>,
    description: String,
}

/// With the scales of the checkpoint, or one constant for all heads of the layers that a swap changes.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    let own = inputs.own_if(&[NAME]).and_then(|own| own.scales.as_ref());
    let learned = |layer: &Option<LayerScale>| layer.as_ref().map(|layer| layer.scale.clone());
    let constant = |s: f64, follows: bool| follows.then(|| vec![s as f32; inputs.heads]);
    let (layers, rule): (Vec<_>, _) = match (inputs.scale_override, own) {
        (Some(s), Some(own)) => {
            let layers = own.iter().map(|layer| constant(s, layer.is_some())).collect();
            (layers, format!("m = {s} for every head, from --ssmax-scale in place of the learned ones"))
        }
        (Some(s), None) => {
            let follows = swapped_layers(NAME, inputs.layers, inputs.training_length)?;
            let layers = follows.iter().map(|&follows| constant(s, follows)).collect();
            (layers, format!("m = {s} for every head, from --ssmax-scale"))
        }
        (None, Some(own)) => (own.iter().map(learned).collect(), describe_learned(own)),
        (None, None) => {
            let expected = "a checkpoint with learned scales (self_attn.softmax_scale), or a constant for \
                            all heads: `ssmax scale` 2";
            return Err(Error::invalid("variant", NAME, expected));
        }
    };
    let follows: Vec<bool> = layers.iter().map(Option::is_some).collect();
    let rule = rule + &inputs.on_layers(&follows);
    Ok(Box::new(SoftmaxScale { layers, description: inputs.describe(NAME, &rule) }))
}

impl AttentionVariant for SoftmaxScale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let scales = self.layers[layer].as_ref()?;
        Some(scales.iter().map(|&s| vec![s; rows.len()]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers, own, rows};
    use super::*;

    #[test]
    fn a_learned_scale_is_the_same_for_every_row() {
        let (layers, own) = (layers(), own("ssmax"));
        let own = OwnVariant {
            name: NAME,
            layers: vec![false, true],
            scales: own.scales.map(|scales| vec![None, scales[1].clone()]),
            ..own
        };
        let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build(NAME, &inputs).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[7])), None);
        assert_eq!(variant.multipliers(1, &rows(&[1, 1000])), Some(vec![vec![0.5, 0.5], vec![0.25, 0.25]]));
        let said = variant.description();
        assert!(said.starts_with("s learned per layer and head, mean 0.3750"), "{said}");
        assert!(said.ends_with(" on layers 1 of 2 (the others: plain softmax)"), "{said}");
        let given = VariantInputs { scale_override: Some(2.0), ..inputs };
        assert_eq!(
            build(NAME, &given).unwrap().multipliers(1, &rows(&[9])),
            Some(vec![vec![2.0], vec![2.0]])
        );
    }

    #[test]
    fn a_constant_is_given_and_never_invented() {
        let layers = layers();
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("softmax_scale") && error.contains("ssmax scale"), "{error}");
        let given = VariantInputs { scale_override: Some(2.0), ..inputs(&layers) };
        let variant = build(NAME, &given).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[1, 5])), Some(vec![vec![2.0, 2.0]; 2]));
        assert_eq!(variant.description(), "m = 2 for every head, from --ssmax-scale");
    }
}
