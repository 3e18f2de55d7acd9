//! What an answer says, above all one that is wrong, and where heads looked.

use super::spans;
use crate::attention::probe::AttentionCapture;
use crate::prompt::Prompt;
use crate::score::Scorer;
use crate::span::{Span, SpanKind};
use crate::standing::stands_free;
use crate::trial::{ELSEWHERE, EMPTY, NOTHING};

/// Characters of an answer that is looked for in the text, at least: fewer stand in any.
const LEAST: usize = 3;

/// The kind of the span whose value the answer has, the first in the answer; of an answer without any
/// [`ELSEWHERE`] when its first line stands in the text all the same, and else [`NOTHING`] or [`EMPTY`].
pub(super) fn answered(prompt: &Prompt, response: &str) -> String {
    let value = |span: &Span| span.text.get(span.value_bytes.clone()).unwrap_or_default().trim().to_string();
    let spans = prompt.spans.iter().filter(|span| !span.absent);
    let given = spans.filter_map(|span| {
        let value = value(span);
        let place = response.find(&value).unwrap_or(usize::MAX);
        (!value.is_empty() && stands_free(response, &value)).then_some((place, span.kind))
    });
    if let Some((_, kind)) = given.min_by_key(|(place, _)| *place) {
        return kind.to_string();
    }
    let line = response.trim().lines().next().unwrap_or_default();
    let line = line.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    let known = line.chars().count() >= LEAST && stands_free(&prompt.text, line);
    match (response.trim().is_empty(), known) {
        (true, _) => EMPTY,
        (false, true) => ELSEWHERE,
        (false, false) => NOTHING,
    }
    .to_string()
}

/// What an answer has of values that were updated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Earlier {
    /// In the place of how many values it says an earlier one.
    pub(super) values: usize,
    /// How many updates came after these, in the mean.
    pub(super) age: Option<f64>,
}

/// The earlier values that an answer says in the place of the last ones; `None` of a prompt without earlier
/// values. Of several that it says of one key the latest counts.
pub(super) fn earlier(prompt: &Prompt, response: &str) -> Option<Earlier> {
    let of_kind = |kind: SpanKind| prompt.spans.iter().filter(move |span| span.kind == kind && !span.absent);
    of_kind(SpanKind::Stale).next()?;
    let value = |span: &Span| span.text.get(span.value_bytes.clone()).unwrap_or_default().trim().to_string();
    let says = |span: &Span| {
        let value = value(span);
        !value.is_empty() && stands_free(response, &value)
    };
    let key = |span: &Span| span.text.get(..span.value_bytes.start).unwrap_or_default().to_string();
    let alone = of_kind(SpanKind::Target).count() == 1;
    let age = |target: &Span| {
        if says(target) {
            return None;
        }
        let mut own: Vec<&Span> =
            of_kind(SpanKind::Stale).filter(|span| alone || key(span) == key(target)).collect();
        own.sort_by_key(|span| std::cmp::Reverse(span.bytes.start));
        own.iter().position(|span| says(span)).map(|updates| updates + 1)
    };
    let ages: Vec<usize> = of_kind(SpanKind::Target).filter_map(age).collect();
    let mean = (!ages.is_empty()).then(|| ages.iter().sum::<usize>() as f64 / ages.len() as f64);
    Some(Earlier { values: ages.len(), age: mean })
}

/// What the texts beside the one that is asked for would score, in the mean, each behind the same words in
/// front (the first of what is expected).
pub(super) fn noise_floor(prompt: &Prompt, scorer: &dyn Scorer) -> Option<f64> {
    let front = prompt.expected.first()?;
    let others = prompt.spans.iter().filter(|span| span.kind == SpanKind::Other && !span.absent);
    let scores: Vec<f64> =
        others.map(|span| scorer.score(&format!("{front} {}", span.text), &prompt.expected)).collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// The kind of the span on which a head puts more than any does on another one, or [`ELSEWHERE`] when one
/// puts more on a span that needles are held against; `first` is the number of the prompt's first span in the
/// request. `None` without spans or heads.
pub(super) fn looked_at(prompt: &Prompt, capture: &AttentionCapture, first: usize) -> Option<String> {
    let largest = |number: usize| {
        let masses = capture.heads.iter().filter_map(|head| head.first.span_mass.get(number).copied());
        masses.reduce(f64::max)
    };
    let spans = prompt.spans.iter().enumerate();
    let own = spans.filter_map(|(number, span)| Some((largest(first + number)?, span.kind)));
    // The first of equals.
    let (mass, kind) = own.reduce(|top, own| if own.0 > top.0 { own } else { top })?;
    let others = spans::first_control(prompt)..capture.heads.first()?.first.span_mass.len();
    let elsewhere = others.filter_map(largest).reduce(f64::max).is_some_and(|other| other > mass);
    Some(if elsewhere { ELSEWHERE.to_string() } else { kind.to_string() })
}
