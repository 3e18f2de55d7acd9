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
use crate::server::{Failure, Server};

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

/// The share of a prompt that a server which reads all of it may count fewer of than its text says.
const SLACK: f64 = 0.05;

/// The same at most, however far off tokens are counted.
const MOST_SLACK: f64 = 0.25;

/// How closely the tokens of prompts are counted here.
#[derive(Debug, Clone, Copy)]
struct Closeness {
    /// Whether it is with the model's own tokenizer.
    exact: bool,
    /// The share by which it was off where that was measured; missing where it was not.
    off: Option<f64>,
}

impl Closeness {
    fn of(plan: &ServedPlan) -> Self {
        Self { exact: plan.is_exact(), off: plan.counting_error() }
    }

    /// The least share of the tokens that were sent which a server counts that has read all of them. Where
    /// tokens are counted approximately, the share of a shorter length that was read says best how far off
    /// that is.
    fn least_share(self, before: Option<&LengthCheck>) -> f64 {
        let read = before.filter(|before| before.found_at_start == Some(true) && !self.exact);
        match read.and_then(LengthCheck::share) {
            Some(share) => (1.0 - SLACK) * share,
            None => 1.0 - self.off.map_or(MOST_SLACK, |off| (SLACK + off).min(MOST_SLACK)),
        }
    }
}

impl LengthCheck {
    /// A length that could not be looked at, with the reason.
    #[must_use]
    pub fn failed(length: ContextLength, failure: String) -> Self {
        Self { context_length: length.0, failure: Some(failure), ..Self::default() }
    }

    /// The tokens that the server counts over those that are counted here.
    fn share(&self) -> Option<f64> {
        let here = Some(self.prompt_tokens_here as f64).filter(|here| *here > 0.0)?;
        Some(self.prompt_tokens? as f64 / here)
    }

    /// Asks for the needles of this length, behind the one that was checked before it. Returns the tokens of
    /// the prompt with the needle in the middle, where that was asked for.
    fn ask(
        &mut self,
        plan: &ServedPlan,
        before: Option<&Self>,
        server: &Server,
        stop: &AtomicBool,
    ) -> Result<Option<usize>, Failure> {
        let (context, close) = (plan.context(), Closeness::of(plan));
        let mut prompts = PromptSequence::new(context.prompts, context.tokenizer);
        let mut trials = plan.trials();
        trials.retain(|trial| trial.cell.context_length.0 == self.context_length);
        trials.sort_by_key(|trial| trial.cell.depth);
        let mut in_middle = None;
        for trial in &trials {
            let depth = trial.cell.depth.fraction();
            let (at_start, at_end) = (depth <= 0.0, depth >= 1.0);
            if !at_start && !at_end && !self.asks_for_the_middle(before, close) {
                continue;
            }
            // A length that has no room for a needle is not cut.
            let Ok(prompt) = prompts.build(trial) else { break };
            let answer = server.ask(&question(server, plan.thought_budget(), &prompt), stop)?.answer;
            let found = Some(is_right(&context, &prompt.expected, &answer_of(&answer).0));
            if at_start {
                self.found_at_start = found;
                self.prompt_tokens_here = prompt.tokens.len();
                self.prompt_tokens = answer.usage.prompt;
            } else if at_end {
                self.found_at_end = found;
            } else {
                self.found_in_middle = found;
                in_middle = answer.usage.prompt;
            }
        }
        Ok(in_middle)
    }

    /// Whether so many tokens are clearly fewer than this length has.
    fn is_too_few(&self, counted: usize, before: Option<&Self>, close: Closeness) -> bool {
        (counted as f64) + TEMPLATE < close.least_share(before) * self.prompt_tokens_here as f64
    }

    /// Whether a needle in the middle tells more: what stands at the beginning is read, and of the rest too
    /// little is counted.
    fn asks_for_the_middle(&self, before: Option<&Self>, close: Closeness) -> bool {
        self.found_at_start == Some(true)
            && self.prompt_tokens.is_some_and(|counted| self.is_too_few(counted, before, close))
    }

