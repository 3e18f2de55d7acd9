//! Attention temperature in steps of the position: Llama 4's on layers without rotary positions, and
//! Ministral 3's on all.

use super::{AttentionVariant, QueryRow, VariantInputs};
use crate::error::{Error, Result};

const NAME: &str = "temperature";

/// The parameters of the rule, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Temperature {
    /// `m = 1 + attn_scale ln(1 + floor((i + 1) / floor_scale))`, on layers without rotary positions.
    Llama4 {
        /// How much a step adds.
        attn_scale: f64,
        /// Positions of a step.
        floor_scale: usize,
    },
    /// `m = 1 + beta ln(1 + floor(i / original_max_position_embeddings))`, on every layer.
    Ministral3 {
        /// How much a step adds.
        beta: f64,
        /// Positions of a step: the context before rotary positions were scaled.
        original_max_position_embeddings: usize,
    },
}

impl Temperature {
    /// What Llama 4 was published with.
    pub const LLAMA4: Self = Self::Llama4 { attn_scale: 0.1, floor_scale: 8192 };

    /// The multiplier of the row at `position`, from 0.
    ///
    /// ```
    /// use niah::attention::variant::Temperature;
    /// assert_eq!(Temperature::LLAMA4.multiplier(8190), 1.0);
    /// assert!((Temperature::LLAMA4.multiplier(8191) - 1.0693147).abs() < 1e-7);
    /// ```
    #[must_use]
    pub fn multiplier(&self, position: usize) -> f64 {
        let (scale, steps) = match *self {
            Self::Llama4 { attn_scale, floor_scale } => (attn_scale, (position + 1) / floor_scale),
            Self::Ministral3 { beta, original_max_position_embeddings } => {
                (beta, position / original_max_position_embeddings)
            }
        };
        1.0 + scale * (steps as f64).ln_1p()
    }

    fn formula(&self) -> String {
        match self {
            Self::Llama4 { attn_scale, floor_scale } => {
                format!("m = 1 + {attn_scale} ln(1 + floor((i + 1) / {floor_scale}))")
            }
            Self::Ministral3 { beta, original_max_position_embeddings } => {
                format!("m = 1 + {beta} ln(1 + floor(i / {original_max_position_embeddings}))")
            }
        }
    }
}

struct Tempered {
    temperature: Temperature,
    follows: Vec<bool>,
    description: String,
}

/// With the checkpoint's own parameters, or else with those that Llama 4 was published with.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.temperature);
    let temperature = own.unwrap_or(Temperature::LLAMA4);
    let mut follows = inputs.follows(NAME)?;
    if matches!(temperature, Temperature::Llama4 { .. }) {
        follows.iter_mut().zip(inputs.layers).for_each(|(follows, layer)| *follows &= layer.rope.is_none());
    }
    if own.is_none() && !follows.contains(&true) {
        let expected = "a checkpoint with layers without rotary positions, which this rule is for, or with \
                        llama_4_scaling_beta in its configuration; `variant` logn and ssmax are for all \
                        layers";
        return Err(Error::invalid("variant", NAME, expected));
    }
    let swap = if own.is_some() { "" } else { "zero-shot swap to Llama 4's published rule, " };
    let rule = format!("{swap}{}{}", temperature.formula(), inputs.on_layers(&follows));
    Ok(Box::new(Tempered { temperature, follows, description: inputs.describe(NAME, &rule) }))
}

impl AttentionVariant for Tempered {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let factor = |row: &QueryRow| self.temperature.multiplier(row.position) as f32;
        self.follows[layer].then(|| vec![rows.iter().map(factor).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, layers, own, rows};
    use super::*;

    #[test]
    fn llama_4_steps_at_every_8192nd_token_and_only_without_rotary_positions() {
        let layers = layers();
        let inputs = VariantInputs { layers: &layers, heads: 2, ..VariantInputs::default() };
        let variant = build(NAME, &inputs).unwrap();
        // 1 + 0.1 ln 2 and 1 + 0.1 ln 3.
        let expected = [[1.0, 1.0, 1.069_314_7, 1.069_314_7, 1.109_861_2]];
        assert_eq!(variant.multipliers(0, &rows(&[1, 8191, 8192, 16383, 16384])).unwrap(), expected);
        assert_eq!(variant.multipliers(1, &rows(&[16384])), None);
        assert_eq!(
            variant.description(),
            "zero-shot swap to Llama 4's published rule, m = 1 + 0.1 ln(1 + floor((i + 1) / 8192)) on layers \
             0 of 2 (the others: plain softmax)"
        );
    }

    #[test]
    fn ministral_3_steps_behind_each_original_context_on_every_layer_whatever_the_window() {
        let layers = layers();
        let temperature = Temperature::Ministral3 { beta: 0.1, original_max_position_embeddings: 16384 };
        let own = OwnVariant { temperature: Some(temperature), ..own(NAME) };
        let inputs = VariantInputs { layers: &layers, heads: 2, own: Some(&own), ..VariantInputs::default() };
        let variant = build(NAME, &inputs).unwrap();
        let at = |position| QueryRow { position, visible: 7 };
        for layer in [0, 1] {
            let found = variant.multipliers(layer, &[at(0), at(16383), at(16384), at(32768)]).unwrap();
            assert_eq!(found, [[1.0, 1.0, 1.069_314_7, 1.109_861_2]]);
        }
        assert_eq!(variant.description(), "m = 1 + 0.1 ln(1 + floor(i / 16384))");
    }

    #[test]
    fn a_swap_that_would_change_no_layer_is_refused() {
        let layers = [layers()[1].clone()];
        let inputs = VariantInputs { layers: &layers, heads: 2, ..VariantInputs::default() };
        let error = build(NAME, &inputs).err().unwrap().to_string();
        assert!(error.contains("without rotary positions"), "{error}");
    }
}
