//! Rows of a neighbour as rows of ours: in which cell, the how manieth of it, and how they are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use serde_json::json;

use super::Scale;
use super::chosen::RowOf;
use super::fields::wrong;
use super::reading::MOST_ROWS;
use super::theirs::{Given, Notes, TheirRow};
use crate::error::{Error, Result};
use crate::grid::{Cell, ContextLength, Depth};
use crate::score::{self, expected};
use crate::trial::{Outcome, Status, Trial};

/// The trial of each row.
///
/// # Errors
/// [`Error::File`] for a row whose length or depth is none.
pub(super) fn trials<'a>(
    path: impl Fn(usize) -> &'a Path,
    rows: &[RowOf],
    notes: &mut Notes,
) -> Result<Vec<Trial>> {
    let (mut cells, mut without) = (Vec::with_capacity(rows.len()), 0);
    for (file, row) in rows {
        let percent = row.ours.depth_percent.or(row.depth_percent);
        without += usize::from(percent.is_none());
        let place = |key: &str, found: &dyn Display, error: &Error| {
            Error::file(path(*file), format!("{}: {key}: found {found}: {error}", row.place))
        };
        let depth = percent.unwrap_or(0.0);
        let depth = Depth::from_percent(depth).map_err(|error| place("depth", &depth, &error))?;
        let length = row.context_length.unwrap_or(0);
        let context_length =
            ContextLength::try_from(length).map_err(|error| place("context_length", &length, &error))?;
        cells.push(Cell { context_length, depth });
    }
    notes.count(without, "rows say no depth and stand at depth 0");
    let seed = |row: &TheirRow| row.ours.seed.or(row.seed).unwrap_or_default();
    let trial = |((cell, index), (_, row)): ((Cell, usize), &RowOf)| Trial { cell, index, seed: seed(row) };
    let numbers = numbers(&cells, rows);
    Ok(cells.into_iter().zip(numbers).zip(rows).map(trial).collect())
}

/// The number of each row in its cell. Rows that were ours keep theirs. Those that a tool has numbered stay
/// in that order, without the numbers that no row has. Others are numbered as they come.
fn numbers(cells: &[Cell], rows: &[RowOf]) -> Vec<usize> {
    let distinct =
        |numbers: &Vec<usize>| cells.iter().zip(numbers).collect::<BTreeSet<_>>().len() == cells.len();
    let ours = rows.iter().map(|(_, row)| row.ours.trial.filter(|number| *number < MOST_ROWS));
    let theirs = || {
        let numbers: Vec<usize> = rows.iter().map(|(_, row)| row.number).collect::<Option<_>>()?;
        let known: BTreeSet<usize> = numbers.iter().copied().collect();
        let ranks: BTreeMap<usize, usize> = known.into_iter().zip(0..).collect();
        Some(numbers.iter().map(|number| ranks[number]).collect())
    };
    let ours = ours.collect::<Option<Vec<usize>>>().filter(distinct);
    ours.or_else(|| theirs().filter(distinct)).unwrap_or_else(|| {
        let mut next: BTreeMap<Cell, usize> = BTreeMap::new();
        let number = |cell: &Cell| {
            let next = next.entry(*cell).or_default();
            *next += 1;
            *next - 1
        };
        cells.iter().map(number).collect()
    })
}

/// How rows are judged.
pub(super) struct Judging {
    /// That of scores which are numbers.
    pub(super) scale: Scale,
    /// The least score that counts as correct; 1 when absent.
    pub(super) correct_from: Option<f64>,
}

impl Judging {
    /// The row of ours, with what is the same in all in `blank`.
    ///
    /// # Errors
    /// [`Error::File`] for a score that is not on the scale.
    pub(super) fn outcome(
        &self,
        blank: &Outcome,
        trial: &Trial,
        path: &Path,
        row: TheirRow,
    ) -> Result<Outcome> {
        let our_score = row.our_score();
        let ours = row.ours;
        let base = Outcome {
            prompt_tokens: ours.prompt_tokens.or(row.prompt_tokens),
            needle: ours.needle.or(row.needle).unwrap_or_default(),
            question: ours.question.or(row.question).unwrap_or_default(),
            expected_answer: expected::joined(&ours.expected.unwrap_or(row.expected)),
            duration_seconds: ours.duration_seconds.or(row.duration_seconds),
            timestamp_utc: ours.timestamp_utc.or(row.timestamp_utc).unwrap_or_default(),
            ..blank.clone().of(trial)
        };
        // A form has one word for all that has no answer, and may make up a reason.
        match (ours.status, ours.error, row.failed) {
            (Some(status @ (Status::Skipped | Status::Error)), error, _) => {
                return Ok(Outcome { status, error, ..base });
            }
            (_, Some(problem), _) | (_, None, Some(problem)) => {
                return Ok(Outcome { status: Status::Error, error: Some(problem), ..base });
            }
            (_, None, None) => {}
        }
        let theirs = |given: Given| match given {
            Given::Settled(score) => Ok(score),
            Given::Number(found, _) => self.scale.to_one(found).ok_or_else(|| {
                let expected = format!("a score of {}, or another scale", self.scale.name());
                wrong(path, &row.place, "score", &json!(found), &expected)
            }),
        };
        let score = our_score.map_or_else(|| row.score.map(theirs).transpose(), |score| Ok(Some(score)))?;
        let judged = |score: f64| score >= self.correct_from.unwrap_or(1.0);
        let correct = ours
            .correct
            .filter(|_| self.correct_from.is_none())
            .or(score.filter(|_| !row.is_mean).map(judged));
        Ok(Outcome {
            model_response: row.response,
            score,
            correct,
            outcome: correct.map(|correct| score::classify(correct, None, None)),
            ..base
        })
    }
}
