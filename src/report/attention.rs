//! The attention that a prompt received, as a report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Point, Series, ShadedToken, Shape, Table};
use super::{Report, or_missing};
use crate::span::SpanKind;
use crate::trial::AttentionRow;

/// What there is to say of a prompt.
pub struct PromptReport {
    /// What ran, what was asked and whose attention is shown, a line each.
    pub lines: Vec<String>,
    /// The same for programs: an object.
    pub ran: Value,
    /// The prompt.
    pub tokens: Vec<ShadedToken>,
    /// What its heads did; none where there is no needle.
    pub heads: Vec<AttentionRow>,
    /// How many of the heads are listed.
    pub top: usize,
}

/// A token of a prompt, as a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct TokenMass {
    position: usize,
    token: String,
    mass: f64,
    in_needle: bool,
    in_value: bool,
    kind: Option<String>,
}

/// All tokens together, and the heads, as JSON.
#[derive(Serialize)]
struct Totals {
    tokens: usize,
    mass: f64,
    needle_tokens: usize,
    needle_mass: f64,
    kind_masses: BTreeMap<String, f64>,
    heads: Vec<AttentionRow>,
}

impl Totals {
    fn of(tokens: &[ShadedToken], heads: &[AttentionRow]) -> Self {
        let asked = asked(tokens);
        let needle = || tokens.iter().filter(|token| token.part.is_some_and(|part| asked(part.kind)));
        let mut kind_masses: BTreeMap<String, f64> = BTreeMap::new();
        for (part, mass) in tokens.iter().filter_map(|token| Some((token.part?, token.mass))) {
            *kind_masses.entry(part.kind.to_string()).or_default() += mass;
        }
        Self {
            tokens: tokens.len(),
            mass: tokens.iter().map(|token| token.mass).sum(),
            needle_tokens: needle().count(),
            needle_mass: needle().map(|token| token.mass).sum(),
            kind_masses,
            heads: heads.to_vec(),
        }
    }
}

impl From<PromptReport> for Report {
    fn from(prompt: PromptReport) -> Self {
        let PromptReport { lines, ran, tokens, heads, top } = prompt;
        let asked = asked(&tokens);
        let row = |(position, token): (usize, &ShadedToken)| TokenMass {
            position,
            token: token.text.clone(),
            mass: token.mass,
            in_needle: token.part.is_some_and(|part| asked(part.kind)),
            in_value: token.in_value,
            kind: token.part.map(|part| part.kind.to_string()),
        };
        let rows: Vec<_> = tokens.iter().enumerate().map(row).collect();
        let data = Data::rows("prompt", rows).of(ran).with_totals(Totals::of(&tokens, &heads));
        let values = tokens.iter().any(|token| token.in_value);
        let figure = by_position(&tokens);
        let texts: Vec<String> = tokens.iter().map(|token| token.text.clone()).collect();
        let kinds = by_kind(&tokens);
        let mut blocks = vec![Block::Lines(lines), Block::Prompt(tokens), Block::Figure(figure)];
        blocks.extend(kinds.map(Block::Table));
        if !heads.is_empty() {
            let table = self::heads(&heads, top, values, &texts).captioned("heads by needle mass");
            blocks.push(Block::Table(table));
        }
        Self { document: Document { title: "Attention of a prompt".to_string(), blocks }, data }
    }
}

/// Whether a kind of span is asked for: the targets, and where a chain has none its steps.
fn asked(tokens: &[ShadedToken]) -> impl Fn(SpanKind) -> bool + use<> {
    let targets = tokens.iter().any(|token| token.part.is_some_and(|part| part.kind == SpanKind::Target));
    move |kind| match targets {
        true => kind == SpanKind::Target,
        false => matches!(kind, SpanKind::Hop(_)),
    }
}

/// What each kind of span received, where there is more than one span.
fn by_kind(tokens: &[ShadedToken]) -> Option<Table> {
    let parts = || tokens.iter().filter_map(|token| Some((token.part?, token.mass)));
    let mut kinds: BTreeMap<SpanKind, (BTreeSet<usize>, usize, f64)> = BTreeMap::new();
    for (part, mass) in parts() {
        let (spans, tokens, sum) = kinds.entry(part.kind).or_default();
        spans.insert(part.span);
        (*tokens, *sum) = (*tokens + 1, *sum + mass);
    }
    if kinds.values().map(|(spans, ..)| spans.len()).sum::<usize>() < 2 {
        return None;
    }
    let all: f64 = tokens.iter().map(|token| token.mass).sum();
    let row = |name: String, spans: String, count: usize, mass: f64| {
        let share = or_missing((all > 0.0).then(|| format!("{:.1}%", 100.0 * mass / all)));
        vec![name, spans, count.to_string(), format!("{mass:.4}"), share]
    };
    let of_kinds = kinds
        .iter()
        .map(|(kind, (spans, count, mass))| row(kind.to_string(), spans.len().to_string(), *count, *mass));
    let rest: Vec<f64> = tokens.iter().filter(|token| token.part.is_none()).map(|token| token.mass).collect();
    let rest = row("other tokens".to_string(), "-".to_string(), rest.len(), rest.iter().sum());
    let header = ["kind", "spans", "tokens", "mass", "share"];
    Some(Table::new(&header, of_kinds.chain([rest]).collect()).captioned("attention by kind of span"))
}

