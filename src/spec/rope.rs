//! Rotary positions, and how they are changed for longer contexts.

use serde::Serialize;

/// Rotary positions: base, scaling and the context they were made for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RopeSpec {
    /// The base of the frequencies, after `--rope-theta` and `--rope-theta-scale`.
    pub theta: f64,
    /// How the frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
    /// Context length before scaling, when the configuration names it.
    pub original_max_position_embeddings: Option<usize>,
}

/// How rotary frequencies are changed for contexts longer than the ones trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Every position divided by `factor` (position interpolation, arXiv 2306.15595).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are scaled in full.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context length of pre-training.
        original_max_position_embeddings: usize,
    },
    /// YaRN (arXiv 2309.00071): interpolation by parts, and a temperature on cos and sin.
    Yarn {
        /// The extension factor.
        factor: f64,
        /// Factor on cos and sin.
        attention_factor: f64,
        /// Rotations above which a dimension is left alone.
        beta_fast: f64,
        /// Rotations below which a dimension is interpolated in full.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded outwards to whole dimensions.
        truncate: bool,
        /// The context length of pre-training.
        original_max_position_embeddings: usize,
    },
    /// Dynamic NTK: a sequence of `s > max` tokens turns by the base
    /// `theta (factor s / max - factor + 1)^(d / (d - 2))`, `d` the coordinates that rotate.
    Dynamic {
        /// How fast the base grows.
        factor: f64,
        /// The length `max` up to which nothing changes.
        max_position_embeddings: usize,
    },
    /// LongRoPE (arXiv 2402.13753): one divisor per frequency, by the length of the sequence, and a
    /// temperature on cos and sin.
    LongRope {
        /// `rotary_dim / 2` divisors for sequences within the original context.
        short_factor: Vec<f32>,
        /// The same for longer ones.
        long_factor: Vec<f32>,
        /// Factor on cos and sin.
        attention_factor: f64,
        /// Another one for sequences beyond the original context (Phi 3.5 MoE).
        #[serde(skip_serializing_if = "Option::is_none")]
        long_attention_factor: Option<f64>,
        /// The context length of pre-training.
        original_max_position_embeddings: usize,
    },
    /// The first `pairs` frequencies of a whole head, divided by `factor`; the other coordinates keep still.
    Proportional {
        /// The divisor of the frequencies.
        factor: f64,
        /// Pairs of coordinates that rotate.
        pairs: usize,
    },
    /// One divisor per frequency, as a GGUF's `rope_freqs.weight` gives it.
    Divisors {
        /// `head_dim / 2` divisors.
        divisors: Vec<f32>,
    },
}
