//! ASEntmax, adaptive-scalable entmax (arXiv 2506.16640): [1.5-entmax](super::entmax15) of `m z`, sharper the
//! more keys a row sees and by as much as the row asks for:
//!
//! ```text
//! m = 1 + beta ln(n + 1)^gamma,   beta = softplus(w_b · x),   gamma = 2 tanh(w_g · x)
//! ```
//!
//! with learned `w_b` and `w_g` of each query head, and the normed row `x` that the query is made of. The
//! logarithm is of one key more than the row sees, as in the code of its authors: `ln 1 = 0` has no negative
//! power.
//!
//! With `w_b = w_g = 0`, where nothing has been learned, `m = 1 + ln 2 = 1.693` for every `n`:
//! ```
//! use niah::attention::variant::entmax_scale;
//! assert!((entmax_scale(0.0, 0.0, 100f64.ln()) - 1.693147).abs() < 1e-6);
//! ```

use super::{AttentionVariant, QueryRow, RowMap, VariantInputs, entmax15};
use crate::attention::RowRule;
use crate::error::{Error, Result};

const NAME: &str = "asentmax";

/// What a layer has learned to read from its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleMaps {
    /// `w_b` of each query head.
    pub beta: RowMap,
    /// `w_g` of each query head.
    pub gamma: RowMap,
}

struct AdaptiveScalable {
    /// By layer; `None` is plain softmax.
    maps: Vec<Option<ScaleMaps>>,
    description: String,
}

/// With what the checkpoint has learned; there is nothing to take in its place.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    inputs.refuse_sinks(NAME)?;
    inputs.refuse_chosen_keys(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.entmax_scales.clone());
    let maps = own.ok_or_else(|| {
        let expected = "a checkpoint that was trained with it (niah train --variant asentmax): what it reads \
                        from rows is learned; entmax15 needs nothing that is";
        Error::invalid("variant", NAME, expected)
    })?;
    let follows: Vec<bool> = maps.iter().map(Option::is_some).collect();
    let description = format!(
        "1.5-entmax of m z, m = 1 + beta ln(n + 1)^gamma, beta and gamma read from each row{}",
        inputs.on_layers(&follows)
    );
    Ok(Box::new(AdaptiveScalable { maps, description }))
}

/// `softplus(u) = ln(1 + e^u)`, without overflow.
fn softplus(u: f64) -> f64 {
    u.max(0.0) + (-u.abs()).exp().ln_1p()
}

/// `m = 1 + softplus(b) l^(2 tanh g)` of what is read from a row, `b` and `g`, and its `l = ln(n + 1)`.
#[must_use]
pub fn entmax_scale(b: f64, g: f64, l: f64) -> f64 {
    1.0 + softplus(b) * l.powf(2.0 * g.tanh())
}

/// The derivatives of [`entmax_scale`] by `b` and by `g`.
#[must_use]
pub fn entmax_scale_gradients(b: f64, g: f64, l: f64) -> [f64; 2] {
    let (tanh, sigmoid) = (g.tanh(), 1.0 / (1.0 + (-b).exp()));
    let power = l.powf(2.0 * tanh);
    [sigmoid * power, softplus(b) * power * l.ln() * 2.0 * (1.0 - tanh * tanh)]
}

impl AttentionVariant for AdaptiveScalable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn reads_rows(&self, layer: usize) -> bool {
        self.maps[layer].is_some()
    }

    fn multipliers_of(&self, layer: usize, rows: &[QueryRow], x: &[f32]) -> Option<Vec<Vec<f32>>> {
        let ScaleMaps { beta, gamma } = self.maps[layer].as_ref()?;
        let logs: Vec<f64> = rows.iter().map(|row| ((row.visible + 1) as f64).ln()).collect();
        let of_head = |(b, g): (Vec<f32>, Vec<f32>)| {
            let read = b.into_iter().zip(g).zip(&logs);
            read.map(|((b, g), &l)| entmax_scale(f64::from(b), f64::from(g), l) as f32).collect()
        };
        Some(beta.read(x, rows.len()).into_iter().zip(gamma.read(x, rows.len())).map(of_head).collect())
    }

    fn row_rule(&self, layer: usize) -> Option<&dyn RowRule> {
        self.maps[layer].as_ref().map(|_| &entmax15::Rule as &dyn RowRule)
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers, rows};
    use super::*;

    #[test]
    fn each_row_asks_for_its_multiplier_and_none_is_invented() {
        let layers = layers();
        let beta = RowMap { weight: vec![1.0, 0.0, 0.0, -30.0], bias: vec![0.0; 2] };
        let gamma = RowMap { weight: vec![0.0, 0.5, 0.0, 0.0], bias: vec![0.0; 2] };
        let maps = Some(vec![None, Some(ScaleMaps { beta, gamma })]);
        let own = OwnVariant { name: NAME, entmax_scales: maps, ..OwnVariant::softmax(2) };
        let learned = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build(NAME, &learned).unwrap();
        let said = variant.description();
        assert!(said.ends_with(" on layers 1 of 2 (the others: plain softmax)"), "{said}");
        assert!(!variant.reads_rows(0) && variant.reads_rows(1));
        assert!(variant.row_rule(0).is_none() && variant.row_rule(1).is_some());
        assert_eq!(variant.multipliers_of(0, &rows(&[1]), &[1.0, 1.0]), None);
        // Two rows, [2, 1] which sees 7 keys and [0, 2] which sees one.
        let found = variant.multipliers_of(1, &rows(&[7, 1]), &[2.0, 1.0, 0.0, 2.0]).unwrap();
        let first = 1.0 + (1.0 + 2f64.exp()).ln() * 8f64.ln().powf(2.0 * 0.5f64.tanh());
        let second = 1.0 + 2f64.ln() * 2f64.ln().powf(2.0 * 1f64.tanh());
        for (found, expected) in [(found[0][0], first), (found[0][1], second), (found[1][1], 1.0)] {
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} and not {expected}");
        }
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("niah train --variant asentmax"), "{error}");
    }

    #[test]
    fn gradients_of_the_multiplier_are_the_finite_differences() {
        for (b, g, n) in [(0.0, 0.0, 1.0), (1.5, -0.7, 1.0), (-2.0, 0.4, 300.0), (40.0, 2.0, 9.0)] {
            let l = f64::ln(n + 1.0);
            let difference = |change: &dyn Fn(f64) -> f64| (change(1e-5) - change(-1e-5)) / 2e-5;
            let by_b = difference(&|by| entmax_scale(b + by, g, l));
            let by_g = difference(&|by| entmax_scale(b, g + by, l));
            for (found, slope) in entmax_scale_gradients(b, g, l).into_iter().zip([by_b, by_g]) {
                assert!(
                    (found - slope).abs() < 1e-6 * (1.0 + slope.abs()),
                    "{b}, {g}, {n}: {found}, {slope}"
                );
            }
        }
    }
}
