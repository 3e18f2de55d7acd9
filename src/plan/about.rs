//! What a plan that asks about a text of the user's own needs besides: a text, and lengths up to all of it.

use super::Settings;
use crate::error::{Error, Result};
use crate::grid::{Cell, ContextLength, Grid, LONGEST};
use crate::haystack::{Haystack, Order};
use crate::prompt::PromptPlan;
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// Refuses what makes no sense where nothing is hidden.
///
/// # Errors
/// [`Error::InvalidValue`] naming the setting.
pub(super) fn check(settings: &Settings, haystack: &Haystack) -> Result<()> {
    if !haystack.is_own_text() {
        let found = settings.haystack.as_deref().unwrap_or("nothing");
        let expected = "a file of text that says the answer to `question`, or else a `needle` to hide";
        return Err(Error::invalid("haystack", found, expected));
    }
    if settings.haystack_order != Order::Text {
        let expected = "text: without a `needle` the answer is looked for in the text as it is";
        return Err(Error::invalid("haystack order", "shuffled", expected));
    }
    if !settings.split.is_all() {
        let expected = "all: without a `needle` the answer is looked for in the whole text";
        return Err(Error::invalid("split", "a part", expected));
    }
    if settings.trials > 1 {
        let expected = "1: without a `needle` every trial would be the same prompt";
        return Err(Error::invalid("trials", settings.trials, expected));
    }
    Ok(())
}

/// The settings with every length that holds the whole text as one, that of the whole text, and what is said
/// of it.
///
/// # Errors
/// Those of [`PromptPlan::build`].
pub(super) fn with_the_lengths_of(
    settings: Settings,
    prompts: &PromptPlan,
    tokenizer: &dyn Tokenize,
) -> Result<(Settings, Option<String>)> {
    let depth = settings.grid.depths()[0];
    let cell = Cell { context_length: ContextLength(LONGEST), depth };
    let trial = Trial { cell, index: 0, seed: settings.seed };
    let prompt = prompts.build(&trial, tokenizer, &mut prompts.haystack_tokens(&trial))?;
    let whole = prompt.longest();
    let lengths = settings.grid.context_lengths();
    let replaced = lengths.iter().any(|length| length.0 > whole && length.0 < LONGEST);
    let lengths = lengths.iter().map(|length| ContextLength(length.0.min(whole))).collect();
    let grid = Grid::new(lengths, settings.grid.depths().to_vec())?;
    let note = replaced.then(|| {
        format!(
            "the whole text takes {whole} tokens with question and answer; it is not begun anew, so that is \
             the length of all that would be longer"
        )
    });
    Ok((Settings { grid, ..settings }, note))
}
