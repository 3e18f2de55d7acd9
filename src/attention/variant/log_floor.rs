//! Inkling's log scaling: `m = 1 + alpha ln(max(n / floor, 1))` on layers without a window: 1 up to `floor`
//! keys, and from there on linear in `ln n`. Its configuration has the two numbers as `log_scaling_alpha` and
//! `log_scaling_n_floor`.

use super::{AttentionVariant, QueryRow, VariantInputs};
use crate::error::{Error, Result};

const NAME: &str = "log-floor";

/// The numbers of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogFloor {
    /// `alpha`.
    pub alpha: f64,
    /// `floor`, in keys.
    pub n_floor: usize,
}

impl LogFloor {
    /// `alpha` of the reference's configuration where none is said.
    pub const ALPHA: f64 = 0.1;

    /// The multiplier of a row that sees `n` keys.
    ///
    /// ```
    /// use niah::attention::variant::LogFloor;
    /// let rule = LogFloor { alpha: 0.5, n_floor: 8 };
    /// assert_eq!([1, 8].map(|n| rule.multiplier(n)), [1.0, 1.0]);
    /// assert!((rule.multiplier(16) - (1.0 + 0.5 * 2f64.ln())).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn multiplier(&self, n: usize) -> f64 {
        1.0 + self.alpha * (n as f64 / self.n_floor as f64).max(1.0).ln()
    }
}

struct Scaled {
    rule: LogFloor,
    follows: Vec<bool>,
    description: String,
}

/// With the checkpoint's own numbers, or at a swap with `alpha` 0.1 from the training length on.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.log_floor);
    let at_swap = || inputs.training_length.map(|n_floor| LogFloor { alpha: LogFloor::ALPHA, n_floor });
    let Some(rule) = own.or_else(at_swap).filter(|rule| rule.n_floor > 0) else {
        let expected =
            "a checkpoint whose configuration says log_scaling_n_floor, or how long it was trained";
        return Err(Error::invalid("variant", NAME, expected));
    };
    let follows = inputs.follows(NAME)?;
    let LogFloor { alpha, n_floor } = rule;
    let swap = if own.is_some() { "" } else { "zero-shot swap from the training length on, " };
    let formula = format!("{swap}m = 1 + {alpha} ln(max(n / {n_floor}, 1)){}", inputs.on_layers(&follows));
    Ok(Box::new(Scaled { rule, follows, description: inputs.describe(NAME, &formula) }))
}

impl AttentionVariant for Scaled {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let factor = |row: &QueryRow| self.rule.multiplier(row.visible) as f32;
        self.follows[layer].then(|| vec![rows.iter().map(factor).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers, own, rows};
    use super::super::{OwnVariant, VariantInputs};
    use super::*;

    #[test]
    fn the_numbers_are_the_checkpoints_or_count_from_the_training_length() {
        let layers = layers();
        let inputs = inputs(&layers);
        let swap = build(NAME, &inputs).unwrap();
        let expected = (1.0 + 0.1 * 2f64.ln()) as f32;
        assert_eq!(swap.multipliers(0, &rows(&[1, 1024, 2048])).unwrap(), [[1.0, 1.0, expected]]);
        assert_eq!(
            swap.description(),
            "zero-shot swap from the training length on, m = 1 + 0.1 ln(max(n / 1024, 1))"
        );
        let own = OwnVariant { log_floor: Some(LogFloor { alpha: 0.5, n_floor: 8 }), ..own(NAME) };
        let variant = build(NAME, &VariantInputs { own: Some(&own), ..inputs }).unwrap();
        assert_eq!(variant.description(), "m = 1 + 0.5 ln(max(n / 8, 1))");
        assert!(build(NAME, &VariantInputs { training_length: None, ..inputs }).is_err());
    }
}
