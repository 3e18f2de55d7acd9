//! Attention on the needle: every head, and the top head of every trial.
//!
//! The weights of screening need not sum to 1, so needle mass is taken here as a share of its row's total. A row whose total is 0
//! has no share and is left out; the table says how many there are.

use std::collections::HashMap;

use super::{Experiment, SeedRun, by_length, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::report::heads_of;
use crate::stats::mean;
use crate::trial::{AttentionRow, Outcome, Status};

/// How far a total may be from 1 by rounding.
const ROUNDING: f64 = 1e-3;
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
        y: Axis::linear("share on the needle (mean over trials)", Some((0.0, 1.0))),
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
            y: Axis::linear("largest share on the needle", Some((0.0, 1.0))),
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
    let absolute = runs().any(|run| totals(run, length).iter().any(|total| (total - 1.0).abs() > ROUNDING));
    let rows = experiment.configurations.iter().filter_map(|configuration| {
        let run = configuration.runs.first()?;
        let trials = by_length(&run.outcomes);
        let trials = trials.get(&length)?;
        let tops = tops(run, length);
        let top: Vec<f64> = trials.iter().filter_map(|outcome| tops.get(&outcome.row_id).copied()).collect();
        let best = by_head(run, length).first().copied();
        let count =
            |answer| trials.iter().filter(|outcome| answered(outcome) == Some(answer)).count().to_string();
        let mut row = vec![
            configuration.name.clone(),
            super::number(mean(&top)),
            super::number(best),
            count(Answer::Right),
            count(Answer::FirstDigit),
            count(Answer::Wrong),
        ];
        if absolute {
            let totals = totals(run, length);
            let empty = totals.iter().filter(|total| **total == 0.0).count();
            row.extend([super::number(mean(&totals)), format!("{empty} of {}", totals.len())]);
        }
        Some(row)
    });
    let mut table = Table {
        caption: format!("Needle mass and answers at {}.", tokens(length)),
        header: ["configuration", "top needle mass", "best head", "right", "first digit", "wrong"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
    };
    if absolute {
        table.caption += " Needle mass is a share of the total of its row, which is not 1 where weights are absolute; total is its mean \
                          over heads and trials, and a row is empty when it is 0.";
        table.header.extend(["total", "empty rows"].map(String::from));
    }
    vec![
        Block::Heading("Attention on the needle".to_string()),
        Block::Figure(heads),
        Block::Figure(trials),
        Block::Table(table),
    ]
}

/// Rows of the trials of a length.
fn rows(run: &SeedRun, length: usize) -> impl Iterator<Item = &AttentionRow> {
    let prefix = format!("{length}:");
    run.attention.iter().filter(move |row| row.row_id.starts_with(&prefix))
}

fn totals(run: &SeedRun, length: usize) -> Vec<f64> {
    rows(run, length).map(|row| row.total_mass).collect()
}

/// Rows that have a total, their needle mass as a share of it.
fn shares(run: &SeedRun, length: usize) -> Vec<AttentionRow> {
    let share =
        |row: &AttentionRow| AttentionRow { needle_mass: row.needle_mass / row.total_mass, ..row.clone() };
    rows(run, length).filter(|row| row.total_mass > 0.0).map(share).collect()
}

/// The largest share of every trial, by its row id.
fn tops(run: &SeedRun, length: usize) -> HashMap<String, f64> {
    let mut tops = HashMap::new();
    for row in shares(run, length) {
        let top: &mut f64 = tops.entry(row.row_id).or_insert(0.0);
        *top = top.max(row.needle_mass);
    }
    tops
}

/// Mean share of every head over the trials of a length, the largest first.
fn by_head(run: &SeedRun, length: usize) -> Vec<f64> {
    let heads = heads_of("", &shares(run, length));
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
    let tops = tops(run, length);
    let found = |outcome: &&Outcome| Some((*tops.get(&outcome.row_id)?, answered(outcome)?));
    let mut masses: Vec<(f64, Answer)> = trials.iter().filter_map(found).collect();
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
