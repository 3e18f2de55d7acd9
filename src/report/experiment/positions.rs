//! Loss by position on held-out text.

use super::claims::headline;
use super::{Configuration, Experiment, SeedRun, number, tokens};
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
        caption: "Mean loss of a token by the number of tokens before it, with 95 % intervals over texts (Student's t); the first seed of each configuration."
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
        caption: "Mean loss in nats by the last position of a bucket, which begins after the one before; mean over seeds ± their standard \
                  deviation, on the same texts."
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

fn loss_at(run: &SeedRun, end: usize) -> Option<f64> {
    run.positions.iter().find(|bucket| bucket.position_end == end)?.loss_mean
}

/// How much the loss rises from the training length to the longest positions.
fn finding(experiment: &Experiment, ends: &[usize]) -> String {
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return String::new() };
    if first == last {
        return String::new();
    }
    let rises = |configuration: &Configuration| -> Vec<f64> {
        let rise = |run: &SeedRun| Some(loss_at(run, *last)? - loss_at(run, *first)?);
        configuration.runs.iter().filter_map(rise).collect()
    };
    let rise_of = |configuration: &Configuration| mean(&rises(configuration));
    let told = experiment.main().filter_map(|configuration| {
        let rises = rises(configuration);
        let by_seed: Vec<String> = rises.iter().map(|rise| format!("{rise:+.3}")).collect();
        let by_seed =
            if rises.len() > 1 { format!(" (by seed {})", by_seed.join(", ")) } else { String::new() };
        Some(format!("by {:+.3} nats under {}{by_seed}", mean(&rises)?, configuration.name))
    });
    let base = experiment.configurations.first().and_then(rise_of);
    let agrees = match (base, headline(experiment).and_then(rise_of)) {
        (Some(a), Some(b)) if a > 0.0 && b < a => " That it rises less is found here as well.",
        (Some(_), Some(_)) => " That is not found here.",
        _ => "",
    };
    format!(
        "From the bucket that ends at {} to the one that ends at {}, the loss changes {}. {}{agrees}",
        tokens(*first),
        tokens(*last),
        super::joined(&told.collect::<Vec<_>>()),
        experiment.paper.positions
    )
}
