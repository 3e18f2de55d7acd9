//! A checkpoint, its attention, the form of its prompts, and where it is computed.

use clap::{ArgAction, Args};

use super::values::{choice, named};
use crate::attention::variant::{SCALED, VARIANTS};
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::error::{Error, Result};
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::plan::{
    CHAT_CHOICES, ChatChoice, ModelChoice, ROPES, RopeChoice, THINKING_CHOICES, ThinkingChoice,
};
use crate::spec::{DTYPES, Dtype, ENGINES, Engine, WEIGHT_FORMS, WINDOW_EXPANSIONS, WeightForm};

/// The checkpoint, behind `-m` or without a flag.
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// Checkpoint: a GGUF file, a directory, a hub id, or shipped:NAME [default: shipped:ssmax]
    ///
    /// A directory holds config.json and safetensors; niah list checkpoints names what is shipped.
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    checkpoint: Option<String>,
    /// The checkpoint, as a flag
    #[arg(
        long,
        short,
        value_name = "MODEL",
        alias = "model-name",
        action = ArgAction::Set,
        help_heading = "Model"
    )]
    model: Vec<String>,
}

impl CheckpointArgs {
    /// A checkpoint of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { checkpoint: None, model: vec![name.to_string()] }
    }

    /// The name that was given.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        self.model.first().or(self.checkpoint.as_ref()).map(String::as_str)
    }

    /// The name that was given, or that of the checkpoint that runs where none is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.given().unwrap_or(DEFAULT_CHECKPOINT)
    }

    /// The names that were given as flags: several where a command takes them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.model
    }
}

/// The attention that a checkpoint runs with.
#[derive(Debug, Clone, Args)]
pub struct AttentionArgs {
    /// Attention variant
    #[arg(
        long,
        default_value = "auto",
        value_parser = named(VARIANTS).and("auto", "the checkpoint's own"),
        help_heading = "Model"
    )]
    pub variant: String,
    /// Precision of the weights; sums are f32
    ///
    /// [default: f32, whose answers are the same on every processor]
    #[arg(long, value_parser = choice("dtype", DTYPES), help_heading = "Model")]
    pub dtype: Option<Dtype>,
    /// Form that weights are held in; it changes memory and time, and no number
    ///
    /// [default: what fits into memory, and of that the fastest, which is measured once on a machine]
    #[arg(
        long,
        value_name = "FORM",
        value_parser = choice("form of the weights", WEIGHT_FORMS),
        help_heading = "Model"
    )]
    pub weights: Option<WeightForm>,
    /// Precision of cached keys and values
    ///
    /// [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        help_heading = "Model"
    )]
    pub kv_dtype: Option<KvDtype>,
    /// Precision of cached keys [default: --kv-dtype]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        alias = "cache-type-k",
        help_heading = "Model"
    )]
    pub k_dtype: Option<KvDtype>,
    /// Precision of cached values [default: --kv-dtype]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        alias = "cache-type-v",
        help_heading = "Model"
    )]
    pub v_dtype: Option<KvDtype>,
    /// One scale s for all heads, with ssmax, ssmax-bias or softmax-scale: instead of the learned one or
    /// that of a zero-shot swap, 1 / mean(ln n) of the training length
    #[arg(long, value_name = "S", allow_hyphen_values = true, help_heading = "Model")]
    pub ssmax_scale: Option<f64>,
    /// The factor c of variant constant
    ///
    /// [default: that of the zero-shot swap to ssmax at the training length]
    #[arg(long, value_name = "C", allow_hyphen_values = true, help_heading = "Model")]
    pub attention_scale: Option<f64>,
    /// Base of the rotary frequencies
    #[arg(long, value_name = "THETA", help_heading = "Model")]
    pub rope_theta: Option<f64>,
    /// Factor on the base of the rotary frequencies; the SSMax paper uses 50 past the training length
    #[arg(long, value_name = "FACTOR", help_heading = "Model")]
    pub rope_theta_scale: Option<f64>,
    /// Rotary positions in place of the checkpoint's: none leaves all layers without any
    #[arg(long, value_name = "ROPE", value_parser = choice("rotary positions", ROPES), help_heading = "Model")]
    pub rope: Option<RopeChoice>,
    /// What becomes of windows that Multiscreen has learned wider than its training length, beyond it
    ///
    /// [default: on]
    #[arg(
        long,
        value_name = "ON|OFF",
        value_parser = choice("window expansion", WINDOW_EXPANSIONS),
        help_heading = "Model"
    )]
    pub screening_window_expansion: Option<bool>,
    /// Who computes the model
    #[arg(
        long,
        default_value = ENGINES[0].name,
        value_parser = choice("engine", ENGINES),
        help_heading = "Model"
    )]
    pub engine: Engine,
    /// Tokens that go through the decoder at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = crate::generate::DEFAULT_CHUNK,
        help_heading = "Model"
    )]
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
            k_dtype: self.k_dtype,
            v_dtype: self.v_dtype,
            weights: self.weights,
            ssmax_scale: self.ssmax_scale,
            attention_scale: self.attention_scale,
            chunk_size: self.chunk_size,
            rope_theta: self.rope_theta,
            rope_theta_scale: self.rope_theta_scale,
            rope: self.rope,
            screening_window_expansion: self.screening_window_expansion,
            engine: self.engine,
        }
    }
}

