//! A task beside its controls, in one table.

use serde::Serialize;

use super::data::Data;
use super::document::{Block, Document, Table};
use super::{Report, Summary, Tally, or_missing};
use crate::task::{CONTROLS, Control};
use crate::trial::Outcome;

/// A task under one control, over all cells.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ControlRow {
    /// Name of the control, or `task` for the task as it is.
    pub control: String,
    /// Trials that ran.
    pub n: usize,
    /// Trials that failed.
    pub n_error: usize,
    /// Share of correct answers, by what counts as correct under the control.
    pub accuracy: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// Where nothing that is asked for is in the text: the share of answers that give one nevertheless.
    pub false_answers: Option<f64>,
    /// Mean over trials of the largest needle mass of any head; without a needle, of the mass where it would
    /// have stood.
    pub needle_mass_top_mean: Option<f64>,
    /// Different trial numbers among the trials: the independent haystacks behind the intervals.
    pub n_trials: usize,
    /// Lower end of the 95 % interval of the mean needle mass.
    pub needle_mass_ci_low: Option<f64>,
    /// Upper end.
    pub needle_mass_ci_high: Option<f64>,
}

/// What a control makes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Correct answers are right.
    Right,
    /// Correct answers are false, as nothing that is asked for is there.
    Guessed,
    /// All others are false: correct is the answer that the text has none.
    Refused,
}

/// What is changed about a task beside [`CONTROLS`].
const OTHER_CHANGES: &[&str] = &["distractors", "shuffled"];

impl Meaning {
    /// What it is under the control of this name; of any other name answers are right.
    #[must_use]
    pub fn of(control: &str) -> Self {
        let control = CONTROLS.iter().find(|entry| entry.name == control).map(|entry| entry.value);
        match control {
            Some(Control::NoNeedle) => Self::Guessed,
            Some(Control::NoneNoNeedle) => Self::Refused,
            Some(Control::NeedleOnly | Control::None) | None => Self::Right,
        }
    }

    /// The names of all changes that a task is seen beside, in their order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        OTHER_CHANGES.iter().copied().chain(CONTROLS.iter().map(|entry| entry.name))
    }

    /// The share of false answers among those of which so many are correct.
    #[must_use]
    pub fn false_answers(self, accuracy: f64) -> Option<f64> {
        match self {
            Self::Right => None,
            Self::Guessed => Some(accuracy),
            Self::Refused => Some(1.0 - accuracy),
        }
    }
}

impl ControlRow {
    /// Sums up the trials under a control.
    #[must_use]
    pub fn of(control: &str, meaning: Meaning, outcomes: &[Outcome]) -> Self {
        let tally = Summary::of(outcomes).overall;
        let Tally { n, n_trials, n_error, accuracy, interval, needle_mass_top_mean, .. } = tally;
        Self {
            control: control.to_string(),
            n,
            n_error,
            accuracy,
            ci_low: interval.ends().map(|ends| ends.0),
            ci_high: interval.ends().map(|ends| ends.1),
            false_answers: accuracy.and_then(|accuracy| meaning.false_answers(accuracy)),
            needle_mass_top_mean,
            n_trials,
            needle_mass_ci_low: tally.needle_mass_interval.ends().map(|ends| ends.0),
            needle_mass_ci_high: tally.needle_mass_interval.ends().map(|ends| ends.1),
        }
    }
}

/// What there is to say of a task and its controls.
pub struct ControlsReport {
    /// What ran, in one line.
    pub title: String,
    /// The task, and then each control.
    pub rows: Vec<ControlRow>,
    /// What each control means, and which were left out.
    pub notes: Vec<String>,
}

/// What ran, for programs.
#[derive(Serialize)]
struct Ran {
    title: String,
    notes: Vec<String>,
}

impl From<ControlsReport> for Report {
    fn from(report: ControlsReport) -> Self {
        let ControlsReport { title, rows, notes } = report;
        let data =
            Data::rows("controls", rows.clone()).of(Ran { title: title.clone(), notes: notes.clone() });
        let blocks = vec![
            Block::Paragraph(title),
            Block::Together(vec![Block::Table(table(&rows)), Block::Lines(notes)]),
        ];
        Self { document: Document { title: "Controls".to_string(), blocks }, data }
    }
}

fn table(rows: &[ControlRow]) -> Table {
    let header = ["control", "n", "trials", "accuracy", "95 % interval", "false answers", "needle mass"];
    let percent = |share: Option<f64>| or_missing(share.map(|share| format!("{:.1} %", 100.0 * share)));
    let row = |row: &ControlRow| {
        let interval = row.ci_low.zip(row.ci_high);
        vec![
            row.control.clone(),
            row.n.to_string(),
            row.n_trials.to_string(),
            percent(row.accuracy),
            or_missing(interval.map(|(low, high)| format!("{:.1}-{:.1} %", 100.0 * low, 100.0 * high))),
            percent(row.false_answers),
            or_missing(row.needle_mass_top_mean.map(|mass| format!("{mass:.3}"))),
        ]
    };
    Table::new(&header, rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    #[test]
    fn false_answers_are_guesses_or_all_but_refusals() {
        let outcomes: Vec<_> = [true, false, false, false]
            .iter()
            .enumerate()
            .map(|(i, &ok)| outcome(100, 0.0, i, ok, Some(0.5)))
            .collect();
        for (meaning, false_answers) in
            [(Meaning::Right, None), (Meaning::Guessed, Some(0.25)), (Meaning::Refused, Some(0.75))]
        {
            let row = ControlRow::of("x", meaning, &outcomes);
            assert_eq!((row.n, row.accuracy, row.false_answers), (4, Some(0.25), false_answers));
            assert_eq!((row.n_trials, row.needle_mass_ci_low), (4, None), "masses that are all alike");
            assert_eq!(row.needle_mass_top_mean, Some(0.5));
        }
        let none = ControlRow::of("x", Meaning::Refused, &[]);
        assert_eq!((none.n, none.accuracy, none.false_answers), (0, None, None));
    }
}
