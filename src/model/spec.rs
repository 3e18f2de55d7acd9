//! What a decoder is made of: the description that every family turns its configuration into.

use serde::Serialize;

/// A decoder described by its sizes and choices, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecoderSpec {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads of a layer.
    pub num_attention_heads: usize,
    /// Key and value heads of a layer; divides the query heads (grouped-query attention).
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether q, k, v and o projections carry a bias.
    pub attention_bias: bool,
    /// Whether the MLP projections carry a bias.
    pub mlp_bias: bool,
    /// Whether the head is the transposed embedding.
    pub tie_word_embeddings: bool,
    /// Rotary positions.
    pub rope: RopeSpec,
    /// Positions the checkpoint declares, when it does.
    pub max_position_embeddings: Option<usize>,
}

impl DecoderSpec {
    /// Length the weights were trained on: the rotary scaling's original context before the declared positions.
    #[must_use]
    pub fn training_length(&self) -> Option<usize> {
        self.rope.original_max_position_embeddings.or(self.max_position_embeddings)
    }

    /// Query heads that share one key-value head.
    #[must_use]
    pub fn query_groups(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// The factor on `q · k`: `1 / sqrt(head_dim)`.
    #[must_use]
    pub fn attention_scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }

    /// Bytes of cached keys and values per token, in f32.
    #[must_use]
    pub fn cache_bytes_per_token(&self) -> usize {
        2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim * size_of::<f32>()
    }

    /// Number of weights.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        let attention = 2 * h * q + 2 * h * kv + if self.attention_bias { q + 2 * kv + h } else { 0 };
        let mlp = 3 * h * i + if self.mlp_bias { 2 * i + h } else { 0 };
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        tables * self.vocab_size * h + h + self.num_hidden_layers * (attention + mlp + 2 * h)
    }
}

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
    /// One divisor per frequency, as a GGUF's `rope_freqs.weight` gives it.
    Divisors {
        /// `head_dim / 2` divisors.
        divisors: Vec<f32>,
    },
}
