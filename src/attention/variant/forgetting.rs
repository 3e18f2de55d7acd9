//! Forgetting attention (FoX, arXiv 2503.02130): Softmax of scores that fade with every token behind the key,
//! by as much as that token says:
//!
//! ```text
//! p_ij = softmax_j(z_ij + sum of ln f_l over l = j+1..=i),   f_l = sigmoid(w_f · x_l + b_f)
//! ```
//!
//! with learned `w_f` and `b_f` of each query head, and the normed row `x_l` that queries and keys of token
//! `l` are made of. The gates stand in the place of positions. Rows sum to 1.
//!
//! With gates of 1/2 and scores of 0 a row's own key weighs twice as much as the one before, that twice as
//! much as the next, and so on.

use super::{AttentionVariant, RowMap, VariantInputs};
use crate::error::{Error, Result};

const NAME: &str = "forgetting";

struct Forgetting {
    /// What the gates of a layer are made of; `None` is plain softmax.
    gates: Vec<Option<RowMap>>,
    description: String,
}

/// With the gates of the checkpoint; there is nothing to take in their place.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    inputs.refuse_chosen_keys(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.forget_gates.clone());
    let gates = own.ok_or_else(|| {
        let expected = "a checkpoint that was trained with it (niah train --variant forgetting): its gates \
                        are learned";
        Error::invalid("variant", NAME, expected)
    })?;
    let follows: Vec<bool> = gates.iter().map(Option::is_some).collect();
    let description =
        format!("m = 1, keys fade by gates that each row says behind them{}", inputs.on_layers(&follows));
    Ok(Box::new(Forgetting { gates, description }))
}

/// `ln sigmoid(u)`, without overflow.
#[must_use]
pub fn log_gate(u: f64) -> f64 {
    u.min(0.0) - (-u.abs()).exp().ln_1p()
}

/// The derivative of [`log_gate`]: `1 - sigmoid(u)`.
#[must_use]
pub fn log_gate_gradient(u: f64) -> f64 {
    1.0 / (1.0 + u.exp())
}

impl AttentionVariant for Forgetting {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn forgets(&self, layer: usize) -> bool {
        self.gates[layer].is_some()
    }

    fn log_gates(&self, layer: usize, rows: usize, x: &[f32]) -> Option<Vec<Vec<f64>>> {
        let read = self.gates[layer].as_ref()?.read(x, rows);
        let of_head = |u: Vec<f32>| u.into_iter().map(|u| log_gate(f64::from(u))).collect();
        Some(read.into_iter().map(of_head).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers};
    use super::*;

    #[test]
    fn gates_are_those_of_the_checkpoint_and_none_is_invented() {
        let layers = layers();
        let map = RowMap { weight: vec![1.0, 0.0, 0.0, 2.0], bias: vec![0.0, 3.0] };
        let own =
            OwnVariant { name: NAME, forget_gates: Some(vec![None, Some(map)]), ..OwnVariant::softmax(2) };
        let learned = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build(NAME, &learned).unwrap();
        assert!(!variant.forgets(0) && variant.forgets(1));
        assert!(!variant.needs_scores(0) && variant.needs_scores(1), "known with keys in f32 alone");
        assert_eq!(variant.log_gates(0, 1, &[1.0, 1.0]), None);
        let found = variant.log_gates(1, 2, &[0.0, -1.5, 900.0, -900.0]).unwrap();
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, {expected}");
        close(found[0][0], -2f64.ln());
        close(found[0][1], 0.0);
        close(found[1][0], -2f64.ln());
        close(found[1][1], -1797.0);
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("niah train --variant forgetting"), "{error}");
    }

    #[test]
    fn the_gradient_of_a_gate_is_the_finite_difference() {
        for u in [-40.0, -1.0, 0.0, 0.7, 5.0] {
            let slope = (log_gate(u + 1e-5) - log_gate(u - 1e-5)) / 2e-5;
            assert!((log_gate_gradient(u) - slope).abs() < 1e-8, "{u}: {slope}");
        }
    }
}
