//! Variants that are a rule of whole rows in the place of Softmax, and nothing else.

use super::{AttentionVariant, VariantInputs};
use crate::attention::RowRule;

/// A rule on the layers that follow it.
struct WholeRow<R> {
    name: String,
    description: String,
    follows: Vec<bool>,
    rule: R,
}

/// `rule` on every layer, or on those of the checkpoint's own; `words` say what it computes.
pub(super) fn build<R: RowRule + 'static>(
    inputs: &VariantInputs<'_>,
    name: &str,
    words: &str,
    rule: R,
) -> Box<dyn AttentionVariant> {
    let follows = inputs.follows_everywhere(name);
    let words = format!("{}{words}{}", inputs.swap(name), inputs.on_layers(&follows));
    let description = inputs.describe(name, &words);
    Box::new(WholeRow { name: inputs.named(name), description, follows, rule })
}

impl<R: RowRule> AttentionVariant for WholeRow<R> {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn row_rule(&self, layer: usize) -> Option<&dyn RowRule> {
        self.follows[layer].then_some(&self.rule as &dyn RowRule)
    }
}
