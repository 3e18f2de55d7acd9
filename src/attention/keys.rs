//! What is kept of rows besides sums over spans: the key with the largest weight, and the mean weight of a
//! few keys.

use std::ops::Range;

use super::{AttentionRecorder, HeadRow};

/// A number of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfHead<T> {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// The number.
    pub value: T,
}

/// Keeps the key with the largest weight of every head at one row, the first of equals.
#[derive(Debug, Clone)]
pub struct LargestKeys {
    row: usize,
    keys: Vec<OfHead<usize>>,
}

impl LargestKeys {
    /// Of the row at this position.
    #[must_use]
    pub fn at(row: usize) -> Self {
        Self { row, keys: Vec::new() }
    }

    /// The keys, by layer and then by head.
    #[must_use]
    pub fn finish(self) -> Vec<OfHead<usize>> {
        self.keys
    }
}

impl AttentionRecorder for LargestKeys {
    fn rows(&self) -> Range<usize> {
        self.row..self.row + 1
    }

    fn record(&mut self, HeadRow { layer, head, weights, .. }: HeadRow<'_>) {
        self.keys.push(OfHead { layer, head, value: largest(weights) });
    }
}

/// The place of the largest of these weights, the first of equals.
pub(super) fn largest(weights: &[f32]) -> usize {
    weights.iter().enumerate().fold(0, |best, (i, weight)| if *weight > weights[best] { i } else { best })
}

/// Keeps for every head the weight of each of some keys, mean over rows.
#[derive(Debug, Clone)]
pub struct MeanWeights {
    rows: Range<usize>,
    keys: Vec<usize>,
    sums: Vec<OfHead<Vec<f64>>>,
}

impl MeanWeights {
    /// Of the weights of `keys` at `rows`.
    #[must_use]
    pub fn new(rows: Range<usize>, keys: Vec<usize>) -> Self {
        Self { rows, keys, sums: Vec::new() }
    }

    /// The means, one a key, by layer and then by head.
    #[must_use]
    pub fn finish(mut self) -> Vec<OfHead<Vec<f64>>> {
        let rows = self.rows.len() as f64;
        self.sums.iter_mut().flat_map(|head| &mut head.value).for_each(|sum| *sum /= rows);
        self.sums
    }
}

impl AttentionRecorder for MeanWeights {
    fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    fn record(&mut self, HeadRow { layer, head, weights, .. }: HeadRow<'_>) {
        let place = self.sums.iter().position(|own| (own.layer, own.head) == (layer, head));
        let place = place.unwrap_or_else(|| {
            self.sums.push(OfHead { layer, head, value: vec![0.0; self.keys.len()] });
            self.sums.len() - 1
        });
        let weight = |key: &usize| weights.get(*key).copied().map_or(0.0, f64::from);
        self.sums[place].value.iter_mut().zip(&self.keys).for_each(|(sum, key)| *sum += weight(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(head: usize, row: usize, weights: &[f32]) -> HeadRow<'_> {
        HeadRow { head, row, weights, ..HeadRow::default() }
    }

    #[test]
    fn the_first_of_the_largest_weights_counts() {
        let mut keys = LargestKeys::at(2);
        keys.record(row(0, 2, &[0.25, 0.5, 0.25]));
        keys.record(row(1, 2, &[0.5, 0.0, 0.5]));
        assert_eq!(keys.rows(), 2..3);
        let keys: Vec<_> = keys.finish().into_iter().map(|own| (own.head, own.value)).collect();
        assert_eq!(keys, [(0, 1), (1, 0)]);
    }

    #[test]
    fn weights_are_means_over_rows_and_a_key_that_is_not_seen_has_none() {
        let mut means = MeanWeights::new(1..3, vec![1, 2]);
        means.record(row(0, 1, &[0.5, 0.5]));
        means.record(row(1, 1, &[1.0, 0.0]));
        means.record(row(0, 2, &[0.0, 0.25, 0.75]));
        means.record(row(1, 2, &[0.0, 0.5, 0.5]));
        let means: Vec<_> = means.finish().into_iter().map(|own| own.value).collect();
        assert_eq!(means, [[0.375, 0.375], [0.25, 0.25]]);
    }
}
