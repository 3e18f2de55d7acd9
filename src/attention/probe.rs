//! Attention measures of a few query rows, kept as sums: memory grows with the number of keys, never with its
//! square.

use std::ops::Range;

use super::keys::{OfHead, largest};
use super::{AttentionRecorder, HeadRow, SpanScores};

/// A set of key positions to sum over, as ranges.
pub type Span = Vec<Range<usize>>;

/// Which rows to look at, and which keys to sum over.
#[derive(Debug, Clone, Default)]
pub struct ProbeRequest {
    /// Absolute positions of the query rows; the first is the answering query.
    pub rows: Range<usize>,
    /// Sets of keys; the first ranks heads (its mass decides the top head).
    pub spans: Vec<Span>,
    /// Sets of keys whose raw scores are held against those of all others.
    pub scored: Vec<Span>,
    /// Absolute positions of rows, ascending, whose masses are kept one by one.
    pub items: Vec<usize>,
    /// A head, `(layer, head)`, whose full row is kept besides those of the mean and of the top head.
    pub chosen_head: Option<(usize, usize)>,
}

/// What one head did at one query row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMeasures {
    /// Sum of the weights over each span of the request.
    pub span_mass: Vec<f64>,
    /// Sum of the whole row: 1 for normalised rules.
    pub total_mass: f64,
    /// Weight of key 0.
    pub sink_mass: f64,
    /// Entropy of the normalised row, in nats; `None` when the row sums to 0.
    pub entropy: Option<f64>,
    /// Key with the largest weight; the first of equals.
    pub argmax_position: usize,
    /// What passed, under screening.
    pub screened: Option<Screened>,
    /// The mean of what an output gate lets through, where there is one.
    pub gate: Option<f64>,
    /// Raw scores on each of the request's scored sets; `None` where the row sees none of it, or has no
    /// scores.
    pub scores: Vec<Option<SpanScores>>,
    /// The `s` of a rule that multiplies scores by `s ln n`.
    pub log_scale: Option<f64>,
}

/// What passed the screen of a tile at one query row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screened {
    /// Keys with a relevance above 0.
    pub passed: usize,
    /// Keys inside the tile's window.
    pub window: usize,
    /// All keys up to the row.
    pub keys: usize,
}

impl Screened {
    /// The share of the keys inside the window that passed.
    #[must_use]
    pub fn passed_share(self) -> f64 {
        self.passed as f64 / self.window as f64
    }

    /// The share of all keys whose relevance is exactly 0.
    #[must_use]
    pub fn zero_share(self) -> f64 {
        (self.keys - self.passed) as f64 / self.keys as f64
    }
}

/// What one head did: at the answering query, and on average over all rows of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadMeasures {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// At the first row of the request.
    pub first: RowMeasures,
    /// Mean over the rows, of each span's mass.
    pub mean_span_mass: Vec<f64>,
    /// The mass of each span at each of the rows that were asked for one by one, `[items][spans]`.
    pub items: Vec<Vec<f64>>,
    /// Mean over the rows, of the whole row's sum.
    pub mean_total_mass: f64,
    /// Mean over the rows, of the weight of key 0.
    pub mean_sink_mass: f64,
    /// Mean over the rows that have them, of the raw scores on each scored set.
    pub mean_scores: Vec<Option<SpanScores>>,
}

/// Collects measures of the asked-for rows while a decoder runs.
#[derive(Debug, Clone)]
pub struct AttentionProbe {
    request: ProbeRequest,
    heads: Vec<HeadSums>,
    mean_row: Vec<f64>,
    top: Option<(f64, Vec<f32>)>,
    chosen_row: Option<Vec<f32>>,
}

#[derive(Debug, Clone)]
struct HeadSums {
    layer: usize,
    head: usize,
    rows: usize,
    first: RowMeasures,
    span_mass: Vec<f64>,
    items: Vec<Vec<f64>>,
    total_mass: f64,
    sink_mass: f64,
    scores: Vec<Vec<Option<SpanScores>>>, // [rows][scored sets]
    largest: Vec<usize>,                  // [rows]
}

/// What a probe has collected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttentionCapture {
    /// One entry a head, by layer and then by head.
    pub heads: Vec<HeadMeasures>,
    /// Weight of each key at the first row, mean over all layers and heads.
    pub mean_row: Vec<f64>,
    /// Weight of each key at the first row, of the head with the largest mass on the first span.
    pub top_row: Vec<f32>,
    /// Weight of each key at the first row, of the chosen head.
    pub chosen_row: Option<Vec<f32>>,
}

impl AttentionProbe {
    /// An empty probe.
    #[must_use]
    pub fn new(request: ProbeRequest) -> Self {
        Self { request, heads: Vec::new(), mean_row: Vec::new(), top: None, chosen_row: None }
    }

