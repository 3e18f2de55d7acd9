//! How the assistant's turn begins: within a thought or not, with the task's words or without.

use serde::{Deserialize, Serialize};

use crate::registry::Entry;
use crate::tokenizer::Marks;

/// What the answer continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPrefix {
    /// The words with which the task lets it begin.
    #[default]
    Task,
    /// Nothing: it says all of its words itself.
    None,
}

impl AnswerPrefix {
    /// Tokens of an answer besides those that the task has for it: the words that it then says itself, and
    /// those that chat models put before them.
    const WORDS: usize = 48;

    /// Whether it is the task's.
    #[must_use]
    pub fn is_task(&self) -> bool {
        *self == Self::Task
    }

    /// Tokens that may be generated for an answer, where the task has `budget` for what follows its words.
    #[must_use]
    pub fn budget(self, budget: usize) -> usize {
        match self {
            Self::Task => budget,
            Self::None => budget + Self::WORDS,
        }
    }
}

/// How answers may begin, by name.
pub const ANSWER_PREFIXES: &[Entry<AnswerPrefix>] = &[
    Entry {
        name: "task",
        about: "the task's own words, which the answer continues",
        value: AnswerPrefix::Task,
    },
    Entry {
        name: "none",
        about: "nothing: the answer says all of its words itself, as from a chat server",
        value: AnswerPrefix::None,
    },
];

/// How the assistant's turn begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assistant {
    /// What the answer continues.
    pub prefix: AnswerPrefix,
    /// The marks around thoughts, where an answer may have one.
    pub marks: Option<Marks>,
    /// Tokens of the thought before the answer, at most, where the model is to think.
    pub thinking_budget: Option<usize>,
}

impl Assistant {
    /// The marks of the thought that comes before the answer, and its budget.
    pub(super) fn thinks(&self) -> Option<(Marks, usize)> {
        self.marks.zip(self.thinking_budget)
    }
}

/// The thought that comes between a prompt and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThoughtPlan {
    /// Whether the prompt ends within it.
    pub opened: bool,
    /// Its tokens, at most.
    pub budget: usize,
    /// What ends it where it does not end by itself.
    pub closing: Vec<u32>,
    /// What stands between its end and the answer: white space, and the task's words.
    pub lead: Vec<u32>,
    /// The task's words alone.
    pub words: Vec<u32>,
}

impl ThoughtPlan {
    /// Tokens between prompt and answer, at most.
    #[must_use]
    pub fn room(&self) -> usize {
        self.budget + self.closing.len() + self.lead.len()
    }
}
