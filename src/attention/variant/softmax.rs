//! Plain softmax: `m = 1`.

use super::{AttentionVariant, VariantInputs};
use crate::error::Result;

struct Softmax {
    description: String,
}

pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale("softmax")?;
    Ok(Box::new(Softmax { description: inputs.describe("softmax", "m = 1") }))
}

impl AttentionVariant for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn description(&self) -> String {
        self.description.clone()
    }
}
