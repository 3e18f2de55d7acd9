//! What every model of token sequences does, whoever computes it.

use candle_core::Tensor;

use super::decoder::{Decoder, Forward};
use super::kv_cache::KvCache;
use super::spent::Spent;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// A causal language model: tokens behind a cache in, logits out. [`Decoder`] is one whose attention is
/// recorded, [`super::black_box::BlackBox`] one that another engine computes.
pub trait CausalLm: Send + Sync {
    /// What it is made of.
    fn spec(&self) -> &DecoderSpec;

    /// An empty cache for a sequence of `sequence_length` tokens, those that will be generated included.
    fn new_cache(&self, sequence_length: usize) -> KvCache;

    /// Runs `tokens` `[t]` behind what `cache` holds and returns the logits of the last `keep_logits` rows,
    /// `[keep_logits, vocab]`, in f32. What attention and linear maps take is added to `spent`, where that is
    /// seen.
    ///
    /// # Errors
    /// [`crate::error::Error::Compute`] when the computation fails.
    fn forward_timed(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        forward: Forward<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor>;

    /// The same without times.
    ///
    /// # Errors
    /// As of [`Self::forward_timed`].
    fn forward(&self, tokens: &[u32], cache: &mut KvCache, forward: Forward<'_>) -> Result<Tensor> {
        self.forward_timed(tokens, cache, forward, &mut Spent::default())
    }
}

impl CausalLm for Decoder {
    fn spec(&self) -> &DecoderSpec {
        self.spec()
    }

    fn new_cache(&self, sequence_length: usize) -> KvCache {
        self.new_cache(sequence_length)
    }

    fn forward_timed(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        forward: Forward<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        self.forward_timed(tokens, cache, forward, spent)
    }
}
