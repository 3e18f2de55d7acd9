//! Weights of which matrices stay as their file has them: in blocks, or in numbers of 16 bits.

use half::f16;

use super::Checkpoint;
use crate::error::Error;
use crate::spec::{Dtype, WeightForm};
use crate::weights::keeps_blocks;

/// Weights of which matrices stay as their file has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptWeights {
    /// In numbers of 16 bits where all of them are such numbers, else in blocks.
    pub form: WeightForm,
    /// Bytes of all weights.
    pub bytes: usize,
    /// Numbers of the largest tensor that is expanded nevertheless.
    pub largest_expanded: usize,
    /// Whether the embedding is kept so.
    pub table: bool,
}

/// The table of embeddings.
const EMBEDDING: &str = "model.embed_tokens.weight";

/// Endings of matrices that are always expanded: they are cut by heads, are added and not multiplied, or are
/// so small that they are in f32 whatever the others are.
const EXPANDED: [&str; 5] = [
    ".self_attn.kv_b_proj.weight",
    ".mlp.gate.weight",
    ".embed_positions.weight",
    ".altup.modality_router.weight",
    "_coefs.weight",
];

impl Checkpoint {
    /// What the weights take where matrices stay as their file has them, and the others are held as `dtype`;
    /// `None` where none is smaller so.
    #[must_use]
    pub fn kept_weights(&self, dtype: Dtype) -> Option<KeptWeights> {
        let (mut kept, mut matrices) = (KeptWeights::default(), 0);
        self.each_form(dtype, |name, shape, bytes| {
            let numbers: usize = shape.iter().product();
            let Some(bytes) = bytes else {
                // A table whose rows are looked up has no integers.
                let looked_up = name == EMBEDDING && dtype == Dtype::Int8;
                kept.bytes += if looked_up { Dtype::F32 } else { dtype }.bytes(numbers);
                kept.largest_expanded = kept.largest_expanded.max(numbers);
                return;
            };
            kept.bytes += bytes;
            kept.table |= name == EMBEDDING;
            let halves = bytes == size_of::<f16>() * numbers && kept.form != WeightForm::Quantised;
            kept.form = if halves { WeightForm::Halves } else { WeightForm::Quantised };
            matrices += 1;
        })?;
        (matrices > 0).then_some(kept)
    }

    /// The matrices of layers that stay as their file has them, by name and shape, in the order that they are
    /// multiplied in; of experts, which are alike, the first.
    #[must_use]
    pub fn kept_matrices(&self, dtype: Dtype) -> Vec<(String, [usize; 2])> {
        let mut found = Vec::new();
        let another = |name: &str| name.contains(".experts.") && !name.contains(".experts.0.");
        let _ = self.each_form(dtype, |name, shape, bytes| {
            if let (&[n, k], Some(_)) = (shape, bytes)
                && name.starts_with("model.layers.")
                && !another(name)
            {
                found.push((name.to_string(), [n, k]));
            }
        });
        found
    }

    /// Hands every weight to `visit`: its name and shape, and the bytes of a matrix that stays as its file
    /// has it. `None` where there is no such form.
    fn each_form(&self, dtype: Dtype, mut visit: impl FnMut(&str, &[usize], Option<usize>)) -> Option<()> {
        if self.spec.extras.black_box.is_some() {
            return None;
        }
        // What screening tiles look up and end with are rows of unit length.
        let unit_rows = |name: &str| self.spec.screening.is_some() && name == EMBEDDING;
        let visit = |name: &str, shape: &[usize]| {
            let expanded = unit_rows(name) || EXPANDED.iter().any(|ending| name.ends_with(ending));
            let matrix = shape.len() == 2 && name.ends_with(".weight") && !expanded;
            let bytes = if matrix { self.source.block_bytes(name) } else { None };
            let numbers = shape.iter().product();
            visit(name, shape, bytes.filter(|bytes| keeps_blocks(*bytes, numbers, dtype)));
            Ok::<_, Error>(())
        };
        self.spec.each_tensor(|name| self.source.contains(name), visit).ok()
    }
}
