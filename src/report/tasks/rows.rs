//! A task at one length, or at all of them, as a row.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::TaskRun;
use crate::report::controls::Meaning;
use crate::report::{Tally, latest};
use crate::stats::{self, Interval};
use crate::trial::{Outcome, Status};

/// One task at one length, or at all lengths.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Sums {
    pub(super) task: String,
    pub(super) control: String,
    pub(super) context_length: Option<usize>,
    pub(super) n: usize,
    pub(super) n_error: usize,
    pub(super) score_mean: Option<f64>,
    pub(super) ci_low: Option<f64>,
    pub(super) ci_high: Option<f64>,
    pub(super) ci_method: &'static str,
    pub(super) accuracy: Option<f64>,
    pub(super) false_answers: Option<f64>,
    pub(super) needle_mass_top_mean: Option<f64>,
    pub(super) left_out: Option<String>,
    pub(super) n_trials: usize,
}

/// The same with its masses by kind, written as `K`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Row<K> {
    #[serde(flatten)]
    pub(super) sums: Sums,
    pub(super) kind_masses: K,
}

/// Masses by kind.
pub(super) type Kinds = BTreeMap<String, f64>;

impl Row<Kinds> {
    /// The row of those trials of a run that are of `length`, or of all.
    pub(super) fn of(task: &str, run: &TaskRun, length: Option<usize>) -> Self {
        let trials: Vec<&Outcome> = latest(&run.outcomes)
            .into_iter()
            .filter(|outcome| length.is_none_or(|length| outcome.context_length == length))
            .collect();
        let tally = Tally::of(&trials);
        let ran: Vec<&Outcome> = trials.into_iter().filter(|row| row.status == Status::Ok).collect();
        let interval = tally.score.map_or(Interval::default(), |score| score.interval);
        let false_answers = |accuracy| Meaning::of(&run.control).false_answers(accuracy);
        let sums = Sums {
            task: task.to_string(),
            control: run.control.clone(),
            context_length: length,
            n: tally.n,
            n_error: tally.n_error,
            score_mean: tally.score.map(|score| score.mean),
            ci_low: interval.ends().map(|ends| ends.0),
            ci_high: interval.ends().map(|ends| ends.1),
            ci_method: interval.method_name(),
            accuracy: tally.accuracy,
            false_answers: tally.accuracy.and_then(false_answers),
            needle_mass_top_mean: tally.needle_mass_top_mean,
            left_out: None,
            n_trials: tally.n_trials,
        };
        Self { sums, kind_masses: kinds(run, &ran) }
    }

    /// The same with masses as a text, for a flat table.
    pub(super) fn flat(&self) -> Row<String> {
        let masses = self.kind_masses.iter().map(|(kind, mass)| format!("{kind}:{mass}"));
        Row { sums: self.sums.clone(), kind_masses: masses.collect::<Vec<_>>().join(" ") }
    }
}

/// The mean mass of every kind over these trials.
fn kinds(run: &TaskRun, ran: &[&Outcome]) -> Kinds {
    let ran: BTreeSet<&str> = ran.iter().map(|outcome| outcome.row_id.as_str()).collect();
    let mut masses: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in run.kinds.iter().filter(|row| ran.contains(row.row_id.as_str())) {
        masses.entry(&row.kind).or_default().push(row.mass);
    }
    let mean = |(kind, masses): (&str, Vec<f64>)| Some((kind.to_string(), stats::mean(&masses)?));
    masses.into_iter().filter_map(mean).collect()
}
