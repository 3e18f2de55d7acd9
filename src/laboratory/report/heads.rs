//! Attention on the needle: every head, and the top head of every trial.
//!
//! The weights of screening need not sum to 1, so needle mass is taken here as a share of its row's total. A
//! row whose total is 0 counts as a share of 0 for its head, so that a head that is nearly always empty is
//! not judged by the rest. The top head of a trial is that with the largest needle mass, and has no share
//! where it is empty.

use std::collections::{BTreeMap, HashMap};

use super::{Experiment, SeedRun, by_length, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
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
        ranked.map(|(rank, head)| Point::new((rank + 1) as f64, head.share)).collect()
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
        caption: "Mean share of attention on the needle at the query that predicts the first answer token; \
                  the first seed of each configuration."
            .to_string(),
        panels: vec![Panel::Chart(chart)],
    };
    let panels = experiment.configurations.iter().filter_map(|configuration| {
        let run = configuration.runs.first().filter(|run| by_length(&run.outcomes).contains_key(&length))?;
        Some(Panel::Chart(Chart {
            title: configuration.name.clone(),
            x: Axis::linear("trial, sorted by needle mass", None),
            y: Axis::linear("share of the top head on the needle", Some((0.0, 1.0))),
            series: by_answer(run, length),
            marks: vec![],
        }))
    });
    let trials = Figure {
        name: "top-needle-mass-of-trials".to_string(),
        caption: format!(
            "Top needle mass (largest of all heads) of every trial at {}, the first seed: right answers, \
             answers whose first digit alone is right, and others.",
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
        let best = by_head(run, length).into_iter().next();
        let count =
            |answer| trials.iter().filter(|outcome| answered(outcome) == Some(answer)).count().to_string();
        let mut row = vec![
            configuration.name.clone(),
            super::number(mean(&top)),
            super::number(best.as_ref().map(|head| head.share)),
            count(Answer::Right),
            count(Answer::FirstDigit),
            count(Answer::Wrong),
        ];
        if absolute {
            let totals = totals(run, length);
            let of_best = best.map(|head| head.totals).unwrap_or_default();
            row.extend([super::number(mean(&of_best)), empty(&of_best), empty(&totals)]);
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
        table.caption += " Needle mass is a share of the total of its row, which is not 1 where weights are \
                          absolute. A row is empty when its total is 0, and counts as 0 for its head.";
        table.header.extend(["total of that head", "its empty rows", "empty rows of all"].map(String::from));
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

/// `3 of 100`: how many of these totals are 0.
fn empty(totals: &[f64]) -> String {
    format!("{} of {}", totals.iter().filter(|total| **total == 0.0).count(), totals.len())
}

/// The share of a row on the needle; none of an empty one.
fn share(row: &AttentionRow) -> Option<f64> {
    (row.total_mass > 0.0).then(|| row.needle_mass / row.total_mass)
}

/// The share of the head with the largest needle mass of every trial, by its row id; none where that head's
/// row is empty.
fn tops(run: &SeedRun, length: usize) -> HashMap<String, f64> {
    let mut tops: HashMap<&str, &AttentionRow> = HashMap::new();
    for row in rows(run, length) {
        let top = tops.entry(&row.row_id).or_insert(row);
        if row.needle_mass > top.needle_mass {
            *top = row;
        }
    }
    tops.into_iter().filter_map(|(id, row)| Some((id.to_string(), share(row)?))).collect()
}

/// A head over the trials of a length.
struct HeadShare {
    /// Mean share of its rows on the needle.
    share: f64,
    /// The total of every row.
    totals: Vec<f64>,
}

/// Every head, the one with the largest share first.
fn by_head(run: &SeedRun, length: usize) -> Vec<HeadShare> {
    let mut heads: BTreeMap<(usize, usize), Vec<&AttentionRow>> = BTreeMap::new();
    for row in rows(run, length) {
        heads.entry((row.layer, row.head)).or_default().push(row);
    }
    let head = |rows: Vec<&AttentionRow>| HeadShare {
        share: rows.iter().map(|row| share(row).unwrap_or(0.0)).sum::<f64>() / rows.len() as f64,
        totals: rows.iter().map(|row| row.total_mass).collect(),
    };
    let mut heads: Vec<HeadShare> = heads.into_values().map(head).collect();
    heads.sort_by(|a, b| b.share.total_cmp(&a.share));
    heads
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
