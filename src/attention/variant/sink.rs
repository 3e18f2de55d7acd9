//! Softmax with a learned sink: `exp(z_j) / (exp(c_h) + sum_k exp(z_k))`, one logit `c` a layer and query
//! head (gpt-oss). [`super::softmax1`] is the same with `c = 0`, for a checkpoint that has learned none.
//!
//! Rules that change scores keep the sinks of a checkpoint, unmultiplied; plain Softmax and `softmax1` leave
//! them aside.

use super::{AttentionVariant, QueryRow, VariantInputs};
use crate::attention::screening::Screen;
use crate::attention::{Distances, RowRule};
use crate::error::{Error, Result};

const NAME: &str = "sink";

/// Sinks by layer and query head; `None` for a layer without.
type Sinks = Vec<Option<Vec<f32>>>;

struct Sink {
    sinks: Sinks,
    description: String,
}

pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let Some(sinks) = inputs.own.and_then(|own| own.sinks.clone()) else {
        let expected =
            "a checkpoint with learned sinks (self_attn.sinks); softmax1 adds one of logit 0 to any";
        return Err(Error::invalid("variant", NAME, expected));
    };
    let rule = format!("m = 1, learned sinks{}", on_layers(&sinks));
    Ok(Box::new(Sink { description: inputs.describe(NAME, &rule), sinks }))
}

/// Where there are sinks, if not everywhere.
fn on_layers(sinks: &Sinks) -> String {
    let having = sinks.iter().filter(|layer| layer.is_some()).count();
    match having == sinks.len() {
        true => String::new(),
        false => format!(" on {having} of {} layers", sinks.len()),
    }
}

impl AttentionVariant for Sink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn sinks(&self, layer: usize) -> Option<&[f32]> {
        self.sinks[layer].as_deref()
    }
}

/// A rule that changes scores, beside the sinks of a checkpoint.
struct Keeping {
    rule: Box<dyn AttentionVariant>,
    sinks: Sinks,
}

/// `rule`, with the sinks that the checkpoint has.
pub(super) fn keeping(
    inputs: &VariantInputs<'_>,
    rule: Box<dyn AttentionVariant>,
) -> Box<dyn AttentionVariant> {
    match inputs.own.and_then(|own| own.sinks.clone()) {
        Some(sinks) => Box::new(Keeping { rule, sinks }),
        None => rule,
    }
}

impl AttentionVariant for Keeping {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn description(&self) -> String {
        format!(
            "{}, with the learned sinks of this checkpoint{}",
            self.rule.description(),
            on_layers(&self.sinks)
        )
    }

    fn longest(&self) -> Option<usize> {
        self.rule.longest()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        self.rule.multipliers(layer, rows)
    }

    fn reads_rows(&self, layer: usize) -> bool {
        self.rule.reads_rows(layer)
    }

    fn multipliers_of(&self, layer: usize, rows: &[QueryRow], x: &[f32]) -> Option<Vec<Vec<f32>>> {
        self.rule.multipliers_of(layer, rows, x)
    }

    fn forgets(&self, layer: usize) -> bool {
        self.rule.forgets(layer)
    }

    fn log_gates(&self, layer: usize, rows: usize, x: &[f32]) -> Option<Vec<Vec<f64>>> {
        self.rule.log_gates(layer, rows, x)
    }

    fn log_scales(&self, layer: usize) -> Option<&[f32]> {
        self.rule.log_scales(layer)
    }

    fn sinks(&self, layer: usize) -> Option<&[f32]> {
        self.sinks[layer].as_deref()
    }

    fn row_rule(&self, layer: usize) -> Option<&dyn RowRule> {
        self.rule.row_rule(layer)
    }

    fn distances(&self, layer: usize, longest: usize) -> Option<Distances> {
        self.rule.distances(layer, longest)
    }

    fn screens(&self, layer: usize) -> Option<&[Screen]> {
        self.rule.screens(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers};
    use super::super::{OwnVariant, VariantInputs};
    use super::*;

    #[test]
    fn a_rule_that_changes_scores_keeps_the_sinks_and_plain_softmax_does_not() {
        let layers = layers();
        let sinks = Some(vec![Some(vec![0.5, -1.0]), None]);
        let own = OwnVariant { name: NAME, sinks, ..OwnVariant::softmax(2) };
        let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
        for (name, kept) in [("sink", true), ("ssmax-fixed", true), ("softmax", false)] {
            let variant = build(name, &inputs).unwrap();
            assert_eq!(variant.sinks(0), kept.then_some(&[0.5, -1.0][..]), "{name}");
            assert_eq!(variant.sinks(1), None, "{name}");
        }
        let variant = build("softmax", &inputs).unwrap();
        assert!(variant.description().contains("sink, is not used"), "{}", variant.description());
        let variant = build("ssmax-fixed", &inputs).unwrap();
        let said = variant.description();
        assert!(said.ends_with("with the learned sinks of this checkpoint on 1 of 2 layers"), "{said}");
        assert!(!said.contains("not used"), "{said}");
        let variant = build("sink", &inputs).unwrap();
        assert_eq!(variant.description(), "m = 1, learned sinks on 1 of 2 layers");
    }

    #[test]
    fn a_checkpoint_without_sinks_is_told_of_softmax1() {
        let layers = layers();
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("softmax1"), "{error}");
    }
}
