//! What was answered, and where a head looked: a table of confusions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{Block, Table};
use crate::printable;
use crate::trial::{Outcome, Status};

/// What is said of a right answer.
const RIGHT: &str = "right";

/// How many trials gave an answer of one kind with most attention on a kind of span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confused {
    /// `right`, or [`Outcome::answered`] of a wrong answer.
    pub answered: String,
    /// [`Outcome::looked_at`]; missing where attention was not measured.
    pub looked_at: Option<String>,
    /// Trials.
    pub n: usize,
}

/// The confusions of these trials, the most frequent first; none of trials that do not say.
#[must_use]
pub fn confusions(outcomes: &[&Outcome]) -> Vec<Confused> {
    let mut counts: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    let word = |text: &String| printable::shortened(text).into_owned();
    for outcome in outcomes.iter().filter(|outcome| outcome.status == Status::Ok) {
        if let Some(answered) = &outcome.answered {
            let answered = if outcome.correct == Some(true) { RIGHT.to_string() } else { word(answered) };
            *counts.entry((answered, outcome.looked_at.as_ref().map(word))).or_default() += 1;
        }
    }
    let confused = |((answered, looked_at), n)| Confused { answered, looked_at, n };
    let mut confusions: Vec<Confused> = counts.into_iter().map(confused).collect();
    confusions.sort_by_key(|confused| std::cmp::Reverse(confused.n));
    confusions
}

/// Kinds that have a column of their own, at most.
const COLUMNS: usize = 6;

/// The confusions as a table with its notes; nothing where all answers are right.
#[must_use]
pub fn section(confusions: &[Confused]) -> Option<Block> {
    if confusions.iter().all(|confused| confused.answered == RIGHT) {
        return None;
    }
    let totals = |key: fn(&Confused) -> String| {
        let mut totals: BTreeMap<String, usize> = BTreeMap::new();
        confusions.iter().for_each(|confused| *totals.entry(key(confused)).or_default() += confused.n);
        let mut totals: Vec<(String, usize)> = totals.into_iter().collect();
        totals.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        totals
    };
    let place = |confused: &Confused| confused.looked_at.clone().unwrap_or_else(|| "unknown".to_string());
    let (rows, columns) = (totals(|confused| confused.answered.clone()), totals(place));
    let (own, rest) = columns.split_at(columns.len().min(COLUMNS));
    let count = |answered: &str, columns: &[(String, usize)]| {
        let of = confusions.iter().filter(|confused| confused.answered == answered);
        of.filter(|confused| columns.iter().any(|(name, _)| *name == place(confused)))
            .map(|confused| confused.n)
            .sum::<usize>()
            .to_string()
    };
    let row = |(answered, n): &(String, usize)| {
        let mut row = vec![answered.clone()];
        row.extend(own.iter().map(|column| count(answered, std::slice::from_ref(column))));
        row.extend((!rest.is_empty()).then(|| count(answered, rest)));
        row.push(n.to_string());
        row
    };
    let mut header: Vec<&str> = vec!["answered"];
    header.extend(own.iter().map(|(name, _)| name.as_str()));
    header.extend((!rest.is_empty()).then_some("others"));
    header.push("all");
    let table = Table::new(&header, rows.iter().map(row).collect()).captioned(
        "What was answered (rows), and the kind of span with the largest mass of any head (columns)",
    );
    let notes = "answered = of a wrong answer, the kind of the span whose value it has; elsewhere = what \
                 stands in the text, but in no span; nothing = what stands nowhere in it; looked elsewhere = \
                 a head puts more on another place of the needle's length";
    Some(Block::Together(vec![Block::Table(table), Block::Lines(vec![notes.to_string()])]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, outcome};
    use super::*;

    fn answered(trial: usize, answered: &str, looked_at: Option<&str>) -> Outcome {
        Outcome {
            // A right answer has the value of the target.
            answered: Some(if answered == RIGHT { "target" } else { answered }.to_string()),
            looked_at: looked_at.map(str::to_string),
            ..outcome(1024, 0.0, trial, answered == RIGHT, None)
        }
    }

    #[test]
    fn answers_are_counted_by_what_they_say_and_where_most_mass_was() {
        let outcomes = [
            answered(0, "stale", Some("stale")),
            answered(1, "stale", Some("stale")),
            answered(2, "right", Some("target")),
            answered(3, "nothing", None),
            failed(1024, 0.0, 4),
            outcome(1024, 0.0, 5, false, None),
        ];
        let found = confusions(&outcomes.iter().collect::<Vec<_>>());
        assert_eq!(found.len(), 3, "a trial that does not say is left out");
        assert_eq!((found[0].answered.as_str(), found[0].n), ("stale", 2));
        let Some(Block::Together(parts)) = section(&found) else { panic!("no section") };
        let Block::Table(table) = &parts[0] else { panic!("{parts:?}") };
        assert_eq!(table.header, ["answered", "stale", "target", "unknown", "all"]);
        assert_eq!(table.rows[0], ["stale", "2", "0", "0", "2"]);
        assert_eq!(table.rows[1], ["nothing", "0", "0", "1", "1"]);
    }

    #[test]
    fn where_all_answers_are_right_there_is_no_table() {
        let right = answered(0, "right", Some("target"));
        assert_eq!(section(&confusions(&[&right])), None);
        assert_eq!(section(&[]), None);
    }

    #[test]
    fn rare_kinds_share_a_column() {
        let outcomes: Vec<Outcome> =
            (0..9).map(|trial| answered(trial, "nothing", Some(&format!("hop-{}", trial + 1)))).collect();
        let Some(Block::Together(parts)) = section(&confusions(&outcomes.iter().collect::<Vec<_>>())) else {
            panic!("no section")
        };
        let Block::Table(table) = &parts[0] else { panic!("{parts:?}") };
        assert_eq!((table.header.len(), table.rows[0][7].as_str(), table.rows[0][8].as_str()), (9, "3", "9"));
    }
}
