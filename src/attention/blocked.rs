//! Keys that are kept from the rows behind them: what a part of a text does to an answer shows when no row
//! can attend to it.
//!
//! A row at or behind the end of a blocked span sees none of its keys: their scores are minus infinity before
//! the row is normalised, and their relevance is 0 under screening. Rows within a span see it as they always
//! do, so that no row is left without a key: each sees its own. A factor that depends on the number `n` of
//! keys counts those that are blocked, so that nothing else about a row's scores changes.

use std::ops::{Range, RangeInclusive};

/// Spans of a sequence that are kept from the rows behind them, at some layers or at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocked {
    spans: Vec<Range<usize>>,
    layers: Option<Vec<RangeInclusive<usize>>>,
}

impl Blocked {
    /// Absolute positions of keys, and the layers that do not see them; all, where none are named.
    #[must_use]
    pub fn new(mut spans: Vec<Range<usize>>, layers: Option<Vec<RangeInclusive<usize>>>) -> Self {
        spans.retain(|span| !span.is_empty());
        spans.sort_unstable_by_key(|span| (span.start, span.end));
        spans.dedup();
        Self { spans, layers }
    }

    /// The spans that a layer does not see.
    #[must_use]
    pub fn at(&self, layer: usize) -> &[Range<usize>] {
        match &self.layers {
            Some(layers) if !layers.iter().any(|layers| layers.contains(&layer)) => &[],
            _ => &self.spans,
        }
    }

    /// The first position whose row may see other keys than with `other`: up to there, the same tokens give
    /// the same keys, values and states.
    ///
    /// ```
    /// # use niah::attention::Blocked;
    /// let [one, other] = [[3..5, 9..12], [3..5, 9..14]].map(|spans| Blocked::new(spans.into(), None));
    /// assert_eq!(one.alike(&other), 12);
    /// assert_eq!(one.alike(&one), usize::MAX);
    /// ```
    #[must_use]
    pub fn alike(&self, other: &Self) -> usize {
        let only = |one: &Self, other: &Self| {
            let differs = |span: &&Range<usize>| one.layers != other.layers || !other.spans.contains(span);
            one.spans.iter().filter(differs).map(|span| span.end).min()
        };
        [only(self, other), only(other, self)].into_iter().flatten().min().unwrap_or(usize::MAX)
    }
}

/// The parts of the keys `keys` that `spans` keep from `row`, counted from the first of them; some may be
/// empty.
pub(super) fn hidden(
    spans: &[Range<usize>],
    row: usize,
    keys: Range<usize>,
) -> impl Iterator<Item = Range<usize>> + '_ {
    let place = move |position: usize| position.clamp(keys.start, keys.end) - keys.start;
    spans.iter().filter(move |span| span.end <= row).map(move |span| place(span.start)..place(span.end))
}

/// Lets `weigh` turn the scores of a row into weights as if there were no others than those that are not
/// `hidden`, whose weight is 0.
pub(super) fn of_seen<T: Copy + Default>(
    scores: &mut [T],
    hidden: impl Iterator<Item = Range<usize>>,
    weigh: impl FnOnce(&mut [T]),
) {
    let mut is_hidden = Vec::new();
    for keys in hidden {
        is_hidden.resize(scores.len(), false);
        is_hidden[keys].fill(true);
    }
    if is_hidden.is_empty() {
        return weigh(scores);
    }
    let places: Vec<usize> = (0..scores.len()).filter(|&key| !is_hidden[key]).collect();
    let mut seen: Vec<T> = places.iter().map(|&key| scores[key]).collect();
    weigh(&mut seen);
    scores.fill(T::default());
    places.into_iter().zip(seen).for_each(|(key, weight)| scores[key] = weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_a_span_do_not_see_it_and_those_within_do() {
        let spans = [3..5, 8..10];
        let of = |row, keys| hidden(&spans, row, keys).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        assert!(of(4, 0..5).is_empty());
        assert_eq!(of(5, 0..6), [3..5]);
        assert_eq!(of(9, 4..10), [0..1]);
        assert_eq!(of(20, 4..9), [0..1, 4..5]);
        assert!(of(20, 5..8).is_empty());
    }

    #[test]
    fn a_rule_of_whole_rows_is_given_what_is_seen_alone() {
        let weighed = |hidden: &[Range<usize>]| {
            let mut scores = [1.0, 2.0, 3.0, 4.0];
            of_seen(&mut scores, hidden.iter().cloned(), |scores| {
                let sum: f64 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
            });
            scores
        };
        assert_eq!(weighed(&[]), [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(weighed(&[1..3, 2..3]), [0.2, 0.0, 0.0, 0.8]);
    }

    #[test]
    fn a_layer_that_is_not_named_sees_everything() {
        let blocked = Blocked::new(vec![3..5, 2..2, 3..5], Some(vec![1..=2, 4..=4]));
        assert_eq!([0, 1, 2, 3, 4, 5].map(|layer| blocked.at(layer).len()), [0, 1, 1, 0, 1, 0]);
        assert_eq!(Blocked::new(vec![3..5], None).at(9), [3..5]);
    }

    #[test]
    fn sequences_are_alike_up_to_the_end_of_the_first_span_that_one_of_them_lacks() {
        let of = |spans: &[Range<usize>]| Blocked::new(spans.to_vec(), None);
        assert_eq!(of(&[3..5]).alike(&of(&[])), 5);
        assert_eq!(of(&[3..9]).alike(&of(&[3..5])), 5);
        assert_eq!(of(&[3..5]).alike(&of(&[3..5, 7..8])), 8);
        assert_eq!(of(&[3..5]).alike(&Blocked::new(vec![3..5], Some(vec![1..=1]))), 5);
        assert_eq!(of(&[]).alike(&Blocked::new(Vec::new(), Some(vec![1..=1]))), usize::MAX);
    }
}
