//! How sharp the rows of one query are, head by head, and how sharp a Softmax could make them.
//!
//! Over the `n` keys that a row sees, with scores between `z_min` and `z_max`, no weight of a Softmax is more
//! than
//!
//! ```text
//! 1 / ((n - 1) e^-(z_max - z_min) + 1)
//! ```
//!
//! which all scores at `z_min` but one at `z_max` reach, and which falls to 0 as `n` grows (arXiv
//! 2501.19399). Scores are those before the variant's multiplier and a soft cap, which only brings them
//! closer together.

use std::ops::Range;

use super::probe::{Span, entropy};
use super::variant::{AttentionVariant, QueryRow};
use super::{AttentionRecorder, HeadRow, row_rule};

/// What the row of one head is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharpness {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// Keys that the row sees.
    pub keys: usize,
    /// The largest weight.
    pub largest: f64,
    /// The weight of the span that was asked for.
    pub span_mass: f64,
    /// Entropy of the row divided by its sum, in nats; `None` for a row that sums to 0.
    pub entropy: Option<f64>,
    /// The smallest and the largest score, of a rule that has scores.
    pub scores: Option<(f64, f64)>,
}

impl Sharpness {
    /// Of a row, with the mass of `span`.
    fn of(row: HeadRow<'_>, span: &Span) -> Self {
        let weights = row.weights;
        let mass = |range: &Range<usize>| -> f64 {
            let end = range.end.min(weights.len());
            weights[range.start.min(end)..end].iter().copied().map(f64::from).sum()
        };
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let seen = row.scores.map(|scores| scores.iter().filter(|z| z.is_finite()));
        Self {
            layer: row.layer,
            head: row.head,
            keys: seen.clone().map(Iterator::count).or(row.window).unwrap_or(weights.len()),
            largest: weights.iter().copied().fold(0.0, f32::max).into(),
            span_mass: span.iter().map(mass).fold(0.0, |sum, mass| sum + mass),
            entropy: (total > 0.0).then(|| entropy(weights, total)),
            scores: seen.and_then(|seen| {
                let widest = |(low, high): (f32, f32), &z: &f32| (low.min(z), high.max(z));
                let (low, high) = seen.fold((f32::INFINITY, f32::NEG_INFINITY), widest);
                (low <= high).then_some((low.into(), high.into()))
            }),
        }
    }
}

/// Collects the sharpness of every head at one query row.
#[derive(Debug, Clone)]
pub struct SharpnessProbe {
    row: usize,
    span: Span,
    heads: Vec<Sharpness>,
}

impl SharpnessProbe {
    /// For the row at this position, and the keys whose mass is wanted.
    #[must_use]
    pub fn new(row: usize, span: Span) -> Self {
        Self { row, span, heads: Vec::new() }
    }

    /// What was collected, by layer and head.
    #[must_use]
    pub fn finish(self) -> Vec<Sharpness> {
        self.heads
    }
}

impl AttentionRecorder for SharpnessProbe {
    fn rows(&self) -> Range<usize> {
        self.row..self.row + 1
    }

    fn wants_scores(&self) -> bool {
        true
    }

    fn record(&mut self, row: HeadRow<'_>) {
        self.heads.push(Sharpness::of(row, &self.span));
    }
}

/// The largest weight that head `head` of `layer` gives to a row of `n` scores that are -2 but one +3, the
/// paper's check; the key stands in the middle of the others.
#[must_use]
pub fn largest_of_check(variant: &dyn AttentionVariant, layer: usize, head: usize, n: usize) -> f64 {
    let row = QueryRow { position: n - 1, visible: n };
    let of_head = |multipliers: Vec<Vec<f32>>| multipliers[head.min(multipliers.len() - 1)][0];
    let multiplier = variant.multipliers(layer, &[row]).map_or(1.0, of_head);
    let distances = variant.distances(layer, n);
    let score = |key: usize| {
        let z = f64::from(multiplier) * if key == n / 2 { 3.0 } else { -2.0 };
        let at = distances.as_ref().map(|distances| distances.at(n - 1 - key));
        at.map_or(z, |(factor, offset)| f64::from(factor) * z + f64::from(offset))
    };
    let scores: Vec<f64> = (0..n).map(score).collect();
    let sink = variant.sinks(layer).map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[head]));
    let weights = match variant.row_rule(layer) {
        Some(rule) => rule.reference(&scores, sink),
        None => row_rule::softmax(&scores, sink),
    };
    weights.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::variant::{VariantInputs, build};
    use crate::spec::LayerSpec;

    #[test]
    fn a_row_can_be_checked_by_hand() {
        let mut probe = SharpnessProbe::new(3, Span::from([1..2, 3..9]));
        let (weights, scores) = ([0.0, 0.25, 0.5, 0.25], [f32::NEG_INFINITY, 1.0, 3.0, -0.5]);
        let row = HeadRow { layer: 1, head: 2, row: 3, weights: &weights, ..HeadRow::default() };
        probe.record(HeadRow { scores: Some(&scores), ..row });
        probe.record(HeadRow { window: Some(2), weights: &[0.0; 4], ..row });
        assert_eq!((probe.rows(), probe.wants_scores()), (3..4, true));
        let [sharp, none] = probe.finish().try_into().unwrap();
        assert_eq!(
            (sharp.layer, sharp.head, sharp.keys, sharp.largest, sharp.span_mass),
            (1, 2, 3, 0.5, 0.5)
        );
        assert!((sharp.entropy.unwrap() - 1.5 * 2f64.ln()).abs() < 1e-12);
        assert_eq!(sharp.scores, Some((-0.5, 3.0)));
        assert_eq!((none.keys, none.entropy, none.scores), (2, None, None));
    }

    #[test]
    fn the_check_of_the_paper_gives_its_numbers() {
        let layers = [LayerSpec::default()];
        let inputs = VariantInputs { layers: &layers, heads: 1, ..VariantInputs::default() };
        let found = |name: &str, inputs: &VariantInputs<'_>| {
            let variant = build(name, inputs).unwrap();
            [10, 100, 1000, 10_000].map(|n| largest_of_check(variant.as_ref(), 0, 0, n))
        };
        let close = |found: [f64; 4], expected: [f64; 4]| {
            found.iter().zip(expected).for_each(|(f, e)| assert!((f - e).abs() < 1e-6, "{f} and not {e}"));
        };
        close(found("softmax", &inputs), [0.942_826, 0.599_860, 0.129_346, 0.014_626]);
        let ssmax = VariantInputs { scale_override: Some(0.43), ..inputs };
        close(found("ssmax", &ssmax), [0.940_101, 0.995_063, 0.999_646, 0.999_975]);
        // A difference of 5 is more than 2.
        close(found("entmax15", &inputs), [1.0; 4]);
        // Eight keys at most.
        let of_eight = 1.0 / (1.0 + 7.0 * (-5f64).exp());
        close(found("topk:8", &inputs), [of_eight; 4]);
    }
}
