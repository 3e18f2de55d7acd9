//! Qwen's log-n scaling: `m = max(1, ln n / ln L)`, 1 up to the training length `L` and slowly more beyond
//! it.

use super::{AttentionVariant, QueryRow, VariantInputs};
use crate::error::{Error, Result};

const NAME: &str = "logn";

struct LogN {
    length: usize,
    follows: Vec<bool>,
    description: String,
}

/// With the length that the checkpoint's configuration gives for the rule, or else the training length.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let own = inputs.own_if(&[NAME]);
    let length = own.and_then(|own| own.logn_length).or(inputs.training_length);
    let Some(length) = length.filter(|&length| length > 1) else {
        let expected =
            "a checkpoint whose configuration says how long it was trained: max_position_embeddings above 1";
        return Err(Error::invalid("variant", NAME, expected));
    };
    let follows = inputs.follows(NAME)?;
    let swap = if own.is_some() { "" } else { "zero-shot swap, " };
    let rule = format!("{swap}m = max(1, ln n / ln {length}){}", inputs.on_layers(&follows));
    Ok(Box::new(LogN { length, follows, description: inputs.describe(NAME, &rule) }))
}

impl AttentionVariant for LogN {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let unit = (self.length as f64).ln();
        let factor = |row: &QueryRow| ((row.visible as f64).ln() / unit).max(1.0) as f32;
        self.follows[layer].then(|| vec![rows.iter().map(factor).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers, own, rows};
    use super::*;

    #[test]
    fn rows_beyond_the_training_length_are_sharpened_and_no_others() {
        let layers = layers();
        let inputs = inputs(&layers);
        let variant = build(NAME, &inputs).unwrap();
        let found = variant.multipliers(0, &rows(&[1, 1024, 1 << 20])).unwrap();
        assert_eq!(found, [[1.0, 1.0, 2.0]]);
        assert_eq!(variant.description(), "zero-shot swap, m = max(1, ln n / ln 1024)");
    }

    #[test]
    fn the_length_of_the_rule_goes_before_the_training_length() {
        let layers = layers();
        let own = OwnVariant { logn_length: Some(32), ..own(NAME) };
        let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build(NAME, &inputs).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[1024])).unwrap(), [[2.0]]);
        assert_eq!(variant.description(), "m = max(1, ln n / ln 32)");
        let never = VariantInputs { own: None, training_length: Some(1), ..inputs };
        assert!(build(NAME, &never).is_err(), "ln 1 = 0 divides nothing");
    }
}
