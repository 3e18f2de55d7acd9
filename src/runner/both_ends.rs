//! Whether a server reads prompts whole: some cut them in silence, to a default length (Ollama) or to what is
//! left of a slot.
//!
//! Before the grid a needle is asked for at the very beginning and at the very end of each length, and the
//! prompt tokens that the server reports are held against those that were sent. A prompt was cut where the
//! server counts clearly fewer tokens, or no more than at a shorter length, and does not find what stands at
//! the beginning. A model that is only weak there reports all tokens.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::RunContext;
use super::served::{answer_of, question};
use crate::error::Result;
use crate::plan::ServedPlan;
use crate::prompt::PromptSequence;
use crate::server::{Failure, Kind, Server};
use crate::trial::Trial;

/// What became of the needles of one length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthCheck {
    /// The length.
    pub context_length: usize,
    /// Tokens of the prompt with the needle at its beginning, as counted here.
    pub prompt_tokens_here: usize,
    /// The same as the server counts them.
    pub prompt_tokens: Option<usize>,
    /// Whether the needle at the beginning was found; missing where it was not asked for.
    pub found_at_start: Option<bool>,
    /// Whether that at the end was.
    pub found_at_end: Option<bool>,
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

    /// What is wrong with this length, behind those that were checked before it.
    fn judged(mut self, before: Option<&Self>, exact: bool) -> Self {
        let Some(counted) = self.prompt_tokens.filter(|_| self.found_at_start != Some(true)) else {
            return self;
        };
        let (here, counted) = (self.prompt_tokens_here as f64, counted as f64);
        let too_few = counted + TEMPLATE < least_share(exact, before) * here;
        let as_before = before.is_some_and(|before| {
            let grown = here > 1.1 * before.prompt_tokens_here as f64;
            grown && before.prompt_tokens.is_some_and(|tokens| counted <= 1.01 * tokens as f64)
        });
        if too_few || as_before {
            let about = if exact { "" } else { "about " };
            self.problem = Some(format!(
                "the server cuts prompts in silence from length {} on: of {about}{here} tokens that were sent it \
                 counts {counted}, and it does not find what stands at the beginning; give it a longer context",
                self.context_length
            ));
        }
        self
    }
}

/// Asks for both needles of each length of `plan`, the shortest first, up to the first that is not read
/// whole.
///
/// # Errors
/// When the server does not answer, or the run is stopped.
pub fn check_lengths(plan: &ServedPlan, server: &Server, stop: &AtomicBool) -> Result<Vec<LengthCheck>> {
    let context = plan.context();
    let mut prompts = PromptSequence::new(context.prompts, context.tokenizer);
    let mut checks: Vec<LengthCheck> = Vec::new();
    for &length in plan.settings.grid.context_lengths() {
        let of_length = |trial: &Trial| trial.cell.context_length == length;
        let mut trials: Vec<Trial> = plan.trials().into_iter().filter(of_length).collect();
        trials.sort_by(|a, b| a.cell.depth.fraction().total_cmp(&b.cell.depth.fraction()));
        let mut check = LengthCheck {
            context_length: length.0,
            prompt_tokens_here: 0,
            prompt_tokens: None,
            found_at_start: None,
            found_at_end: None,
            problem: None,
        };
        for (place, trial) in trials.iter().enumerate() {
            // A length that has no room for a needle is not cut.
            let Ok(prompt) = prompts.build(trial) else { break };
            let said = match server.ask(&question(server, plan.thought_budget(), &prompt), stop) {
                Ok(said) => said,
                Err(failure) if is_too_long(&failure) => {
                    check.problem = Some(format!(
                        "the server refuses prompts from length {} on: {}",
                        check.context_length, failure.problem
                    ));
                    break;
                }
                Err(failure) => return Err(failure.into()),
            };
            let found = Some(is_right(&context, &prompt.expected, &answer_of(&said.answer).0));
            if place == 0 {
                check.found_at_start = found;
                check.prompt_tokens_here = prompt.tokens.len();
                check.prompt_tokens = said.answer.usage.prompt;
            } else {
                check.found_at_end = found;
            }
        }
        let check =
            if check.problem.is_some() { check } else { check.judged(checks.last(), plan.is_exact()) };
        let ends = check.problem.is_some();
        checks.push(check);
        if ends {
            break;
        }
    }
    Ok(checks)
}

fn is_right(context: &RunContext<'_>, expected: &[String], answer: &str) -> bool {
    context.scorer.is_correct(context.scorer.score(answer, expected))
}

/// Whether a refusal is of this prompt, after a short one was answered.
fn is_too_long(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Status(400 | 413 | 422))
}

/// What is said of a server that reports no tokens and finds the end alone.
#[must_use]
pub fn suspicion(checks: &[LengthCheck]) -> Option<String> {
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
            problem: None,
        }
    }

    #[test]
    fn a_prompt_was_cut_where_fewer_tokens_are_counted_and_the_beginning_is_gone() {
        let judged = |of: LengthCheck, exact| of.judged(None, exact).problem;
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
        assert!(check(2600, Some(2048), false).judged(Some(&before), false).problem.is_some());
        // What is counted of a shorter length that was read says how approximate the counts are.
        let approximate = check(2048, Some(1700), true);
        assert!(check(4096, Some(3400), false).judged(Some(&approximate), false).problem.is_none());
        assert!(check(4096, Some(3000), false).judged(Some(&approximate), false).problem.is_some());
        assert!(check(2600, Some(2590), false).judged(Some(&before), false).problem.is_none());
    }

    #[test]
    fn without_counts_there_is_a_suspicion_alone() {
        let checks = [check(1024, None, true), check(2048, None, false)];
        assert!(suspicion(&checks).unwrap().contains("from length 2048"));
        assert_eq!(suspicion(&checks[1..]), None);
        assert_eq!(suspicion(&[check(1024, Some(1000), true), check(2048, Some(2000), false)]), None);
    }
}
