//! Raw scores of some heads, out of `attention.csv`.

use std::collections::HashMap;
use std::path::Path;

use super::csv;
use crate::error::Result;
use crate::report::margins::HeadMargins;
use crate::trial::{AttentionRow, Outcome, Status};

/// The margins of these heads, `(layer, head)`, over the trials that ran.
///
/// # Errors
/// When the table cannot be read.
pub fn read(path: &Path, heads: &[(usize, usize)], outcomes: &[&Outcome]) -> Result<Vec<HeadMargins>> {
    let mut margins: Vec<HeadMargins> = heads.iter().copied().map(HeadMargins::new).collect();
    if heads.is_empty() || !path.exists() {
        return Ok(margins);
    }
    let ran = outcomes.iter().filter(|outcome| outcome.status == Status::Ok);
    let trials: HashMap<&str, &Outcome> = ran.map(|outcome| (outcome.row_id.as_str(), *outcome)).collect();
    for row in csv::rows::<AttentionRow>(path)? {
        let row = row?;
        let own = margins.iter_mut().find(|head| (head.layer, head.head) == (row.layer, row.head));
        if let Some((head, outcome)) = own.zip(trials.get(row.row_id.as_str())) {
            head.add(outcome.context_length, outcome.trial, &row);
        }
    }
    Ok(margins)
}
