//! Trials to outcomes: builds each prompt, asks the model, scores the answer and hands the row on.

mod ahead;
mod answer;
mod both_ends;
mod instead;
mod retrieval;
mod served;
pub mod sharpness;
mod spans;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use self::answer::{Answer, Reader};
pub use self::both_ends::{LengthCheck, check_lengths, suspicion};
pub use self::served::{Asking, ask_trials};
use crate::attention::SpanScores;
use crate::attention::probe::{AttentionCapture, HeadMeasures, Screened};
use crate::clock;
use crate::error::{Error, Result};
use crate::generate::{Completion, LanguageModel, ReadThought, Request, Thinking};
use crate::grid::Depth;
use crate::plan::MaskedSpans;
use crate::progress::{Ended, Progress};
use crate::prompt::{Prompt, PromptPlan, PromptSequence};
use crate::score::{self, ChangedWord, Excess, Scorer, expected};
use crate::tokenizer::Tokenize;
use crate::trial::{
    AttentionRow, Finding, KindRow, Outcome, RetrievalRow, ServedRow, SpanRow, Status, TokenRow, Trial,
};

/// What every trial of a run shares.
pub struct RunContext<'a> {
    /// How prompts are built.
    pub prompts: &'a PromptPlan,
    /// Text to tokens and back.
    pub tokenizer: &'a dyn Tokenize,
    /// How answers are scored.
    pub scorer: &'a dyn Scorer,
    /// Those of prompts that have one of their own, by name.
    pub own_scorers: &'a BTreeMap<String, Box<dyn Scorer>>,
    /// Ids that end an answer.
    pub end_tokens: &'a [u32],
    /// Whether per-token masses are kept.
    pub keep_tokens: bool,
    /// Whether what every head copies is kept.
    pub keep_retrieval: bool,
    /// Spans that no row behind them attends to.
    pub blocking: Option<&'a MaskedSpans>,
    /// What every row says about the run.
    pub labels: Labels,
}

/// The columns that are the same in every row of a run.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// Short hash that names the run.
    pub run_id: String,
    /// The checkpoint as the user named it.
    pub model: String,
    /// The attention variant that runs.
    pub variant: String,
    /// Hash of the plan.
    pub config_hash: String,
}

/// Everything that one trial leaves behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialRecord {
    /// Its row of `results.csv`.
    pub outcome: Outcome,
    /// Its rows of `attention.csv`.
    pub attention: Vec<AttentionRow>,
    /// Its rows of `tokens.csv`.
    pub tokens: Vec<TokenRow>,
    /// Its rows of `spans.csv`.
    pub spans: Vec<SpanRow>,
    /// Its rows of `retrieval.csv`.
    pub retrieval: Vec<RetrievalRow>,
    /// Its rows of `kinds.csv`.
    pub kinds: Vec<KindRow>,
    /// Its row of `served.csv`, where a server has answered.
    pub served: Option<ServedRow>,
}

/// Takes in records as trials end.
pub trait TrialSink {
    /// Keeps one record; when this returns it is safe.
    ///
    /// # Errors
    /// When it cannot be kept; the run then stops.
    fn record(&mut self, record: TrialRecord) -> Result<()>;
}

