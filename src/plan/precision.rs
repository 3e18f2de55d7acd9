//! The precision that a plan computes in.

use candle_core::Device;

use super::MemoryPlan;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::model::decoder::Decoder;
use crate::model::dtype::Dtype;
use crate::model::kv_cache::KvDtype;
use crate::model::spec::DecoderSpec;

/// The precision that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrecisionChoice {
    /// Of the weights; see [`Self::of`] when absent.
    pub dtype: Option<Dtype>,
    /// Of cached keys and values; that which follows from the weights when absent.
    pub kv_dtype: Option<KvDtype>,
}

impl PrecisionChoice {
    /// The precision of a checkpoint for which nothing else is asked. Quantised weights are rounded already, and run in the
    /// fastest form that rounds them little further: bf16, where the processor multiplies it, and elsewhere f32, or f16 where f32 does
    /// not fit into memory. All others are exact, in f32.
    #[must_use]
    pub fn of(self, checkpoint: &Checkpoint) -> Precision {
        let rounded = checkpoint.is_quantised() && checkpoint.spec.screening.is_none();
        let with = |dtype| Precision { dtype, kv_dtype: self.kv_dtype };
        let fits = |dtype| MemoryPlan::new(&checkpoint.spec, with(dtype), 1, 1).fits();
        with(self.dtype.unwrap_or_else(|| fastest(rounded, Dtype::Bf16.is_native(), fits)))
    }
}

/// The fastest form for weights that are `rounded` already or not, on a processor that multiplies bf16 or does not.
fn fastest(rounded: bool, native: bool, fits: impl Fn(Dtype) -> bool) -> Dtype {
    match rounded {
        true if native => Dtype::Bf16,
        true if !fits(Dtype::F32) => Dtype::F16,
        _ => Dtype::F32,
    }
}

/// The precision of weights and of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of the weights.
    pub dtype: Dtype,
    /// Of cached keys and values; that which follows from the weights when absent.
    pub kv_dtype: Option<KvDtype>,
}

impl Precision {
    /// That of the cached keys and values of such a decoder on `device`.
    #[must_use]
    pub fn cache(self, spec: &DecoderSpec, device: &Device) -> KvDtype {
        self.kv_dtype.unwrap_or(KvDtype::following(spec, self.dtype, device))
    }

    /// Loads the weights of a checkpoint.
    ///
    /// # Errors
    /// When they are damaged or do not fit the configuration, or the device keeps no such cache.
    pub fn decoder(self, checkpoint: &Checkpoint, device: &Device) -> Result<Decoder> {
        checkpoint.decoder(device, self.dtype)?.with_kv_dtype(self.kv_dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_weights_are_halved_where_bf16_is_fast_or_memory_is_short_and_exact_ones_never() {
        for (rounded, native, fits, expected) in [
            (true, true, true, Dtype::Bf16),
            (true, false, true, Dtype::F32),
            (true, false, false, Dtype::F16),
            (false, true, false, Dtype::F32),
        ] {
            assert_eq!(fastest(rounded, native, |dtype| fits || dtype != Dtype::F32), expected);
        }
    }
}
