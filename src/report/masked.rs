//! What answers come to as more and more heads are masked: those that retrieve best against as many others.

use std::collections::BTreeMap;

use serde::Serialize;

use super::controls::Meaning;
use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Panel, Point, Series, Shape, Table};
use super::{Report, Tally, by_trial, latest, or_missing};
use crate::stats::{Interval, mean_interval};
use crate::trial::{Outcome, Status};

/// How masked heads were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masked {
    /// None are masked.
    None,
    /// The best of a ranking.
    Top,
    /// Any others.
    Random,
}

impl Masked {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Top => "top",
            Self::Random => "random",
        }
    }
}

/// The runs of one choice of heads.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedRuns {
    /// How the heads were chosen.
    pub masked: Masked,
    /// How many.
    pub heads: usize,
    /// The task.
    pub task: Vec<Outcome>,
    /// The same without the needle, where that was run.
    pub no_needle: Vec<Outcome>,
}

/// What answers come to with so many heads masked; of several draws, over all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MaskedRow {
    /// `none`, `top` or `random`.
    pub masked: &'static str,
    /// Heads that are masked.
    pub heads: usize,
    /// Choices of so many heads.
    pub draws: usize,
    /// Prompts that ran, over all draws.
    pub n: usize,
    /// Different trial numbers among them: the independent haystacks behind the intervals.
    pub n_trials: usize,
    /// Prompts that failed.
    pub n_error: usize,
    /// Share of right answers.
    pub accuracy: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// The smallest accuracy of a draw.
    pub accuracy_least: Option<f64>,
    /// The largest.
    pub accuracy_most: Option<f64>,
    /// Mean log-probability of the expected answer, in nats.
    pub answer_logprob_mean: Option<f64>,
    /// Lower end of its 95 % interval.
    pub answer_logprob_ci_low: Option<f64>,
    /// Upper end.
    pub answer_logprob_ci_high: Option<f64>,
    /// Without the needle: the share of answers that give the expected one nevertheless.
    pub false_answers: Option<f64>,
    /// Lower end of its 95 % interval.
    pub false_answers_ci_low: Option<f64>,
    /// Upper end.
    pub false_answers_ci_high: Option<f64>,
}

impl MaskedRow {
    fn of(runs: &[&MaskedRuns]) -> Self {
        let all = |part: fn(&MaskedRuns) -> &Vec<Outcome>| -> Vec<&Outcome> {
            runs.iter().flat_map(|run| latest(part(run))).collect()
        };
        let (task, no_needle) = (all(|run| &run.task), all(|run| &run.no_needle));
        let (tally, control) = (Tally::of(&task), Tally::of(&no_needle));
        let draws: Vec<f64> = runs.iter().filter_map(|run| Tally::of(&latest(&run.task)).accuracy).collect();
        let logprob = logprob_interval(&task).ends();
        let ends =
            |interval: &Interval| (interval.ends().map(|ends| ends.0), interval.ends().map(|ends| ends.1));
        let ((ci_low, ci_high), (false_low, false_high)) = (ends(&tally.interval), ends(&control.interval));
        Self {
            masked: runs.first().map_or(Masked::None, |run| run.masked).name(),
            heads: runs.first().map_or(0, |run| run.heads),
            draws: runs.len(),
            n: tally.n,
            n_trials: tally.n_trials,
            n_error: tally.n_error + control.n_error,
            accuracy: tally.accuracy,
            ci_low,
            ci_high,
            accuracy_least: draws.iter().copied().reduce(f64::min),
            accuracy_most: draws.iter().copied().reduce(f64::max),
            answer_logprob_mean: tally.answer_logprob_mean,
            answer_logprob_ci_low: logprob.map(|ends| ends.0),
            answer_logprob_ci_high: logprob.map(|ends| ends.1),
            false_answers: control.accuracy.and_then(|share| Meaning::Guessed.false_answers(share)),
            false_answers_ci_low: false_low,
            false_answers_ci_high: false_high,
        }
    }
}

/// The interval of the mean log-probability of answers, over trial numbers.
fn logprob_interval(outcomes: &[&Outcome]) -> Interval {
    let ran: Vec<&Outcome> = outcomes.iter().copied().filter(|row| row.status == Status::Ok).collect();
    mean_interval(&by_trial(&ran, |row| row.answer_logprob), Some((f64::NEG_INFINITY, 0.0)))
}

