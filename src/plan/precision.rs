//! The precision that a plan computes in.

use candle_core::Device;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::model::decoder::Decoder;
use crate::model::dtype::Dtype;
use crate::model::kv_cache::KvDtype;
use crate::model::spec::DecoderSpec;

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
