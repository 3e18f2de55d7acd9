//! Attention on the needle: every head, and the top head of every trial.

use super::{Experiment, SeedRun, by_length, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::report::heads_of;
use crate::stats::mean;
use crate::trial::{Outcome, Status};

/// Times the training length at which heads are looked at.
const FACTOR: usize = 16;

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let runs = || experiment.configurations.iter().filter_map(|configuration| configuration.runs.first());
    let wanted = FACTOR * experiment.training_length;
    let longest = runs().flat_map(|run| run.outcomes.iter().map(|outcome| outcome.context_length)).max();
    let Some(length) = longest.map(|longest| longest.min(wanted)) else { return Vec::new() };
    let ranked = experiment.series(|run| {
        let ranked = by_head(run, length).into_iter().enumerate();
        ranked.map(|(rank, mass)| Point::new((rank + 1) as f64, mass)).collect()
    });
    let chart = Chart {
        title: format!("Needle mass of every head at {}", tokens(length)),
        x: Axis::linear("head, sorted", None),
        y: Axis::linear("needle mass (mean over trials)", Some((0.0, 1.0))),
        series: ranked,
        marks: vec![],
    };
    let heads = Figure {
        name: "needle-mass-of-heads".to_string(),
        caption: "Mean share of attention on the needle at the query that predicts the first answer token."
            .to_string(),
        panels: vec![Panel::Chart(chart)],
    };
    let panels = experiment.configurations.iter().filter_map(|configuration| {
        let run = configuration.runs.first().filter(|run| by_length(&run.outcomes).contains_key(&length))?;
        Some(Panel::Chart(Chart {
            title: configuration.name.clone(),
            x: Axis::linear("trial, sorted by needle mass", None),
            y: Axis::linear("top needle mass", Some((0.0, 1.0))),
            series: by_answer(run, length),
            marks: vec![],
        }))
    });
    let trials = Figure {
        name: "top-needle-mass-of-trials".to_string(),
        caption: format!(
            "Top needle mass (largest of all heads) of every trial at {}: right answers, answers whose first digit alone is right, and \
             others.",
            tokens(length)
        ),
        panels: panels.collect(),
    };
    let rows = experiment.configurations.iter().filter_map(|configuration| {
        let run = configuration.runs.first()?;
        let trials = by_length(&run.outcomes);
        let trials = trials.get(&length)?;
        let top: Vec<f64> = trials.iter().filter_map(|outcome| outcome.needle_mass_top).collect();
        let best = by_head(run, length).first().copied();
        let count =
            |answer| trials.iter().filter(|outcome| answered(outcome) == Some(answer)).count().to_string();
        Some(vec![
            configuration.name.clone(),
            super::number(mean(&top)),
            super::number(best),
            count(Answer::Right),
            count(Answer::FirstDigit),
            count(Answer::Wrong),
        ])
    });
    let table = Table {
        caption: format!("Needle mass and answers at {}.", tokens(length)),
        header: ["configuration", "top needle mass", "best head", "right", "first digit", "wrong"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
    };
    vec![
        Block::Heading("Attention on the needle".to_string()),
        Block::Figure(heads),
        Block::Figure(trials),
        Block::Table(table),
    ]
}

/// Mean needle mass of every head over the trials of a length, the largest first.
fn by_head(run: &SeedRun, length: usize) -> Vec<f64> {
    let heads = heads_of(&format!("{length}:"), &run.attention);
    let mut masses: Vec<f64> = heads.iter().filter_map(|head| head.needle_mass).collect();
    masses.sort_by(|a, b| b.total_cmp(a));
    masses
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Right,
    FirstDigit,
    Wrong,
}

fn answered(outcome: &Outcome) -> Option<Answer> {
    if outcome.status != Status::Ok {
        return None;
    }
    let first = |text: &str| text.trim_start().chars().next();
    let response = outcome.model_response.as_deref().and_then(first);
    Some(match outcome.correct? {
        true => Answer::Right,
        false if response.is_some() && response == first(&outcome.expected_answer) => Answer::FirstDigit,
        false => Answer::Wrong,
    })
}

/// Top needle masses in ascending order, a series an answer.
fn by_answer(run: &SeedRun, length: usize) -> Vec<Series> {
    let trials = by_length(&run.outcomes).remove(&length).unwrap_or_default();
    let mut masses: Vec<(f64, Answer)> =
        trials.iter().filter_map(|outcome| Some((outcome.needle_mass_top?, answered(outcome)?))).collect();
    masses.sort_by(|a, b| a.0.total_cmp(&b.0));
    let series = |(name, answer, color, shape): (&str, Answer, usize, Shape)| {
        let of = |(rank, (mass, found)): (usize, &(f64, Answer))| {
            (*found == answer).then(|| Point::new((rank + 1) as f64, *mass))
        };
        let points = masses.iter().enumerate().filter_map(of).collect();
        Series { name: name.to_string(), color, shape, points }
    };
    [
        ("right", Answer::Right, 2, Shape::Dots),
        ("first digit right", Answer::FirstDigit, 4, Shape::Dots),
        ("wrong", Answer::Wrong, 0, Shape::Crosses),
    ]
    .map(series)
    .into()
}
