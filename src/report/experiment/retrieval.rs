//! Exact answers by length and depth.

use super::{Configuration, Experiment, SeedRun, by_length, tokens};
use crate::grid::{Cell, ContextLength, Depth};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Table};
use crate::report::heatmap::Heatmap;
use crate::report::{Tally, cells};
use crate::stats::{mean, wilson};

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let lengths = lengths(experiment);
    let chart = Chart {
        title: "Exact answers by context length".to_string(),
        x: Axis::logarithmic("context length (tokens)"),
        y: Axis::linear("accuracy", Some((0.0, 1.0))),
        series: experiment.series(curve),
        marks: vec![(experiment.training_length as f64, "training length".to_string())],
    };
    let chart = Figure {
        name: "accuracy-by-length".to_string(),
        caption: "Share of exact answers over all depths, with 95 % Wilson intervals.".to_string(),
        panels: vec![Panel::Chart(chart)],
    };
    let maps = experiment.configurations.iter().filter_map(|configuration| {
        let run = configuration.runs.first().filter(|run| !run.outcomes.is_empty())?;
        let map = Heatmap::accuracy(&cells(&run.outcomes, &planned(run)), Some(experiment.training_length));
        Some(Panel::Heatmap(Heatmap { title: configuration.name.clone(), ..map }))
    });
    let maps = Figure {
        name: "accuracy-grids".to_string(),
        caption: "Share of exact answers by context length and depth. The line marks the training length."
            .to_string(),
        panels: maps.collect(),
    };
    let header = lengths.iter().map(|length| ContextLength(*length).to_string());
    let table = Table {
        caption: "Share of exact answers over all depths with its 95 % Wilson interval; of all seeds where a configuration was trained \
                  with several."
            .to_string(),
        header: ["configuration".to_string(), "seeds".to_string()].into_iter().chain(header).collect(),
        rows: experiment.configurations.iter().map(|configuration| row(configuration, &lengths)).collect(),
    };
    vec![
        Block::Heading("Retrieval".to_string()),
        Block::Paragraph(finding(experiment, &lengths)),
        Block::Figure(chart),
        Block::Figure(maps),
        Block::Table(table),
    ]
}

fn lengths(experiment: &Experiment) -> Vec<usize> {
    let runs = experiment.configurations.iter().flat_map(|configuration| &configuration.runs);
    let mut lengths: Vec<usize> =
        runs.flat_map(|run| run.outcomes.iter().map(|outcome| outcome.context_length)).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The cells that have a trial.
fn planned(run: &SeedRun) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for outcome in &run.outcomes {
        let Ok(depth) = Depth::from_percent(outcome.depth_percent) else { continue };
        let cell = Cell { context_length: ContextLength(outcome.context_length), depth };
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    cells
}

fn curve(run: &SeedRun) -> Vec<Point> {
    let point = |(length, outcomes): (&usize, &Vec<_>)| {
        let tally = Tally::of(outcomes);
        let interval = tally.ci_low.zip(tally.ci_high);
        Some(Point { x: *length as f64, y: tally.accuracy?, interval })
    };
    by_length(run).iter().filter_map(point).collect()
}

/// Right answers and answers of a configuration at a length, over all seeds.
fn counts(configuration: &Configuration, length: usize) -> (usize, usize) {
    let of = |run: &SeedRun| {
        by_length(run).get(&length).map_or((0, 0), |outcomes| {
            let tally = Tally::of(outcomes);
            (tally.n_correct, tally.n)
        })
    };
    configuration.runs.iter().map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
}

fn row(configuration: &Configuration, lengths: &[usize]) -> Vec<String> {
    let cell = |length: &usize| {
        let (correct, n) = counts(configuration, *length);
        wilson(correct, n).map_or("–".to_string(), |(low, high)| {
            format!("{:.3} [{low:.2}, {high:.2}]", correct as f64 / n as f64)
        })
    };
    let name = [configuration.name.clone(), configuration.runs.len().to_string()];
    name.into_iter().chain(lengths.iter().map(cell)).collect()
}

/// Accuracy of the main pair at the training length, at 8 and at 32 times of it.
fn finding(experiment: &Experiment, lengths: &[usize]) -> String {
    let told = |factor: usize| {
        let length = experiment.training_length * factor;
        lengths.contains(&length).then(|| {
            let each = experiment.configurations.iter().take(2).map(|configuration| {
                let (correct, n) = counts(configuration, length);
                let of_seed = |run: &SeedRun| Tally::of(by_length(run).get(&length)?).accuracy;
                let seeds: Vec<f64> = configuration.runs.iter().filter_map(of_seed).collect();
                let by_seed: Vec<String> = seeds.iter().map(|accuracy| format!("{accuracy:.2}")).collect();
                let by_seed =
                    if seeds.len() > 1 { format!(", by seed {}", by_seed.join(", ")) } else { String::new() };
                let accuracy = mean(&seeds).map_or("–".to_string(), |accuracy| format!("{accuracy:.3}"));
                format!("{} answers {accuracy} exactly ({correct} of {n}){by_seed}", configuration.name)
            });
            let times =
                if factor == 1 { "the training length".to_string() } else { format!("{factor} times of it") };
            format!("At {times}, {}, {}.", tokens(length), super::joined(&each.collect::<Vec<_>>()))
        })
    };
    let told: Vec<String> = [1, 8, 16, 32].into_iter().filter_map(told).collect();
    format!(
        "{} The paper finds retrieval to about ten times the training length with SSMax where Softmax fails.",
        told.join(" ")
    )
}