    /// The key with the largest weight of every head at the row of this number among those of the request
    /// that it has seen; none of a row that it has not.
    #[must_use]
    pub fn largest_keys(&self, row: usize) -> Vec<OfHead<usize>> {
        let of_head = |sums: &HeadSums| {
            let value = *sums.largest.get(row)?;
            Some(OfHead { layer: sums.layer, head: sums.head, value })
        };
        self.heads.iter().filter_map(of_head).collect()
    }

    fn keep_row(&mut self, layer: usize, head: usize, measures: &RowMeasures, weights: &[f32]) {
        self.mean_row.resize(weights.len(), 0.0);
        self.mean_row.iter_mut().zip(weights).for_each(|(sum, &weight)| *sum += f64::from(weight));
        let mass = measures.span_mass.first().copied().unwrap_or(0.0);
        if self.top.as_ref().is_none_or(|(best, _)| mass > *best) {
            self.top = Some((mass, weights.to_vec()));
        }
        if self.request.chosen_head == Some((layer, head)) {
            self.chosen_row = Some(weights.to_vec());
        }
    }

    /// The measures collected.
    #[must_use]
    pub fn finish(mut self) -> AttentionCapture {
        let count = self.heads.len().max(1) as f64;
        self.mean_row.iter_mut().for_each(|sum| *sum /= count);
        let heads = self.heads.into_iter().map(|sums| {
            let rows = sums.rows as f64;
            let of_set =
                |set: usize| SpanScores::mean(&sums.scores.iter().map(|row| row[set]).collect::<Vec<_>>());
            HeadMeasures {
                mean_scores: (0..self.request.scored.len()).map(of_set).collect(),
                layer: sums.layer,
                head: sums.head,
                first: sums.first,
                items: sums.items,
                mean_span_mass: sums.span_mass.iter().map(|sum| sum / rows).collect(),
                mean_total_mass: sums.total_mass / rows,
                mean_sink_mass: sums.sink_mass / rows,
            }
        });
        AttentionCapture {
            heads: heads.collect(),
            mean_row: self.mean_row,
            top_row: self.top.map(|(_, row)| row).unwrap_or_default(),
            chosen_row: self.chosen_row,
        }
    }
}

impl AttentionRecorder for AttentionProbe {
    fn rows(&self) -> Range<usize> {
        self.request.rows.clone()
    }

    fn wants_scores(&self) -> bool {
        !self.request.scored.is_empty()
    }

    fn record(
        &mut self,
        HeadRow { layer, head, row, weights, window, gate, scores, log_scale }: HeadRow<'_>,
    ) {
        let on = |span: &Span| SpanScores::of(scores?, span);
        let scores: Vec<Option<SpanScores>> = self.request.scored.iter().map(on).collect();
        let measures = RowMeasures {
            gate: gate.map(f64::from),
            scores: scores.clone(),
            log_scale: log_scale.map(f64::from),
            ..measure(weights, window, &self.request.spans)
        };
        if row == self.request.rows.start {
            self.keep_row(layer, head, &measures, weights);
        }
        let item = self.request.items.contains(&row).then(|| measures.span_mass.clone());
        match self.heads.iter_mut().find(|sums| (sums.layer, sums.head) == (layer, head)) {
            Some(sums) => {
                sums.rows += 1;
                sums.items.extend(item);
                sums.scores.push(scores);
                sums.largest.push(measures.argmax_position);
                sums.total_mass += measures.total_mass;
                sums.sink_mass += measures.sink_mass;
                sums.span_mass.iter_mut().zip(&measures.span_mass).for_each(|(sum, mass)| *sum += mass);
            }
            None => self.heads.push(HeadSums {
                layer,
                head,
                rows: 1,
                items: item.into_iter().collect(),
                scores: vec![scores],
                largest: vec![measures.argmax_position],
                span_mass: measures.span_mass.clone(),
                total_mass: measures.total_mass,
                sink_mass: measures.sink_mass,
                first: measures,
            }),
        }
    }
}

/// The sum of these weights; 0 for none (Rust's own sum of nothing is -0, which shows in print).
fn sum(weights: impl Iterator<Item = f64>) -> f64 {
    weights.fold(0.0, |sum, weight| sum + weight)
}

/// The measures of one row of weights; `window` as of [`HeadRow`].
fn measure(weights: &[f32], window: Option<usize>, spans: &[Span]) -> RowMeasures {
    let total_mass = sum(weights.iter().copied().map(f64::from));
    let within = |range: &Range<usize>| -> f64 {
        let end = range.end.min(weights.len());
        sum(weights[range.start.min(end)..end].iter().copied().map(f64::from))
    };
    RowMeasures {
        span_mass: spans.iter().map(|span| sum(span.iter().map(within))).collect(),
        total_mass,
        sink_mass: weights.first().copied().map_or(0.0, f64::from),
        entropy: (total_mass > 0.0).then(|| entropy(weights, total_mass)),
        argmax_position: largest(weights),
        screened: window.map(|window| {
            let passed = weights.iter().filter(|&&weight| weight > 0.0).count();
            Screened { passed, window, keys: weights.len() }
        }),
        gate: None,
        scores: Vec::new(),
        log_scale: None,
    }
}

