//! How fast a decoder reads and writes, and where its time goes.

use std::time::{Duration, Instant};

use crate::attention::AttentionVariant;
use crate::error::Result;
use crate::model::causal_lm::CausalLm;
use crate::model::copy_peak::CopyPeak;
use crate::model::decoder::Forward;
use crate::model::gemm_peak::GemmPeak;
use crate::model::{Spent, kv_cache::KvCache};
use crate::process;

/// A prompt that is read, and tokens that are written behind it.
#[derive(Debug, Clone, Copy)]
pub struct SpeedRequest<'a> {
    /// The prompt.
    pub prompt: &'a [u32],
    /// Tokens behind it, each of which goes through the decoder on its own.
    pub answer: &'a [u32],
    /// Prompt tokens that go through the decoder at once.
    pub chunk: usize,
}

/// What one request took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Time of the prompt, with the logits of its last row.
    pub prefill: Duration,
    /// Time of the tokens behind it, with the logits of each.
    pub decode: Duration,
    /// What of the prompt's time was spent where.
    pub spent: Spent,
    /// Operations a second of the best matrix multiply alone, between the chunks of the prompt.
    pub gemm_rate: f64,
    /// Bytes a second of a copy alone, before and behind the tokens that are written; what is read and
    /// written counts twice.
    pub copy_rate: f64,
}

/// What the machine does at best, measured between the parts of a request.
#[derive(Debug)]
pub(crate) struct Peaks {
    gemm: GemmPeak,
    copy: CopyPeak,
}

impl Peaks {
    /// That of these multiplies, and that of a copy.
    pub(crate) fn new(gemm: GemmPeak) -> Self {
        Self { gemm, copy: CopyPeak::default() }
    }
}

/// Runs `request` and measures it. Before every chunk of the prompt a multiply runs, before and behind the
/// tokens that are written a copy, outside their times, so that all meet the same machine.
///
/// # Errors
/// [`crate::error::Error::Compute`] when the computation fails.
pub(crate) fn measure(
    decoder: &dyn CausalLm,
    variant: &dyn AttentionVariant,
    request: SpeedRequest<'_>,
    peaks: &mut Peaks,
) -> Result<Speed> {
    let (prefill, decode, spent) = run(decoder, variant, request, &mut |part| match part {
        Part::Chunk => Ok(peaks.gemm.multiply()?),
        Part::Answer => {
            peaks.copy.copy();
            Ok(())
        }
    })?;
    let (gemm_rate, copy_rate) = (peaks.gemm.take_rate(), peaks.copy.take_rate());
    Ok(Speed { prefill, decode, spent, gemm_rate, copy_rate })
}

/// Runs `request` and says how much memory the process has held at most meanwhile, in bytes; `None` where the
/// system does not say.
///
/// # Errors
/// [`crate::error::Error::Compute`] when the computation fails.
pub(crate) fn peak_memory(
    decoder: &dyn CausalLm,
    variant: &dyn AttentionVariant,
    request: SpeedRequest<'_>,
) -> Result<Option<usize>> {
    let watched = process::forget_peak_memory();
    run(decoder, variant, request, &mut |_| Ok(()))?;
    Ok(process::peak_memory().filter(|_| watched))
}

/// What is timed.
enum Part {
    Chunk,
    Answer,
}

/// The times of prompt and answer of `request`, and where the prompt's went. `between` comes before every
/// chunk of the prompt, and before and behind the answer, outside their times.
fn run(
    decoder: &dyn CausalLm,
    variant: &dyn AttentionVariant,
    request: SpeedRequest<'_>,
    between: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<(Duration, Duration, Spent)> {
    let mut cache = decoder.new_cache(request.prompt.len() + request.answer.len());
    let mut spent = Spent::default();
    let run = |tokens: &[u32], keep_logits, cache: &mut KvCache, spent: &mut Spent| -> Result<Duration> {
        let started = Instant::now();
        let forward = Forward { variant, keep_logits, probe: None };
        decoder.forward_timed(tokens, cache, forward, spent)?.device().synchronize()?;
        Ok(started.elapsed())
    };
    let mut prefill = Duration::ZERO;
    let chunks = request.prompt.chunks(request.chunk.max(1));
    let last = chunks.len().saturating_sub(1);
    for (index, tokens) in chunks.enumerate() {
        between(Part::Chunk)?;
        prefill += run(tokens, usize::from(index == last), &mut cache, &mut spent)?;
    }
    between(Part::Answer)?;
    let mut decode = Duration::ZERO;
    for token in request.answer.chunks(1) {
        decode += run(token, 1, &mut cache, &mut Spent::default())?;
    }
    between(Part::Answer)?;
    Ok((prefill, decode, spent))
}
