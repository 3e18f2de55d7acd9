//! Whether a server reads prompts whole: some cut them in silence, to a default length (Ollama) or to what is
//! left of a slot.
//!
//! Before the grid a needle is asked for at the very beginning and at the very end of each length, and the
//! prompt tokens that the server reports are held against those that were sent. A prompt was cut where the
//! server counts clearly fewer tokens, or no more than at a shorter length, and does not find what stands at
//! the beginning. A model that is only weak there reports all tokens. Where it finds the beginning and counts
//! too few, a needle in the middle is asked for as well, as some cut there.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::RunContext;
use super::served::{answer_of, question};
use crate::error::Result;
use crate::grid::ContextLength;
use crate::plan::ServedPlan;
use crate::prompt::PromptSequence;
use crate::server::Server;
use crate::trial::Trial;

/// What became of the needles of one length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LengthCheck {
    /// The length.
    pub context_length: usize,
    /// Tokens of the prompt with the needle at its beginning, as counted here.
    pub prompt_tokens_here: usize,
    /// The same as the server counts them.
    pub prompt_tokens: Option<usize>,
    /// Whether the needle at the beginning was found; missing where it was not asked for.
    pub found_at_start: Option<bool>,
    /// Whether that in the middle was; missing where it was not asked for.
    pub found_in_middle: Option<bool>,
    /// Whether that at the end was.
    pub found_at_end: Option<bool>,
    /// Why it was not looked at to its end, where a request failed. The length is asked all the same.
    pub failure: Option<String>,
    /// Why lengths from this one on are not asked.
    pub problem: Option<String>,
}

/// Tokens by which two counts of a prompt may differ, for the template around it.
const TEMPLATE: f64 = 32.0;

/// The least share of the tokens that were sent which a server counts that has read all of them. Where tokens
/// are counted approximately, the share of a shorter length that was read says how far off that is.
fn least_share(exact: bool, before: Option<&LengthCheck>) -> f64 {
    let read = before.filter(|before| before.found_at_start == Some(true));
    match (exact, read.and_then(LengthCheck::share)) {
        (true, _) => 0.95,
        (false, Some(share)) => 0.95 * share,
        (false, None) => 0.75,
    }
}

impl LengthCheck {
    /// The tokens that the server counts over those that are counted here.
    fn share(&self) -> Option<f64> {
        let here = Some(self.prompt_tokens_here as f64).filter(|here| *here > 0.0)?;
        Some(self.prompt_tokens? as f64 / here)
    }

    /// Whether so many tokens are clearly fewer than this length has.
    fn is_too_few(&self, counted: usize, before: Option<&Self>, exact: bool) -> bool {
        (counted as f64) + TEMPLATE < least_share(exact, before) * self.prompt_tokens_here as f64
    }

    /// Whether a needle in the middle tells more: what stands at the beginning is read, and of the rest too
    /// little is counted.
    fn asks_for_the_middle(&self, before: Option<&Self>, exact: bool) -> bool {
        self.found_at_start == Some(true)
            && self.prompt_tokens.is_some_and(|counted| self.is_too_few(counted, before, exact))
    }

    /// What is wrong with this length, behind those that were checked before it, where the prompt with the
    /// needle in the middle was counted as so many tokens.
    fn judged(mut self, in_middle: Option<usize>, before: Option<&Self>, exact: bool) -> Self {
        let cut = match self.found_at_start {
            Some(true) => self.is_cut_in_the_middle(in_middle, before, exact).then_some("in the middle"),
            _ => self.is_cut_at_its_beginning(before, exact).then_some("at the beginning"),
        };
        if let (Some(place), Some(counted)) = (cut, self.prompt_tokens) {
            let about = if exact { "" } else { "about " };
            self.problem = Some(format!(
                "the server cuts prompts in silence from length {} on: of {about}{} tokens that were sent it \
                 counts {counted}, and it does not find what stands {place}; give it a longer context",
                self.context_length, self.prompt_tokens_here
            ));
        }
        self
    }

