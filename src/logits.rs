//! Logits of every position and whole rows of attention: what a port of a model is checked against.

use std::ops::Range;

use crate::attention::{AttentionRows, AttentionVariant};
use crate::error::{Error, Result};
use crate::model::causal_lm::CausalLm;
use crate::model::decoder::Forward;

/// What is asked of a decoder.
#[derive(Debug, Clone)]
pub struct LogitsRequest<'a> {
    /// The tokens, `t` of them.
    pub tokens: &'a [u32],
    /// Query rows within `0..t` whose attention is kept whole; `None` for no attention.
    pub attention_rows: Option<Range<usize>>,
    /// Tokens that go through the decoder at once. The result is the same for any number, up to rounding.
    pub chunk: usize,
}

/// What a decoder makes of its tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Entries of a row: the size of the vocabulary.
    pub vocab_size: usize,
    /// The logits, `[t, vocab]`: row `i` predicts token `i + 1`.
    pub logits: Vec<f32>,
    /// Attention weights, `[attention layers, heads, rows, t]`.
    pub attentions: Option<AttentionRows>,
}

/// Runs `request` under an attention variant. `progress` is told how many more tokens are done and says
/// whether to go on.
///
/// Everything is kept in memory: `4 t vocab` bytes of logits, and [`AttentionRows::bytes`] of attention.
///
/// # Errors
/// [`Error::Compute`] when the computation fails, and [`Error::Interrupted`] when `progress` says stop.
pub fn logits(
    decoder: &dyn CausalLm,
    variant: &dyn AttentionVariant,
    request: &LogitsRequest<'_>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Logits> {
    let (spec, t) = (decoder.spec(), request.tokens.len());
    let rows = request.attention_rows.clone();
    let mut attentions = rows
        .map(|rows| AttentionRows::new(spec.attention_layers().collect(), spec.num_attention_heads, rows, t));
    let mut logits = Vec::with_capacity(t * spec.vocab_size);
    let mut cache = decoder.new_cache(t);
    for tokens in request.tokens.chunks(request.chunk.max(1)) {
        let probe = attentions.as_mut().map(|rows| rows as _);
        let forward = Forward { variant, keep_logits: tokens.len(), probe };
        let rows = decoder.forward(tokens, &mut cache, forward)?; // [chunk, vocab]
        logits.extend(rows.flatten_all()?.to_vec1::<f32>()?);
        if !progress(tokens.len()) {
            return Err(Error::Interrupted);
        }
    }
    Ok(Logits { vocab_size: spec.vocab_size, logits, attentions })
}
