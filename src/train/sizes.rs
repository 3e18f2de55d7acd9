//! The sizes of a decoder to train from scratch, and the `config.json` that they make.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::registry::Entry;

/// What a layer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// A sliding window, with rotary positions.
    Local,
    /// Everything, without positions.
    Global,
    /// Everything, with rotary positions.
    Rotary,
}

/// The kinds of layers, by name.
pub const LAYER_KINDS: &[Entry<LayerKind>] = &[
    Entry { name: "local", about: "a sliding window, rotary positions", value: LayerKind::Local },
    Entry { name: "global", about: "all keys, no positions", value: LayerKind::Global },
    Entry { name: "rotary", about: "all keys, rotary positions", value: LayerKind::Rotary },
];

/// The norms on queries and keys, by name, each with the value of `qk_norm` in `config.json`.
pub const QK_NORMS: &[Entry<&str>] = &[
    Entry { name: "none", about: "no norm", value: "none" },
    Entry { name: "weightless", about: "over each head, without a gain", value: "weightless" },
    Entry { name: "per-head", about: "over each head, with a learned gain", value: "per_head" },
];

/// What is trained from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelSizes {
    /// A decoder of family `niah`.
    Decoder(Sizes),
    /// Screening tiles.
    Multiscreen(ScreeningSizes),
}

impl ModelSizes {
    /// The `config.json` of the model, without its attention variant.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting whose value cannot be.
    pub fn config(&self, vocab_size: usize) -> Result<Value> {
        match self {
            Self::Decoder(sizes) => sizes.config(vocab_size),
            Self::Multiscreen(sizes) => sizes.config(vocab_size),
        }
    }

    /// Standard deviation of a decoder's matrices; that of screening tiles is the paper's, matrix by matrix.
    pub(super) fn initializer_range(&self) -> f64 {
        match self {
            Self::Decoder(sizes) => sizes.initializer_range,
            Self::Multiscreen(sizes) => initializer_range(sizes.hidden_size),
        }
    }
}

/// Sizes of a Multiscreen model (arXiv 2604.01178).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreeningSizes {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Tiles of a layer.
    pub num_attention_heads: usize,
    /// Width of keys.
    pub key_dim: usize,
    /// Width of values.
    pub value_dim: usize,
    /// `w_th`: windows begin between 2 tokens and one more than this, and those below it have positions.
    pub mipe_threshold: f64,
    /// `s_r` that training begins with: the acceptance width is `sigmoid(s_r)`.
    pub acceptance_init: f64,
}

impl ScreeningSizes {
    fn config(&self, vocab_size: usize) -> Result<Value> {
        let counts = [
            ("hidden size", self.hidden_size),
            ("num hidden layers", self.num_hidden_layers),
            ("num attention heads", self.num_attention_heads),
            ("value dim", self.value_dim),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::invalid(*name, 0, "at least 1"));
        }
        if self.key_dim < 2 {
            let expected = "at least 2: positions turn the first two coordinates";
            return Err(Error::invalid("key dim", self.key_dim, expected));
        }
        if !(self.mipe_threshold > 1.0 && self.mipe_threshold.is_finite()) {
            return Err(Error::invalid("mipe threshold", self.mipe_threshold, "a number above 1"));
        }
        if !self.acceptance_init.is_finite() {
            return Err(Error::invalid("acceptance init", self.acceptance_init, "a number"));
        }
        Ok(json!({
            "architectures": ["MultiscreenForCausalLM"],
            "model_type": "multiscreen",
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "mipe_position_mode": "paper_absolute",
            "mipe_threshold": self.mipe_threshold,
            "tie_word_embeddings": true,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }))
    }
}

/// Sizes of a decoder, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Kinds of layers, from the first on, again and again.
    pub layer_pattern: Vec<LayerKind>,
    /// Keys that a row of a local layer sees.
    pub sliding_window: usize,
    /// Norm on queries and keys: `none`, `weightless` or `per_head`.
    pub qk_norm: String,
    /// Whether heads of layers without a window are subtracted in pairs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differential: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Standard deviation of the matrices that training begins with.
    pub initializer_range: f64,
}

impl Default for Sizes {
    /// About a million parameters.
    fn default() -> Self {
        Self {
            hidden_size: 128,
            intermediate_size: 344,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            layer_pattern: vec![LayerKind::Local, LayerKind::Global],
            sliding_window: 32,
            qk_norm: "weightless".to_string(),
            differential: false,
            rope_theta: 10000.0,
            initializer_range: initializer_range(128),
        }
    }
}

/// The deviation at which a row of a matrix times a normed residual stream keeps its size:
/// `1 / sqrt(hidden_size)`. Much less, such as the 0.02 that suits widths of thousands, makes a small model
/// learn to retrieve several times later.
#[must_use]
pub fn initializer_range(hidden_size: usize) -> f64 {
    1.0 / (hidden_size as f64).sqrt()
}

impl Sizes {
    /// The `config.json` of a decoder of family `niah`, without its attention variant.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no kind of layer, or the heads do not divide the width or make
    /// no pairs.
    pub fn config(&self, vocab_size: usize) -> Result<Value> {
        if self.layer_pattern.is_empty() {
            return Err(Error::invalid(
                "layer pattern",
                "nothing",
                "local, global, rotary or several of them",
            ));
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(2 * self.num_attention_heads) {
            let expected = format!("a number whose double divides `hidden size` {}", self.hidden_size);
            return Err(Error::invalid("num attention heads", self.num_attention_heads, expected));
        }
        let counts = [
            ("num attention heads", self.num_attention_heads),
            ("num key value heads", self.num_key_value_heads),
        ];
        if let Some((name, heads)) =
            counts.into_iter().find(|(_, heads)| self.differential && !heads.is_multiple_of(2))
        {
            return Err(Error::invalid(name, heads, "an even number, as heads are subtracted in pairs"));
        }
        let kinds: Vec<_> = self.layer_pattern.iter().copied().cycle().take(self.num_hidden_layers).collect();
        let types = kinds.iter().map(|kind| match kind {
            LayerKind::Local => "sliding_attention",
            LayerKind::Global | LayerKind::Rotary => "full_attention",
        });
        let mut config = json!({
            "architectures": ["NiahForCausalLM"],
            "model_type": "niah",
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "qk_norm": self.qk_norm,
            "layer_types": types.collect::<Vec<_>>(),
            "sliding_window": self.sliding_window,
            "no_rope_layers": kinds.iter().map(|kind| u8::from(*kind != LayerKind::Global)).collect::<Vec<_>>(),
            "rope_theta": self.rope_theta,
            "initializer_range": self.initializer_range,
            "tie_word_embeddings": true,
            "bos_token_id": 0,
            "eos_token_id": 0,
        });
        if self.differential {
            let layers = (0..kinds.len()).filter(|&layer| kinds[layer] != LayerKind::Local);
            config["differential_layers"] = json!(layers.collect::<Vec<_>>());
        }
        Ok(config)
    }
}
