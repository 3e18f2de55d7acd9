//! What an answer says, above all one that is wrong, and where heads looked.

use super::spans;
use crate::attention::probe::AttentionCapture;
use crate::prompt::Prompt;
use crate::span::Span;
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
