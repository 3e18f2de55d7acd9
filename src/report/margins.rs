//! Raw scores beside masses, by context length: whether a head stops looking because the needle's score fell,
//! or because there are more keys to compete with.

use std::collections::BTreeMap;

use super::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use super::or_missing;
use crate::grid::ContextLength;
use crate::stats;
use crate::trial::AttentionRow;

/// Heads whose margins are shown: those with the largest mean needle mass.
pub const SHOWN: usize = 5;

/// What a head's scores were on the needles, trial by trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadMargins {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// [`AttentionRow::inverse_scale`].
    pub inverse_scale: Option<f64>,
    /// By context length and trial number, which prompts of a haystack share.
    pub by_length: BTreeMap<usize, BTreeMap<usize, Vec<Margin>>>,
}

/// What a head's scores were on the needles of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Margin {
    /// [`AttentionRow::needle_mass`].
    pub mass: f64,
    /// [`AttentionRow::needle_score`].
    pub score: f64,
    /// [`AttentionRow::score_margin`].
    pub margin: f64,
    /// [`AttentionRow::score_margin_mean`].
    pub margin_mean: f64,
}

impl HeadMargins {
    /// Those of a head of which nothing is known yet.
    #[must_use]
    pub fn new((layer, head): (usize, usize)) -> Self {
        Self { layer, head, ..Self::default() }
    }

    /// Adds a row of a prompt of this length and trial; one without scores is passed over.
    pub fn add(&mut self, context_length: usize, trial: usize, row: &AttentionRow) {
        let (Some(score), Some(margin), Some(margin_mean)) =
            (row.needle_score, row.score_margin, row.score_margin_mean)
        else {
            return;
        };
        let [score, margin, margin_mean] = [score, margin, margin_mean].map(f64::from);
        let found = Margin { mass: row.needle_mass, score, margin, margin_mean };
        if [found.mass, score, margin, margin_mean].iter().all(|number| number.is_finite()) {
            self.inverse_scale = row.inverse_scale.map(f64::from).filter(|scale| scale.is_finite());
            self.by_length.entry(context_length).or_default().entry(trial).or_default().push(found);
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.layer, self.head)
    }

    /// The mean of a number at every length, with its interval over trials.
    fn points(&self, of: fn(&Margin) -> f64) -> Vec<Point> {
        let point = |(length, trials): (&usize, &BTreeMap<usize, Vec<Margin>>)| {
            let groups: Vec<Vec<f64>> =
                trials.values().map(|margins| margins.iter().map(of).collect()).collect();
            Some(Point {
                x: *length as f64,
                y: stats::mean(&groups.concat())?,
                interval: stats::mean_interval(&groups, None).ends(),
            })
        };
        self.by_length.iter().filter_map(point).collect()
    }
}

