//! Prompts of one trial after another, as a run goes through them.

use super::{Prompt, PromptPlan};
use crate::error::Result;
use crate::haystack::HaystackTokens;
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// Builds prompts and keeps the haystacks of the trials it is at: all cells of a trial share one, which is
/// tokenised once.
pub struct PromptSequence<'a> {
    plan: &'a PromptPlan,
    tokenizer: &'a dyn Tokenize,
    /// That of the prompt that was built last stands last.
    haystacks: Vec<HaystackTokens>,
    /// How many of them are kept.
    most: usize,
}

impl<'a> PromptSequence<'a> {
    /// A sequence of prompts of `plan`.
    #[must_use]
    pub fn new(plan: &'a PromptPlan, tokenizer: &'a dyn Tokenize) -> Self {
        Self::several(plan, tokenizer, 1)
    }

    /// So many sequences of prompts of `plan` at a time, each of which may be at another trial.
    #[must_use]
    pub fn several(plan: &'a PromptPlan, tokenizer: &'a dyn Tokenize, sequences: usize) -> Self {
        Self { plan, tokenizer, haystacks: Vec::new(), most: sequences.max(1) }
    }

    /// The prompt of this trial; trials that follow each other with the same number are cheaper.
    ///
    /// # Errors
    /// Those of [`PromptPlan::build`].
    pub fn build(&mut self, trial: &Trial) -> Result<Prompt> {
        if let Some(prompt) = self.plan.built.get(trial) {
            return Ok(prompt);
        }
        let is_own = |tokens: &HaystackTokens| tokens.trial() == (trial.seed, trial.index);
        let held = self.haystacks.iter().position(is_own).map(|place| self.haystacks.remove(place));
        if held.is_none() && self.haystacks.len() == self.most {
            self.haystacks.remove(0);
        }
        let mut tokens = held.unwrap_or_else(|| self.plan.haystack_tokens(trial));
        let built = self.plan.build(trial, self.tokenizer, &mut tokens);
        self.haystacks.push(tokens);
        let prompt = built?;
        self.plan.built.keep(trial, &prompt);
        Ok(prompt)
    }
}
