//! What a run is asked to do, in plain values: resolved from flags, stored in `run.json`, read back by `view` and `attend`.

use serde::{Deserialize, Serialize};

use super::PrecisionChoice;
use crate::checkpoint::RopeOverride;
use crate::error::{Error, Result};
use crate::generate::DEFAULT_CHUNK;
use crate::grid::Grid;
use crate::model::dtype::Dtype;
use crate::model::kv_cache::KvDtype;
use crate::prompt::Snap;
use crate::registry::{self, Entry};
use crate::split::Split;
use crate::task::{Custom, OfSplit, TASKS, Task};

/// Everything a user decides about a run that its results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Checkpoint: a GGUF file, a directory, a hub id or `shipped:NAME`.
    pub model: String,
    /// Attention variant, or `auto` for the checkpoint's own.
    pub variant: String,
    /// Precision of the weights; that of the checkpoint ([`PrecisionChoice::of`]) when absent, and settled in a plan.
    #[serde(default = "exact")]
    pub dtype: Option<Dtype>,
    /// Precision of the cached keys and values; that which follows from the weights when absent.
    #[serde(default)]
    pub kv_dtype: Option<KvDtype>,
    /// One scale for all heads, instead of the learned or derived ones.
    pub ssmax_scale: Option<f64>,
    /// Tokens that go through the decoder at once. Results agree to rounding whatever it is.
    #[serde(default = "default_chunk_size")]
    pub chunk_size: usize,
    /// The base of the rotary frequencies.
    pub rope_theta: Option<f64>,
    /// A factor on the base.
    pub rope_theta_scale: Option<f64>,
    /// Whether screening windows above the training length are unlimited beyond it; they are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screening_window_expansion: Option<bool>,
    /// Lengths and depths.
    pub grid: Grid,
    /// Trials of a cell.
    pub trials: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Task preset; passed over when needle, question and answer are given.
    pub task: String,
    /// Text of a custom needle.
    pub needle: Option<String>,
    /// A custom question.
    pub question: Option<String>,
    /// The expected answer to a custom question.
    pub answer: Option<String>,
    /// Name or path of the haystack; the task's own when absent.
    pub haystack: Option<String>,
    /// Which part of the haystack's text and of the needles' values is drawn from.
    #[serde(default, skip_serializing_if = "Split::is_all")]
    pub split: Split,
    /// Where the haystack is cut.
    pub snap: Snap,
    /// Whether prompts are conversations.
    pub apply_chat_template: ChatChoice,
    /// The system's turn of a conversation.
    pub system_instruction: Option<String>,
    /// How answers are scored.
    pub scorer: String,
    /// Tokens generated at most; the task's own budget when absent.
    pub max_new_tokens: Option<usize>,
}

/// The precision of runs from before there was a choice.
#[allow(clippy::unnecessary_wraps, reason = "serde asks for the type of the field")]
fn exact() -> Option<Dtype> {
    Some(Dtype::F32)
}

fn default_chunk_size() -> usize {
    DEFAULT_CHUNK
}

/// Whether prompts are put into the checkpoint's chat template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChatChoice {
    /// Always; an error when the checkpoint has no template.
    Always,
    /// When the checkpoint has a template.
    Auto,
    /// Never: prompts are plain text to complete.
    Never,
}

/// The ways to decide about the chat template, by name.
pub const CHAT_CHOICES: &[Entry<ChatChoice>] = &[
    Entry {
        name: "always",
        about: "an error when the checkpoint has no template",
        value: ChatChoice::Always,
    },
    Entry { name: "auto", about: "when the checkpoint has a template", value: ChatChoice::Auto },
    Entry { name: "never", about: "plain text to complete", value: ChatChoice::Never },
];

/// Prompts of a run, at most: what a machine gets through in years.
const MOST_PROMPTS: usize = 10_000_000;

impl Settings {
    /// Changes to the rotary base.
    #[must_use]
    pub fn rope(&self) -> RopeOverride {
        RopeOverride { theta: self.rope_theta, theta_scale: self.rope_theta_scale }
    }

    /// Precision of weights and cache.
    #[must_use]
    pub fn precision(&self) -> PrecisionChoice {
        PrecisionChoice { dtype: self.dtype, kv_dtype: self.kv_dtype }
    }

    /// Name of the task: the preset, or `custom` for the user's own needle.
    #[must_use]
    pub fn task_name(&self) -> &str {
        if self.needle.is_some() { "custom" } else { &self.task }
    }

    /// The task: a preset, or the user's own needle.
    ///
    /// # Errors
    /// When the preset is unknown, or a needle comes without question and answer.
    pub fn make_task(&self) -> Result<Box<dyn Task>> {
        match (&self.needle, &self.question, &self.answer) {
            (None, None, None) => {
                let task = (registry::find("task", TASKS, &self.task)?.value)();
                Ok(if self.split.is_all() { task } else { Box::new(OfSplit::new(task, self.split)) })
            }
            (needle, question, answer) => {
                let needle = needle.as_deref().unwrap_or_default();
                Ok(Box::new(Custom::new(needle, question.as_deref(), answer.as_deref())?))
            }
        }
    }

    /// Checks the numbers that have no type of their own.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the flag.
    pub fn check(&self) -> Result<()> {
        super::check_numbers(self.ssmax_scale, self.rope())?;
        let cells = self.grid.count();
        if self.trials == 0 || cells.saturating_mul(self.trials) > MOST_PROMPTS {
            let expected = format!("at least 1, and at most {MOST_PROMPTS} over {cells} cells");
            return Err(Error::invalid("--trials", self.trials, expected));
        }
        if self.chunk_size == 0 {
            return Err(Error::invalid("--chunk-size", 0, "at least 1"));
        }
        if self.max_new_tokens == Some(0) {
            return Err(Error::invalid("--max-new-tokens", 0, "at least 1"));
        }
        Ok(())
    }
}
