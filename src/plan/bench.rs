//! The plan of `niah bench`: lengths, variant and tokens resolved against a checkpoint, before any weight is
//! loaded.

use candle_core::Device;
use serde::Serialize;

use super::{ModelChoice, OpenModel};
use crate::error::{Error, Result};
use crate::grid::ContextLength;
use crate::rng::Rng;
use crate::spec::DecoderSpec;
use crate::speed::SpeedRequest;

/// What `niah bench` is asked to do.
#[derive(Debug, Clone, Serialize)]
pub struct BenchSettings {
    /// The checkpoint and how it is run.
    pub model: ModelChoice,
    /// Lengths of the prompts; those of [`DEFAULT_LENGTHS`] that the checkpoint has positions for when empty.
    pub context_lengths: Vec<ContextLength>,
    /// Tokens decoded behind each prompt.
    pub new_tokens: usize,
    /// How often each length is measured.
    pub repeats: usize,
    /// Seed of the tokens.
    pub seed: u64,
}

/// Lengths that are measured when none are given.
pub const DEFAULT_LENGTHS: [usize; 4] = [512, 2048, 4096, 8192];

/// Ready to run: only the weights are missing.
pub struct BenchPlan {
    /// The checkpoint as it runs, weights not loaded.
    pub model: OpenModel,
    /// Lengths in tokens, ascending.
    pub lengths: Vec<usize>,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
    /// What is read and written.
    pub tokens: BenchTokens,
}

/// Random tokens, and how they are taken.
pub struct BenchTokens {
    tokens: Vec<u32>,
    new_tokens: usize,
    chunk: usize,
}

impl BenchPlan {
    /// Resolves settings: everything that can be wrong with them is found here.
    ///
    /// # Errors
    /// When anything named is unknown, missing, damaged or does not fit, or memory is too small.
    pub fn resolve(settings: &BenchSettings, device: &Device) -> Result<Self> {
        let counts = [("repeats", settings.repeats), ("max new tokens", settings.new_tokens)];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::invalid(name, 0, "at least 1"));
        }
        let model = settings.model.open(device)?;
        let lengths = lengths(model.spec(), settings);
        let longest = lengths.last().copied().unwrap_or_default().saturating_add(settings.new_tokens);
        model.check_length("context length", longest)?;
        model
            .memory(longest)
            .check(model.precision, "use shorter `context lengths` or a smaller checkpoint")?;
        Ok(Self {
            warnings: model.warnings(lengths.last().copied().unwrap_or_default()),
            tokens: BenchTokens {
                tokens: random_tokens(settings.seed, longest, model.spec().vocab_size),
                new_tokens: settings.new_tokens,
                chunk: settings.model.chunk_size,
            },
            lengths,
            model,
        })
    }
}

impl BenchTokens {
    /// A prompt of `length` tokens, at most the longest planned, and what is decoded behind it.
    #[must_use]
    pub fn request(&self, length: usize) -> SpeedRequest<'_> {
        let (prompt, rest) = self.tokens.split_at(length);
        SpeedRequest { prompt, answer: &rest[..self.new_tokens], chunk: self.chunk }
    }
}

/// The lengths asked for, ascending and each once; else those of [`DEFAULT_LENGTHS`] that fit the
/// checkpoint's positions, or the longest that does.
fn lengths(spec: &DecoderSpec, settings: &BenchSettings) -> Vec<usize> {
    let mut lengths: Vec<usize> = settings.context_lengths.iter().map(|length| length.0).collect();
    if lengths.is_empty() {
        let learned = spec.learned_positions.map(|rows| rows.saturating_sub(settings.new_tokens));
        let longest = learned.or(spec.max_position_embeddings).unwrap_or(usize::MAX).max(1);
        lengths = DEFAULT_LENGTHS.into_iter().filter(|&length| length <= longest).collect();
        if lengths.is_empty() {
            lengths.push(longest);
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// `count` tokens, each as likely as any other.
fn random_tokens(seed: u64, count: usize, vocab_size: usize) -> Vec<u32> {
    let mut rng = Rng::for_purpose(seed, &["bench", "tokens"]);
    (0..count).map(|_| rng.below(vocab_size.max(1) as u64) as u32).collect()
}