    fn is_cut_at_its_beginning(&self, before: Option<&Self>, exact: bool) -> bool {
        let Some(counted) = self.prompt_tokens else { return false };
        let as_before = before.is_some_and(|before| {
            let grown = self.prompt_tokens_here as f64 > 1.1 * before.prompt_tokens_here as f64;
            grown && before.prompt_tokens.is_some_and(|tokens| counted as f64 <= 1.01 * tokens as f64)
        });
        as_before || self.is_too_few(counted, before, exact)
    }

    /// Of this prompt a server may have had as much in its cache as the length before it has, and leave that
    /// out of its count.
    fn is_cut_in_the_middle(&self, counted: Option<usize>, before: Option<&Self>, exact: bool) -> bool {
        let cached = before.map_or(0, |before| before.prompt_tokens_here);
        self.found_in_middle == Some(false)
            && counted.is_some_and(|counted| self.is_too_few(counted + cached, before, exact))
    }
}

/// Asks for the needles of each length of `plan`, the shortest first, up to the first that is not read whole
/// or where a request fails.
///
/// # Errors
/// When the server does not answer at all, or the run is stopped.
pub fn check_lengths(plan: &ServedPlan, server: &Server, stop: &AtomicBool) -> Result<Vec<LengthCheck>> {
    let mut checks: Vec<LengthCheck> = Vec::new();
    for &length in plan.settings.grid.context_lengths() {
        let check = checked(plan, length, checks.last(), server, stop)?;
        let ends = check.problem.is_some() || check.failure.is_some();
        checks.push(check);
        if ends {
            break;
        }
    }
    Ok(checks)
}

/// Asks for the needles of one length, behind the one that was checked before it.
fn checked(
    plan: &ServedPlan,
    length: ContextLength,
    before: Option<&LengthCheck>,
    server: &Server,
    stop: &AtomicBool,
) -> Result<LengthCheck> {
    let (context, exact) = (plan.context(), plan.is_exact());
    let mut prompts = PromptSequence::new(context.prompts, context.tokenizer);
    let mut trials: Vec<Trial> =
        plan.trials().into_iter().filter(|trial| trial.cell.context_length == length).collect();
    trials.sort_by(|a, b| a.cell.depth.fraction().total_cmp(&b.cell.depth.fraction()));
    let mut check = LengthCheck { context_length: length.0, ..LengthCheck::default() };
    let mut in_middle = None;
    for trial in &trials {
        let depth = trial.cell.depth.fraction();
        let (at_start, at_end) = (depth <= 0.0, depth >= 1.0);
        if !at_start && !at_end && !check.asks_for_the_middle(before, exact) {
            continue;
        }
        // A length that has no room for a needle is not cut.
        let Ok(prompt) = prompts.build(trial) else { break };
        let said = match server.ask(&question(server, plan.thought_budget(), &prompt), stop) {
            Ok(said) => said,
            Err(failure) if failure.is_of_all() => return Err(failure.into()),
            Err(failure) if failure.is_of_length() => {
                check.problem = Some(format!(
                    "the server refuses prompts from length {} on: {}",
                    check.context_length, failure.problem
                ));
                return Ok(check);
            }
            Err(failure) => {
                check.failure = Some(failure.problem);
                return Ok(check);
            }
        };
        let found = Some(is_right(&context, &prompt.expected, &answer_of(&said.answer).0));
        if at_start {
            check.found_at_start = found;
            check.prompt_tokens_here = prompt.tokens.len();
            check.prompt_tokens = said.answer.usage.prompt;
        } else if at_end {
            check.found_at_end = found;
        } else {
            check.found_in_middle = found;
            in_middle = said.answer.usage.prompt;
        }
    }
    Ok(check.judged(in_middle, before, exact))
}

fn is_right(context: &RunContext<'_>, expected: &[String], answer: &str) -> bool {
    context.scorer.is_correct(context.scorer.score(answer, expected))
}

