//! One prompt through a language model: prefill, teacher-forced answer, attention of the answering rows,
//! greedy decoding.
//!
//! [`LanguageModel`] is the seam behind which the slow thing sits: a scripted model drives the whole of a run
//! in a test.

mod thought;

use std::ops::Range;

use candle_core::Tensor;

use crate::attention::keys::{LargestKeys, MeanWeights, OfHead};
use crate::attention::probe::{AttentionCapture, ProbeRequest, Span};
use crate::attention::{AttentionProbe, AttentionRecorder, AttentionVariant, Blocked};
use crate::error::{Error, Result};
use crate::model::causal_lm::CausalLm;
use crate::model::decoder::Forward;
use crate::model::kv_cache::KvCache;

pub use thought::{ReadThought, Stage, Thinking, Thought};

/// Tokens that go through the decoder at once: enough to use the machine well, few enough that activations
/// stay small beside the weights and that Ctrl-C is heard soon.
pub const DEFAULT_CHUNK: usize = 512;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The prompt, up to and including the query that predicts the first answer token.
    pub tokens: &'a [u32],
    /// The thought that the model may have before the answer.
    pub thinking: Option<Thinking<'a>>,
    /// The expected answer as it continues the prompt, or what stands behind the thought.
    pub answer: &'a [u32],
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Ids that end the answer.
    pub end_tokens: &'a [u32],
    /// Sets of prompt positions whose attention mass is measured.
    pub spans: &'a [Span],
    /// Sets of prompt positions whose raw scores are held against those of all others.
    pub scored: &'a [Span],
    /// Tokens of the answer with which its items begin: masses are kept at the query of each.
    pub items: &'a [usize],
    /// A head whose full row is kept.
    pub chosen_head: Option<(usize, usize)>,
    /// Whether the key with the largest weight of every head is kept at each step of the decoding.
    pub keep_keys: bool,
    /// Prompt positions, in order, before which the next prompt may be like this one: a state that cannot be
    /// taken back is kept there.
    pub forks: &'a [usize],
    /// Spans of the prompt that no row behind them attends to.
    pub blocked: Option<&'a Blocked>,
}

/// What a model makes of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    /// Tokens generated greedily, without the one that ended them.
    pub tokens: Vec<u32>,
    /// What the model thought before, where it was let.
    pub thought: Option<Thought>,
    /// Natural log-probability of each expected answer token given the ones before it.
    pub answer_logprobs: Vec<f64>,
    /// Rank of each expected answer token, 1 for the arg-max.
    pub answer_ranks: Vec<usize>,
    /// Attention of the rows that predict the answer.
    pub attention: AttentionCapture,
    /// Where [`Request::keep_keys`] asks for them: for each of [`Self::tokens`] the key with the largest
    /// weight of every head, at the query that the token was decoded at.
    pub keys: Vec<Vec<OfHead<usize>>>,
}

/// Rows within a text, and keys before them.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The text, up to the last of the rows.
    pub tokens: &'a [u32],
    /// The position of the first row; all behind it are rows.
    pub first_row: usize,
    /// Positions of keys.
    pub keys: &'a [usize],
    /// The length of the sequence that the text is or may become a part of.
    pub length: usize,
    /// Spans of the text that no row behind them attends to.
    pub blocked: Option<&'a Blocked>,
}