/// `sum p ln(1/p)` of the row divided by its sum, in nats; `0 ln 0 = 0`.
pub(super) fn entropy(weights: &[f32], total: f64) -> f64 {
    let terms = weights.iter().filter(|&&w| w > 0.0).map(|&w| {
        let p = f64::from(w) / total;
        p * p.recip().ln()
    });
    sum(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_a_row_can_be_checked_by_hand() {
        let spans = [Span::from([1..3]), Span::from([2..3, 9..20])];
        let row = measure(&[0.5, 0.25, 0.25, 0.0], None, &spans);
        assert_eq!(row.span_mass, [0.5, 0.25]);
        assert_eq!((row.total_mass, row.sink_mass, row.argmax_position), (1.0, 0.5, 0));
        assert!((row.entropy.unwrap() - 1.5 * 2f64.ln()).abs() < 1e-12);
        assert_eq!(row.screened, None);
    }

    #[test]
    fn a_row_that_sums_to_zero_has_no_entropy() {
        assert_eq!(measure(&[0.0, 0.0], None, &[Span::from([0..1])]).entropy, None);
    }

    #[test]
    fn what_passed_is_counted_against_the_window_and_against_all_keys() {
        let screened = |weights: &[f32], window| measure(weights, Some(window), &[]).screened.unwrap();
        let some = screened(&[0.0, 0.0, 0.25, 0.0, 0.5], 4);
        assert_eq!((some.passed, some.passed_share(), some.zero_share()), (2, 0.5, 0.6));
        let none = screened(&[0.0; 5], 1);
        assert_eq!((none.passed, none.passed_share(), none.zero_share()), (0, 0.0, 1.0));
    }

    #[test]
    fn the_top_head_and_the_means_come_from_the_right_rows() {
        let mut probe = AttentionProbe::new(ProbeRequest {
            rows: 1..3,
            spans: vec![Span::from([0..1])],
            items: vec![2],
            chosen_head: Some((0, 0)),
            scored: Vec::new(),
        });
        for (head, row, weights) in
            [(0, 1, &[0.2, 0.8][..]), (1, 1, &[0.6, 0.4]), (0, 2, &[1.0, 0.0, 0.0]), (1, 2, &[0.0, 0.0, 1.0])]
        {
            probe.record(HeadRow { head, row, weights, ..HeadRow::default() });
        }
        assert_eq!(probe.rows(), 1..3);
        let keys = |row| probe.largest_keys(row).iter().map(|own| own.value).collect::<Vec<_>>();
        assert_eq!([keys(0), keys(1), keys(2)], [vec![1, 0], vec![0, 2], vec![]]);
        let capture = probe.finish();
        assert_eq!(capture.top_row, [0.6, 0.4]);
        assert_eq!(capture.chosen_row.as_deref(), Some(&[0.2f32, 0.8][..]));
        assert!((capture.mean_row[0] - 0.4).abs() < 1e-7);
        assert!((capture.heads[0].mean_span_mass[0] - 0.6).abs() < 1e-7);
        assert!((capture.heads[0].first.span_mass[0] - 0.2).abs() < 1e-7);
        assert_eq!(
            capture.heads.iter().map(|head| head.items.clone()).collect::<Vec<_>>(),
            [[[1.0]], [[0.0]]]
        );
    }

    #[test]
    fn scores_are_kept_of_the_first_row_and_in_the_mean_of_those_that_have_them() {
        let mut probe = AttentionProbe::new(ProbeRequest {
            rows: 1..3,
            scored: vec![Span::from([1..2]), Span::from([8..9])],
            ..ProbeRequest::default()
        });
        assert!(probe.wants_scores() && !AttentionProbe::new(ProbeRequest::default()).wants_scores());
        for (row, scores) in [(1, &[1.0, 4.0][..]), (2, &[1.0, 2.0, 2.5])] {
            let (weights, scores) = (&vec![1.0; row + 1][..], Some(scores));
            probe.record(HeadRow { row, weights, scores, log_scale: Some(0.5), ..HeadRow::default() });
        }
        let head = &probe.finish().heads[0];
        let (first, mean) = (head.first.scores[0].unwrap(), head.mean_scores[0].unwrap());
        assert_eq!((first.largest, first.margin, head.first.log_scale), (4.0, Some(3.0), Some(0.5)));
        assert_eq!((mean.largest, mean.margin), (3.0, Some(1.25)));
        assert_eq!((head.first.scores[1], head.mean_scores[1]), (None, None));
    }

    #[test]
    fn nothing_is_zero_and_never_minus_zero() {
        let row = measure(&[1.0, 0.0], None, &[Span::new(), Span::from([5..9])]);
        for zero in [row.span_mass[0], row.span_mass[1], row.entropy.unwrap()] {
            assert_eq!(zero.to_string(), "0");
        }
    }
}
