//! The parts of a prompt that its tokens belong to.

use std::ops::Range;

use super::document::Part;
use crate::span::SpanKind;
use crate::trial::{Outcome, SpanRow};

/// Spans of a prompt, at most: what no task has is not shown.
const MOST_SPANS: usize = 4096;

/// The spans of a prompt, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts(Vec<Placed>);

#[derive(Debug, Clone, PartialEq)]
struct Placed {
    kind: SpanKind,
    tokens: Range<usize>,
    value: Range<usize>,
}

impl Parts {
    /// Those of a trial: its rows of `spans.csv` or, of a run that has none, its first needle.
    #[must_use]
    pub fn of(outcome: &Outcome, rows: &[SpanRow]) -> Self {
        let own = rows.iter().filter(|row| row.row_id == outcome.row_id);
        let placed = own.filter_map(|row| {
            let (tokens, value) = (row.token_start..row.token_end, row.value_start..row.value_end);
            Some(Placed { kind: row.kind.parse().ok()?, tokens, value })
        });
        let placed: Vec<Placed> = placed.take(MOST_SPANS).collect();
        if !placed.is_empty() {
            return Self(placed);
        }
        let range = |start: Option<usize>, end: Option<usize>| Some(start?..end?);
        let needle = range(outcome.needle_start, outcome.needle_end);
        let value = range(outcome.value_start, outcome.value_end).unwrap_or_default();
        Self(needle.map(|tokens| Placed { kind: SpanKind::Target, tokens, value }).into_iter().collect())
    }

    /// Needles without values that are known.
    #[must_use]
    pub fn of_needles(needles: &[Range<usize>]) -> Self {
        let placed = |tokens: &Range<usize>| Placed {
            kind: SpanKind::Target,
            tokens: tokens.clone(),
            value: Range::default(),
        };
        Self(needles.iter().map(placed).collect())
    }

    /// The part that the token at `position` belongs to, of two that share it the first, and whether it
    /// belongs to its value.
    #[must_use]
    pub fn at(&self, position: usize) -> (Option<Part>, bool) {
        let found = self.0.iter().enumerate().find(|(_, placed)| placed.tokens.contains(&position));
        let part = found.map(|(span, placed)| Part { kind: placed.kind, span });
        (part, found.is_some_and(|(_, placed)| placed.value.contains(&position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    #[test]
    fn tokens_belong_to_the_spans_of_their_trial_and_without_any_to_the_first_needle() {
        let trial = outcome(1024, 0.0, 0, true, None);
        let row = |row_id: &str, kind: &str, start: usize, end: usize| SpanRow {
            row_id: row_id.to_string(),
            kind: kind.to_string(),
            token_start: start,
            token_end: end,
            value_start: end - 2,
            value_end: end,
            ..SpanRow::default()
        };
        let rows = [
            row("1024:0:1", "target", 0, 99),
            row(&trial.row_id, "hop-2", 10, 14),
            row(&trial.row_id, "target", 13, 20),
            row(&trial.row_id, "unheard-of", 30, 40),
        ];
        let parts = Parts::of(&trial, &rows);
        let part = |kind, span| Some(Part { kind, span });
        assert_eq!(parts.at(9), (None, false));
        assert_eq!(parts.at(10), (part(SpanKind::Hop(2), 0), false));
        assert_eq!(parts.at(13), (part(SpanKind::Hop(2), 0), true), "of two that share a token the first");
        assert_eq!(parts.at(14), (part(SpanKind::Target, 1), false));
        assert_eq!((parts.at(19).1, parts.at(30).0), (true, None));
        let (start, end) = (trial.needle_start.unwrap(), trial.needle_end.unwrap());
        let old = Parts::of(&trial, &rows[..1]);
        assert_eq!((old.at(start).0, old.at(end).0), (part(SpanKind::Target, 0), None));
    }
}