/// Margins and masses by length, as a section; nothing of heads without scores.
#[must_use]
pub fn section(heads: &[HeadMargins]) -> Vec<Block> {
    let heads: Vec<&HeadMargins> =
        heads.iter().filter(|head| !head.by_length.is_empty()).take(SHOWN).collect();
    if heads.is_empty() {
        return Vec::new();
    }
    let scaled = heads.iter().any(|head| head.inverse_scale.is_some());
    let rows = heads.iter().flat_map(|head| {
        let ends = [head.by_length.first_key_value(), head.by_length.last_key_value()];
        let longest = if head.by_length.len() > 1 { 2 } else { 1 };
        ends.into_iter().take(longest).flatten().map(|(length, trials)| row(head, *length, trials))
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let mut header =
        ["head", "length", "needle mass", "needle score", "margin", "mean margin", "1/s", "above 1/s"]
            .to_vec();
    if !scaled {
        header.truncate(6);
        rows.iter_mut().for_each(|row| row.truncate(6));
    }
    let mut notes = vec![
        "score = scale q·k at the query that predicts the first answer token, before the multiplier of the \
         variant; needle score = the largest on the needle; margin = that minus the largest on any other \
         key; mean margin = the mean over the needle's tokens minus the same; means over trials"
            .to_string(),
    ];
    notes.extend(scaled.then(|| {
        "1/s = what a margin has to exceed for the weight to go to 1 as keys are added, under scores times s ln \
         n; above 1/s = the share of prompts whose margin does"
            .to_string()
    }));
    let table = Table::new(&header, rows)
        .captioned("Scores on the needle, heads with the largest needle mass (layer.head)");
    vec![
        Block::Heading("Scores and margins".to_string()),
        Block::Together(vec![Block::Figure(figure(&heads)), Block::Table(table), Block::Lines(notes)]),
    ]
}

/// What a head did at a length, as a row of the table.
fn row(head: &HeadMargins, length: usize, trials: &BTreeMap<usize, Vec<Margin>>) -> Vec<String> {
    let all: Vec<&Margin> = trials.values().flatten().collect();
    let mean = |of: fn(&Margin) -> f64, digits: usize| {
        let mean = stats::mean(&all.iter().map(|margin| of(margin)).collect::<Vec<_>>());
        or_missing(mean.map(|mean| format!("{mean:.digits$}")))
    };
    let above = head.inverse_scale.map(|scale| {
        let above = all.iter().filter(|margin| margin.margin > scale).count();
        format!("{:.0}%", 100.0 * above as f64 / all.len().max(1) as f64)
    });
    vec![
        head.name(),
        ContextLength(length).to_string(),
        mean(|margin| margin.mass, 3),
        mean(|margin| margin.score, 2),
        mean(|margin| margin.margin, 2),
        mean(|margin| margin.margin_mean, 2),
        or_missing(head.inverse_scale.map(|scale| format!("{scale:.2}"))),
        or_missing(above),
    ]
}

/// Two panels: mass, and margin with `1/s` as a broken line.
fn figure(heads: &[&HeadMargins]) -> Figure {
    let lines = |of: fn(&Margin) -> f64| {
        let line = |(color, head): (usize, &&HeadMargins)| Series {
            name: head.name(),
            color,
            shape: Shape::Line,
            points: head.points(of),
        };
        heads.iter().enumerate().map(line).collect::<Vec<_>>()
    };
    let bounds = heads.iter().enumerate().filter_map(|(color, head)| {
        let scale = head.inverse_scale?;
        let points = head.by_length.keys().map(|length| Point::new(*length as f64, scale));
        Some(Series {
            name: format!("1/s of {}", head.name()),
            color,
            shape: Shape::Dashes,
            points: points.collect(),
        })
    });
    let chart = |title: &str, y: Axis, series: Vec<Series>| {
        let x = Axis::logarithmic("context length (tokens)");
        Panel::Chart(Chart { title: title.to_string(), x, y, series, marks: Vec::new() })
    };
    let margins = lines(|margin| margin.margin).into_iter().chain(bounds).collect();
    Figure {
        name: "margins".to_string(),
        caption: "Mass and score margin of the heads with the largest needle mass, by context length"
            .to_string(),
        panels: vec![
            chart("Needle mass", Axis::linear("needle mass", Some((0.0, 1.0))), lines(|margin| margin.mass)),
            chart("Score margin", Axis::linear("needle score minus the largest elsewhere", None), margins),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(inverse_scale: Option<f32>) -> HeadMargins {
        let mut head = HeadMargins::new((2, 1));
        for (length, trial, mass, margin) in
            [(1024, 0, 0.5, 3.0), (1024, 1, 0.75, 5.0), (2048, 0, 0.25, 1.0), (2048, 1, 0.25, 4.5)]
        {
            let row = AttentionRow {
                needle_mass: mass,
                needle_score: Some(7.0),
                score_margin: Some(margin),
                score_margin_mean: Some(margin - 6.0),
                inverse_scale,
                ..AttentionRow::default()
            };
            head.add(length, trial, &row);
            head.add(length, trial + 2, &AttentionRow { needle_score: None, ..row });
        }
        head
    }

    fn table(blocks: &[Block]) -> &Table {
        let Block::Together(parts) = &blocks[1] else { panic!("{blocks:?}") };
        let Block::Table(table) = &parts[1] else { panic!("{parts:?}") };
        table
    }

    #[test]
    fn margins_are_held_against_one_over_s_at_the_shortest_and_the_longest_length() {
        let blocks = section(&[head(Some(4.0))]);
        let rows = &table(&blocks).rows;
        assert_eq!(rows[0], ["2.1", "1k", "0.625", "7.00", "4.00", "-2.00", "4.00", "50%"]);
        assert_eq!(rows[1], ["2.1", "2k", "0.250", "7.00", "2.75", "-3.25", "4.00", "50%"]);
        let Block::Together(parts) = &blocks[1] else { panic!("{blocks:?}") };
        let Block::Figure(figure) = &parts[0] else { panic!("{parts:?}") };
        let Panel::Chart(margins) = &figure.panels[1] else { panic!("{figure:?}") };
        assert_eq!(margins.series.len(), 2, "the margin and 1/s");
        assert_eq!((margins.series[0].points[0].x, margins.series[0].points[0].y), (1024.0, 4.0));
    }

    #[test]
    fn without_s_there_is_no_bound_and_without_scores_no_section() {
        assert_eq!(table(&section(&[head(None)])).header.len(), 6);
        assert!(section(&[HeadMargins::new((0, 0))]).is_empty());
        assert!(section(&[]).is_empty());
    }
}
