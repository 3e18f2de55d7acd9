//! The precision that a plan computes in.

use candle_core::Device;

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
    /// fastest form that rounds them little further: bf16, where the processor multiplies it. All others are exact, in f32.
    #[must_use]
    pub fn of(self, checkpoint: &Checkpoint) -> Precision {
        let rounded = checkpoint.is_quantised() && checkpoint.spec.screening.is_none();
        let fastest = if rounded && Dtype::Bf16.is_native() { Dtype::Bf16 } else { Dtype::F32 };
        Precision { dtype: self.dtype.unwrap_or(fastest), kv_dtype: self.kv_dtype }
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