    /// What is wrong with this length, behind those that were checked before it, where the prompt with the
    /// needle in the middle was counted as so many tokens.
    fn judged(mut self, in_middle: Option<usize>, before: Option<&Self>, close: Closeness) -> Self {
        let cut = match self.found_at_start {
            Some(true) => self.is_cut_in_the_middle(in_middle, before, close).then_some("in the middle"),
            _ => self.is_cut_at_its_beginning(before, close).then_some("at the beginning"),
        };
        if let (Some(place), Some(counted)) = (cut, self.prompt_tokens) {
            let about = if close.exact { "" } else { "about " };
            self.problem = Some(format!(
                "the server cuts prompts in silence from length {} on: of {about}{} tokens that were sent it \
                 counts {counted}, and it does not find what stands {place}; give it a longer context",
                self.context_length, self.prompt_tokens_here
            ));
        }
        self
    }

    fn is_cut_at_its_beginning(&self, before: Option<&Self>, close: Closeness) -> bool {
        let Some(counted) = self.prompt_tokens else { return false };
        let as_before = before.is_some_and(|before| {
            let grown = self.prompt_tokens_here as f64 > 1.1 * before.prompt_tokens_here as f64;
            grown && before.prompt_tokens.is_some_and(|tokens| counted as f64 <= 1.01 * tokens as f64)
        });
        as_before || self.is_too_few(counted, before, close)
    }

    /// Of this prompt a server may have had as much in its cache as the length before it has, and leave that
    /// out of its count.
    fn is_cut_in_the_middle(&self, counted: Option<usize>, before: Option<&Self>, close: Closeness) -> bool {
        let cached = before.map_or(0, |before| before.prompt_tokens_here);
        self.found_in_middle == Some(false)
            && counted.is_some_and(|counted| self.is_too_few(counted + cached, before, close))
    }
}

/// Asks for the needles of each length of `plan`, the shortest first, up to the first that is not read whole
/// or where the server fails. Where it refuses one prompt for what it says, the next length has another one.
///
/// # Errors
/// When the server does not answer at all, or the run is stopped.
pub fn check_lengths(plan: &ServedPlan, server: &Server, stop: &AtomicBool) -> Result<Vec<LengthCheck>> {
    let mut checks: Vec<LengthCheck> = Vec::new();
    for &length in plan.settings.grid.context_lengths() {
        let mut check = LengthCheck { context_length: length.0, ..LengthCheck::default() };
        let before = checks.last();
        let goes_on = match check.ask(plan, before, server, stop) {
            Ok(in_middle) => {
                check = check.judged(in_middle, before, Closeness::of(plan));
                check.problem.is_none()
            }
            Err(failure) if failure.is_of_all() => return Err(failure.into()),
            Err(failure) if failure.is_of_length() => {
                check.problem = Some(format!(
                    "the server refuses prompts from length {} on: {}",
                    check.context_length, failure.problem
                ));
                false
            }
            Err(failure) => {
                let of_prompt = failure.is_of_prompt();
                check.failure = Some(failure.problem);
                of_prompt
            }
        };
        checks.push(check);
        if !goes_on {
            break;
        }
    }
    Ok(checks)
}

fn is_right(context: &RunContext<'_>, expected: &[String], answer: &str) -> bool {
    context.scorer.is_correct(context.scorer.score(answer, expected))
}

