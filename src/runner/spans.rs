//! What a probe has captured of each span of a prompt, as rows of `spans.csv` and `kinds.csv`.

use std::ops::Range;

use crate::attention::probe::{self, AttentionCapture, HeadMeasures};
use crate::prompt::Prompt;
use crate::span::{Span, SpanKind, needle_kinds};
use crate::trial::{KindRow, SpanRow};

/// The first of a request's spans that is one of the prompt's own: all needles and all values stand before.
pub(super) const OWN: usize = 2;

/// The spans of a request: needles, values, each span of the prompt by itself, the spans of each kind, and
/// then what needles are held against.
pub(super) fn requested(prompt: &Prompt) -> Vec<probe::Span> {
    let own = prompt.spans.iter().map(|span| vec![span.tokens.clone()]);
    let controls = prompt.controls().into_iter().map(|span| vec![span]);
    let of_needles = [united(prompt.needles.iter()), united(prompt.values.iter())];
    of_needles.into_iter().chain(own).chain(of_kinds(prompt)).chain(controls).collect()
}

/// The first of a request's spans that are those of a kind.
fn first_kind(prompt: &Prompt) -> usize {
    OWN + prompt.spans.len()
}

/// The first of a request's spans that needles are held against.
pub(super) fn first_control(prompt: &Prompt) -> usize {
    first_kind(prompt) + kinds(prompt).len()
}

/// The sets of a request whose scores are held against all others: the needles, and where there are other
/// kinds than targets the spans of each kind.
pub(super) fn scored(prompt: &Prompt) -> Vec<probe::Span> {
    std::iter::once(united(prompt.needles.iter())).chain(of_kinds(prompt)).collect()
}

/// The spans of each kind.
fn of_kinds(prompt: &Prompt) -> Vec<probe::Span> {
    let of_kind = |kind: SpanKind| {
        united(prompt.spans.iter().filter(|span| span.kind == kind).map(|span| &span.tokens))
    };
    kinds(prompt).into_iter().map(of_kind).collect()
}

/// The tokens of all ranges, each of them once: spans of a file may overlap, and two may share a token.
fn united<'a>(ranges: impl Iterator<Item = &'a Range<usize>>) -> probe::Span {
    let mut ranges: Vec<Range<usize>> = ranges.cloned().collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut united: probe::Span = Vec::with_capacity(ranges.len());
    for range in ranges {
        match united.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => united.push(range),
        }
    }
    united
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
    let items = items_of_spans(prompt);
    let row = |(number, span): (usize, &Span)| {
        let of =
            |mass: &dyn Fn(&HeadMeasures) -> Option<f64>| heads.iter().map(mass).collect::<Option<Vec<_>>>();
        let first = of(&|head| head.first.span_mass.get(OWN + number).copied());
        let answer = of(&|head| head.mean_span_mass.get(OWN + number).copied());
        let at_item =
            items[number].and_then(|item| of(&|head| head.items.get(item)?.get(OWN + number).copied()));
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

/// The item of the answer that each span is asked for by, where it is a needle: that which its value says or,
/// where its value says none, the one which its text alone holds. The answer's order need not be that of the
/// text. Nothing where there are not as many items as needles, or where it cannot be told.
fn items_of_spans(prompt: &Prompt) -> Vec<Option<usize>> {
    let mut items = vec![None; prompt.spans.len()];
    let needle_kind = needle_kinds(&prompt.spans);
    let needles: Vec<usize> = (0..items.len()).filter(|&at| needle_kind(prompt.spans[at].kind)).collect();
    if prompt.answer_items.len() != needles.len() || prompt.expected.len() != needles.len() {
        return items;
    }
    if let [only] = needles[..] {
        items[only] = Some(0);
        return items;
    }
    let value = |at: usize| {
        let Span { text, value_bytes, .. } = &prompt.spans[at];
        text.get(value_bytes.clone()).unwrap_or_default().trim()
    };
    for (item, expected) in prompt.expected.iter().map(|expected| expected.trim()).enumerate() {
        // Of several needles with the same value each has an item of its own.
        let said = needles.iter().find(|&&at| value(at) == expected && items[at].is_none());
        let holding: Vec<&usize> =
            needles.iter().filter(|&&at| prompt.spans[at].text.contains(expected)).collect();
        let needle = said.or(match holding[..] {
            [only] if items[*only].is_none() => Some(only),
            _ => None,
        });
        if let Some(&needle) = needle {
            items[needle] = Some(item);
        }
    }
    items
}

/// Rows of `kinds.csv` of the trial; none where all spans are targets, whose masses are in `attention.csv`.
pub(super) fn kind_rows(
    (run_id, row_id): (&str, &str),
    prompt: &Prompt,
    capture: &AttentionCapture,
) -> Vec<KindRow> {
    let (kinds, first) = (kinds(prompt), first_kind(prompt));
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
                mass: head.first.span_mass.get(first + place).copied().unwrap_or_default(),
                answer_mass: head.mean_span_mass.get(first + place).copied().unwrap_or_default(),
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