/// What there is to say of heads that are masked.
pub struct MaskingReport {
    /// What ran, in one line.
    pub title: String,
    /// How heads were chosen, and what was asked.
    pub notes: Vec<String>,
    /// The runs, in any order.
    pub runs: Vec<MaskedRuns>,
}

/// What ran, for programs.
#[derive(Serialize)]
struct Ran {
    title: String,
    notes: Vec<String>,
}

impl From<MaskingReport> for Report {
    fn from(report: MaskingReport) -> Self {
        let MaskingReport { title, mut notes, runs } = report;
        let mut choices: BTreeMap<(Masked, usize), Vec<&MaskedRuns>> = BTreeMap::new();
        runs.iter().for_each(|run| choices.entry((run.masked, run.heads)).or_default().push(run));
        let rows: Vec<MaskedRow> = choices.values().map(|runs| MaskedRow::of(runs)).collect();
        notes.extend([
            "intervals are 95 %, over trials: prompts of one trial share a haystack, and all draws their prompts"
                .to_string(),
            "least-most: of the draws; false answers: without the needle".to_string(),
        ]);
        let figure = figure(&rows, &choices);
        let data = Data::rows("masking", rows.clone()).of(Ran { title: title.clone(), notes: notes.clone() });
        let blocks = vec![
            Block::Paragraph(title),
            Block::Figure(figure),
            Block::Together(vec![Block::Wide(table(&rows)), Block::Lines(notes)]),
        ];
        Self { document: Document { title: "Masked heads".to_string(), blocks }, data }
    }
}

fn table(rows: &[MaskedRow]) -> Table {
    let header = ["masked", "draws", "n", "accuracy", "least-most", "log-probability", "false answers"];
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let with_ends =
        |value: Option<f64>, low: Option<f64>, high: Option<f64>, show: &dyn Fn(f64) -> String| {
            let ends = low.zip(high).map(|(low, high)| format!(" ({} to {})", show(low), show(high)));
            or_missing(value.map(|value| format!("{}{}", show(value), ends.unwrap_or_default())))
        };
    let nats = |value: f64| format!("{value:.2}");
    let row = |row: &MaskedRow| {
        let name =
            if row.heads == 0 { row.masked.to_string() } else { format!("{} {}", row.masked, row.heads) };
        let range = row.accuracy_least.zip(row.accuracy_most).filter(|_| row.draws > 1);
        vec![
            name,
            row.draws.to_string(),
            row.n.to_string(),
            with_ends(row.accuracy, row.ci_low, row.ci_high, &percent),
            or_missing(range.map(|(least, most)| format!("{}-{}", percent(least), percent(most)))),
            with_ends(row.answer_logprob_mean, row.answer_logprob_ci_low, row.answer_logprob_ci_high, &nats),
            with_ends(row.false_answers, row.false_answers_ci_low, row.false_answers_ci_high, &percent),
        ]
    };
    Table::new(&header, rows.iter().map(row).collect())
        .captioned("Answers by masked heads: accuracy and false answers in %, log-probability in nats")
}

/// A value of a row with its interval.
type Value = fn(&MaskedRow) -> Option<(f64, Option<f64>, Option<f64>)>;

fn figure(rows: &[MaskedRow], choices: &BTreeMap<(Masked, usize), Vec<&MaskedRuns>>) -> Figure {
    let chart = |title: &str, y: Axis, value: Value| {
        let draws: Vec<MaskedRow> = choices
            .iter()
            .filter(|((masked, _), runs)| *masked == Masked::Random && runs.len() > 1)
            .flat_map(|(_, runs)| runs.iter().map(|run| MaskedRow::of(&[run])))
            .collect();
        let curve = |masked: Masked, color| {
            let own = rows.iter().filter(|row| [Masked::None.name(), masked.name()].contains(&row.masked));
            Series {
                name: format!("{} heads", masked.name()),
                color,
                shape: Shape::Line,
                points: own.filter_map(|row| point(row, value)).collect(),
            }
        };
        let each =
            draws.iter().filter_map(|row| Some(Point { interval: None, ..point(row, value)? })).collect();
        let each = Series { name: "one draw".to_string(), color: 2, shape: Shape::Dots, points: each };
        let mut series = vec![each, curve(Masked::Random, 2), curve(Masked::Top, 1)];
        series.retain(|series| !series.points.is_empty());
        Panel::Chart(Chart {
            title: title.to_string(),
            x: Axis::linear("masked heads", None),
            y,
            series,
            marks: Vec::new(),
        })
    };
    let share = |label: &str| Axis::linear(label, Some((0.0, 100.0)));
    let mut panels = vec![
        chart("Right answers", share("accuracy (%)"), |row| percents(row.accuracy, row.ci_low, row.ci_high)),
        chart("Log-probability of the answer", Axis::linear("nats", None), |row| {
            Some((row.answer_logprob_mean?, row.answer_logprob_ci_low, row.answer_logprob_ci_high))
        }),
    ];
    if rows.iter().any(|row| row.false_answers.is_some()) {
        panels.push(chart("Answers without a needle", share("false answers (%)"), |row| {
            percents(row.false_answers, row.false_answers_ci_low, row.false_answers_ci_high)
        }));
    }
    Figure {
        name: "masking".to_string(),
        caption: "The best heads masked, against as many others, with 95 % intervals over trials".to_string(),
        panels,
    }
}

