//! Models that another engine computes as a whole: tokens in, logits out, and nothing to see of what is
//! between.
//!
//! A black box reads forward alone, one token at a time where logits are asked for, since engines give those
//! of the last row only. What it has read is a `Reader`, which can be copied at a place and go on from
//! there twice: that is how the cache goes back, and how prompts share what they begin with.

#[cfg(feature = "candle-engine")]
mod candle;
mod reading;

use candle_core::{DType, Device, Tensor};

pub(super) use reading::Reading;

use super::causal_lm::CausalLm;
use super::decoder::{Forward, check_finite};
use super::kv_cache::KvCache;
use super::spent::Spent;
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::weights::Weights;

/// What a black box has read, and how it reads on.
pub(super) trait Reader: Send + Sync {
    /// Reads tokens whose logits nobody asks for, now or by the time that [`Self::settle`] is called.
    fn read(&mut self, tokens: &[u32]) -> candle_core::Result<()>;

    /// Computes what has been read without being computed.
    fn settle(&mut self) -> candle_core::Result<()>;

    /// Reads one more token behind what is settled and returns the logits behind it, `[vocab]`.
    fn next(&mut self, token: u32) -> candle_core::Result<Tensor>;

    /// The same, to read on in another way. Weights are shared.
    fn fork(&self) -> Box<dyn Reader>;
}

/// A model of another engine with its weights.
pub struct BlackBox {
    spec: DecoderSpec,
    device: Device,
    /// What has read nothing yet.
    start: Box<dyn Reader>,
}

impl BlackBox {
    /// Loads the model that `spec` describes, whose tensors have been checked.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a tensor holds numbers that are not finite, and [`Error::InvalidValue`] when
    /// `niah` was built without the engine.
    pub fn load(spec: DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let start = start(&spec, weights)?;
        Ok(Self { spec, device: weights.device().clone(), start })
    }
}

#[cfg(feature = "candle-engine")]
fn start(spec: &DecoderSpec, weights: &Weights<'_>) -> Result<Box<dyn Reader>> {
    candle::load(spec, weights)
}

#[cfg(not(feature = "candle-engine"))]
fn start(_spec: &DecoderSpec, _weights: &Weights<'_>) -> Result<Box<dyn Reader>> {
    Err(Error::invalid("engine", "candle", crate::spec::WITHOUT_ENGINE))
}

impl CausalLm for BlackBox {
    fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    fn new_cache(&self, sequence_length: usize) -> KvCache {
        KvCache::of_black_box(Reading::new(self.start.fork()), sequence_length)
    }

    fn forward_timed(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        forward: Forward<'_>,
        _spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, first) = (tokens.len(), cache.len());
        let vocab = self.spec.vocab_size;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab) {
            return Err(Error::Compute(format!(
                "token {token} is outside the {vocab} entries of the model's embedding: tokenizer and model do \
                 not belong together"
            )));
        }
        let Some(reading) = cache.black_box() else {
            return Err(Error::Compute("this cache belongs to another model".to_string()));
        };
        let (read, kept) = tokens.split_at(t - forward.keep_logits.min(t));
        reading.read(read)?;
        if kept.is_empty() {
            cache.advance(t);
            return Ok(Tensor::zeros((0, vocab), DType::F32, &self.device)?);
        }
        reading.settle(first + read.len())?;
        let rows = kept.iter().map(|&token| reading.next(token));
        let rows = rows.collect::<candle_core::Result<Vec<_>>>()?;
        cache.advance(t);
        let logits = Tensor::stack(&rows, 0)?.to_dtype(DType::F32)?; // [kept, vocab]
        check_finite(&logits, first + read.len())?;
        Ok(logits)
    }
}