/// Runs `trials` in their order. A trial that fails is recorded as such and the run goes on.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` is set; errors of the sink.
pub fn run_trials(
    context: &RunContext<'_>,
    trials: &[Trial],
    model: &mut dyn LanguageModel,
    sink: &mut dyn TrialSink,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<()> {
    let mut prompts = PromptSequence::new(context.prompts, context.tokenizer);
    for trial in trials {
        progress.at(&format!(
            "length {} depth {} trial {}",
            trial.cell.context_length, trial.cell.depth, trial.index
        ));
        let started = Instant::now();
        let record = prompts
            .build(trial)
            .and_then(|prompt| run_one(context, trial, &prompt, None, model, progress, stop));
        let mut record = match record {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => failed_record(context, trial, &error),
            Ok((record, _)) => record,
        };
        record.outcome.duration_seconds = Some(started.elapsed().as_secs_f64());
        record.outcome.timestamp_utc = clock::now_utc();
        let ended = ended(&record.outcome);
        sink.record(record)?;
        progress.ended(&ended);
    }
    Ok(())
}

/// What is told of a trial.
fn ended(outcome: &Outcome) -> Ended {
    Ended {
        row_id: outcome.row_id.clone(),
        context_length: outcome.context_length,
        depth_percent: outcome.depth_percent.percent(),
        correct: outcome.correct,
        finding: outcome.outcome.map_or("failed", Finding::word),
        needle_mass: outcome.needle_mass_top,
        seconds: outcome.duration_seconds,
    }
}

/// Runs one prompt; also returns what the probe has captured, with the full row of `chosen_head`.
///
/// # Errors
/// Errors of the model, and [`Error::Interrupted`] when `stop` is set.
pub fn run_one(
    context: &RunContext<'_>,
    trial: &Trial,
    prompt: &Prompt,
    chosen_head: Option<(usize, usize)>,
    model: &mut dyn LanguageModel,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<(TrialRecord, AttentionCapture)> {
    let (spans, scored) = (spans::requested(prompt), spans::scored(prompt));
    let thought = prompt.thought.as_ref().zip(context.prompts.assistant.marks);
    let reader =
        thought.map(|(plan, marks)| Reader { tokenizer: context.tokenizer, marks, opened: plan.opened });
    let thinking = prompt.thought.as_ref().zip(reader.as_ref()).map(|(plan, reader)| Thinking {
        budget: plan.budget,
        closing: &plan.closing,
        lead: &plan.lead,
        words: &plan.words,
        reader: reader as &dyn ReadThought,
    });
    let blocked = context.blocking.map(|spans| spans.of(prompt));
    let request = Request {
        tokens: &prompt.tokens,
        thinking,
        answer: &prompt.answer_tokens,
        max_new_tokens: prompt.answer_budget,
        end_tokens: context.end_tokens,
        spans: &spans,
        scored: &scored,
        items: &prompt.answer_items,
        chosen_head,
        keep_keys: context.keep_retrieval,
        forks: &prompt.forks(),
        blocked: blocked.as_ref(),
    };
    let completion = model.complete(request, &mut |tokens| {
        progress.advance(tokens);
        !stop.load(Ordering::Relaxed)
    })?;
    let (run_id, row_id) = (context.labels.run_id.as_str(), trial.row_id());
    let needle_tokens = prompt.needles.iter().map(ExactSizeIterator::len).sum();
    let retrieval = match context.keep_retrieval {
        true => {
            let question =
                retrieval::question((prompt, blocked.as_ref()), context.tokenizer, model, &mut |tokens| {
                    progress.advance(tokens);
                    !stop.load(Ordering::Relaxed)
                })?;
            retrieval::rows((run_id, &row_id), prompt, &completion, &question)
        }
        false => Vec::new(),
    };
    let record = TrialRecord {
        retrieval,
        attention: attention_rows(
            (run_id, &row_id),
            needle_tokens,
            prompt.tokens.len(),
            &completion.attention,
        ),
        spans: spans::span_rows((run_id, &row_id), prompt, &completion.attention),
        kinds: spans::kind_rows((run_id, &row_id), prompt, &completion.attention),
        tokens: match context.keep_tokens {
            true => token_rows((run_id, &row_id), prompt, &completion.attention, context.tokenizer)?,
            false => Vec::new(),
        },
        outcome: outcome(context, trial, prompt, &completion)?,
        served: None,
    };
    Ok((record, completion.attention))
}

fn outcome(
    context: &RunContext<'_>,
    trial: &Trial,
    prompt: &Prompt,
    completion: &Completion,
) -> Result<Outcome> {
    let answer = Answer::of(completion, &context.prompts.assistant, &prompt.text, context.tokenizer)?;
    let Answer { text: response, thinking_tokens, thinking_cut } = answer;
    let answered = answered(context, trial, prompt, response);
    let heads = &completion.attention.heads;
    // The first of equals, as in the probe.
    let top_head =
        heads.iter().reduce(|top, head| if needle_mass(head) > needle_mass(top) { head } else { top });
    let measured = !heads.is_empty() && !prompt.needles.is_empty();
    let top = top_head.map(needle_mass).filter(|_| measured);
    let mean = measured.then(|| heads.iter().map(needle_mass).sum::<f64>() / heads.len() as f64);
    let first_control = spans::first_control(prompt);
    let controls = heads.first().map_or(0, |head| head.first.span_mass.len().saturating_sub(first_control));
    let control_masses =
        heads.iter().flat_map(|head| head.first.span_mass.iter().skip(first_control).copied());
    let control = control_masses.reduce(f64::max);
    let masses = heads
        .iter()
        .map(|head| (needle_mass(head), head.first.span_mass.get(first_control..).unwrap_or_default()));
    let excess = Excess::of(masses);
    Ok(Outcome {
        answer_logprob: (!completion.answer_logprobs.is_empty())
            .then(|| completion.answer_logprobs.iter().sum()),
        answer_rank: completion.answer_ranks.iter().copied().max(),
        outcome: Some(score::classify(
            answered.correct == Some(true),
            excess.map(|excess| excess.needle),
            excess.map(|excess| excess.control),
        )),
        looked_at: instead::looked_at(prompt, &completion.attention, spans::OWN),
        needle_mass_top: top,
        needle_mass_mean: mean,
        total_mass_top: top_head
            .filter(|_| measured)
            .map(|head| &head.first)
            .filter(|row| row.screened.is_some())
            .map(|row| row.total_mass),
        control_spans: control.map(|_| controls),
        control_mass_top: control,
        needle_excess_top: excess.map(|excess| excess.needle),
        control_excess_top: excess.map(|excess| excess.control),
        thinking_tokens,
        thinking_cut,
        ..answered
    })
}

/// A row with the answer and its score, whoever gave it; nothing of attention.
fn answered(context: &RunContext<'_>, trial: &Trial, prompt: &Prompt, response: String) -> Outcome {
    let own = prompt.scorer.as_ref().and_then(|name| context.own_scorers.get(name));
    let scorer = own.map_or(context.scorer, AsRef::as_ref);
    let score = scorer.score(&response, &prompt.expected);
    let correct = scorer.is_correct(score);
    let text = prompt.expected.first().filter(|_| context.prompts.task.copies_one_word());
    let changed = text.and_then(|text| ChangedWord::of(text, &response));
    let (needle, value) = (prompt.needles.first(), prompt.values.first());
    let earlier = instead::earlier(prompt, &response);
    let noise_floor = Some(()).filter(|()| context.prompts.task.has_noise_floor());
    let noise_floor = noise_floor.and_then(|()| instead::noise_floor(prompt, scorer));
    Outcome {
        prompt_tokens: Some(prompt.tokens.len()),
        actual_depth_percent: prompt.actual_depth.map(Depth::percent),
        needle_start: needle.map(|span| span.start),
        needle_end: needle.map(|span| span.end),
        value_start: value.map(|span| span.start),
        value_end: value.map(|span| span.end),
        prompt_hash: Some(prompt.prompt_hash.clone()),
        needle: prompt.needle_texts.first().cloned().unwrap_or_default(),
        question: prompt.question.clone(),
        expected_answer: expected::joined(&prompt.expected),
        answered: Some(instead::answered(prompt, &response)),
        model_response: Some(response),
        score: Some(score),
        correct: Some(correct),
        outcome: Some(score::classify(correct, None, None)),
        changed_word: changed.map(|word| word.place),
        answered_word: changed.and_then(|word| word.answered),
        earlier_values: earlier.map(|earlier| earlier.values),
        earlier_age: earlier.and_then(|earlier| earlier.age),
        noise_floor,
        status: Status::Ok,
        ..blank(context, trial)
    }
}

fn failed_record(context: &RunContext<'_>, trial: &Trial, error: &Error) -> TrialRecord {
    let outcome = Outcome { status: Status::Error, error: Some(error.to_string()), ..blank(context, trial) };
    TrialRecord { outcome, ..TrialRecord::default() }
}

/// A row with what is known before the trial runs.
fn blank(context: &RunContext<'_>, trial: &Trial) -> Outcome {
    let labels = context.labels.clone();
    let row = Outcome {
        run_id: labels.run_id,
        model: labels.model,
        variant: labels.variant,
        task: context.prompts.task.name().to_string(),
        status: Status::Skipped,
        config_hash: labels.config_hash,
        ..Outcome::default()
    };
    row.of(trial)
}

/// Needle mass is the first span of a request, value mass the second.
fn needle_mass(head: &HeadMeasures) -> f64 {
    head.first.span_mass[0]
}

/// What a probe has captured as rows of `attention.csv` of the trial `(run_id, row_id)`, for needles of
/// `needle_tokens` tokens in all in a prompt of `prompt_tokens`.
#[must_use]
pub fn attention_rows(
    (run_id, row_id): (&str, &str),
    needle_tokens: usize,
    prompt_tokens: usize,
    capture: &AttentionCapture,
) -> Vec<AttentionRow> {
    let expected_share = needle_tokens as f64 / prompt_tokens as f64;
    let on_needle = |scores: &[Option<SpanScores>]| scores.first().copied().flatten();
    let of_needle = |mass: f64| if needle_tokens == 0 { f64::NAN } else { mass };
    let row = |head: &HeadMeasures| AttentionRow {
        needle_score: on_needle(&head.first.scores).map(|scores| scores.largest as f32),
        score_margin: on_needle(&head.first.scores).and_then(|scores| Some(scores.margin? as f32)),
        score_margin_mean: on_needle(&head.first.scores).and_then(|scores| Some(scores.margin_mean? as f32)),
        inverse_scale: head.first.log_scale.filter(|&s| s > 0.0).map(|s| s.recip() as f32),
        answer_needle_score: on_needle(&head.mean_scores).map(|scores| scores.largest as f32),
        answer_score_margin: on_needle(&head.mean_scores).and_then(|scores| Some(scores.margin? as f32)),
        answer_score_margin_mean: on_needle(&head.mean_scores)
            .and_then(|scores| Some(scores.margin_mean? as f32)),
        run_id: run_id.to_string(),
        row_id: row_id.to_string(),
        layer: head.layer,
        head: head.head,
        needle_mass: of_needle(needle_mass(head)),
        value_mass: of_needle(head.first.span_mass[1]),
        total_mass: head.first.total_mass,
        sink_mass: head.first.sink_mass,
        lift: (head.first.total_mass > 0.0 && expected_share > 0.0)
            .then(|| needle_mass(head) / head.first.total_mass / expected_share),
        entropy: head.first.entropy,
        argmax_position: head.first.argmax_position,
        answer_needle_mass: of_needle(head.mean_span_mass[0]),
        answer_value_mass: of_needle(head.mean_span_mass[1]),
        answer_total_mass: head.mean_total_mass,
        answer_sink_mass: head.mean_sink_mass,
        passed_keys: head.first.screened.map(|screened| screened.passed),
        passed_share: head.first.screened.map(Screened::passed_share),
        zero_share: head.first.screened.map(Screened::zero_share),
        effective_window: head.first.screened.map(|screened| screened.window),
        output_gate: head.first.gate,
        gated_needle_mass: head.first.gate.filter(|_| needle_tokens > 0).map(|gate| gate * needle_mass(head)),
    };
    capture.heads.iter().map(row).collect()
}

fn token_rows(
    (run_id, row_id): (&str, &str),
    prompt: &Prompt,
    capture: &AttentionCapture,
    tokenizer: &dyn Tokenize,
) -> Result<Vec<TokenRow>> {
    let masses = capture.mean_row.iter().zip(&capture.top_row);
    let row = |(position, (token, (&mean, &top))): (usize, (String, (&f64, &f32)))| TokenRow {
        run_id: run_id.to_string(),
        row_id: row_id.to_string(),
        position,
        token,
        mass_mean: mean,
        mass_top_head: f64::from(top),
    };
    Ok(tokenizer.token_texts(&prompt.tokens)?.into_iter().zip(masses).enumerate().map(row).collect())
}
