//! Whole rows of attention, of every layer and head: what a port is compared with.

use std::ops::Range;

use super::{AttentionRecorder, HeadRow};

/// Keeps the asked-for rows, `[layers, heads, rows, keys]`, of layers that attend; keys that a row does not
/// see stay 0.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionRows {
    layers: Vec<usize>,
    rows: Range<usize>,
    shape: [usize; 4],
    weights: Vec<f32>,
}

impl AttentionRows {
    /// Room for these query rows of the `layers` of a decoder that attend, with `heads` each, over `keys`
    /// keys.
    #[must_use]
    pub fn new(layers: Vec<usize>, heads: usize, rows: Range<usize>, keys: usize) -> Self {
        let shape = [layers.len(), heads, rows.len(), keys];
        Self { weights: vec![0.0; shape.iter().product()], shape, rows, layers }
    }

    /// The layers of the decoder that the first dimension counts.
    #[must_use]
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// Bytes that the rows take.
    #[must_use]
    pub fn bytes(layers: usize, heads: usize, rows: usize, keys: usize) -> usize {
        [heads, rows, keys, size_of::<f32>()].into_iter().fold(layers, usize::saturating_mul)
    }

    /// Layers, heads, rows and keys.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The weights, in the order of the shape.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }
}

impl AttentionRecorder for AttentionRows {
    fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    fn record(&mut self, HeadRow { layer, head, row, weights, .. }: HeadRow<'_>) {
        let [_, heads, rows, keys] = self.shape;
        let Ok(layer) = self.layers.binary_search(&layer) else { return };
        let start = ((layer * heads + head) * rows + row - self.rows.start) * keys;
        self.weights[start..start + weights.len()].copy_from_slice(weights);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_land_at_their_layer_head_and_position_and_the_future_is_zero() {
        let mut kept = AttentionRows::new(vec![0, 3], 2, 1..3, 3);
        kept.record(HeadRow { head: 1, row: 1, weights: &[0.25, 0.75], ..HeadRow::default() });
        kept.record(HeadRow {
            layer: 3,
            head: 1,
            row: 2,
            weights: &[0.5, 0.125, 0.375],
            ..HeadRow::default()
        });
        assert_eq!((kept.rows(), kept.shape()), (1..3, [2, 2, 2, 3]));
        let mut expected = [0.0; 24];
        expected[6..8].copy_from_slice(&[0.25, 0.75]);
        expected[21..].copy_from_slice(&[0.5, 0.125, 0.375]);
        assert_eq!(kept.weights(), expected);
        assert_eq!(AttentionRows::bytes(2, 2, 2, 3), 24 * 4);
        assert_eq!(AttentionRows::bytes(usize::MAX, 2, 2, 3), usize::MAX);
    }
}
