//! A checkpoint, its attention, the form of its prompts, and where it is computed.

use clap::Args;

use super::values::{chat_choice, dtype, kv_dtype, window_expansion};
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::model::kv_cache::KvDtype;
use crate::plan::{ChatChoice, ModelChoice};
use crate::spec::Dtype;

/// The attention that a checkpoint runs with.
#[derive(Debug, Clone, Args)]
pub struct AttentionArgs {
    /// Attention variant: auto (the checkpoint's own), softmax, ssmax, ssmax-fixed, ssmax-bias, softmax-scale, softmax1, logn, temperature, adaptive, screening
    #[arg(long, default_value = "auto", help_heading = "Model")]
    pub variant: String,
    /// Precision of the weights: f32 (exact), bf16 (weights and inputs rounded), f16 (weights rounded); sums are f32 [default: f32,
    /// or f16 for quantised weights that do not fit into memory in f32]
    #[arg(long, value_name = "DTYPE", value_parser = dtype, help_heading = "Model")]
    pub dtype: Option<Dtype>,
    /// Precision of cached keys and values: f32, bf16 [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype, help_heading = "Model")]
    pub kv_dtype: Option<KvDtype>,
    /// One scale s for all heads, with ssmax, ssmax-bias or softmax-scale: instead of the learned one or that of a zero-shot swap, 1 / mean(ln n) of the training length
    #[arg(long, value_name = "S", allow_hyphen_values = true, help_heading = "Model")]
    pub ssmax_scale: Option<f64>,
    /// Base of the rotary frequencies
    #[arg(long, value_name = "THETA", help_heading = "Model")]
    pub rope_theta: Option<f64>,
    /// Factor on the base of the rotary frequencies; the SSMax paper uses 50 past the training length
    #[arg(long, value_name = "FACTOR", help_heading = "Model")]
    pub rope_theta_scale: Option<f64>,
    /// Whether the windows that Multiscreen has learned wider than its training length are unlimited beyond it: on, off [default: on]
    #[arg(long, value_name = "ON|OFF", value_parser = window_expansion, help_heading = "Model")]
    pub screening_window_expansion: Option<bool>,
    /// Tokens that go through the decoder at once
    #[arg(long, value_name = "N", default_value_t = crate::generate::DEFAULT_CHUNK, help_heading = "Model")]
    pub chunk_size: usize,
}

impl AttentionArgs {
    /// What these flags choose for the checkpoint of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> ModelChoice {
        ModelChoice {
            name: name.to_string(),
            variant: self.variant.clone(),
            dtype: self.dtype,
            kv_dtype: self.kv_dtype,
            ssmax_scale: self.ssmax_scale,
            chunk_size: self.chunk_size,
            rope_theta: self.rope_theta,
            rope_theta_scale: self.rope_theta_scale,
            screening_window_expansion: self.screening_window_expansion,
        }
    }
}

/// A checkpoint and how it is asked.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, a hub id, or shipped:NAME (niah list checkpoints)
    #[arg(long, short, value_name = "FILE|DIR|ID", default_value = DEFAULT_CHECKPOINT, help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// The form of its prompts.
    #[command(flatten)]
    pub chat: ChatArgs,
}

/// Whether prompts are conversations.
#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// Put prompts into the checkpoint's chat template: always, auto (when it has one), never
    #[arg(long, value_name = "WHEN", value_parser = chat_choice, num_args = 0..=1, default_value = "auto",
          default_missing_value = "always", require_equals = true, help_heading = "Model")]
    pub apply_chat_template: ChatChoice,
    /// The system's turn of the conversation
    #[arg(long, value_name = "TEXT", help_heading = "Model")]
    pub system_instruction: Option<String>,
}

/// Where to compute.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// Device: cpu, cuda, cuda:N, metal (as the binary was built)
    #[arg(long, default_value = "cpu", help_heading = "Machine")]
    pub device: String,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}
