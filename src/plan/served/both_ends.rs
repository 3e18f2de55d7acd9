//! The plan that shows whether a server reads the prompts of another plan whole.

use std::collections::BTreeSet;

use super::{Counter, GUESS, Served, ServedPlan};
use crate::error::Result;
use crate::grid::{ContextLength, Depth, Grid};
use crate::plan::settings::{ChatChoice, Settings};
use crate::prompt::{AnswerPrefix, Form};
use crate::server::Calibration;
use crate::task::Prompts;

impl ServedPlan {
    /// The same server asked for one needle at the very beginning, in the middle and at the very end of every
    /// length, in this plan's haystack where it has one. That is another text than this plan's, of which a
    /// token may have many more bytes: where the tokenizer is not at hand its tokens are yet to be counted
    /// ([`Self::uncounted`]).
    ///
    /// # Errors
    /// When such a plan cannot be made.
    pub fn at_both_ends(&self) -> Result<Self> {
        let depths = [0.0, 50.0, 100.0].into_iter().map(Depth::from_percent).collect::<Result<_>>()?;
        let ours = Settings::default();
        let enough = AnswerPrefix::None.budget(ours.make_task()?.answer_budget());
        let settings = Settings {
            grid: Grid::new(self.lengths_asked().into_iter().collect(), depths)?,
            trials: 1,
            haystack: self.settings.haystack.clone(),
            model: self.settings.model.clone(),
            seed: self.settings.seed,
            split: self.settings.split,
            system_instruction: self.settings.system_instruction.clone(),
            apply_chat_template: match self.prompts.form {
                Form::Chat { .. } => ChatChoice::Auto,
                Form::Completion => ChatChoice::Never,
            },
            thinking: self.settings.thinking,
            max_thinking_tokens: self.settings.max_thinking_tokens,
            // As much room for the answer leaves as much for the prompt.
            max_new_tokens: self.settings.max_new_tokens.filter(|most| *most > enough),
            ..ours
        };
        let (served, counter) = match &self.counter {
            Counter::Exact(_) => (self.served().clone(), self.counter.clone()),
            Counter::Approximate(..) => {
                (Served { counting: None, ..self.served().clone() }, Counter::of(GUESS))
            }
        };
        Self::prepared(&settings, &served, counter)
    }

    /// A piece of the text of a plan whose tokens are yet to be counted; none where they have been, and where
    /// no prompt can be built that it were of.
    #[must_use]
    pub fn uncounted(&self) -> Option<String> {
        let counted = self.is_exact() || self.served().counting.is_some();
        if counted { None } else { self.sample().ok() }
    }

    /// The same with its tokens counted as the server was seen to count those of [`Self::uncounted`].
    ///
    /// # Errors
    /// When such a plan cannot be made.
    pub fn counted(&self, calibration: Calibration) -> Result<Self> {
        Self::calibrated(&self.settings, self.served(), calibration)
    }

    /// The lengths that are asked for.
    #[must_use]
    pub fn lengths_asked(&self) -> BTreeSet<ContextLength> {
        self.settings.grid.context_lengths().iter().map(|&length| self.longest_at(length)).collect()
    }

    /// Tokens of the longest prompt at a length of the grid, its answer among them. Prompts of a file may
    /// have fewer or more than the length that they stand at.
    #[must_use]
    pub fn longest_at(&self, length: ContextLength) -> ContextLength {
        let cells = self.prompts.task.given().into_iter().flat_map(Prompts::cells);
        let here = cells.zip(&self.given).filter(|(cell, _)| cell.context_length == length);
        // One that cannot be asked has none.
        here.map(|(_, row)| row.sequence).filter(|tokens| *tokens > 0).max().map_or(length, ContextLength)
    }
}
