//! Prompts of one trial after another, as a run goes through them.

use super::{Prompt, PromptPlan};
use crate::error::Result;
use crate::haystack::HaystackTokens;
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// Builds prompts and keeps the haystack of the trial it is at: all cells of a trial share one, which is
/// tokenised once.
pub struct PromptSequence<'a> {
    plan: &'a PromptPlan,
    tokenizer: &'a dyn Tokenize,
    haystack: Option<HaystackTokens>,
}

impl<'a> PromptSequence<'a> {
    /// A sequence of prompts of `plan`.
    #[must_use]
    pub fn new(plan: &'a PromptPlan, tokenizer: &'a dyn Tokenize) -> Self {
        Self { plan, tokenizer, haystack: None }
    }

    /// The prompt of this trial; trials that follow each other with the same number are cheaper.
    ///
    /// # Errors
    /// Those of [`PromptPlan::build`].
    pub fn build(&mut self, trial: &Trial) -> Result<Prompt> {
        if let Some(prompt) = self.plan.built.get(trial) {
            return Ok(prompt);
        }
        let held = self.haystack.take().filter(|tokens| tokens.trial() == (trial.seed, trial.index));
        let tokens = self.haystack.insert(held.unwrap_or_else(|| self.plan.haystack_tokens(trial)));
        let prompt = self.plan.build(trial, self.tokenizer, tokens)?;
        self.plan.built.keep(trial, &prompt);
        Ok(prompt)
    }
}