fn percents(
    share: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
) -> Option<(f64, Option<f64>, Option<f64>)> {
    let percent = |share: f64| 100.0 * share;
    Some((percent(share?), low.map(percent), high.map(percent)))
}

fn point(row: &MaskedRow, value: Value) -> Option<Point> {
    let (y, low, high) = value(row)?;
    Some(Point { interval: low.zip(high), ..Point::new(row.heads as f64, y) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    fn runs(masked: Masked, heads: usize, right: &[bool], guessed: &[bool]) -> MaskedRuns {
        let rows = |answers: &[bool]| {
            let row = |(trial, ok): (usize, &bool)| Outcome {
                answer_logprob: Some(if *ok { -1.0 } else { -3.0 - trial as f64 }),
                config_hash: format!("{masked:?} {heads} {right:?}"),
                ..outcome(100, 0.0, trial, *ok, Some(0.5))
            };
            answers.iter().enumerate().map(row).collect()
        };
        MaskedRuns { masked, heads, task: rows(right), no_needle: rows(guessed) }
    }

    fn report() -> Report {
        Report::from(MaskingReport {
            title: "t".to_string(),
            notes: Vec::new(),
            runs: vec![
                runs(Masked::Random, 2, &[true, true, true], &[false, false, false]),
                runs(Masked::Random, 2, &[true, false, true], &[true, false, false]),
                runs(Masked::Top, 2, &[false, false, false], &[false, false, false]),
                runs(Masked::None, 0, &[true, true, true], &[false, false, false]),
            ],
        })
    }

    #[test]
    fn draws_are_summed_up_over_the_trials_that_they_share() {
        let mut rows = Vec::new();
        report()
            .data
            .table
            .each(&mut |row| {
                rows.push(row.clone());
                Ok(())
            })
            .unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["masked"].as_str().unwrap()).collect();
        assert_eq!(names, ["none", "top", "random"]);
        let random = &rows[2];
        assert_eq!(
            (random["draws"].as_u64(), random["n"].as_u64(), random["n_trials"].as_u64()),
            (Some(2), Some(6), Some(3))
        );
        let number = |key: &str| random[key].as_f64().unwrap();
        assert!((number("accuracy") - 5.0 / 6.0).abs() < 1e-12);
        assert!((number("accuracy_least") - 2.0 / 3.0).abs() < 1e-12 && number("accuracy_most") == 1.0);
        assert!((number("false_answers") - 1.0 / 6.0).abs() < 1e-12);
        assert!((number("answer_logprob_mean") + 1.5).abs() < 1e-12);
        assert!(number("ci_low") < number("accuracy") && number("answer_logprob_ci_low") < -1.5);
    }

    #[test]
    fn the_figure_begins_without_a_mask_and_shows_every_draw() {
        let document = report().document;
        let Some(Block::Figure(figure)) =
            document.blocks.iter().find(|block| matches!(block, Block::Figure(_)))
        else {
            panic!("no figure");
        };
        assert_eq!(figure.panels.len(), 3);
        let Panel::Chart(chart) = &figure.panels[0] else { panic!("no chart") };
        let series: Vec<(&str, Vec<(f64, f64)>)> = chart
            .series
            .iter()
            .map(|series| {
                (series.name.as_str(), series.points.iter().map(|point| (point.x, point.y)).collect())
            })
            .collect();
        assert_eq!(series[0].0, "one draw");
        assert_eq!(series[0].1.len(), 2);
        assert_eq!(series[2], ("top heads", vec![(0.0, 100.0), (2.0, 0.0)]));
    }
}
