//! Raw scores of a query row on a span of keys, and how far they stand out.
//!
//! With `z_j = scale q·k_j` for every key that the row sees, before the multiplier of the variant, a soft cap
//! and biases, and `S` the keys of the span among these,
//!
//! ```text
//! largest     = max_{j in S} z_j
//! mean        = (sum_{j in S} z_j) / |S|
//! margin      = largest - max_{j not in S} z_j
//! margin_mean = mean - max_{j not in S} z_j
//! ```
//!
//! A margin is above 0 exactly where the key with the largest score is one of the span, and so for every rule
//! that multiplies a row's scores by one positive number the key with the largest weight.

use std::ops::Range;

/// What the scores of a row are on a span.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpanScores {
    /// The largest on the span.
    pub largest: f64,
    /// That above the largest elsewhere; `None` where the row sees no other key.
    pub margin: Option<f64>,
    /// The mean over the span's keys above the largest elsewhere.
    pub margin_mean: Option<f64>,
}

impl SpanScores {
    /// Of a row's `scores`, minus infinity for keys that it does not see, on the keys of `span`; `None` where
    /// it sees none of them.
    ///
    /// ```
    /// use niah::attention::SpanScores;
    /// let found = SpanScores::of(&[1.5, 3.0, 2.0, -1.0], &[1..3]).unwrap();
    /// assert_eq!((found.largest, found.margin, found.margin_mean), (3.0, Some(1.5), Some(1.0)));
    /// ```
    #[must_use]
    pub fn of(scores: &[f32], span: &[Range<usize>]) -> Option<Self> {
        let mut ranges: Vec<Range<usize>> = span.to_vec();
        ranges.sort_by_key(|range| range.start);
        let (mut sum, mut count, mut largest, mut elsewhere) = (0.0, 0usize, None, None);
        let mut end = 0;
        for range in ranges {
            let start = range.start.clamp(end, scores.len());
            keep_largest(&mut elsewhere, &scores[end..start]);
            end = range.end.clamp(start, scores.len());
            let seen = scores[start..end].iter().filter(|score| score.is_finite());
            (sum, count) = seen.fold((sum, count), |(sum, count), &z| (sum + f64::from(z), count + 1));
            keep_largest(&mut largest, &scores[start..end]);
        }
        keep_largest(&mut elsewhere, &scores[end..]);
        let largest = f64::from(largest?);
        let above = |score: f64| elsewhere.map(|other| score - f64::from(other));
        Some(Self { largest, margin: above(largest), margin_mean: above(sum / count as f64) })
    }