/// What is said of lengths that could not be looked at, or of a server that reports no tokens and finds the
/// end alone.
#[must_use]
pub fn suspicion(checks: &[LengthCheck]) -> Option<String> {
    let failed = checks.iter().find_map(|check| Some((check.context_length, check.failure.as_ref()?)));
    if let Some((length, failure)) = failed {
        return Some(format!(
            "whether prompts are read whole could not be told from length {length} on ({failure}); they are \
             asked all the same, and `no length check` leaves the question out"
        ));
    }
    let first = checks.iter().find(|check| check.found_at_start == Some(false))?;
    let before = checks.iter().any(|check| check.found_at_start == Some(true));
    let at_end_alone = first.found_at_end == Some(true) && first.prompt_tokens.is_none();
    (before && at_end_alone).then(|| {
        format!(
            "from length {} on the needle at the end is found and that at the beginning is not; the server \
             reports no prompt tokens, so whether it cuts prompts cannot be told",
            first.context_length
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: usize, counted: Option<usize>, found: bool) -> LengthCheck {
        LengthCheck {
            context_length: length,
            prompt_tokens_here: length - 10,
            prompt_tokens: counted,
            found_at_start: Some(found),
            found_at_end: Some(true),
            ..LengthCheck::default()
        }
    }

    #[test]
    fn a_prompt_was_cut_where_fewer_tokens_are_counted_and_the_beginning_is_gone() {
        let judged = |of: LengthCheck, exact| of.judged(None, None, exact).problem;
        let cut = judged(check(8192, Some(4096), false), true).unwrap();
        assert!(
            cut.contains("from length 8192 on") && cut.contains("8182 tokens") && cut.contains("4096"),
            "{cut}"
        );
        // A weak model reads all, a cache may hide what was read, and other tokens are counted otherwise.
        assert_eq!(judged(check(8192, Some(8190), false), true), None);
        assert_eq!(judged(check(8192, Some(4096), true), true), None);
        assert_eq!(judged(check(8192, Some(7000), false), false), None);
        assert_eq!(judged(check(8192, None, false), true), None);
    }

    #[test]
    fn a_prompt_was_cut_where_no_more_is_counted_than_at_a_shorter_length() {
        let before = check(2048, Some(2040), true);
        assert!(check(2600, Some(2048), false).judged(None, Some(&before), false).problem.is_some());
        // What is counted of a shorter length that was read says how approximate the counts are.
        let approximate = check(2048, Some(1700), true);
        assert!(check(4096, Some(3400), false).judged(None, Some(&approximate), false).problem.is_none());
        assert!(check(4096, Some(3000), false).judged(None, Some(&approximate), false).problem.is_some());
        assert!(check(2600, Some(2590), false).judged(None, Some(&before), false).problem.is_none());
    }

    #[test]
    fn a_prompt_was_cut_in_the_middle_where_no_cache_can_hide_what_is_missing() {
        let before = check(1024, Some(1014), true);
        let of = |counted: usize, in_middle: usize, found| {
            let check = check(8192, Some(counted), true);
            assert_eq!(check.asks_for_the_middle(Some(&before), true), counted < 7700);
            let check = LengthCheck { found_in_middle: Some(found), ..check };
            check.judged(Some(in_middle), Some(&before), true).problem
        };
        assert!(of(4096, 4096, false).unwrap().contains("does not find what stands in the middle"));
        assert_eq!(of(4096, 4096, true), None);
        // All that was sent before may be in the cache.
        assert_eq!(of(7168, 7168, false), None);
        assert_eq!(of(8182, 8182, false), None);
    }

    #[test]
    fn a_length_that_could_not_be_looked_at_is_named_with_its_reason() {
        let failed = LengthCheck { failure: Some("status 500".to_string()), ..check(4096, None, true) };
        let said = suspicion(&[check(512, Some(500), true), failed]).unwrap();
        assert!(said.contains("from length 4096 on (status 500)"), "{said}");
    }

    #[test]
    fn without_counts_there_is_a_suspicion_alone() {
        let checks = [check(1024, None, true), check(2048, None, false)];
        assert!(suspicion(&checks).unwrap().contains("from length 2048"));
        assert_eq!(suspicion(&checks[1..]), None);
        assert_eq!(suspicion(&[check(1024, Some(1000), true), check(2048, Some(2000), false)]), None);
    }
}
