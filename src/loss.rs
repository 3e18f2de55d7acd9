//! The loss of every token of a text: how well a decoder predicts it from what stands before it.
//!
//! `loss_i = ln sum_v e^{z_v} - z_{token i+1}` of the logits `z` of row `i`, in nats. Logits exist for a few
//! rows at a time, so memory does not grow with the text times the vocabulary.

use rayon::prelude::*;

use crate::attention::AttentionVariant;
use crate::error::{Error, Result};
use crate::model::causal_lm::CausalLm;
use crate::model::decoder::Forward;

/// Logits that exist at a time, at most: 64 MiB in f32.
const MOST_LOGITS: usize = 1 << 24;

/// Rows that go through the decoder at once when `chunk` are asked for: fewer where a vocabulary is large.
#[must_use]
pub fn rows_at_once(chunk: usize, vocab_size: usize) -> usize {
    chunk.min(MOST_LOGITS / vocab_size.max(1)).max(1)
}

/// The loss of each of `tokens` after the first, in nats: `tokens.len() - 1` of them, of which number `i`
/// (from 0) is predicted from the `i + 1` tokens before it. `progress` is told how many more tokens are done
/// and says whether to go on.
///
/// # Errors
/// [`Error::Compute`] when the computation fails or a token is not in the vocabulary, and
/// [`Error::Interrupted`] when `progress` says stop.
pub fn losses(
    decoder: &dyn CausalLm,
    variant: &dyn AttentionVariant,
    tokens: &[u32],
    chunk: usize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<f64>> {
    let Some((_, read)) = tokens.split_last() else { return Ok(Vec::new()) };
    let vocab = decoder.spec().vocab_size;
    let mut losses = Vec::with_capacity(read.len());
    let mut cache = decoder.new_cache(read.len());
    for chunk in read.chunks(rows_at_once(chunk, vocab)) {
        let forward = Forward { variant, keep_logits: chunk.len(), probe: None };
        // [chunk * vocab]
        let logits = decoder.forward(chunk, &mut cache, forward)?.flatten_all()?.to_vec1::<f32>()?;
        let next = &tokens[losses.len() + 1..][..chunk.len()];
        let rows = logits.par_chunks(vocab).zip(next).map(|(row, &token)| cross_entropy(row, token));
        losses.extend(rows.collect::<Result<Vec<_>>>()?);
        if !progress(chunk.len()) {
            return Err(Error::Interrupted);
        }
    }
    Ok(losses)
}

/// `ln sum_v e^{z_v} - z_token`, summed in f64.
fn cross_entropy(logits: &[f32], token: u32) -> Result<f64> {
    let Some(&wanted) = logits.get(token as usize) else {
        return Err(Error::Compute(format!(
            "token {token} is outside the {} entries of the model's head: tokenizer and model do not belong \
             together",
            logits.len()
        )));
    };
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum();
    Ok(largest + sum.ln() - f64::from(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_can_be_checked_by_hand() {
        let loss = cross_entropy(&[0.0, 0.0, 2f32.ln()], 1).unwrap();
        assert!((loss - 4f64.ln()).abs() < 1e-7);
        assert!((cross_entropy(&[1000.0, 0.0], 1).unwrap() - 1000.0).abs() < 1e-9);
        assert!(cross_entropy(&[0.0], 1).is_err());
    }

    #[test]
    fn a_large_vocabulary_has_fewer_rows_at_a_time_and_never_none() {
        assert_eq!(rows_at_once(512, 1024), 512);
        assert_eq!(rows_at_once(512, 1 << 18), 64);
        assert_eq!(rows_at_once(512, usize::MAX), 1);
    }
}
