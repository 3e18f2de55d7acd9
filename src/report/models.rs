//! Several checkpoints on one plan: accuracy and needle mass of each, by length, and over the steps of a
//! training where the checkpoints are its steps.

use std::collections::BTreeSet;

use serde::Serialize;

use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Panel, Point, Series, Shape, Table};
use super::verdict::Verdict;
use super::{Means, Report, Tally, latest, or_missing};
use crate::grid::ContextLength;
use crate::stats::LengthRule;
use crate::trial::{Outcome, Status};

/// What came of one checkpoint.
#[derive(Debug, Clone, Default)]
pub struct ModelResult {
    /// As it was named.
    pub model: String,
    /// The step of a training that it is of.
    pub step: Option<u64>,
    /// Its rows.
    pub outcomes: Vec<Outcome>,
    /// Trials of its plan; none where it has not begun.
    pub planned: usize,
    /// Why it did not run.
    pub left_out: Option<String>,
}

/// What there is to say of several checkpoints.
pub struct ModelsReport {
    /// What ran, in one line.
    pub title: String,
    /// Every checkpoint, in the order of the command or of the steps.
    pub results: Vec<ModelResult>,
    /// The rule of the effective length.
    pub rule: LengthRule,
}

/// A checkpoint at one length, or over all.
#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    model: String,
    step: Option<u64>,
    /// Missing for all lengths together.
    context_length: Option<usize>,
    #[serde(flatten)]
    means: Means,
    /// Of all lengths together, that of the rule.
    effective_length: Option<usize>,
    left_out: Option<String>,
}

/// What ran, for programs.
#[derive(Serialize)]
struct Ran {
    title: String,
    models: Vec<String>,
    steps: Vec<Option<u64>>,
    rule: &'static str,
}

/// All checkpoints together, as JSON.
#[derive(Serialize)]
struct Totals {
    models: usize,
    /// The checkpoint with the largest accuracy, the first of several.
    best_model: Option<String>,
    best_accuracy: Option<f64>,
}

