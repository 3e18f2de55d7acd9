//! Prompts of any benchmark out of a file, put to the model as they are.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::{Place, TextFile};
use super::given::GivenPrompt;
use super::laid::{Laid, lay_out};
use super::rows::objects;
use crate::error::Result;
use crate::grid::{Cell, ContextLength, Depth, LONGEST};
use crate::task::Task;
use crate::tokenizer::ChatTemplate;

/// Bytes of such a file, at most.
const MOST_BYTES: u64 = 1 << 30;

/// The shortest length that prompts are grouped by.
const SHORTEST: usize = 128;

/// Tokens of an answer whose prompt says no budget: as many as RULER gives.
const BUDGET: usize = 128;

/// A length rounded up to the next power of two, by which prompts are grouped that do not say their own.
#[must_use]
pub(super) fn rounded(tokens: usize) -> ContextLength {
    ContextLength(tokens.clamp(SHORTEST, LONGEST).next_power_of_two())
}

/// The prompts of a file.
#[derive(Debug, Clone)]
pub struct Prompts {
    hash: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    given: GivenPrompt,
    /// Its text, or what is wrong with it; both need the checkpoint's template.
    laid: Result<Laid, String>,
    length: ContextLength,
}

impl Prompts {
    /// Reads a JSON object a line.
    ///
    /// # Errors
    /// [`crate::error::Error::File`] with line and key, what was found there and what was expected.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TextFile::read(path, MOST_BYTES)?;
        let (mut rows, mut ids) = (Vec::new(), BTreeMap::new());
        for (number, object) in objects(&file).enumerate() {
            let (line, object) = object?;
            let given = GivenPrompt::of(&file, (number, line), &object)?;
            if let Some(first) = ids.insert(given.id.clone(), line) {
                let expected = format!("an id of its own: line {first} has this one");
                return Err(file.wrong(&Place::of(line, "id"), &format!("{:?}", given.id), &expected));
            }
            rows.push(Row { given, laid: Err("was not laid out".to_string()), length: rounded(0) });
        }
        Ok(Self { hash: file.hash, rows })
    }

    /// SHA-256 in hex of the file.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether any of them is a conversation.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.rows.iter().any(|row| !row.given.messages.is_empty())
    }

    /// The same as conversations alone: a prompt that is a text is what the user says.
    #[must_use]
    pub fn as_conversations(mut self) -> Self {
        for row in &mut self.rows {
            row.given.be_a_conversation();
        }
        self
    }

    /// The same with the text of each as the model reads it: in `template` where there is one and it is a
    /// conversation. A prompt whose text cannot be had fails when it is asked; one that names no scorer has
    /// `scorer`.
    #[must_use]
    pub fn laid_out(mut self, system: Option<&str>, template: Option<&ChatTemplate>, scorer: &str) -> Self {
        for row in &mut self.rows {
            row.given.scorer.get_or_insert_with(|| scorer.to_string());
            row.laid = lay_out(&row.given, system, template);
        }
        self
    }

    /// The prompts in the order of the file, each with its text or what is wrong with it.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&GivenPrompt, Result<&Laid, &str>)> {
        self.rows.iter().map(|row| (&row.given, row.laid.as_ref().map_err(String::as_str)))
    }

    /// The cells that they are in: the length that each says it was made for, or else `sequences`, the tokens
    /// that it takes with its answer, rounded up.
    pub fn group(&mut self, sequences: &[usize]) {
        for (row, &tokens) in self.rows.iter_mut().zip(sequences) {
            row.length = row.given.context_length.unwrap_or_else(|| rounded(tokens));
        }
    }

    /// Has prompt `number` fail when it is asked.
    pub fn refuse(&mut self, number: usize, problem: String) {
        self.rows[number].laid = Err(problem);
    }

    /// The cell of each, in the order of the file.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Cell> {
        self.rows.iter().map(|row| Cell { context_length: row.length, depth: Depth::default() })
    }

    /// Tokens that may be generated for one of them.
    #[must_use]
    pub fn budget(given: &GivenPrompt) -> usize {
        given.answer_budget.unwrap_or(BUDGET)
    }
}

impl Task for Prompts {
    fn name(&self) -> &'static str {
        "prompts"
    }

    fn answer_budget(&self) -> usize {
        self.rows.iter().map(|row| Self::budget(&row.given)).max().unwrap_or(BUDGET)
    }

    fn hides(&self) -> bool {
        false
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("what is asked for stands where each prompt has it")
    }

    fn file_hash(&self) -> Option<&str> {
        Some(&self.hash)
    }

    fn given(&self) -> Option<&Prompts> {
        Some(self)
    }
}