    /// The mean of each over the rows that have it; `None` of no row.
    pub(super) fn mean(rows: &[Option<Self>]) -> Option<Self> {
        let of = |value: fn(&Self) -> Option<f64>| {
            let values = rows.iter().flatten().filter_map(value);
            let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        Some(Self {
            largest: of(|row| Some(row.largest))?,
            margin: of(|row| row.margin),
            margin_mean: of(|row| row.margin_mean),
        })
    }
}

/// The largest finite score so far and of `scores`.
fn keep_largest(largest: &mut Option<f32>, scores: &[f32]) {
    let most = scores.iter().copied().filter(|score| score.is_finite()).fold(f32::NEG_INFINITY, f32::max);
    if most.is_finite() {
        *largest = Some(largest.map_or(most, |known| known.max(most)));
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::attention::variant::{VARIANTS, VariantInputs};
    use crate::attention::{AttentionContext, AttentionRecorder, Cached, HeadRow, Pages, Window, record};
    use crate::kernel::random;
    use crate::registry;
    use crate::rng::Rng;
    use crate::spec::LayerSpec;

    const UNSEEN: f32 = f32::NEG_INFINITY;

    #[test]
    fn a_margin_is_against_the_largest_score_that_is_not_on_the_span() {
        let scores = [0.5, 4.0, 1.0, 3.0, -2.0];
        let found = SpanScores::of(&scores, &[3..4, 0..1]).unwrap();
        assert_eq!((found.largest, found.margin, found.margin_mean), (3.0, Some(-1.0), Some(-2.25)));
        let joined = SpanScores::of(&scores, &[0..2, 1..3]).unwrap();
        assert_eq!((joined.largest, joined.margin), (4.0, Some(1.0)));
        assert_eq!(joined.margin_mean, Some(5.5 / 3.0 - 3.0), "a key of two ranges counts once");
    }

    #[test]
    fn keys_that_the_row_does_not_see_count_nowhere() {
        let scores = [UNSEEN, UNSEEN, 1.0, 2.0];
        assert_eq!(SpanScores::of(&scores, &[0..2]), None);
        let found = SpanScores::of(&scores, &[1..3]).unwrap();
        assert_eq!((found.largest, found.margin, found.margin_mean), (1.0, Some(-1.0), Some(-1.0)));
        let alone = SpanScores::of(&scores, &[0..9]).unwrap();
        assert_eq!((alone.largest, alone.margin, alone.margin_mean), (2.0, None, None));
        assert_eq!(SpanScores::of(&scores, &[7..9]), None);
        assert_eq!(SpanScores::of(&scores, &[]), None);
    }

    #[test]
    fn the_mean_over_rows_is_of_those_that_see_the_span() {
        let one = SpanScores { largest: 1.0, margin: None, margin_mean: None };
        let other = SpanScores { largest: 3.0, margin: Some(0.5), margin_mean: Some(0.25) };
        let mean = SpanScores::mean(&[Some(one), None, Some(other)]).unwrap();
        assert_eq!((mean.largest, mean.margin, mean.margin_mean), (2.0, Some(0.5), Some(0.25)));
        assert_eq!(SpanScores::mean(&[None]), None);
    }

    /// Rows as they were given.
    #[derive(Default)]
    struct Kept(Vec<Row>);

    struct Row {
        row: usize,
        weights: Vec<f32>,
        scores: Vec<f32>,
        log_scale: Option<f32>,
    }

    impl AttentionRecorder for Kept {
        fn rows(&self) -> Range<usize> {
            0..usize::MAX
        }

        fn wants_scores(&self) -> bool {
            true
        }

        fn record(&mut self, row: HeadRow<'_>) {
            let (weights, scores) = (row.weights.to_vec(), row.scores.unwrap().to_vec());
            self.0.push(Row { row: row.row, weights, scores, log_scale: row.log_scale });
        }
    }

    #[test]
    fn weights_are_the_softmax_of_the_multiplied_scores_of_the_keys_that_a_row_sees() {
        let (heads, kv_heads, d, s) = (4, 2, 8, 20);
        let mut rng = Rng::new(5);
        let mut tensor = |heads: usize| {
            let numbers = random::numbers(&mut rng, heads * s * d, 2.0);
            let rounded = numbers.into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect();
            Tensor::from_vec(rounded, (heads, s, d), &Device::Cpu).unwrap()
        };
        let (queries, keys, values) = (tensor(heads), tensor(kv_heads), tensor(kv_heads));
        let mut pages = Pages::new([kv_heads, d, 0]);
        pages.write(0, &[(&keys, &values)]).unwrap();
        let tensors = Cached::Tensors { keys, values, in_parts: false };
        let layers = [LayerSpec::default()];
        let inputs = VariantInputs { layers: &layers, heads, ..VariantInputs::default() };
        let ssmax = VariantInputs { scale_override: Some(0.5), ..inputs };
        for (name, inputs, s_of) in [("softmax", inputs, None), ("ssmax", ssmax, Some(0.5))] {
            let variant = (registry::find("variant", VARIANTS, name).unwrap().value)(&inputs).unwrap();
            for window in [Window::Full, Window::Sliding(6)] {
                for (cached, tolerance) in [(&tensors, 1e-5), (&Cached::Pages(&pages), 2e-2)] {
                    let context = AttentionContext {
                        layer: 0,
                        first_position: 0,
                        scale: 0.25,
                        window,
                        softcap: None,
                        bias: None,
                        blocked: &[],
                        variant: variant.as_ref(),
                        multipliers: None,
                    };
                    let mut kept = Kept::default();
                    record(&queries, cached, context, &mut kept).unwrap();
                    assert_eq!(kept.0.len(), heads * s);
                    for Row { row, weights, scores, log_scale } in kept.0 {
                        assert_eq!((scores.len(), log_scale), (row + 1, s_of));
                        let n = scores.iter().filter(|score| score.is_finite()).count();
                        assert_eq!(n, row + 1 - window.first_visible(row));
                        let m = s_of.map_or(1.0, |s| s * (n as f32).ln());
                        let power = |z: &f32| if z.is_finite() { (m * z).exp() } else { 0.0 };
                        let sum: f32 = scores.iter().map(power).sum();
                        for (weight, z) in weights.iter().zip(&scores) {
                            let off = (weight - power(z) / sum).abs();
                            assert!(off < tolerance, "{name}, {window:?}, row {row}: off by {off}");
                        }
                    }
                }
            }
        }
    }
}