/// Something that continues prompts and shows its attention.
pub trait LanguageModel {
    /// Answers one request. `progress` is told how many more prompt tokens are done and says whether to go
    /// on.
    ///
    /// # Errors
    /// [`Error::Compute`] when the computation fails, and [`Error::Interrupted`] when `progress` says stop.
    fn complete(
        &mut self,
        request: Request<'_>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Completion>;

    /// The weight that every head gives to each of some keys, mean over rows of a text; nothing from a model
    /// that cannot say.
    ///
    /// # Errors
    /// As of [`Self::complete`].
    fn mean_weights(
        &mut self,
        _reading: Reading<'_>,
        _progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<OfHead<Vec<f64>>>> {
        Ok(Vec::new())
    }
}

/// A decoder under one attention variant.
pub struct DecoderModel {
    decoder: Box<dyn CausalLm>,
    variant: Box<dyn AttentionVariant>,
    chunk: usize,
    /// The longest sequence that prefixes are kept for; `None` keeps none.
    sharing: Option<usize>,
    held: Option<Held>,
}

/// The last prompt, whose beginning the next one may share.
struct Held {
    tokens: Vec<u32>,
    cache: KvCache,
}

impl DecoderModel {
    /// A model that prefills `chunk` tokens at a time.
    #[must_use]
    pub fn new(decoder: impl CausalLm + 'static, variant: Box<dyn AttentionVariant>, chunk: usize) -> Self {
        Self::of(Box::new(decoder), variant, chunk)
    }

    /// The same of a model that is computed by whatever it is.
    #[must_use]
    pub fn of(decoder: Box<dyn CausalLm>, variant: Box<dyn AttentionVariant>, chunk: usize) -> Self {
        Self { decoder, variant, chunk: chunk.max(1), sharing: None, held: None }
    }

    /// The same model, which keeps the cache of each prompt for the next one: what the two share is computed
    /// once. It has room for sequences of `longest` tokens from the start.
    #[must_use]
    pub fn sharing_prefixes(self, longest: usize) -> Self {
        Self { sharing: Some(longest), ..self }
    }

    /// A cache for a sequence of `length` tokens that begins with `context`, in which some keys are
    /// `blocked`, and how many of these tokens it holds already.
    fn cache_for(&mut self, context: &[u32], blocked: Blocked, length: usize) -> (KvCache, usize) {
        let planned =
            self.sharing.map_or(length, |longest| self.decoder.spec().planned_length(length, longest));
        let held = self.held.take().filter(|held| held.cache.sequence_length() == planned);
        let (mut cache, shared) = match held {
            Some(Held { tokens, mut cache }) => {
                let alike = common_prefix(&tokens, context).min(cache.blocked().alike(&blocked));
                let shared = cache.truncate(alike);
                (cache, shared)
            }
            None => (self.decoder.new_cache(planned), 0),
        };
        cache.block(blocked);
        (cache, shared)
    }

    /// Runs `tokens` behind the cache in chunks, without logits.
    fn prefill(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        for chunk in tokens.chunks(self.chunk) {
            let forward = Forward { variant: self.variant.as_ref(), keep_logits: 0, probe: None };
            self.decoder.forward(chunk, cache, forward)?;
            if !progress(chunk.len()) {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    /// Runs what the cache lacks of `context` behind it. States are kept at `forks`, where there are states,
    /// and before the answering query, to which the answer goes back.
    fn read(
        &self,
        context: &[u32],
        forks: &[usize],
        cache: &mut KvCache,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let forks = if self.decoder.spec().state_bytes() > 0 { forks } else { &[] };
        for &place in forks.iter().chain([&context.len()]) {
            if (cache.len()..=context.len()).contains(&place) {
                self.prefill(&context[cache.len()..place], cache, progress)?;
                cache.mark();
            }
        }
        Ok(())
    }

    /// Makes the cache hold the first `len` tokens of a `sequence` that it holds at least as much of: where
    /// it goes back further than that, they are computed again.
    fn go_back(
        &self,
        len: usize,
        sequence: impl Iterator<Item = u32>,
        cache: &mut KvCache,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let held = cache.truncate(len);
        let missing: Vec<u32> = sequence.take(len).skip(held).collect();
        self.prefill(&missing, cache, progress)
    }

    /// Lets the model think behind the prompt, of which the cache holds all but the query, and leaves in the
    /// cache what stands before the answering query.
    fn think(
        &self,
        thinking: &Thinking<'_>,
        request: &Request<'_>,
        cache: &mut KvCache,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Thought> {
        let (context, query) = (cache.len(), request.tokens.last().copied().unwrap_or_default());
        let thought = thinking.think(request.end_tokens, |last| {
            let logits = self.logits(&[last.unwrap_or(query)], cache, None)?.to_vec2::<f32>()?;
            match progress(0) {
                true => Ok(argmax(&logits[0])),
                false => Err(Error::Interrupted),
            }
        })?;
        let before = [request.tokens, &thought.tokens, &thought.bridge].concat();
        let before = &before[..before.len() - 1];
        // What was computed to see whether there is a thought at all is no part of it.
        let computed = cache.len().min(context + 1 + thought.tokens.len()).min(before.len());
        self.go_back(computed, before.iter().copied(), cache, &mut |_| progress(0))?;
        self.prefill(&before[computed..], cache, &mut |_| progress(0))?;
        Ok(thought)
    }

    /// Reads a prompt and hands `recorder` what it asks for of the query that predicts the answer; nothing is
    /// generated. `forks` as of [`Request::forks`]; `progress` as of [`LanguageModel::complete`].
    ///
    /// # Errors
    /// As of [`LanguageModel::complete`].
    pub fn read_query(
        &mut self,
        tokens: &[u32],
        forks: &[usize],
        recorder: &mut dyn AttentionRecorder,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<()> {
        let Some((query, context)) = tokens.split_last() else {
            return Err(Error::Compute("an empty prompt has no answering query".to_string()));
        };
        let (mut cache, shared) = self.cache_for(context, Blocked::default(), tokens.len());
        progress(shared);
        self.read(context, forks, &mut cache, progress)?;
        self.logits(&[*query], &mut cache, Some(recorder))?;
        progress(1);
        if self.sharing.is_some() {
            self.held = Some(Held { tokens: tokens.to_vec(), cache });
        }
        Ok(())
    }

    fn logits<'a>(
        &'a self,
        tokens: &[u32],
        cache: &mut KvCache,
        probe: Option<&'a mut (dyn AttentionRecorder + 'a)>,
    ) -> Result<Tensor> {
        let forward = Forward { variant: self.variant.as_ref(), keep_logits: tokens.len(), probe };
        self.decoder.forward(tokens, cache, forward)
    }
}

impl LanguageModel for DecoderModel {
    fn complete(
        &mut self,
        request: Request<'_>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Completion> {
        let Some((&query, context)) = request.tokens.split_last() else {
            return Err(Error::Compute("an empty prompt has no answering query".to_string()));
        };
        let prompt = request.tokens.len();
        let thinking = request.thinking.map_or(0, |thinking| thinking.room());
        let length = prompt + thinking + request.answer.len().max(request.max_new_tokens);
        let blocked = request.blocked.cloned().unwrap_or_default();
        let (mut cache, shared) = self.cache_for(context, blocked, length);
        progress(shared);
        self.read(context, request.forks, &mut cache, progress)?;
        let thinking = request.thinking.as_ref();
        let thought =
            thinking.map(|thinking| self.think(thinking, &request, &mut cache, progress)).transpose()?;
        let behind = thought.iter().flat_map(|thought| [&thought.tokens[..], &thought.bridge]).flatten();
        let before: Vec<u32> = request.tokens.iter().chain(behind).copied().collect();
        let (n, query) = (before.len(), before.last().copied().unwrap_or(query));

        cache.mark();

        // The answering query and all but the last answer token: row i predicts answer token i.
        let mut forced = vec![query];
        forced.extend_from_slice(&request.answer[..request.answer.len().saturating_sub(1)]);
        let rows: Range<usize> = n - 1..n - 1 + forced.len();
        let mut probe = AttentionProbe::new(ProbeRequest {
            rows,
            spans: request.spans.to_vec(),
            scored: request.scored.to_vec(),
            items: request.items.iter().map(|item| n - 1 + item).collect(),
            chosen_head: request.chosen_head,
        });
        let logits = self.logits(&forced, &mut cache, Some(&mut probe))?.to_vec2::<f32>()?; // [rows, vocab]
        let scored = logits.iter().zip(request.answer).map(|(row, &token)| logprob_and_rank(row, token));
        let (answer_logprobs, answer_ranks) = scored.collect::<Result<Vec<_>>>()?.into_iter().unzip();

        let (mut tokens, mut keys) = (Vec::new(), Vec::new());
        let mut next = argmax(&logits[0]);
        let forced_keys = |step: usize| if request.keep_keys { probe.largest_keys(step) } else { Vec::new() };
        let mut looked = forced_keys(0);
        while tokens.len() < request.max_new_tokens && !request.end_tokens.contains(&next) {
            tokens.push(next);
            if request.keep_keys {
                keys.push(std::mem::take(&mut looked));
            }
            if tokens.len() < request.max_new_tokens {
                // As long as what comes out is what was expected, it has been computed with the forced
                // answer.
                next = match logits.get(tokens.len()) {
                    Some(row) if request.answer.starts_with(&tokens) => {
                        looked = forced_keys(tokens.len());
                        argmax(row)
                    }
                    _ => {
                        let written = before.iter().chain(&tokens).copied();
                        self.go_back(n + tokens.len() - 1, written, &mut cache, &mut |_| true)?;
                        let mut largest = LargestKeys::at(n + tokens.len() - 1);
                        let recorder: Option<&mut dyn AttentionRecorder> =
                            if request.keep_keys { Some(&mut largest) } else { None };
                        let logits = self.logits(&[next], &mut cache, recorder)?.to_vec2::<f32>()?;
                        looked = largest.finish();
                        argmax(&logits[0])
                    }
                };
            }
            if !progress(0) {
                return Err(Error::Interrupted);
            }
        }
        progress(1);
        if self.sharing.is_some() {
            cache.truncate(prompt);
            self.held = Some(Held { tokens: request.tokens.to_vec(), cache });
        }
        Ok(Completion { tokens, thought, answer_logprobs, answer_ranks, attention: probe.finish(), keys })
    }

    fn mean_weights(
        &mut self,
        reading: Reading<'_>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<OfHead<Vec<f64>>>> {
        let Reading { tokens, first_row, keys, length, blocked } = reading;
        let blocked = blocked.cloned().unwrap_or_default();
        let (before, rows) = tokens.split_at(first_row.min(tokens.len()));
        let (mut cache, shared) = self.cache_for(before, blocked, length.max(tokens.len()));
        self.prefill(&before[shared..], &mut cache, &mut |_| progress(0))?;
        cache.mark();
        let mut means = MeanWeights::new(before.len()..tokens.len(), keys.to_vec());
        if !rows.is_empty() {
            let forward = Forward { variant: self.variant.as_ref(), keep_logits: 0, probe: Some(&mut means) };
            self.decoder.forward(rows, &mut cache, forward)?;
        }
        if self.sharing.is_some() {
            self.held = Some(Held { tokens: tokens.to_vec(), cache });
        }
        Ok(means.finish())
    }
}

/// Number of tokens with which both begin.
#[must_use]
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Position of the largest logit; the first of equals.
fn argmax(logits: &[f32]) -> u32 {
    logits.iter().enumerate().fold(0, |best, (i, x)| if *x > logits[best] { i } else { best }) as u32
}

/// `ln softmax(logits)[token]` and the token's rank: 1 + the number of tokens with a larger logit.
fn logprob_and_rank(logits: &[f32], token: u32) -> Result<(f64, usize)> {
    let Some(&own) = logits.get(token as usize) else {
        return Err(Error::Compute(format!(
            "token {token} is outside the {} entries of the model's head: tokenizer and model do not belong \
             together",
            logits.len()
        )));
    };
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    let rank = 1 + logits.iter().filter(|&&x| x > own).count();
    Ok((f64::from(own) - largest - sum.ln(), rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprob_and_rank_can_be_checked_by_hand() {
        let (logprob, rank) = logprob_and_rank(&[0.0, 0.0, 2f32.ln()], 1).unwrap();
        assert!((logprob - 0.25f64.ln()).abs() < 1e-7);
        assert_eq!(rank, 2);
        assert!(logprob_and_rank(&[0.0], 1).is_err());
    }
}
