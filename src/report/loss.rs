//! Losses of the tokens of several texts, summed up by position.
//!
//! The position of a prediction is the number of tokens that it is made from, from 1. Texts are the
//! independent unit, so the interval of a mean is that of [`mean_interval`] over the means of the texts.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Point, Series, Shape, Table};
use super::{Report, or_missing};
use crate::stats::{Interval, mean, mean_interval};

/// The mean loss at some positions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BucketLoss {
    /// The first position: tokens that the prediction is made from.
    pub position_start: usize,
    /// The last position.
    pub position_end: usize,
    /// Tokens predicted there, of all texts.
    pub n_tokens: usize,
    /// Texts.
    pub n_texts: usize,
    /// Mean loss in nats a token.
    pub loss_mean: Option<f64>,
    /// Lower end of its 95 % interval; missing for a single text, and where all are alike.
    pub loss_ci_low: Option<f64>,
    /// Upper end.
    pub loss_ci_high: Option<f64>,
}

/// Positions `1..=length` in buckets, ascending.
///
/// Without a `count` they double, as a logarithmic axis shows them: 1, 2, 3-4, 5-8, 9-16 and so on, so that a
/// training length that is a power of two ends one. With it they are that many of equal width, up to one.
#[must_use]
pub fn position_buckets(length: usize, count: Option<usize>) -> Vec<RangeInclusive<usize>> {
    let ends: Vec<usize> = match count {
        None => {
            let powers = (0..usize::BITS).map(|power| 1 << power).take_while(|&end| end < length);
            powers.chain((length > 0).then_some(length)).collect()
        }
        Some(count) => {
            let count = count.min(length);
            // In u128 no length times a count overflows.
            (1..=count).map(|i| (i as u128 * length as u128 / count as u128) as usize).collect()
        }
    };
    let starts = std::iter::once(1).chain(ends.iter().map(|end| end + 1));
    starts.zip(&ends).map(|(start, &end)| start..=end).collect()
}

/// The mean of each text in each bucket, `[buckets][texts]`; every text has a loss for every position.
#[must_use]
pub fn text_means(texts: &[Vec<f64>], buckets: &[RangeInclusive<usize>]) -> Vec<Vec<f64>> {
    let of_bucket = |bucket: &RangeInclusive<usize>| {
        texts.iter().filter_map(|losses| mean(losses.get(bucket.start() - 1..*bucket.end())?)).collect()
    };
    buckets.iter().map(of_bucket).collect()
}

/// The interval of a mean over texts, from the mean of each.
#[must_use]
pub fn over_texts(means: &[f64]) -> Interval {
    mean_interval(&means.iter().map(|&mean| vec![mean]).collect::<Vec<_>>(), None)
}

/// Mean and interval of each bucket, from [`text_means`].
#[must_use]
pub fn by_position(means: &[Vec<f64>], buckets: &[RangeInclusive<usize>]) -> Vec<BucketLoss> {
    let of_bucket = |(bucket, means): (&RangeInclusive<usize>, &Vec<f64>)| {
        let interval = over_texts(means).ends();
        BucketLoss {
            position_start: *bucket.start(),
            position_end: *bucket.end(),
            n_tokens: (bucket.end() + 1 - bucket.start()) * means.len(),
            n_texts: means.len(),
            loss_mean: mean(means),
            loss_ci_low: interval.map(|(low, _)| low),
            loss_ci_high: interval.map(|(_, high)| high),
        }
    };
    buckets.iter().zip(means).map(of_bucket).collect()
}

/// The mean loss of all tokens at positions up to `end`, of buckets that end there or before; `None` when
/// there are none.
#[must_use]
pub fn mean_within(buckets: &[BucketLoss], end: usize) -> Option<f64> {
    let within = buckets.iter().filter(|bucket| bucket.position_end <= end);
    let sum = within.filter_map(|bucket| Some((bucket.loss_mean? * bucket.n_tokens as f64, bucket.n_tokens)));
    let (loss, tokens) = sum.fold((0.0, 0), |(loss, tokens), (of, n)| (loss + of, tokens + n));
    (tokens > 0).then(|| loss / tokens as f64)
}

/// What there is to say of losses by position.
pub struct LossReport {
    /// What ran, in one line.
    pub title: String,
    /// What ran, for programs: an object.
    pub ran: Value,
    /// The loss by position, ascending.
    pub buckets: Vec<BucketLoss>,
    /// Length the checkpoint was trained on.
    pub training_length: Option<usize>,
    /// How it was measured, in words.
    pub notes: Vec<String>,
}

impl From<LossReport> for Report {
    fn from(report: LossReport) -> Self {
        let LossReport { title, ran, buckets, training_length, notes } = report;
        let totals = Totals::of(&buckets, training_length);
        let blocks = vec![
            Block::Paragraph(title),
            bars(&buckets, training_length),
            Block::Figure(curve(&buckets, training_length)),
            Block::Lines(notes),
        ];
        let title = "Loss by position".to_string();
        let data = Data::rows("loss", buckets).of(ran).with_totals(totals);
        Self { document: Document { title, blocks }, data }
    }
}

/// All positions together, as JSON.
#[derive(Serialize)]
struct Totals {
    n_tokens: usize,
    n_texts: usize,
    loss_mean: Option<f64>,
    training_length: Option<usize>,
    loss_mean_within_training_length: Option<f64>,
}

