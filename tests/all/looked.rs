//! What counts as having looked: heads that give the needle more than they give to other spans of its length.

#[allow(dead_code, reason = "other tests use the rest")]
use crate::toys;

use std::sync::atomic::AtomicBool;

use niah::attention::probe::ProbeRequest;
use niah::attention::{AttentionProbe, AttentionRecorder, HeadRow};
use niah::error::Result;
use niah::generate::{Completion, LanguageModel, Request};
use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::Haystack;
use niah::progress::Silent;
use niah::prompt::{Assistant, Form, PromptPlan, Snap};
use niah::report::Summary;
use niah::rng::Rng;
use niah::runner::{Labels, RunContext, run_one};
use niah::score::SCORERS;
use niah::task::TASKS;
use niah::trial::{Finding, Outcome, Trial};

/// Heads of the script.
const HEADS: usize = 270;

/// A row of weights of one head for a prompt of `n` tokens whose needle begins at a place.
type Rule = fn(head: usize, n: usize, needle: usize, rng: &mut Rng) -> Vec<f32>;

/// A model that never answers right and attends by rule.
struct Attends(Rule);

impl LanguageModel for Attends {
    fn complete(&mut self, request: Request<'_>, _: &mut dyn FnMut(usize) -> bool) -> Result<Completion> {
        let n = request.tokens.len();
        let mut probe = AttentionProbe::new(ProbeRequest {
            rows: n - 1..n,
            spans: request.spans.to_vec(),
            ..ProbeRequest::default()
        });
        let mut rng =
            Rng::for_purpose(u64::from(request.tokens[request.spans[0][0].start + 20]), &[&n.to_string()]);
        for head in 0..HEADS {
            let weights = (self.0)(head, n, request.spans[0][0].start, &mut rng);
            probe.record(HeadRow { head, row: n - 1, weights: &weights, ..HeadRow::default() });
        }
        Ok(Completion { attention: probe.finish(), ..Completion::default() })
    }
}

fn uniform(_: usize, n: usize, _: usize, _: &mut Rng) -> Vec<f32> {
    vec![1.0 / n as f32; n]
}

/// Every head puts half of its weight on a token of its own choice.
fn anywhere(_: usize, n: usize, _: usize, rng: &mut Rng) -> Vec<f32> {
    let mut weights = vec![0.5 / n as f32; n];
    weights[rng.below(n as u64) as usize] += 0.5;
    weights
}

/// One head of all puts a fifth of its weight on the needle.
fn retrieves(head: usize, n: usize, needle: usize, _: &mut Rng) -> Vec<f32> {
    let mut weights = vec![1.0 / n as f32; n];
    if head == 7 {
        weights[needle] += 0.25;
    }
    weights
}

fn outcomes(length: usize, rule: Rule) -> Vec<Outcome> {
    let (prompts, tokenizer) = (
        PromptPlan {
            built: niah::prompt::Built::default(),
            task: (niah::registry::find("task", TASKS, "magic").unwrap().value)(),
            haystack: Haystack::resolve("essays").unwrap(),
            form: Form::Completion,
            assistant: Assistant::default(),
            snap: Snap::Sentence,
            answer_budget: None,
        },
        toys::bytes(),
    );
    let context = RunContext {
        own_scorers: &std::collections::BTreeMap::new(),
        prompts: &prompts,
        tokenizer: &tokenizer,
        scorer: niah::registry::find("scorer", SCORERS, "match").unwrap().value,
        end_tokens: &[],
        keep_tokens: false,
        keep_retrieval: false,
        blocking: None,
        labels: Labels::default(),
    };
    let depths = [0.0, 25.0, 50.0, 75.0, 100.0].map(|percent| Depth::from_percent(percent).unwrap());
    let run = |index: usize, depth: Depth| {
        let trial = Trial { cell: Cell { context_length: ContextLength(length), depth }, index, seed: 1 };
        let prompt = prompts.build(&trial, &tokenizer, &mut prompts.haystack_tokens(&trial)).unwrap();
        let never = AtomicBool::new(false);
        run_one(&context, &trial, &prompt, None, &mut Attends(rule), &mut Silent, &never).unwrap().0.outcome
    };
    depths
        .into_iter()
        .flat_map(|depth| (0..4).map(move |index| (index, depth)))
        .map(|(index, depth)| run(index, depth))
        .collect()
}

fn count(outcomes: &[Outcome], finding: Finding) -> usize {
    outcomes.iter().filter(|outcome| outcome.outcome == Some(finding)).count()
}

#[test]
fn regression_uniform_attention_never_looks_however_much_of_the_prompt_the_needle_is() {
    for length in [1000, 3000] {
        let rows = outcomes(length, uniform);
        assert_eq!(count(&rows, Finding::Missed), rows.len(), "{length}");
    }
}

#[test]
fn a_head_that_retrieves_looks() {
    let rows = outcomes(3000, retrieves);
    assert_eq!(count(&rows, Finding::Looked), rows.len());
    let row = &rows[0];
    assert_eq!(row.control_spans, Some(19));
    assert!(row.control_mass_top.unwrap() < 0.05 && row.needle_mass_top.unwrap() > 0.25, "{row:?}");
}

/// One head retrieves, and another gives every token more than that: rows need not sum to 1.
fn beside_a_broad_head(head: usize, n: usize, needle: usize, _: &mut Rng) -> Vec<f32> {
    let mut weights = vec![if head == 3 { 0.5 } else { 0.0 }; n];
    if head == 7 {
        weights[needle] += 0.25;
    }
    weights
}

#[test]
fn regression_a_head_that_gives_much_to_everything_hides_none_that_retrieves() {
    let rows = outcomes(3000, beside_a_broad_head);
    let row = &rows[0];
    assert!(row.control_mass_top >= row.needle_mass_top, "the largest masses say nothing: {row:?}");
    assert_eq!(count(&rows, Finding::Looked), rows.len());
    assert!((row.needle_excess_top.unwrap() - 0.25).abs() < 1e-6 && row.control_excess_top.unwrap() < 1e-6);
    let summary = Summary::of(&rows);
    assert_eq!((summary.looked, summary.by_mass), (rows.len(), 0));
}

#[test]
fn rows_of_an_earlier_version_are_counted_by_their_masses_and_that_is_said() {
    let mut rows = outcomes(3000, beside_a_broad_head);
    rows.iter_mut().for_each(|row| (row.needle_excess_top, row.control_excess_top) = (None, None));
    let summary = Summary::of(&rows);
    assert_eq!((summary.missed, summary.by_mass), (rows.len(), rows.len()));
    assert!(summary.rule().concat().contains("20 of these answers come from a version that kept"));
}

#[test]
fn regression_many_heads_that_attend_anywhere_look_no_oftener_than_chance() {
    let rows = outcomes(3000, anywhere);
    assert!(rows.iter().all(|row| row.needle_mass_top.unwrap() >= 0.5), "each would pass a fixed tenth");
    let looked = count(&rows, Finding::Looked);
    assert!(looked <= 4, "{looked} of {}", rows.len());
}

#[test]
fn a_wrong_answer_in_a_short_prompt_is_wrong_and_no_more() {
    let rows = outcomes(400, retrieves);
    assert_eq!(count(&rows, Finding::Wrong), rows.len());
    assert!(rows.iter().all(|row| row.control_spans.is_none() && row.control_mass_top.is_none()));
    assert!(rows.iter().all(|row| row.needle_excess_top.is_none()));
    let summary = Summary::of(&rows);
    assert_eq!((summary.looked, summary.missed, summary.wrong), (0, 0, rows.len()));
    assert!(summary.rule().concat().contains("too little room"));
}
