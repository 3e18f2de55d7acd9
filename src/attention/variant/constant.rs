//! A constant factor on all scores: `m = c`. The control of every rule in `ln n`: what a swap to one of them
//! does, and this does as well, is owed to sharper scores and not to `n`.
//!
//! Where no `c` is given, it is what the zero-shot swap to Scalable-Softmax multiplies by at the training
//! length `L`, `c = ln L / mean(ln n, n = 1..=L)`: there both are equally sharp.

use super::{AttentionVariant, QueryRow, VariantInputs, swap_scale};
use crate::error::{Error, Result};

const NAME: &str = "constant";

struct Constant {
    name: String,
    factor: f64,
    follows: Vec<bool>,
    description: String,
}

/// With the number behind the name, that of `attention_scale`, or the one that follows from the training
/// length.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let (factor, from) = match (inputs.parameter, inputs.attention_scale, inputs.training_length) {
        (Some(c), Some(scale), _) => {
            let expected = "one constant: a number behind the name of the variant or this, not both";
            return Err(Error::invalid("attention scale", format!("{scale} beside constant:{c}"), expected));
        }
        (Some(c), None, _) => (c.trim().parse().ok(), String::new()),
        (None, Some(scale), _) => (Some(scale), String::new()),
        (None, None, Some(length)) if length > 1 => {
            let factor = swap_scale(length) * (length as f64).ln();
            (Some(factor), format!(", that of the zero-shot swap to ssmax at its training length {length}"))
        }
        (None, None, _) => {
            let expected = "a constant, as in constant:1.5: this checkpoint does not say how long it was \
                            trained";
            return Err(Error::invalid("variant", NAME, expected));
        }
    };
    let Some(factor) = factor.filter(|c: &f64| c.is_finite() && *c > 0.0) else {
        let found = inputs.parameter.map_or_else(
            || inputs.attention_scale.map_or(String::new(), |scale| scale.to_string()),
            |parameter| format!("{NAME}:{parameter}"),
        );
        let name = if inputs.parameter.is_some() { "variant" } else { "attention scale" };
        return Err(Error::invalid(name, found, "a factor above 0, such as 1.5"));
    };
    let follows = inputs.follows(NAME)?;
    let shown = if from.is_empty() { factor.to_string() } else { format!("{factor:.4}") };
    let rule = format!("m = {shown} for every head and row{from}{}", inputs.on_layers(&follows));
    Ok(Box::new(Constant {
        name: inputs.named(NAME),
        factor,
        follows,
        description: inputs.describe(NAME, &rule),
    }))
}

impl AttentionVariant for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        self.follows[layer].then(|| vec![vec![self.factor as f32; rows.len()]])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{inputs, layers, rows};
    use super::super::{VariantInputs, build};

    #[test]
    fn a_constant_is_given_or_that_of_the_swap_at_the_training_length() {
        let layers = layers();
        let inputs = inputs(&layers);
        let given = VariantInputs { attention_scale: Some(1.5), ..inputs };
        let variant = build("constant", &given).unwrap();
        assert_eq!(variant.multipliers(1, &rows(&[1, 1000])), Some(vec![vec![1.5, 1.5]]));
        assert_eq!(
            (variant.name(), variant.description().as_str()),
            ("constant", "m = 1.5 for every head and row")
        );
        let variant = build("constant:2", &inputs).unwrap();
        assert_eq!(
            (variant.name(), variant.multipliers(0, &rows(&[7]))),
            ("constant:2", Some(vec![vec![2.0]]))
        );
        let variant = build("constant", &inputs).unwrap();
        let ssmax = build("ssmax", &inputs).unwrap();
        let [own, swap] = [variant, ssmax].map(|rule| rule.multipliers(0, &rows(&[1024])).unwrap()[0][0]);
        assert!((own - swap).abs() < 1e-6, "{own} and {swap}");
    }

    #[test]
    fn a_constant_that_is_none_is_refused() {
        let layers = layers();
        let inputs = inputs(&layers);
        for (name, scale, words) in [
            ("constant:x", None, "variant: found constant:x"),
            ("constant:0", None, "above 0"),
            ("constant", Some(-1.0), "attention scale: found -1"),
            ("constant:2", Some(2.0), "not both"),
            ("softmax", Some(2.0), "softmax has none"),
        ] {
            let error = build(name, &VariantInputs { attention_scale: scale, ..inputs }).err().unwrap();
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(build("constant", &VariantInputs { training_length: None, ..inputs }).is_err());
    }
}
