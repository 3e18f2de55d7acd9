//! Prompts of a task that writes its text itself: as many items as fit.

use super::layout::{Frame, lay_out_listing};
use super::{Draft, HaystackUse, Prompt, asking_for, checks, prompt_error};
use crate::error::Result;
use crate::task::{Listed, Listing, ListingRequest};
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// The prompt with the most items that fit into the length: an item more would be too long.
pub(super) fn build(
    listing: Listing,
    trial: &Trial,
    frame: &Frame,
    tokenizer: &dyn Tokenize,
    answer_budget: usize,
) -> Result<Prompt> {
    let target = trial.cell.context_length.0;
    let of = |items: usize| -> Result<(Listed, Draft)> {
        let request = ListingRequest { items, trial: *trial, split: listing.split };
        let listed = listing.text(&request)?;
        let draft = Draft::new(lay_out_listing(frame, &listed), tokenizer)?;
        Ok((listed, draft))
    };
    let (fewest, name) = (listing.fewest, listing.items);
    let mut best = of(fewest)?;
    frame.check(&best.0.question)?;
    let minimum = best.1.length(answer_budget);
    if minimum > target {
        let problem = format!(
            "template, {fewest} {name}{} and answer take {minimum} tokens; {}",
            frame.thought(),
            asking_for(minimum)
        );
        return Err(prompt_error(trial, problem));
    }
    // `fits` items are known to fit and `too_many` not to, so every turn narrows the gap; items are about
    // equally long.
    let (mut fits, mut too_many) = (fewest, usize::MAX);
    while fits + 1 < too_many && !best.0.question.alone {
        let length = best.1.length(answer_budget);
        let per_item = (length as f64 / fits as f64).max(1.0);
        let aim = fits + ((target - length) as f64 / per_item) as usize;
        let items = aim.clamp(fits + 1, too_many - 1);
        let next = of(items)?;
        if next.1.length(answer_budget) > target {
            too_many = items;
        } else {
            (fits, best) = (items, next);
        }
    }
    let (listed, draft) = best;
    if let Some(collision) = checks::collision(&listed.question, &draft.layout) {
        return Err(prompt_error(trial, collision));
    }
    let unmarked = listed.items.iter().filter(|item| item.mark.is_none() && !listed.question.alone);
    let text: String = unmarked.flat_map(|item| [item.text.as_str(), listed.between]).collect();
    draft.finish(trial, tokenizer, &listed.question, answer_budget, HaystackUse { loops: 0, text: &text })
}