impl ModelsReport {
    fn lengths(&self) -> Vec<usize> {
        let rows = self.results.iter().flat_map(|result| &result.outcomes);
        rows.map(|row| row.context_length).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether the checkpoints are the steps of a training.
    fn is_by_step(&self) -> bool {
        self.results.iter().all(|result| result.step.is_some())
    }

    fn rows(&self, lengths: &[usize]) -> Vec<Row> {
        let of_result = |result: &ModelResult| {
            let blank = Row {
                model: result.model.clone(),
                step: result.step,
                left_out: result.left_out.clone(),
                ..Row::default()
            };
            let lengths = lengths.iter().map(|length| Some(*length)).chain([None]);
            let of_length = |length: Option<usize>| Row {
                context_length: length,
                means: (&tally(result, length)).into(),
                effective_length: match length {
                    None => {
                        Verdict::of(&result.outcomes, self.rule).and_then(|verdict| verdict.effective_length)
                    }
                    Some(_) => None,
                },
                ..blank.clone()
            };
            lengths.map(of_length).collect::<Vec<_>>()
        };
        self.results.iter().flat_map(of_result).collect()
    }

    fn table(&self, lengths: &[usize]) -> Table {
        let first = if self.is_by_step() { "step" } else { "model" };
        let mut header: Vec<String> = [first, "n", "trials"].map(str::to_string).to_vec();
        header.extend(lengths.iter().map(|&length| ContextLength(length).to_string()));
        header.extend(["all", "95% CI", "effective", "needle mass", "failed"].map(str::to_string));
        let row = |result: &ModelResult| {
            let all = tally(result, None);
            let label = match result.step.filter(|_| self.is_by_step()) {
                Some(step) => step.to_string(),
                None => result.model.clone(),
            };
            let verdict = Verdict::of(&result.outcomes, self.rule);
            let effective = verdict.and_then(|verdict| verdict.effective_length);
            let mut row = vec![label, all.n.to_string(), all.n_trials.to_string()];
            row.extend(
                lengths.iter().map(|&length| or_missing(tally(result, Some(length)).accuracy.map(percent))),
            );
            row.push(or_missing(all.accuracy.map(percent)));
            let ends = all.interval.ends();
            row.push(or_missing(ends.map(|(low, high)| format!("{:.0}-{:.0}%", 100.0 * low, 100.0 * high))));
            row.push(or_missing(effective.map(|length| ContextLength(length).to_string())));
            row.push(or_missing(all.needle_mass_top_mean.map(|mass| format!("{mass:.3}"))));
            row.push(all.n_error.to_string());
            row
        };
        Table { caption: String::new(), header, rows: self.results.iter().map(row).collect() }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "under a length: accuracy; effective = the effective length by the rule {}; needle mass = the largest of \
             any head, mean over trials; all were asked the same prompts where they share a tokenizer",
            self.rule.rule.name()
        )];
        for result in &self.results {
            if let Some(why) = &result.left_out {
                lines.push(format!("{} is left out: {why}", result.model));
            }
        }
        let waiting = self.results.iter().filter(|result| result.planned == 0 && result.left_out.is_none());
        let waiting: Vec<&str> = waiting.map(|result| result.model.as_str()).collect();
        if !waiting.is_empty() {
            lines.push(format!("not begun yet: {}", waiting.join(", ")));
        }
        let planned: usize = self.results.iter().map(|result| result.planned).sum();
        let done: usize = self.results.iter().map(|result| latest(&result.outcomes).len()).sum();
        if done < planned {
            lines.push(format!("{done} of {planned} trials have run"));
        }
        lines
    }

    /// Accuracy and needle mass over the steps, or over the checkpoints in their order, a line a length.
    fn figure(&self, lengths: &[usize]) -> Figure {
        let by_step = self.is_by_step();
        let x = |(place, result): (usize, &ModelResult)| match result.step.filter(|_| by_step) {
            Some(step) => step as f64,
            None => place as f64 + 1.0,
        };
        let label = if by_step { "step" } else { "model (in the order of the table)" };
        let series = |value: fn(&Tally) -> Option<Point>| -> Vec<Series> {
            let of = |length: Option<usize>| {
                let point = |(place, result): (usize, &ModelResult)| {
                    let Point { y, interval, .. } = value(&tally(result, length))?;
                    // One line's intervals can be told apart, and no more.
                    Some(Point { x: x((place, result)), y, interval: interval.filter(|_| length.is_none()) })
                };
                self.results.iter().enumerate().filter_map(point).collect::<Vec<Point>>()
            };
            let name = |length: usize| ContextLength(length).to_string();
            let shape = if by_step { Shape::Line } else { Shape::Dots };
            let lengths = lengths.iter().enumerate().filter(|_| lengths.len() > 1).take(MOST_LINES);
            let mut series: Vec<Series> = lengths
                .map(|(color, &length)| Series {
                    name: name(length),
                    color: color + 1,
                    shape,
                    points: of(Some(length)),
                })
                .collect();
            series.push(Series { name: "all lengths".to_string(), color: 0, shape, points: of(None) });
            series
        };
        let chart = |title: &str, axis: &str, series: Vec<Series>| {
            Panel::Chart(Chart {
                title: title.to_string(),
                x: Axis::linear(label, None),
                y: Axis::linear(axis, Some((0.0, 1.0))),
                series,
                marks: Vec::new(),
            })
        };
        let accuracy =
            series(|tally| Some(Point { x: 0.0, y: tally.accuracy?, interval: tally.interval.ends() }));
        let mass = series(|tally| {
            let interval = tally.needle_mass_interval.ends();
            Some(Point { x: 0.0, y: tally.needle_mass_top_mean?, interval })
        });
        let mut panels = vec![chart("Accuracy", "accuracy", accuracy)];
        // Where no attention was measured there is nothing to draw.
        if mass.iter().any(|series| !series.points.is_empty()) {
            panels.push(chart("Needle mass", "needle mass (largest of all heads)", mass));
        }
        let caption = "Accuracy and needle mass of each checkpoint, with 95 % intervals over all lengths";
        Figure { name: "models".to_string(), caption: caption.to_string(), panels }
    }
}

/// Lengths with a line of their own, at most.
const MOST_LINES: usize = 7;

