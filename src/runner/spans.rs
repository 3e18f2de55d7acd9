//! What a probe has captured of each span of a prompt, as rows of `spans.csv` and `kinds.csv`.

use crate::attention::probe::{self, AttentionCapture, HeadMeasures};
use crate::prompt::Prompt;
use crate::span::{Span, SpanKind};
use crate::trial::{KindRow, SpanRow};

/// The first of a request's spans that is one of the prompt's own: all needles and all values stand before.
pub(super) const OWN: usize = 2;

/// The spans of a request: needles, values, each span of the prompt by itself, and then what needles are held
/// against.
pub(super) fn requested(prompt: &Prompt) -> Vec<probe::Span> {
    let own = prompt.spans.iter().map(|span| vec![span.tokens.clone()]);
    let controls = prompt.controls().into_iter().map(|span| vec![span]);
    [prompt.needles.clone(), prompt.values.clone()].into_iter().chain(own).chain(controls).collect()
}

/// The first of a request's spans that needles are held against.
pub(super) fn first_control(prompt: &Prompt) -> usize {
    OWN + prompt.spans.len()
}

/// The sets of a request whose scores are held against all others: the needles, and where there are other
/// kinds than targets the spans of each kind.
pub(super) fn scored(prompt: &Prompt) -> Vec<probe::Span> {
    let of_kind = |kind: SpanKind| {
        let own = prompt.spans.iter().filter(|span| span.kind == kind);
        own.map(|span| span.tokens.clone()).collect()
    };
    let kinds = kinds(prompt).into_iter().map(of_kind);
    std::iter::once(prompt.needles.clone()).chain(kinds).collect()
}

/// The kinds of a prompt's spans; none where all are targets.
fn kinds(prompt: &Prompt) -> Vec<SpanKind> {
    let mut kinds: Vec<SpanKind> = prompt.spans.iter().map(|span| span.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.iter().all(|&kind| kind == SpanKind::Target) {
        kinds.clear();
    }
    kinds
}

/// Rows of `spans.csv` of the trial `(run_id, row_id)`.
pub(super) fn span_rows(
    (run_id, row_id): (&str, &str),
    prompt: &Prompt,
    capture: &AttentionCapture,
) -> Vec<SpanRow> {
    let heads = &capture.heads;
    let mut needles = 0;
    let row = |(number, span): (usize, &Span)| {
        let of =
            |mass: &dyn Fn(&HeadMeasures) -> Option<f64>| heads.iter().map(mass).collect::<Option<Vec<_>>>();
        let first = of(&|head| head.first.span_mass.get(OWN + number).copied());
        let answer = of(&|head| head.mean_span_mass.get(OWN + number).copied());
        // Needles and items of the answer go together where there are as many of them.
        let is_needle = prompt.needles.contains(&span.tokens);
        let item = (is_needle && prompt.answer_items.len() == prompt.needles.len()).then_some(needles);
        needles += usize::from(is_needle);
        let at_item = item.and_then(|item| of(&|head| head.items.get(item)?.get(OWN + number).copied()));
        SpanRow {
            run_id: run_id.to_string(),
            row_id: row_id.to_string(),
            span: number,
            kind: span.kind.to_string(),
            token_start: span.tokens.start,
            token_end: span.tokens.end,
            value_start: span.value.start,
            value_end: span.value.end,
            absent: span.absent,
            mass_top: first.as_deref().and_then(largest),
            mass_mean: first.as_deref().and_then(mean),
            answer_mass_mean: answer.as_deref().and_then(mean),
            item_mass_top: at_item.as_deref().and_then(largest),
            item_mass_mean: at_item.as_deref().and_then(mean),
            text: span.text.clone(),
        }
    };
    prompt.spans.iter().enumerate().map(row).collect()
}

/// Rows of `kinds.csv` of the trial; none where all spans are targets, whose masses are in `attention.csv`.
pub(super) fn kind_rows(
    (run_id, row_id): (&str, &str),
    prompt: &Prompt,
    capture: &AttentionCapture,
) -> Vec<KindRow> {
    let kinds = kinds(prompt);
    let sum = |masses: &[f64], kind: SpanKind| {
        let own = masses.iter().skip(OWN).zip(&prompt.spans);
        own.filter(|(_, span)| span.kind == kind).fold(0.0, |sum, (mass, _)| sum + mass)
    };
    let of_head = |head: &HeadMeasures| {
        let row = |(place, &kind): (usize, &SpanKind)| {
            // Those of the needles stand first.
            let scores = head.first.scores.get(1 + place).copied().flatten();
            KindRow {
                score: scores.map(|scores| scores.largest as f32),
                score_margin: scores.and_then(|scores| Some(scores.margin? as f32)),
                score_margin_mean: scores.and_then(|scores| Some(scores.margin_mean? as f32)),
                run_id: run_id.to_string(),
                row_id: row_id.to_string(),
                layer: head.layer,
                head: head.head,
                kind: kind.to_string(),
                mass: sum(&head.first.span_mass, kind),
                answer_mass: sum(&head.mean_span_mass, kind),
            }
        };
        kinds.iter().enumerate().map(row).collect::<Vec<_>>()
    };
    capture.heads.iter().flat_map(of_head).collect()
}

fn largest(masses: &[f64]) -> Option<f64> {
    masses.iter().copied().reduce(f64::max)
}

fn mean(masses: &[f64]) -> Option<f64> {
    (!masses.is_empty()).then(|| masses.iter().sum::<f64>() / masses.len() as f64)
}
