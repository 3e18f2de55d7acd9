//! Prompts of a trial share what stands before their needles: the order that makes the most of it, and how
//! much that is.
//!
//! All cells of a trial cut their haystack from one stream, so two prompts are equal up to the earlier of
//! their needles. A grid is thus a tree, and walking it depth first needs one cache: what the next prompt
//! shares with the last one is kept, the rest is computed. In the order of the needles' positions every token
//! of the common stream is computed once.

use std::cmp::Ordering;

use crate::attention::Blocked;
use crate::generate::common_prefix;
use crate::model::kv_cache::MARKS;
use crate::prompt::Prompt;
use crate::trial::Trial;

/// The trials in the order in which they share most ([`behind`]).
#[must_use]
pub(crate) fn order(mut trials: Vec<Trial>, kind: impl Fn(usize) -> usize) -> Vec<Trial> {
    trials.sort_by(|a, b| behind(a, b, &kind));
    trials
}

/// How two trials stand to each other in the order in which trials share most: the first trial of every cell,
/// then the second; of these one kind of sequence behind the other ([`shared_tokens`]), by the place of the
/// needle in tokens, and then by length. `kind` is that of a length.
pub(crate) fn behind(a: &Trial, b: &Trial, kind: impl Fn(usize) -> usize) -> Ordering {
    let length = |trial: &Trial| trial.cell.context_length.0;
    let place = |trial: &Trial| trial.cell.depth.fraction() * length(trial) as f64;
    let numbers = |trial: &Trial| (trial.index, kind(length(trial)));
    let places = || place(a).total_cmp(&place(b));
    numbers(a).cmp(&numbers(b)).then_with(places).then_with(|| length(a).cmp(&length(b)))
}

/// Tokens that prompts in this order share, each with the one before it when both are of the same kind:
/// positions that depend on the length of a sequence tell prompts apart that begin alike, and so do keys that
/// are blocked in one of them.
#[must_use]
pub(crate) fn shared_tokens<'a>(prompts: impl IntoIterator<Item = (usize, &'a [u32], Blocked)>) -> usize {
    let mut last: (usize, &[u32], Blocked) = (0, &[], Blocked::default());
    let mut shared = 0;
    for (kind, tokens, blocked) in prompts {
        if kind == last.0 {
            shared += common_prefix(last.1, tokens).min(blocked.alike(&last.2));
        }
        last = (kind, tokens, blocked);
    }
    shared
}

/// The same where layers have a state, which is kept at a few places of a prompt ([`Prompt::forks`]) and
/// before its answer: what stands before the last of these that both have in common.
#[must_use]
pub(crate) fn shared_with_states<'a>(
    prompts: impl IntoIterator<Item = (usize, &'a Prompt, Blocked)>,
) -> usize {
    let mut last: (usize, &[u32], Blocked) = (0, &[], Blocked::default());
    let (mut kept, mut shared): (Vec<usize>, usize) = (Vec::new(), 0);
    for (kind, prompt, blocked) in prompts {
        let tokens = prompt.tokens.as_slice();
        let alike =
            if kind == last.0 { common_prefix(last.1, tokens).min(blocked.alike(&last.2)) } else { 0 };
        kept.retain(|&place| 0 < place && place <= alike);
        let held = kept.last().copied().unwrap_or(0);
        shared += held;
        let answer = tokens.len().saturating_sub(1);
        kept.extend(
            prompt.forks().into_iter().chain([answer]).filter(|&place| held < place && place <= answer),
        );
        kept.drain(..kept.len().saturating_sub(MARKS));
        last = (kind, tokens, blocked);
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Cell, ContextLength, Depth};

    fn trial(context_length: usize, percent: f64, index: usize) -> Trial {
        let depth = Depth::from_percent(percent).unwrap();
        Trial { cell: Cell { context_length: ContextLength(context_length), depth }, index, seed: 1 }
    }

    #[test]
    fn trials_come_by_number_and_then_by_the_place_of_the_needle() {
        let given = vec![trial(100, 100.0, 0), trial(400, 10.0, 0), trial(400, 0.0, 1), trial(100, 0.0, 0)];
        let rows = |kind: fn(usize) -> usize| -> Vec<String> {
            order(given.clone(), kind).iter().map(Trial::row_id).collect()
        };
        assert_eq!(rows(|_| 400), ["100:0:0", "400:10:0", "100:100:0", "400:0:1"]);
        // Where positions depend on the length, cells of one length share.
        assert_eq!(rows(|length| length), ["100:0:0", "100:100:0", "400:10:0", "400:0:1"]);
    }

    #[test]
    fn shared_tokens_are_counted_between_neighbours() {
        let shared = |prompts: &[(usize, &[u32])]| {
            shared_tokens(prompts.iter().map(|&(kind, tokens)| (kind, tokens, Blocked::default())))
        };
        assert_eq!(shared(&[(0, &[1, 2, 3]), (0, &[1, 2, 4, 5]), (0, &[1, 2, 4]), (0, &[9])]), 2 + 3);
        assert_eq!(shared(&[(7, &[1, 2, 3]), (8, &[1, 2, 3]), (8, &[1, 2])]), 2);
    }

    #[test]
    fn what_stands_behind_a_span_that_is_blocked_in_one_prompt_alone_is_not_shared() {
        let blocked = |end| Blocked::new(vec![1..end], None);
        let same: &[u32] = &[1, 2, 3, 4, 5];
        assert_eq!(shared_tokens([(0, same, blocked(3)), (0, same, blocked(3))]), 5);
        assert_eq!(shared_tokens([(0, same, blocked(3)), (0, same, blocked(4))]), 3);
        assert_eq!(shared_tokens([(0, same, blocked(3)), (0, same, Blocked::default())]), 3);
    }
}