impl Totals {
    fn of(buckets: &[BucketLoss], training_length: Option<usize>) -> Self {
        Self {
            n_tokens: buckets.iter().map(|bucket| bucket.n_tokens).sum(),
            n_texts: buckets.first().map_or(0, |bucket| bucket.n_texts),
            loss_mean: mean_within(buckets, usize::MAX),
            training_length,
            loss_mean_within_training_length: training_length.and_then(|end| mean_within(buckets, end)),
        }
    }
}

/// Losses by position with bars from 0 up; a line of its own stands where the training length ends.
fn bars(buckets: &[BucketLoss], training_length: Option<usize>) -> Block {
    let largest = buckets.iter().filter_map(|bucket| bucket.loss_mean).fold(0.0, f64::max);
    let (mut rows, mut shares) = (Vec::new(), Vec::new());
    let mut trained = training_length.filter(|&length| length > 0);
    for bucket in buckets {
        if let Some(length) = trained.filter(|&length| bucket.position_end > length) {
            rows.push(vec![format!("trained to {length}")]);
            shares.push(0.0);
            trained = None;
        }
        let positions = match (bucket.position_start, bucket.position_end) {
            (start, end) if start == end => end.to_string(),
            (start, end) => format!("{start}-{end}"),
        };
        let interval = bucket.loss_ci_low.zip(bucket.loss_ci_high);
        rows.push(vec![
            positions,
            bucket.n_tokens.to_string(),
            or_missing(bucket.loss_mean.map(|loss| format!("{loss:.3}"))),
            or_missing(interval.map(|(low, high)| format!("{low:.3} to {high:.3}"))),
        ]);
        shares.push(bucket.loss_mean.map_or(0.0, |loss| loss / largest));
    }
    Block::Bars(Table::new(&["position", "tokens", "loss", "95% CI"], rows), shares)
}

/// The loss of every bucket over its last position.
fn curve(buckets: &[BucketLoss], training_length: Option<usize>) -> Figure {
    let point = |bucket: &BucketLoss| {
        let interval = bucket.loss_ci_low.zip(bucket.loss_ci_high);
        Some(Point { interval, ..Point::new(bucket.position_end as f64, bucket.loss_mean?) })
    };
    let points = buckets.iter().filter_map(point).collect();
    let last = buckets.last().map_or(0, |bucket| bucket.position_end);
    let mark = training_length.filter(|&length| length > 0 && length < last);
    let chart = Chart {
        title: "Loss by position".to_string(),
        x: Axis::logarithmic("position (tokens)"),
        y: Axis::linear("loss (nats per token)", None),
        series: vec![Series { name: "mean over texts".to_string(), color: 1, shape: Shape::Line, points }],
        marks: mark.map(|length| (length as f64, "training length".to_string())).into_iter().collect(),
    };
    Figure::chart("loss", "Mean loss by position, with 95 % intervals over texts", chart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_position_once_and_powers_of_two_end_them() {
        assert_eq!(position_buckets(9, None), [1..=1, 2..=2, 3..=4, 5..=8, 9..=9]);
        assert_eq!(position_buckets(8, None).last(), Some(&(5..=8)));
        assert_eq!(position_buckets(10, Some(3)), [1..=3, 4..=6, 7..=10]);
        assert_eq!(position_buckets(2, Some(5)), [1..=1, 2..=2]);
        assert!(position_buckets(0, None).is_empty() && position_buckets(0, Some(3)).is_empty());
        for (length, count) in [(1, None), (1000, None), (1000, Some(7)), (4096, Some(4096))] {
            let covered: Vec<usize> = position_buckets(length, count).into_iter().flatten().collect();
            assert_eq!(covered, (1..=length).collect::<Vec<_>>(), "{length} {count:?}");
        }
    }

    #[test]
    fn the_interval_is_over_texts_and_not_over_tokens() {
        let buckets = position_buckets(4, None);
        let texts = [vec![4.0, 2.0, 1.0, 3.0], vec![4.0, 3.0, 3.0, 5.0]];
        let found = by_position(&text_means(&texts, &buckets), &buckets);
        assert_eq!(found.iter().map(|row| row.loss_mean).collect::<Vec<_>>(), [4.0, 2.5, 3.0].map(Some));
        // The means 2 and 4: 3 ± 12.706 √2 / √2.
        let last = &found[2];
        assert_eq!((last.n_tokens, last.n_texts), (4, 2));
        assert!((last.loss_ci_low.unwrap() + 9.706_205).abs() < 1e-5);
        assert!((last.loss_ci_high.unwrap() - 15.706_205).abs() < 1e-5);
        let alone = by_position(&text_means(&texts[..1], &buckets), &buckets);
        assert_eq!((alone[2].loss_mean, alone[2].loss_ci_low), (Some(2.0), None));
    }

    #[test]
    fn the_mean_within_a_position_weighs_every_token_the_same() {
        let buckets = position_buckets(4, None);
        let found = by_position(&text_means(&[vec![4.0, 2.0, 1.0, 3.0]], &buckets), &buckets);
        assert_eq!(mean_within(&found, 4), Some(2.5));
        assert_eq!(mean_within(&found, 3), Some(3.0));
        assert_eq!(mean_within(&found, 0), None);
    }
}