impl AttentionArgs {
    /// The same under one of several variants: of the scales that were given it takes its own.
    #[must_use]
    pub fn under(&self, variant: &str) -> Self {
        Self {
            variant: variant.to_string(),
            ssmax_scale: self.ssmax_scale.filter(|_| SCALED.contains(&variant)),
            attention_scale: self.attention_scale.filter(|_| CONSTANT.contains(&variant)),
            ..self.clone()
        }
    }

    /// Refuses variants that are named twice, and a scale that none of them takes.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] about either.
    pub fn check_variants(&self, variants: &[String]) -> Result<()> {
        let twice = |(place, variant): (usize, &String)| variants[..place].contains(variant);
        if variants.iter().enumerate().any(twice) {
            return Err(Error::invalid("--variants", variants.join(","), "each variant once"));
        }
        let given = [
            ("--ssmax-scale", self.ssmax_scale, SCALED),
            ("--attention-scale", self.attention_scale, CONSTANT),
        ];
        for (flag, scale, of) in given {
            let used = variants.iter().any(|variant| of.contains(&variant.as_str()));
            if let Some(scale) = scale.filter(|_| !used) {
                return Err(Error::invalid(flag, scale, format!("{} among --variants", of.join(" or "))));
            }
        }
        Ok(())
    }
}

/// The variant that `--attention-scale` is for.
const CONSTANT: &[&str] = &["constant"];

/// A checkpoint and how it is asked.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Which.
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
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
    /// When prompts go into the checkpoint's chat template; the flag alone means always
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = choice("choice", CHAT_CHOICES),
        num_args = 0..=1,
        default_value = "auto",
        default_missing_value = "always",
        require_equals = true,
        help_heading = "Model"
    )]
    pub apply_chat_template: ChatChoice,
    /// The system's turn of the conversation
    #[arg(long, value_name = "TEXT", alias = "system-message", help_heading = "Model")]
    pub system_instruction: Option<String>,
    /// Whether the model thinks first [default: the template's own choice]
    ///
    /// By the switch of its chat template. What it thinks has a budget of its own and is no part of the
    /// answer.
    #[arg(
        long,
        value_name = "ON|OFF",
        value_parser = choice("choice", THINKING_CHOICES),
        help_heading = "Model"
    )]
    pub thinking: Option<ThinkingChoice>,
    /// Tokens of a thought at most, with --thinking on [default: 512]
    ///
    /// They are a part of the prompt's length. A thought that has not ended by then is ended.
    #[arg(long, value_name = "N", alias = "thinking-budget", help_heading = "Model")]
    pub max_thinking_tokens: Option<usize>,
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
    /// Forget which forms of weights were the fastest on this machine, and measure them again
    #[arg(long, help_heading = "Machine")]
    pub recalibrate: bool,
}

impl MachineArgs {
    /// The CPU, with all its threads.
    #[must_use]
    pub fn cpu() -> Self {
        Self { device: "cpu".to_string(), threads: None, recalibrate: false }
    }
}
