//! The precision of weights.

use serde::{Deserialize, Serialize};

use crate::kernel;
use crate::registry::Entry;

/// The precision that weights are kept and multiplied in. Whatever it is, products are summed in f32, and
/// norms, positions, the residual stream and logits are f32. Keys and values have a precision of their own:
/// [`crate::model::kv_cache::KvDtype`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Exact: what the golden tensors are compared with.
    #[default]
    F32,
    /// Weights and what they are multiplied by are rounded to bf16 (8 bits of mantissa).
    Bf16,
    /// Weights are those of f32. Where many rows are multiplied on the CPU, in attention as well, each number
    /// is the sum of two parts in bf16 (16 bits of mantissa), which processors with units for that multiply
    /// faster than f32 (arXiv 1904.06376).
    Bf16x2,
    /// Weights are rounded to f16 (11 bits of mantissa, largest 65504); on the CPU they are multiplied by
    /// f32.
    F16,
    /// Matrices stay in the blocks of a GGUF file or are rounded to 8 bits, what they are multiplied by is
    /// rounded to 8 bits, each 32 numbers with a scale of their own, and products are of integers.
    Int8,
}

/// Every precision that can be named with `--dtype`.
pub const DTYPES: &[Entry<Dtype>] = &[
    Entry { name: "f32", about: "exact; 4 bytes a weight", value: Dtype::F32 },
    Entry {
        name: "bf16",
        about: "weights and their inputs rounded to bf16, sums in f32; 2 bytes a weight",
        value: Dtype::Bf16,
    },
    Entry {
        name: "bf16x2",
        about: "f32, of which the CPU multiplies many rows in two parts of bf16: off by about 2^-17; 4 bytes a weight",
        value: Dtype::Bf16x2,
    },
    Entry { name: "f16", about: "weights rounded to f16, sums in f32; 2 bytes a weight", value: Dtype::F16 },
    Entry {
        name: "int8",
        about: "inputs, and weights that are not in blocks, rounded to 8 bits in blocks of 32, on the CPU; the bytes of the blocks, or 34 for 32 weights",
        value: Dtype::Int8,
    },
];

/// The form that weights are held in. It changes memory and time, and no number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightForm {
    /// As numbers of their [`Dtype`].
    #[default]
    Expanded,
    /// As the numbers of 16 bits that a file has, widened where they are multiplied.
    #[serde(rename = "16bit")]
    Halves,
    /// In the blocks of a GGUF file, widened to numbers of their [`Dtype`] where they are multiplied.
    Quantised,
    /// In blocks of 32 integers of 8 bits and their scale, which [`Dtype::Int8`] rounds numbers to. It
    /// follows from the dtype, and cannot be asked for.
    Rounded,
}

/// Every form that can be named with `--weights`.
pub const WEIGHT_FORMS: &[Entry<WeightForm>] = &[
    Entry { name: "expanded", about: "all weights as numbers of their dtype", value: WeightForm::Expanded },
    Entry {
        name: "16bit",
        about: "the f16 or bf16 numbers of a file, widened where they are multiplied; the same in half the memory",
        value: WeightForm::Halves,
    },
    Entry {
        name: "quantised",
        about: "the blocks of a GGUF file, widened where they are multiplied; the same numbers in less memory",
        value: WeightForm::Quantised,
    },
];

impl WeightForm {
    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Expanded => "expanded",
            Self::Halves => "16bit",
            Self::Quantised => "quantised",
            Self::Rounded => "rounded",
        }
    }
}

impl Dtype {
    /// Bytes of so many weights.
    #[must_use]
    pub fn bytes(self, weights: usize) -> usize {
        match self {
            Self::F32 | Self::Bf16x2 => weights.saturating_mul(4),
            Self::Bf16 | Self::F16 => weights.saturating_mul(2),
            // A block of Q8_0 takes 34 bytes.
            Self::Int8 => weights.div_ceil(32).saturating_mul(34),
        }
    }

    /// The kernels that multiply on the CPU, for `run.json`.
    #[must_use]
    pub fn matmul(self) -> &'static str {
        match self {
            Self::F32 => kernel::single::kernel_name(),
            Self::Bf16 => kernel::bf16::kernel_name(),
            Self::Bf16x2 => kernel::bf16::name_in_parts(),
            Self::F16 => "widened-to-f32",
            Self::Int8 => kernel::int8::kernel_name(),
        }
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Bf16x2 => "bf16x2",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}
