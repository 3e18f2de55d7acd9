//! What a run is asked to do, in plain values: resolved from flags, stored in `run.json`, read back by `view`
//! and `attend`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Masking, ModelChoice, Served};
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::haystack::Order;
use crate::prompt::{AnswerPrefix, Snap};
use crate::registry::{self, Entry};
use crate::score::{self, Normalise, Scorer};
use crate::split::Split;
use crate::task::{About, Controlled, Custom, Distracted, Needles, OfSplit, Prompts, TASKS, Task, groups};

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
    /// A file with needles, questions and answers, in place of these three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needles: Option<String>,
    /// A file with prompts, in place of a task and its grid: each is one trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<String>,
    /// Name or path of the haystack; the task's own when absent.
    pub haystack: Option<String>,
    /// Which part of the haystack's text and of the needles' values is drawn from.
    #[serde(default, skip_serializing_if = "Split::is_all")]
    pub split: Split,
    /// The order of the haystack's sentences.
    #[serde(default, skip_serializing_if = "Order::is_text")]
    pub haystack_order: Order,
    /// Needles of the same form about something else that are added.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub distractors: usize,
    /// The control that the task is under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Where the haystack is cut.
    pub snap: Snap,
    /// Whether prompts are conversations.
    pub apply_chat_template: ChatChoice,
    /// The system's turn of a conversation.
    pub system_instruction: Option<String>,
    /// Whether the model thinks before its answer; the chat template's own choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<ThinkingChoice>,
    /// Tokens of a thought, at most, where the model is to think; [`DEFAULT_THINKING_TOKENS`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_thinking_tokens: Option<usize>,
    /// What the answer continues.
    #[serde(default, skip_serializing_if = "AnswerPrefix::is_task")]
    pub answer_prefix: AnswerPrefix,
    /// How answers are scored.
    pub scorer: String,
    /// What else is the same to the scorer.
    #[serde(default, skip_serializing_if = "Normalise::is_nothing")]
    pub normalise: Normalise,
    /// The least score that counts as correct; the scorer's own threshold when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct_from: Option<f64>,
    /// Tokens generated at most; the task's own budget when absent.
    pub max_new_tokens: Option<usize>,
    /// The server that answers in the place of the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// What is taken from the model.
    #[serde(default, skip_serializing_if = "Masking::is_nothing")]
    pub masking: Masking,
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
            needles: None,
            prompts: None,
            haystack: None,
            split: Split::All,
            haystack_order: Order::Text,
            distractors: 0,
            control: None,
            snap: Snap::Sentence,
            apply_chat_template: ChatChoice::Auto,
            system_instruction: None,
            thinking: None,
            max_thinking_tokens: None,
            answer_prefix: AnswerPrefix::Task,
            scorer: "match".to_string(),
            normalise: Normalise::Nothing,
            correct_from: None,
            max_new_tokens: None,
            served: None,
            masking: Masking::default(),
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

/// Whether the model thinks before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThinkingChoice {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Whether the model thinks, by name.
pub const THINKING_CHOICES: &[Entry<ThinkingChoice>] = &[
    Entry {
        name: "on",
        about: "the model thinks within its own budget, and what it thinks is no part of the answer",
        value: ThinkingChoice::On,
    },
    Entry { name: "off", about: "the template's switch says that it does not", value: ThinkingChoice::Off },
];

/// Tokens of a thought, at most, where nothing else is said: the shortest default length has room for them.
pub const DEFAULT_THINKING_TOKENS: usize = 512;

fn is_none_of_them(count: &usize) -> bool {
    *count == 0
}

/// Prompts of a run, at most: what a machine gets through in years.
pub(crate) const MOST_PROMPTS: usize = 10_000_000;

impl Settings {
    /// Name of the task: the preset, `custom` for the user's own needle, `needles` for a file of them,
    /// `prompts` for a file of prompts, or `question` for one about the user's own text.
    #[must_use]
    pub fn task_name(&self) -> &str {
        match self.is_about_haystack() {
            true => "question",
            false if self.prompts.is_some() => "prompts",
            false if self.needles.is_some() => "needles",
            false if self.needle.is_some() => "custom",
            false => &self.task,
        }
    }

    /// Whether it is asked about what stands in the user's own text: a question, and nothing to hide.
    #[must_use]
    pub fn is_about_haystack(&self) -> bool {
        let other = self.needle.is_some() || self.needles.is_some() || self.prompts.is_some();
        !other && (self.question.is_some() || self.answer.is_some())
    }

