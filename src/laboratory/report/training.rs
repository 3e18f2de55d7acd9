//! Loss against steps.

use std::cmp::Ordering;

use super::claims::headline;
use super::{Configuration, Experiment, FINAL, SeedRun, StepLoss, final_loss, joined, number, over_seeds};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Table};
use crate::stats::{mean, sample_sd};

/// Steps that a curve is smoothed over, as a share of all.
const SMOOTHED: usize = 40;

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let curve = |of: fn(&StepLoss) -> Option<f64>| experiment.series(|run| smoothed(from_scratch(run), of));
    let chart = |title: &str, series| {
        Panel::Chart(Chart {
            title: title.to_string(),
            x: Axis::linear("step", None),
            y: Axis::linear("loss (nats a token)", None),
            series,
            marks: vec![],
        })
    };
    let figure = Figure {
        name: "training-loss".to_string(),
        caption: format!(
            "Training loss by step, mean over windows of a {SMOOTHED}th of the steps; the first seed of each \
             configuration that was trained from scratch."
        ),
        panels: vec![
            chart("Loss of all tokens", curve(ALL)),
            chart("Loss of the answers' tokens", curve(ANSWERS)),
        ],
    };
    let rows = experiment.configurations.iter().enumerate().filter_map(|(index, configuration)| {
        let of = |of: fn(&StepLoss) -> Option<f64>| -> Vec<f64> {
            configuration.runs.iter().filter_map(|run| final_loss(from_scratch(run), of)).collect()
        };
        let all = of(ALL);
        let [of_all, of_answers] = [ALL, ANSWERS].map(|of| differences(experiment, index, of));
        let others = |value: Option<f64>| value.filter(|_| index > 0);
        (!all.is_empty()).then(|| {
            vec![
                configuration.name.clone(),
                all.len().to_string(),
                number(mean(&all)),
                signed(others(mean(&of_all))),
                others(sample_sd(&of_all)).map_or("–".to_string(), |sd| format!("{sd:.4}")),
                number(mean(&of(ANSWERS))),
                signed(others(mean(&of_answers))),
            ]
        })
    });
    let table = Table {
        caption: format!(
            "Final training loss in nats a token, of all tokens and of the answers': mean over the last \
             {FINAL}th of the steps, then over seeds; differences to the first line are taken seed by seed, \
             with those seeds that both have, and sd is their standard deviation. Weights that were trained \
             further from those of another configuration are left out: their steps are not the same \
             sequences."
        ),
        header: ["configuration", "seeds", "loss", "difference", "sd", "answer loss", "difference"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
    };
    vec![
        Block::Heading("Training loss".to_string()),
        Block::Paragraph(finding(experiment)),
        Block::Figure(figure),
        Block::Table(table),
    ]
}

/// What became of the final losses of the main configurations beside the first one, and what the paper finds.
fn finding(experiment: &Experiment) -> String {
    let Some(base) = experiment.configurations.first() else { return String::new() };
    let others = experiment.main().enumerate().skip(1);
    let mut told: Vec<String> =
        others.map(|(index, other)| compared(base, other, &differences(experiment, index, ALL))).collect();
    told.push(experiment.paper.loss.to_string());
    if headline(experiment).is_some() {
        let differences = differences(experiment, 1, ALL);
        told.push(
            match over_seeds(&differences).side() {
                _ if differences.is_empty() => "There is nothing to hold against it.",
                Some(Ordering::Less) => "That it is lower is found here as well.",
                Some(Ordering::Greater) => "Here it is the other way round.",
                Some(Ordering::Equal) => "Here no difference is shown, as the interval holds 0.",
                None => "Here no difference is shown, as that takes an interval over seeds.",
            }
            .to_string(),
        );
    }
    told.join(" ")
}

fn compared(base: &Configuration, other: &Configuration, differences: &[f64]) -> String {
    let Some(difference) = mean(differences) else {
        return format!("There is no training of {} beside one of {}.", other.name, base.name);
    };
    let interval = over_seeds(differences);
    let found = match interval.side() {
        Some(Ordering::Less) => "lower than",
        Some(Ordering::Greater) => "higher than",
        _ => "not shown to differ from",
    };
    let each: Vec<String> = differences.iter().map(|difference| signed(Some(*difference))).collect();
    let seeds = match differences.len() {
        1 => "with the one seed of both (".to_string(),
        n => format!("in the mean of {n} seeds ({}; ", joined(&each)),
    };
    format!(
        "At the end of training, the loss of {} is {found} that of {}: {} nats {seeds}{}).",
        other.name,
        base.name,
        signed(Some(difference)),
        interval.told(differences.len(), "seed", |value| signed(Some(value)))
    )
}

const ALL: fn(&StepLoss) -> Option<f64> = |step| Some(step.loss);
const ANSWERS: fn(&StepLoss) -> Option<f64> = |step| step.answer_loss;

/// The steps of a training from scratch.
fn from_scratch(run: &SeedRun) -> &[StepLoss] {
    if run.further { &[] } else { &run.steps }
}

/// Final losses minus those of the first configuration, by seed.
fn differences(experiment: &Experiment, other: usize, of: fn(&StepLoss) -> Option<f64>) -> Vec<f64> {
    let end = |run: &SeedRun| final_loss(from_scratch(run), of);
    experiment.pairs(other).iter().filter_map(|(base, run)| Some(end(run)? - end(base)?)).collect()
}

/// Means over windows, at their middle.
fn smoothed(steps: &[StepLoss], of: fn(&StepLoss) -> Option<f64>) -> Vec<Point> {
    let window = steps.len().div_ceil(SMOOTHED).max(1);
    let point = |window: &[StepLoss]| {
        let loss = mean(&window.iter().filter_map(of).collect::<Vec<_>>())?;
        let middle = window.iter().map(|step| step.step as f64).sum::<f64>() / window.len() as f64;
        Some(Point::new(middle, loss))
    };
    steps.chunks(window).filter_map(point).collect()
}

fn signed(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:+.4}"))
}