/// The trials of a checkpoint at a length, or at all.
fn tally(result: &ModelResult, length: Option<usize>) -> Tally {
    let is_of = |row: &&Outcome| length.is_none_or(|length| row.context_length == length);
    Tally::of(&latest(&result.outcomes).into_iter().filter(is_of).collect::<Vec<_>>())
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

impl From<ModelsReport> for Report {
    fn from(report: ModelsReport) -> Self {
        let lengths = report.lengths();
        let ran =
            report.results.iter().filter(|result| result.outcomes.iter().any(|row| row.status == Status::Ok));
        let accuracies = ran.filter_map(|result| Some((result, tally(result, None).accuracy?)));
        let best = accuracies.fold(None::<(&ModelResult, f64)>, |best, (result, accuracy)| match best {
            Some((_, most)) if most >= accuracy => best,
            _ => Some((result, accuracy)),
        });
        let totals = Totals {
            models: report.results.len(),
            best_model: best.map(|(result, _)| result.model.clone()),
            best_accuracy: best.map(|(_, accuracy)| accuracy),
        };
        let blocks = vec![
            Block::Lines(vec![report.title.clone()]),
            Block::Figure(report.figure(&lengths)),
            Block::Together(vec![Block::Wide(report.table(&lengths)), Block::Lines(report.lines())]),
        ];
        let rows = report.rows(&lengths);
        let title = if report.is_by_step() { "Checkpoints by step" } else { "Checkpoints" }.to_string();
        let ran = Ran {
            models: report.results.iter().map(|result| result.model.clone()).collect(),
            steps: report.results.iter().map(|result| result.step).collect(),
            rule: report.rule.rule.name(),
            title: report.title,
        };
        let data = Data::rows("models", rows).of(ran).with_totals(totals);
        Self { document: Document { title, blocks }, data }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    fn result(model: &str, step: Option<u64>, right: usize) -> ModelResult {
        let trial = |(length, trial): (usize, usize)| outcome(length, 0.0, trial, trial < right, Some(0.25));
        let rows = [1024, 2048].into_iter().flat_map(|length| (0..4).map(move |trial| (length, trial)));
        ModelResult {
            model: model.to_string(),
            step,
            outcomes: rows.map(trial).collect(),
            planned: 8,
            left_out: None,
        }
    }

    fn report(results: Vec<ModelResult>) -> ModelsReport {
        ModelsReport { title: "three".to_string(), results, rule: LengthRule::default() }
    }

    #[test]
    fn steps_are_the_axis_of_a_training_and_places_that_of_other_checkpoints() {
        let of = |steps: [Option<u64>; 2]| {
            let report = report(vec![result("a", steps[0], 1), result("b", steps[1], 3)]);
            let figure = report.figure(&report.lengths());
            let Panel::Chart(chart) = &figure.panels[0] else { panic!("no chart") };
            let all = chart.series.last().unwrap();
            let points: Vec<(f64, f64)> = all.points.iter().map(|point| (point.x, point.y)).collect();
            (figure.panels.len(), chart.x.label.clone(), points)
        };
        assert_eq!(of([Some(100), Some(400)]), (2, "step".to_string(), vec![(100.0, 0.25), (400.0, 0.75)]));
        let (_, label, points) = of([Some(100), None]);
        assert!(label.starts_with("model"), "{label}");
        assert_eq!(points, [(1.0, 0.25), (2.0, 0.75)]);
    }

    #[test]
    fn a_checkpoint_is_a_row_and_the_best_is_the_first_of_those_with_the_most() {
        let mut none = result("c", None, 0);
        (none.outcomes, none.planned, none.left_out) = (Vec::new(), 0, Some("too small".to_string()));
        let three = report(vec![result("a", None, 3), result("b", None, 3), none]);
        let table = three.table(&three.lengths());
        assert_eq!(table.rows[0][..6], ["a", "8", "4", "75%", "75%", "75%"]);
        assert_eq!(table.rows[2][..6], ["c", "0", "0", "-", "-", "-"]);
        let report = Report::from(three);
        assert_eq!(report.data.totals().unwrap()["best_model"], "a");
        let mut rows = 0;
        report
            .data
            .table
            .each(&mut |_| {
                rows += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, 9);
    }
}
