//! What became of a gate, as a report.

use serde::Serialize;

use super::data::Data;
use super::document::{Block, Document, Table};
use super::gate::{Checked, Gate, Kind};
use super::run::Ran;
use super::{Report, or_missing};
use crate::grid::ContextLength;

/// A criterion as a row.
#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    criterion: String,
    value: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    ci_method: &'static str,
    need: f64,
    at_most: bool,
    n: usize,
    n_trials: usize,
    passed: bool,
}

/// All criteria together, as JSON.
#[derive(Serialize)]
struct Totals {
    passed: bool,
    conservative: bool,
    sentence: String,
}

impl From<&Checked> for Row {
    fn from(checked: &Checked) -> Self {
        Self {
            criterion: checked.name.clone(),
            value: checked.value,
            ci_low: checked.interval.map(|ends| ends.0),
            ci_high: checked.interval.map(|ends| ends.1),
            ci_method: checked.method,
            need: checked.need,
            at_most: checked.at_most,
            n: checked.n,
            n_trials: checked.n_trials,
            passed: checked.passed,
        }
    }
}

impl Checked {
    /// What was measured, in words.
    #[must_use]
    pub fn value_words(&self) -> String {
        or_missing(self.value.map(|value| self.text(value)))
    }

    /// The interval, in words; a hyphen where there is none.
    #[must_use]
    pub fn interval_words(&self) -> String {
        or_missing(self.interval.map(|(low, high)| format!("{} to {}", self.text(low), self.text(high))))
    }

    /// What was asked for, in words.
    #[must_use]
    pub fn need_words(&self) -> String {
        format!("at {} {}", if self.at_most { "most" } else { "least" }, self.text(self.need))
    }

    /// Numbers with a digit more than tables of results have, since they are held against each other.
    fn text(&self, value: f64) -> String {
        match self.kind {
            Kind::Share => format!("{:.1}%", 100.0 * value),
            Kind::Mass => format!("{value:.3}"),
            Kind::Length if value == 0.0 => "none".to_string(),
            Kind::Length => ContextLength(value as usize).to_string(),
            Kind::Count => value.to_string(),
        }
    }
}

impl Gate {
    /// What came of it, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let by = if self.conservative { "the ends of the intervals" } else { "the values" };
        let failed: Vec<&str> = self.failed().map(|checked| checked.name.as_str()).collect();
        match failed.len() {
            0 => format!("gate passed: all {} criteria are met, decided by {by}", self.criteria.len()),
            n => format!(
                "gate not met: {} ({n} of {} criteria, decided by {by})",
                failed.join(", "),
                self.criteria.len()
            ),
        }
    }

    /// The criteria that are not met.
    pub fn failed(&self) -> impl Iterator<Item = &Checked> {
        self.criteria.iter().filter(|checked| !checked.passed)
    }

    /// The gate on what ran, as a report.
    #[must_use]
    pub fn report(&self, ran: Ran) -> Report {
        let rows: Vec<Row> = self.criteria.iter().map(Row::from).collect();
        let row = |checked: &Checked| {
            vec![
                checked.name.clone(),
                checked.value_words(),
                checked.interval_words(),
                checked.need_words(),
                checked.n.to_string(),
                checked.n_trials.to_string(),
                if checked.passed { "pass" } else { "FAIL" }.to_string(),
            ]
        };
        let table = Table::new(
            &["criterion", "value", "95% interval", "need", "n", "trials", "result"],
            self.criteria.iter().map(row).collect(),
        );
        let open = self.criteria.iter().filter(|checked| checked.is_open() && !self.conservative);
        let open = open.map(|checked| {
            format!("{}: the interval also holds values on the other side of the need", checked.name)
        });
        let blocks = vec![
            Block::Lines(vec![ran.title.clone()]),
            Block::Table(table),
            Block::Lines(open.collect()),
            Block::Paragraph(format!("{}.", self.sentence())),
        ];
        let totals =
            Totals { passed: self.passed(), conservative: self.conservative, sentence: self.sentence() };
        let data = Data::rows("gate", rows).of(ran).with_totals(totals);
        Report { document: Document { title: "Gate".to_string(), blocks }, data }
    }
}
