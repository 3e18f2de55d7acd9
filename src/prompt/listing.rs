//! Prompts of a task that writes its text itself: as many lines as fit.

use super::layout::{Frame, lay_out_listing};
use super::{Draft, HaystackUse, Prompt, checks, prompt_error};
use crate::error::Result;
use crate::task::{Listed, Listing, ListingRequest};
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// The prompt with the most lines that fit into the length: a line more would be too long.
pub(super) fn build(
    listing: Listing,
    trial: &Trial,
    frame: &Frame,
    tokenizer: &dyn Tokenize,
    answer_budget: usize,
) -> Result<Prompt> {
    let target = trial.cell.context_length.0;
    let of = |lines: usize| -> Result<(Listed, Draft)> {
        let request = ListingRequest {
            lines,
            depth: trial.cell.depth,
            seed: trial.seed,
            trial: trial.index,
            split: listing.split,
        };
        let listed = (listing.write)(&request)?;
        let draft = Draft::new(lay_out_listing(frame, &listed), tokenizer)?;
        Ok((listed, draft))
    };
    let fewest = listing.fewest_lines;
    let mut best = of(fewest)?;
    let minimum = best.1.length(answer_budget);
    if minimum > target {
        let problem =
            format!("template, {fewest} lines and answer take {minimum} tokens; ask for at least {minimum}");
        return Err(prompt_error(trial, problem));
    }
    // `fits` lines are known to fit and `too_many` not to, so every turn narrows the gap; lines are about
    // equally long.
    let (mut fits, mut too_many) = (fewest, usize::MAX);
    while fits + 1 < too_many {
        let length = best.1.length(answer_budget);
        let per_line = (length as f64 / fits as f64).max(1.0);
        let aim = fits + ((target - length) as f64 / per_line) as usize;
        let lines = aim.clamp(fits + 1, too_many - 1);
        let next = of(lines)?;
        if next.1.length(answer_budget) > target {
            too_many = lines;
        } else {
            (fits, best) = (lines, next);
        }
    }
    let (listed, draft) = best;
    if let Some(collision) = checks::collision(&listed.question, &draft.layout) {
        return Err(prompt_error(trial, collision));
    }
    let text = format!("{}{}", listed.before, listed.after);
    draft.finish(trial, tokenizer, &listed.question, answer_budget, HaystackUse { loops: 0, text: &text })
}
