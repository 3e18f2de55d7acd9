//! Memory a run will take, known before it starts.

use std::fmt;

use crate::error::{Error, Result};
use crate::model::dtype::Dtype;
use crate::model::spec::{DecoderSpec, LayerSpec};
use crate::process::available_memory;

/// Bytes by purpose. Peak memory grows with the prompt, never with its square: scores exist for one block of keys at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The weights, in their dtype.
    pub weights: usize,
    /// Keys and values of the longest prompt.
    pub cache: usize,
    /// Activations of one chunk, and the logits and full attention rows of the answer's queries.
    pub working: usize,
    /// Logits and attention that are kept whole; none in a run.
    pub output: usize,
}

const F32: usize = size_of::<f32>();

/// Rows that get logits at once: the answer's tokens under teacher forcing.
const LOGIT_ROWS: usize = 16;

impl MemoryPlan {
    /// The memory of prompts of `longest` tokens, `chunk` of them at a time.
    #[must_use]
    pub fn new(spec: &DecoderSpec, dtype: Dtype, longest: usize, chunk: usize) -> Self {
        let chunk = chunk.min(longest);
        // Scores and weights of one probed row of all heads, and the three rows that a probe keeps.
        let rows = longest.saturating_mul(2 * spec.num_attention_heads + 4);
        let activations = chunk * (feed_forward_width(spec) + 8 * spec.hidden_size);
        let logits = 3 * LOGIT_ROWS * spec.vocab_size;
        Self {
            weights: weight_bytes(spec, dtype),
            // Keys and values are f32, or bf16 like the weights.
            cache: longest.saturating_mul(spec.cache_bytes_per_token() / (F32 / cache_number(dtype))),
            working: rows.saturating_add(activations + logits).saturating_mul(F32),
            output: 0,
        }
    }

    /// The memory of `tokens` tokens, `chunk` of them at a time, when all logits and `attention` bytes of weights are kept.
    #[must_use]
    pub fn of_logits(
        spec: &DecoderSpec,
        dtype: Dtype,
        tokens: usize,
        chunk: usize,
        attention: usize,
    ) -> Self {
        let row = spec.vocab_size.saturating_mul(F32);
        let run = Self::new(spec, dtype, tokens, chunk);
        Self {
            working: run.working.saturating_add(chunk.saturating_mul(3 * row)),
            output: tokens.saturating_mul(row).saturating_add(attention),
            ..run
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        [self.cache, self.working, self.output].into_iter().fold(self.weights, usize::saturating_add)
    }

    /// Refuses a plan that does not fit, and says what to do about it. Where the machine does not say how much is
    /// available, only what no machine could hold is refused.
    ///
    /// # Errors
    /// [`Error::Message`] with the numbers.
    pub fn check(&self, remedy: &str) -> Result<()> {
        let available = available_memory().unwrap_or(isize::MAX as usize);
        if self.total() <= available {
            return Ok(());
        }
        Err(Error::Message(format!(
            "the run needs {self}, but only {} is available; {remedy}",
            gib(available)
        )))
    }
}

/// Bytes of a cached number.
fn cache_number(dtype: Dtype) -> usize {
    if dtype == Dtype::Bf16 { dtype.bytes() } else { F32 }
}

/// Bytes of the weights. A tied head in bf16 is kept a second time: rows for the embedding, packed for the product.
fn weight_bytes(spec: &DecoderSpec, dtype: Dtype) -> usize {
    let again = spec.tie_word_embeddings && dtype == Dtype::Bf16;
    let packed_head = if again { spec.vocab_size * spec.hidden_size } else { 0 };
    dtype.bytes() * (spec.parameter_count() + packed_head)
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [total, weights, cache, working] =
            [self.total(), self.weights, self.cache, self.working].map(gib);
        write!(f, "{total} of memory (weights {weights}, cache {cache}, working set {working}")?;
        if self.output > 0 {
            write!(f, ", output {}", gib(self.output))?;
        }
        f.write_str(")")
    }
}

/// Numbers that one token takes in the widest MLP or mixture of experts. Of a mixture, one expert computes at a time, while the
/// inputs and outputs of all that the token meets are there, by expert and by token.
fn feed_forward_width(spec: &DecoderSpec) -> usize {
    let width = |layer: &LayerSpec| match layer.moe {
        None => 4 * spec.intermediate_size,
        Some(moe) => {
            4 * moe.moe_intermediate_size + moe.num_experts + 5 * moe.num_experts_per_tok * spec.hidden_size
        }
    };
    spec.layers.iter().map(width).max().unwrap_or(0)
}

fn gib(bytes: usize) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}
