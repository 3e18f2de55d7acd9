//! Loss by position on held-out text.

use std::cmp::Ordering;

use super::claims::headline;
use super::{Configuration, Experiment, SeedRun, number, over_seeds, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Table};
use crate::report::loss::BucketLoss;
use crate::stats::{mean, sample_sd};

/// Positions before this one say little of attention over a context.
const FIRST: usize = 16;

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let series = experiment.series(|run| run.positions.iter().filter_map(point).collect());
    if series.is_empty() {
        return Vec::new();
    }
    let chart = Chart {
        title: "Loss by position on held-out text".to_string(),
        x: Axis::logarithmic("position (tokens before)"),
        y: Axis::linear("loss (nats a token)", None),
        series,
        marks: vec![(experiment.training_length as f64, "training length".to_string())],
    };
    let figure = Figure {
        name: "loss-by-position".to_string(),
        caption:
            "Mean loss of a token by the number of tokens before it, with 95 % intervals over texts; the \
                  first seed of each configuration."
                .to_string(),
        panels: vec![Panel::Chart(chart)],
    };
    let first = experiment.configurations.iter().find_map(|configuration| configuration.runs.first());
    let ends = first.iter().flat_map(|run| &run.positions).map(|bucket| bucket.position_end);
    let ends: Vec<usize> = ends.filter(|end| *end >= experiment.training_length).collect();
    let header = ends.iter().map(|end| format!("to {}", crate::grid::ContextLength(*end)));
    let rows = experiment
        .configurations
        .iter()
        .filter(|configuration| configuration.runs.iter().any(|run| !run.positions.is_empty()));
    let rows = rows.map(|configuration| {
        let at = |end: &usize| {
            let of = |run: &SeedRun| loss_at(run, *end);
            let losses: Vec<f64> = configuration.runs.iter().filter_map(of).collect();
            let sd = sample_sd(&losses).map_or(String::new(), |sd| format!(" ± {sd:.3}"));
            format!("{}{sd}", number(mean(&losses)))
        };
        std::iter::once(configuration.name.clone()).chain(ends.iter().map(at)).collect()
    });
    let table = Table {
        caption:
            "Mean loss in nats by the last position of a bucket, which begins after the one before; mean \
                  over seeds ± their standard deviation, on the same texts."
                .to_string(),
        header: std::iter::once("configuration".to_string()).chain(header).collect(),
        rows: rows.collect(),
    };
    vec![
        Block::Heading("Loss far past the training length".to_string()),
        Block::Paragraph(finding(experiment, &ends)),
        Block::Figure(figure),
        Block::Table(table),
    ]
}

fn point(bucket: &BucketLoss) -> Option<Point> {
    let middle = (bucket.position_start as f64 * bucket.position_end as f64).sqrt();
    let interval = bucket.loss_ci_low.zip(bucket.loss_ci_high);
    let point = Point { x: middle, y: bucket.loss_mean?, interval };
    (bucket.position_start >= FIRST).then_some(point)
}

/// How much the loss of a run rises from the first bucket that ends behind the training length to the last
/// one.
pub(super) fn rise(run: &SeedRun, training_length: usize) -> Option<f64> {
    let mut ends =
        run.positions.iter().map(|bucket| bucket.position_end).filter(|end| *end >= training_length);
    let first = ends.next()?;
    let last = ends.next_back()?;
    Some(loss_at(run, last)? - loss_at(run, first)?)
}

fn loss_at(run: &SeedRun, end: usize) -> Option<f64> {
    run.positions.iter().find(|bucket| bucket.position_end == end)?.loss_mean
}

/// How much the loss rises from the training length to the longest positions.
fn finding(experiment: &Experiment, ends: &[usize]) -> String {
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return String::new() };
    if first == last {
        return String::new();
    }
    let rise = |run: &SeedRun| rise(run, experiment.training_length);
    let rises =
        |configuration: &Configuration| -> Vec<f64> { configuration.runs.iter().filter_map(rise).collect() };
    let told = experiment.main().filter_map(|configuration| {
        let rises = rises(configuration);
        let by_seed: Vec<String> = rises.iter().map(|rise| format!("{rise:+.3}")).collect();
        let by_seed =
            if rises.len() > 1 { format!(" (by seed {})", by_seed.join(", ")) } else { String::new() };
        Some(format!("by {:+.3} nats under {}{by_seed}", mean(&rises)?, configuration.name))
    });
    let base = experiment.configurations.first().map(|base| over_seeds(&rises(base)).side());
    let paired: Vec<f64> =
        experiment.pairs(1).iter().filter_map(|(base, run)| Some(rise(run)? - rise(base)?)).collect();
    let agrees = match (base, headline(experiment).map(|_| over_seeds(&paired))) {
        (Some(base), Some(difference)) if !paired.is_empty() => {
            let mean = mean(&paired).unwrap_or_default();
            let interval = difference.told(paired.len(), "seed", |value| format!("{value:+.3}"));
            let verdict = match (base, difference.side()) {
                (Some(Ordering::Greater), Some(Ordering::Less)) => "that it rises less is found here as well",
                (_, Some(Ordering::Greater)) => "here it is the other way round",
                _ => "that it rises less is not shown here",
            };
            format!(" Between the two it differs by {mean:+.3} nats ({interval}): {verdict}.")
        }
        _ => String::new(),
    };
    format!(
        "From the bucket that ends at {} to the one that ends at {}, the loss changes {}. {}{agrees}",
        tokens(*first),
        tokens(*last),
        super::joined(&told.collect::<Vec<_>>()),
        experiment.paper.positions
    )
}
