//! The precisions that keys and values are kept in.

use candle_core::Device;
use serde::{Deserialize, Serialize, Serializer};

use crate::attention::{self, Pages, RowPages};
use crate::error::{Error, Result};
use crate::kernel::cached::Form;
use crate::registry::Entry;
use crate::spec::{DecoderSpec, Dtype, HeadSizes};

/// The precision that keys, or values, are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvDtype {
    /// As they are computed.
    F32,
    /// Rounded to bf16 (8 bits of mantissa). Where both keys and values are, they lie in pages for the
    /// kernels of the CPU, which also round scaled queries and attention weights.
    Bf16,
    /// In ggml's blocks of 32 numbers along the head with one scale in f16: 8 bits a number. What is read of
    /// them is multiplied in f32, or beside weights in bf16 rounded to that ([`KvDtypes::are_rounded`]).
    Q8_0,
    /// The same with 4 bits a number.
    Q4_0,
}

/// Every precision that can be named with `--kv-dtype`, `--k-dtype` and `--v-dtype`.
pub const KV_DTYPES: &[Entry<KvDtype>] = &[
    Entry { name: "f32", about: "as computed; 4 bytes a number", value: KvDtype::F32 },
    Entry {
        name: "bf16",
        about: "keys, values, queries and attention weights rounded to bf16, on the CPU; 2 bytes a number",
        value: KvDtype::Bf16,
    },
    Entry {
        name: "q8_0",
        about: "ggml's blocks of 32 numbers in 8 bits, multiplied in f32 (under bf16: in bf16), on the CPU; 34 bytes a block",
        value: KvDtype::Q8_0,
    },
    Entry {
        name: "q4_0",
        about: "ggml's blocks of 32 numbers in 4 bits, multiplied in f32 (under bf16: in bf16), on the CPU; 18 bytes a block",
        value: KvDtype::Q4_0,
    },
];

impl KvDtype {
    /// What weights of `dtype` bring along on `device` when nothing else is asked for. Screening tiles, and
    /// rows that choose their keys, read keys in f32 alone; biases on scores are known in f32 alone.
    #[must_use]
    pub fn following(spec: &DecoderSpec, dtype: Dtype, device: &Device) -> Self {
        let in_f32 = spec.screening.is_some() || spec.chooses_keys() || spec.has_score_bias();
        let in_pages = dtype == Dtype::Bf16 && device.is_cpu() && !in_f32;
        if in_pages { Self::Bf16 } else { Self::F32 }
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    fn form(self) -> Form {
        match self {
            Self::F32 => Form::F32,
            Self::Bf16 => Form::Bf16,
            Self::Q8_0 => Form::Q8_0,
            Self::Q4_0 => Form::Q4_0,
        }
    }
}

/// The precisions of a cache: of its keys and of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvDtypes {
    /// Of keys.
    pub keys: KvDtype,
    /// Of values.
    pub values: KvDtype,
}

impl From<KvDtype> for KvDtypes {
    fn from(dtype: KvDtype) -> Self {
        Self { keys: dtype, values: dtype }
    }
}

impl Serialize for KvDtypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// How keys and values of a layer are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    Tensors,
    Pages,
    Rows([Form; 2]),
}

impl KvDtypes {
    /// Both in words; one name where they are one.
    #[must_use]
    pub fn name(self) -> String {
        match self.keys == self.values {
            true => self.keys.name().to_string(),
            false => format!("{} keys, {} values", self.keys.name(), self.values.name()),
        }
    }

    /// Both as a part of a file's name.
    #[must_use]
    pub fn file_name(self) -> String {
        match self.keys == self.values {
            true => format!("kv-{}", self.keys.name()),
            false => format!("k-{}-v-{}", self.keys.name(), self.values.name()),
        }
    }

    pub(super) fn layout(self) -> Layout {
        match (self.keys, self.values) {
            (KvDtype::F32, KvDtype::F32) => Layout::Tensors,
            (KvDtype::Bf16, KvDtype::Bf16) => Layout::Pages,
            (keys, values) => Layout::Rows([keys.form(), values.form()]),
        }
    }

