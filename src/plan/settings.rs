//! What a run is asked to do, in plain values: resolved from flags, stored in `run.json`, read back by `view`
//! and `attend`.

use serde::{Deserialize, Serialize};

use super::ModelChoice;
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::prompt::Snap;
use crate::registry::{self, Entry};
use crate::split::Split;
use crate::task::{Custom, OfSplit, TASKS, Task};

/// Everything a user decides about a run that its results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The checkpoint and how it is run.
    #[serde(flatten)]
    pub model: ModelChoice,
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

impl Default for Settings {
    /// The checkpoint that comes with `niah`, once in every cell of [`Grid::default`].
    fn default() -> Self {
        Self {
            model: ModelChoice::default(),
            grid: Grid::default(),
            trials: 1,
            seed: 42,
            task: "magic".to_string(),
            needle: None,
            question: None,
            answer: None,
            haystack: None,
            split: Split::All,
            snap: Snap::Sentence,
            apply_chat_template: ChatChoice::Auto,
            system_instruction: None,
            scorer: "match".to_string(),
            max_new_tokens: None,
        }
    }
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
    /// Name of the task: the preset, or `custom` for the user's own needle.
    #[must_use]
    pub fn task_name(&self) -> &str {
        if self.needle.is_some() { "custom" } else { &self.task }
    }

    /// The same with the scorer of this name, or else the task's own.
    ///
    /// # Errors
    /// Those of [`Self::make_task`].
    pub fn scored_by(self, scorer: Option<&str>) -> Result<Self> {
        let scorer = match scorer {
            Some(name) => name.to_string(),
            None => self.make_task()?.default_scorer().to_string(),
        };
        Ok(Self { scorer, ..self })
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
    /// [`Error::InvalidValue`] naming the setting.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let cells = self.grid.count();
        if self.trials == 0 || cells.saturating_mul(self.trials) > MOST_PROMPTS {
            let expected = format!("at least 1, and at most {MOST_PROMPTS} over {cells} cells");
            return Err(Error::invalid("trials", self.trials, expected));
        }
        if self.max_new_tokens == Some(0) {
            return Err(Error::invalid("max new tokens", 0, "at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Dtype;

    /// What a run has stored since there are windows to choose.
    const STORED: &str = r#"{"model":"m.gguf","variant":"ssmax","dtype":"bf16","kv_dtype":null,"ssmax_scale":0.17,"chunk_size":512,"rope_theta":null,"rope_theta_scale":50.0,"screening_window_expansion":false,"grid":{"context_lengths":[1024],"depths":[0.0,0.5]},"trials":3,"seed":18446744073709551615,"task":"magic","needle":null,"question":null,"answer":null,"haystack":"noise","snap":"sentence","apply_chat_template":"never","system_instruction":null,"scorer":"match","max_new_tokens":null}"#;

    #[test]
    fn stored_settings_stay_equal_to_the_byte_and_the_model_is_flat_in_them() {
        let settings: Settings = serde_json::from_str(STORED).unwrap();
        assert_eq!(settings.model.rope_theta_scale, Some(50.0));
        assert_eq!(serde_json::to_string(&settings).unwrap(), STORED);
    }

    #[test]
    fn regression_runs_from_before_there_was_a_choice_were_exact() {
        let old =
            STORED.replace(r#""dtype":"bf16","kv_dtype":null,"#, "").replace(r#""chunk_size":512,"#, "");
        let model = serde_json::from_str::<Settings>(&old).unwrap().model;
        assert_eq!((model.dtype, model.chunk_size), (Some(Dtype::F32), ModelChoice::default().chunk_size));
        let none = old.replace(r#""model":"m.gguf","#, "");
        assert!(serde_json::from_str::<Settings>(&none).unwrap_err().to_string().contains("field `model`"));
    }
}