    /// What the task is changed by, for titles: its distractors, a shuffled haystack, its control, how its
    /// answers begin, how they are scored otherwise than by the rule of a scorer alone, and what is masked.
    #[must_use]
    pub fn variations(&self) -> String {
        let distractors = (self.distractors > 0).then(|| format!(" with {} distractors", self.distractors));
        let shuffled = (!self.haystack_order.is_text()).then(|| " in a shuffled haystack".to_string());
        let control = self.control.as_ref().map(|control| format!(", control {control}"));
        let numbers = (!self.normalise.is_nothing()).then(|| ", numbers normalised".to_string());
        let from = self.correct_from.map(|from| format!(", correct from {from} on"));
        let thinking = self.thinking.map(|choice| match choice {
            ThinkingChoice::On => {
                let most = self.thinking_budget().unwrap_or_default();
                format!(", thinking of {most} tokens at most")
            }
            ThinkingChoice::Off => ", thinking off".to_string(),
        });
        let prefix = (!self.answer_prefix.is_task()).then(|| ", no answer prefix".to_string());
        let masked = Some(self.masking.words());
        let parts = [distractors, shuffled, control, thinking, prefix, numbers, from, masked];
        parts.into_iter().flatten().collect()
    }

    /// The same with the scorer of this name, or else the task's own.
    ///
    /// # Errors
    /// Those of [`Self::make_task`].
    pub fn scored_by(self, scorer: Option<&str>) -> Result<Self> {
        let scorer = match scorer {
            Some(name) => name.to_string(),
            // Without reading the file: prompts that name no scorer have the first.
            None if self.prompts.is_some() => Self::default().scorer,
            None => self.make_task()?.default_scorer().to_string(),
        };
        Ok(Self { scorer, ..self })
    }

    /// Tokens of a thought, at most, where the model is to think.
    #[must_use]
    pub fn thinking_budget(&self) -> Option<usize> {
        let on = self.thinking == Some(ThinkingChoice::On);
        on.then(|| self.max_thinking_tokens.unwrap_or(DEFAULT_THINKING_TOKENS))
    }

    /// How answers are scored.
    ///
    /// # Errors
    /// When the scorer is unknown.
    pub fn scoring(&self) -> Result<Box<dyn Scorer>> {
        score::scoring(&self.scorer, self.normalise, self.correct_from)
    }

    /// The task: a preset, or the user's own needle; with its distractors and under its control.
    ///
    /// # Errors
    /// When the preset or the control is unknown, a needle comes without question and answer, a file of
    /// needles cannot be read or has a wrong row, or the task can have no distractors or not be under the
    /// control.
    pub fn make_task(&self) -> Result<Box<dyn Task>> {
        let distracted = |task: Box<dyn Task>| -> Result<Box<dyn Task>> {
            match self.distractors {
                0 => Ok(task),
                count => Ok(Box::new(Distracted::new(task, count)?)),
            }
        };
        let task: Box<dyn Task> = match (&self.needle, &self.question, &self.answer) {
            _ if self.prompts.is_some() => {
                let path = self.prompts.as_deref().unwrap_or_default();
                distracted(Box::new(Prompts::read(Path::new(path))?))?
            }
            _ if self.needles.is_some() => {
                let path = self.needles.as_deref().unwrap_or_default();
                distracted(Box::new(Needles::read(Path::new(path))?))?
            }
            (None, None, None) => {
                if groups::is_several(&self.task) {
                    let expected = "one task here: several run in one command with niah run alone";
                    return Err(Error::invalid("task", &self.task, expected));
                }
                let task = distracted((registry::find("task", TASKS, &self.task)?.value)())?;
                if self.split.is_all() { task } else { Box::new(OfSplit::new(task, self.split)) }
            }
            (Some(needle), question, answer) => {
                distracted(Box::new(Custom::new(needle, question.as_deref(), answer.as_deref())?))?
            }
            (None, question, answer) => {
                distracted(Box::new(About::new(question.as_deref(), answer.as_deref())?))?
            }
        };
        match &self.control {
            None => Ok(task),
            Some(control) => Ok(Box::new(Controlled::new(task, control)?)),
        }
    }

    /// Trials of the whole run.
    #[must_use]
    pub fn planned(&self) -> usize {
        match self.prompts {
            Some(_) => self.trials,
            None => self.grid.count().saturating_mul(self.trials),
        }
    }

    /// Checks the numbers that have no type of their own.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        self.masking.check()?;
        let cells = self.grid.count();
        if self.trials == 0 || self.planned() > MOST_PROMPTS {
            let expected = format!("at least 1, and at most {MOST_PROMPTS} over {cells} cells");
            return Err(Error::invalid("trials", self.trials, expected));
        }
        if let Some(most) =
            self.max_thinking_tokens.filter(|most| *most == 0 || self.thinking_budget().is_none())
        {
            let expected = "at least 1, and `thinking`=on beside it";
            return Err(Error::invalid("max thinking tokens", most, expected));
        }
        if let Some(from) = self.correct_from.filter(|from| !(*from > 0.0 && *from <= 1.0)) {
            return Err(Error::invalid("correct from", from, "more than 0, and at most 1"));
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