    /// Whether what is read is rounded to bf16 beside weights of this precision, whose products of queries,
    /// keys, weights of attention and values are in bf16 then: beside weights in bf16, unless keys or values
    /// are to be exact. Where both are in bf16 they always are.
    #[must_use]
    pub fn are_rounded(self, weights: Dtype) -> bool {
        weights == Dtype::Bf16 && ![self.keys, self.values].contains(&KvDtype::F32)
    }

    /// Bytes that a layer's keys and values of `tokens` tokens take for a while as bf16, where they are
    /// rounded to that, or multiplied in parts, beside weights of this precision and met by `chunk` queries.
    #[must_use]
    pub fn rounded_bytes(self, spec: &DecoderSpec, weights: Dtype, tokens: usize, chunk: usize) -> usize {
        let bytes = match self.layout() {
            Layout::Rows(_) if self.are_rounded(weights) => RowPages::bytes_of_tiles,
            Layout::Tensors if weights == Dtype::Bf16x2 => attention::parts::bytes,
            _ => return 0,
        };
        let layer = |heads: HeadSizes| bytes(heads.num_key_value_heads, heads.cached_width(), tokens, chunk);
        spec.cached_heads().map(layer).max().unwrap_or(0)
    }

    /// Bytes of the keys and values of `tokens` tokens.
    #[must_use]
    pub fn cache_bytes(self, spec: &DecoderSpec, tokens: usize) -> usize {
        let of_layers = |bytes: &dyn Fn(usize, usize) -> usize| {
            let layer = |heads: HeadSizes| bytes(heads.num_key_value_heads, heads.cached_width());
            spec.cached_heads().map(layer).fold(0, usize::saturating_add)
        };
        match self.layout() {
            Layout::Tensors => tokens.saturating_mul(spec.cache_bytes_per_token()),
            Layout::Pages => of_layers(&|heads, width| Pages::bytes(heads, width, tokens)),
            Layout::Rows(forms) => of_layers(&|heads, width| RowPages::bytes(heads, width, tokens, forms)),
        }
    }
}

impl DecoderSpec {
    /// Refuses a precision of the cache that the decoder's layers cannot read.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for another one than f32 and layers that do not attend, screening tiles, rows
    /// that choose their keys, or biases on scores.
    pub fn check_kv_dtype(&self, choice: Option<impl Into<KvDtypes>>) -> Result<()> {
        self.check_kv_dtype_named("kv dtype", choice)
    }

    /// The same, of what was asked for under this `name`.
    ///
    /// # Errors
    /// As of [`Self::check_kv_dtype`].
    pub fn check_kv_dtype_named(
        &self,
        name: &'static str,
        choice: Option<impl Into<KvDtypes>>,
    ) -> Result<()> {
        let choice: Option<KvDtypes> = choice.map(Into::into);
        let Some(choice) = choice.filter(|choice| *choice != KvDtype::F32.into()) else { return Ok(()) };
        let dtype = choice.name();
        let expected = if self.attention_layers().next().is_none() {
            "no such flag: no layer of this checkpoint attends, so that none keeps keys or values".to_string()
        } else if self.screening.is_some() {
            format!(
                "f32: screening tells a key that passes from one that does not by digits that {dtype} lacks"
            )
        } else if self.chooses_keys() {
            format!("f32: rows choose the keys that they see by scores that {dtype} would change")
        } else if self.has_score_bias() {
            "f32: what is added to scores is known in that precision alone".to_string()
        } else {
            return Ok(());
        };
        Err(Error::invalid(name, dtype, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_of_one_precision_have_one_name() {
        let apart = KvDtypes { keys: KvDtype::Q8_0, values: KvDtype::Q4_0 };
        assert_eq!([apart.name(), apart.file_name()], ["q8_0 keys, q4_0 values", "k-q8_0-v-q4_0"]);
        let both = KvDtypes::from(KvDtype::Q8_0);
        assert_eq!([both.name(), both.file_name()], ["q8_0", "kv-q8_0"]);
        for entry in KV_DTYPES {
            assert_eq!(entry.name, entry.value.name());
            assert_eq!(serde_json::to_value(entry.value).unwrap(), entry.name);
            assert_eq!(serde_json::to_value(KvDtypes::from(entry.value)).unwrap(), entry.name);
        }
    }
}
