//! Plain softmax: `m = 1`.

use super::{AttentionVariant, QueryRow, VariantInputs};
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

    fn multipliers(&self, _layer: usize, _rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        None
    }
}