/// The mass of every token, those of each kind of span in a colour and form of their own.
fn by_position(tokens: &[ShadedToken]) -> Figure {
    let mut kinds: Vec<Option<SpanKind>> =
        tokens.iter().map(|token| token.part.map(|part| part.kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    // The needle is drawn above all others.
    kinds.sort_by_key(|kind| *kind == Some(SpanKind::Target));
    let series = |kind: Option<SpanKind>| {
        let own = tokens.iter().enumerate().filter(|(_, token)| token.part.map(|part| part.kind) == kind);
        let (name, color) = match kind {
            None => ("other tokens".to_string(), 1),
            Some(SpanKind::Target) => ("needle".to_string(), 0),
            Some(SpanKind::Other) => ("other".to_string(), 2),
            Some(SpanKind::Distractor) => ("distractor".to_string(), 3),
            Some(SpanKind::Stale) => ("stale".to_string(), 4),
            Some(SpanKind::AnswerSource) => ("answer-source".to_string(), 7),
            Some(SpanKind::Hop(step)) => (format!("hop-{step}"), 2 + (step + 5) % 6),
        };
        let points = own.map(|(position, token)| Point::new(position as f64, token.mass)).collect();
        Series { name, color, shape: Shape::Dots, points }
    };
    let chart = Chart {
        title: "Attention by position".to_string(),
        x: Axis::linear("position (tokens)", None),
        y: Axis::logarithmic("attention mass"),
        series: kinds.into_iter().map(series).collect(),
        marks: Vec::new(),
    };
    Figure::chart("tokens", "Attention that each token of the prompt received", chart)
}

/// The `top` heads by needle mass, `layer.head`, at the query that predicts the first answer token; ties in
/// the order of layers and heads. `values`: the needles have one that is known; without it there is no column
/// of its mass. `texts` are those of the prompt's tokens: the arg-max comes with its own.
#[must_use]
pub fn heads(attention: &[AttentionRow], top: usize, values: bool, texts: &[String]) -> Table {
    let mut sorted: Vec<&AttentionRow> = attention.iter().collect();
    sorted.sort_by(|a, b| {
        b.needle_mass.total_cmp(&a.needle_mass).then_with(|| (a.layer, a.head).cmp(&(b.layer, b.head)))
    });
    let absolute = attention.iter().any(|row| row.passed_keys.is_some());
    let shown = sorted.iter().take(top);
    let rows = shown.map(|row| {
        let text = texts.get(row.argmax_position).map_or(String::new(), |text| format!(" {text:?}"));
        let argmax = format!("{}{text}", row.argmax_position);
        if absolute { screened_head(row, argmax) } else { normalised_head(row, argmax) }
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let mut header = match absolute {
        true => ["head", "needle", "total", "share", "value", "lift", "passed", "window", "zeros", "arg-max"]
            .to_vec(),
        false => ["head", "needle", "value", "total", "sink", "lift", "entropy", "arg-max"].to_vec(),
    };
    if let Some(column) = header.iter().position(|name| *name == "value").filter(|_| !values) {
        header.remove(column);
        rows.iter_mut().for_each(|row| drop(row.remove(column)));
    }
    Table::new(&header, rows)
}

/// A head whose rows sum to 1.
fn normalised_head(row: &AttentionRow, argmax: String) -> Vec<String> {
    vec![
        format!("{}.{}", row.layer, row.head),
        format!("{:.4}", row.needle_mass),
        format!("{:.4}", row.value_mass),
        format!("{:.4}", row.total_mass),
        format!("{:.4}", row.sink_mass),
        or_missing(row.lift.map(|lift| format!("{lift:.1}"))),
        or_missing(row.entropy.map(|entropy| format!("{entropy:.2}"))),
        argmax,
    ]
}

/// A tile: its needle mass is a part of a total that may be anything, 0 included.
fn screened_head(row: &AttentionRow, argmax: String) -> Vec<String> {
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    let any = row.total_mass > 0.0;
    vec![
        format!("{}.{}", row.layer, row.head),
        format!("{:.4}", row.needle_mass),
        format!("{:.4}", row.total_mass),
        or_missing(any.then(|| percent(row.needle_mass / row.total_mass))),
        format!("{:.4}", row.value_mass),
        or_missing(row.lift.map(|lift| format!("{lift:.1}"))),
        or_missing(row.passed_keys.map(|keys| keys.to_string())),
        or_missing(row.effective_window.map(|keys| keys.to_string())),
        or_missing(row.zero_share.map(percent)),
        or_missing(any.then_some(argmax)),
    ]
}