/// What is said of lengths that could not be looked at, or of a server that reports no tokens and finds the
/// end alone.
#[must_use]
pub fn suspicion(checks: &[LengthCheck]) -> Option<String> {
    if let Some(failure) = checks.iter().find_map(|check| check.failure.as_ref()) {
        let last = checks.last().map(|check| check.context_length);
        let place = |length: usize| match Some(length) == last {
            // Behind the last one none was looked at.
            true => format!("from length {length} on"),
            false => format!("at length {length}"),
        };
        let failed = checks.iter().filter(|check| check.failure.is_some());
        let places: Vec<String> = failed.map(|check| place(check.context_length)).collect();
        return Some(format!(
            "whether prompts are read whole could not be told {} ({failure}); they are asked all the same, \
             and `no length check` leaves the question out",
            places.join(", ")
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

    const EXACT: Closeness = Closeness { exact: true, off: Some(0.0) };
    const UNKNOWN: Closeness = Closeness { exact: false, off: None };

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
        let judged = |of: LengthCheck, close| of.judged(None, None, close).problem;
        let cut = judged(check(8192, Some(4096), false), EXACT).unwrap();
        assert!(
            cut.contains("from length 8192 on") && cut.contains("8182 tokens") && cut.contains("4096"),
            "{cut}"
        );
        // A weak model reads all, a cache may hide what was read, and other tokens are counted otherwise.
        assert_eq!(judged(check(8192, Some(8190), false), EXACT), None);
        assert_eq!(judged(check(8192, Some(4096), true), EXACT), None);
        assert_eq!(judged(check(8192, Some(7000), false), UNKNOWN), None);
        assert_eq!(judged(check(8192, None, false), EXACT), None);
    }

    #[test]
    fn a_prompt_was_cut_where_no_more_is_counted_than_at_a_shorter_length() {
        let before = check(2048, Some(2040), true);
        assert!(check(2600, Some(2048), false).judged(None, Some(&before), UNKNOWN).problem.is_some());
        // What is counted of a shorter length that was read says how approximate the counts are.
        let approximate = check(2048, Some(1700), true);
        assert!(check(4096, Some(3400), false).judged(None, Some(&approximate), UNKNOWN).problem.is_none());
        assert!(check(4096, Some(3000), false).judged(None, Some(&approximate), UNKNOWN).problem.is_some());
        assert!(check(2600, Some(2590), false).judged(None, Some(&before), UNKNOWN).problem.is_none());
    }

    #[test]
    fn regression_a_cut_of_a_fifth_at_the_first_length_is_one_where_tokens_are_counted_closely() {
        let judged = |counted, off| {
            let close = Closeness { exact: false, off };
            check(5130, Some(counted), false).judged(None, None, close).problem
        };
        assert!(judged(4096, Some(0.001)).unwrap().contains("from length 5130 on: of about 5120 tokens"));
        assert!(judged(4096, Some(0.1)).unwrap().contains("counts 4096"));
        // Off by as much as is missing, and not known.
        for off in [Some(0.18), Some(3.0), None] {
            assert_eq!(judged(4096, off), None, "{off:?}");
        }
        assert!(judged(3000, Some(3.0)).is_some());
    }

    #[test]
    fn a_prompt_was_cut_in_the_middle_where_no_cache_can_hide_what_is_missing() {
        let before = check(1024, Some(1014), true);
        let of = |counted: usize, in_middle: usize, found| {
            let check = check(8192, Some(counted), true);
            assert_eq!(check.asks_for_the_middle(Some(&before), EXACT), counted < 7700);
            let check = LengthCheck { found_in_middle: Some(found), ..check };
            check.judged(Some(in_middle), Some(&before), EXACT).problem
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
        let said = suspicion(&[check(512, Some(500), true), failed.clone()]).unwrap();
        assert!(said.contains("from length 4096 on (status 500)"), "{said}");
        let one = LengthCheck::failed(ContextLength(512), "status 403".to_string());
        let said = suspicion(&[one.clone(), check(1024, Some(1000), true)]).unwrap();
        assert!(said.contains("told at length 512 (status 403)"), "{said}");
        let said = suspicion(&[one, check(1024, Some(1000), true), failed]).unwrap();
        assert!(said.contains("told at length 512, from length 4096 on (status 403)"), "{said}");
    }

    #[test]
    fn without_counts_there_is_a_suspicion_alone() {
        let checks = [check(1024, None, true), check(2048, None, false)];
        assert!(suspicion(&checks).unwrap().contains("from length 2048"));
        assert_eq!(suspicion(&checks[1..]), None);
        assert_eq!(suspicion(&[check(1024, Some(1000), true), check(2048, Some(2000), false)]), None);
    }
}
