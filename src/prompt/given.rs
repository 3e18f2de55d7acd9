//! Prompts out of a file: their text is encoded as it is, and nothing is added, cut or searched for.

use super::layout::{LaidSpan, Layout, push_thought};
use super::{Assistant, Draft, HaystackUse, Prompt, PromptPlan, prompt_error, prompt_hash};
use crate::error::{Error, Result};
use crate::task::{GivenPrompt, Laid, LaidPart, Prompts, Question, Wording};
use crate::tokenizer::{Encoded, Tokenize};
use crate::trial::Trial;

/// The prompt of a trial: the one of its number in the file.
///
/// # Errors
/// [`Error::Prompt`] naming the prompt, when something is wrong with it.
pub(super) fn build(
    prompts: &Prompts,
    trial: &Trial,
    tokenizer: &dyn Tokenize,
    plan: &PromptPlan,
) -> Result<Prompt> {
    let none = || prompt_error(trial, format!("the file has no prompt {}", trial.index));
    let (given, laid) = prompts.rows().nth(trial.index).ok_or_else(none)?;
    let laid = laid.map_err(|problem| prompt_error(trial, format!("{} {problem}", given.name())))?;
    let mut draft = draft(given, laid, tokenizer, plan.assistant)?;
    // Of other tokens than the row was written with, what it counts says nothing.
    if draft.layout.spans.iter().any(|span| span.counted.is_some())
        && given.made.prompt_hash.as_ref() != Some(&prompt_hash(&draft.tokens()))
    {
        draft.layout.spans.iter_mut().for_each(|span| span.counted = None);
    }
    let question = Question {
        question: given.question.clone(),
        expected: given.expected.clone(),
        said_elsewhere: true,
        completion_in_chat: true,
        ..Question::default()
    };
    let used = HaystackUse { loops: 0, text: &laid.text[laid.content.clone()] };
    let prompt =
        draft.finish(trial, tokenizer, &question, budget(given, plan.answer_budget, plan.assistant), used);
    let prompt = prompt.map_err(|error| match error {
        Error::Prompt { problem, .. } => prompt_error(trial, format!("{}: {problem}", given.name())),
        other => other,
    })?;
    Ok(Prompt {
        id: Some(given.id.clone()),
        turns: laid.turns.clone(),
        answer_prefix: if plan.assistant.prefix.is_task() {
            given.answer_prefix.clone()
        } else {
            String::new()
        },
        scorer: given.scorer.clone(),
        ..prompt
    })
}

/// Tokens that may be generated: what the user says, or else the prompt's own with room for words that the
/// answer then says itself.
fn budget(given: &GivenPrompt, wanted: Option<usize>, assistant: Assistant) -> usize {
    wanted.unwrap_or_else(|| match given.answer_prefix.is_empty() {
        true => Prompts::budget(given),
        false => assistant.prefix.budget(Prompts::budget(given)),
    })
}

/// Tokens of a given prompt, and how many it takes with its answer.
///
/// # Errors
/// When the tokenizer fails on its text.
pub fn tokens_of(
    given: &GivenPrompt,
    laid: &Laid,
    tokenizer: &dyn Tokenize,
    (wanted, assistant): (Option<usize>, Assistant),
) -> Result<(Vec<u32>, usize)> {
    let draft = draft(given, laid, tokenizer, assistant)?;
    let sequence = draft.length(budget(given, wanted, assistant));
    Ok((draft.tokens(), sequence))
}

/// The text with its answer, encoded so that the prompt's tokens are those of its own text.
fn draft(given: &GivenPrompt, laid: &Laid, tokenizer: &dyn Tokenize, assistant: Assistant) -> Result<Draft> {
    let layout = lay_out(given, laid, assistant);
    let end = layout.thought.as_ref().map_or(layout.answer, |thought| thought.start);
    let mut encoded = tokenizer.encode(&layout.text)?;
    let behind = encoded.spans.partition_point(|span| span.end <= end);
    if encoded.spans.get(behind).is_some_and(|span| span.start < end) {
        // A token of both would cut the prompt, so what stands behind it has tokens of its own.
        let Encoded { ids, spans } = tokenizer.encode(&layout.text[end..])?;
        encoded = tokenizer.encode(&layout.text[..end])?;
        encoded.ids.extend(ids);
        encoded.spans.extend(spans.into_iter().map(|span| span.start + end..span.end + end));
    }
    Ok(Draft::of(layout, encoded, tokenizer))
}

fn lay_out(given: &GivenPrompt, laid: &Laid, assistant: Assistant) -> Layout {
    let (mut text, begins) = (laid.text[..laid.completion].to_string(), &laid.text[laid.completion..]);
    let tail = laid.text.get(laid.content.end..laid.completion).unwrap_or_default();
    let thought = assistant.thinks().filter(|_| !laid.as_it_is);
    let thought = thought.map(|(marks, budget)| push_thought(&mut text, tail, marks, budget));
    let completion = text.len();
    if assistant.prefix.is_task() {
        text.push_str(begins);
    }
    let answer = text.len();
    let goes_on = laid.as_it_is || completion < answer;
    let (said, places) = self::answer(given, goes_on && !text.ends_with(char::is_whitespace));
    text.push_str(&said);
    let span = |part: &LaidPart| {
        let span = given.spans.get(part.number)?;
        Some(LaidSpan {
            kind: span.kind,
            bytes: part.bytes.clone(),
            value: part.value.clone(),
            planted: span.planted.clone(),
            planted_value: span.value.clone(),
            absent: span.absent,
            counted: span.counted.clone(),
        })
    };
    let mut spans: Vec<LaidSpan> = laid.spans.iter().filter_map(span).collect();
    spans.sort_by_key(|span| (span.bytes.start, span.bytes.end));
    let (mut pieces, mut from) = (Vec::with_capacity(spans.len() + 1), laid.content.start);
    for span in &spans {
        pieces.push(from.min(span.bytes.start)..span.bytes.start);
        from = from.max(span.bytes.end);
    }
    pieces.push(from..laid.content.end.max(from));
    Layout {
        text,
        content: laid.content.clone(),
        haystack: laid.content.clone(),
        pieces,
        spans,
        thought,
        completion,
        answer,
        items: places.into_iter().map(|at| answer + at).collect(),
        asked: 0..0,
        chat: !laid.as_it_is,
        turns: Some(match laid.as_it_is {
            true => Vec::new(),
            false => laid.turns.iter().map(|turn| turn.bytes.clone()).collect(),
        }),
    }
}

/// What teacher forcing says behind the prompt, and where in it each expected answer begins; `touches`: the
/// prompt ends with no white space of its own.
fn answer(given: &GivenPrompt, touches: bool) -> (String, Vec<usize>) {
    if let Some(text) = &given.answer_text {
        let mut from = 0;
        let place = |item: &String| {
            let at = from + text[from..].find(item.trim())?;
            from = at + item.trim().len();
            Some(at)
        };
        let places: Option<Vec<usize>> = given.expected.iter().map(place).collect();
        return (text.clone(), places.unwrap_or_default());
    }
    // One of several is enough where any of them is right.
    let expected = match given.scorer.as_deref() {
        Some("any") => given.expected[..1].to_vec(),
        _ => given.expected.clone(),
    };
    let (text, places) = Question { expected, wording: Wording::default(), ..Question::default() }.answer();
    let lead = usize::from(touches && !text.starts_with(char::is_whitespace));
    (format!("{}{text}", &" "[..lead]), places.into_iter().map(|at| at + lead).collect())
}
