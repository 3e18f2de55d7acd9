//! What heads retrieve, out of the directories of runs or a file of another tool.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::csv;
use super::directory::{ATTENTION_CSV, RETRIEVAL_CSV, RUN_JSON};
use super::stored::StoredRun;
use super::tasks::TasksRecord;
use crate::error::{Error, Result};
use crate::files;
use crate::report::latest;
use crate::report::retrieval::{
    self, HeadScore, HeadTrials, Place, ScoredHead, Scores, TrialHeads, read_json,
};
use crate::report::tasks::AS_IT_IS;
use crate::trial::{AttentionRow, Outcome, RetrievalRow, Status};

/// What heads did, as directories have it.
pub struct StoredHeads {
    /// What ran, in one line.
    pub title: String,
    /// Every trial of which it was kept.
    pub trials: HeadTrials,
    /// Trials that ran without it.
    pub unknown: usize,
    /// What does not fit together, and is shown all the same.
    pub warnings: Vec<String>,
}

/// Numbers that are read, at most: half a gigabyte.
const MOST_NUMBERS: usize = 1 << 26;
/// Bytes of a file of scores, at most.
const MOST_BYTES: u64 = 64 << 20;

/// Whether a directory holds a run, or several tasks.
#[must_use]
pub fn is_stored(directory: &Path) -> bool {
    directory.join(RUN_JSON).exists() || TasksRecord::is_in(directory)
}

/// Reads the directory of a run, or of several tasks.
///
/// # Errors
/// As [`StoredRun::read`], and when nothing of it was kept.
pub fn read(directory: &Path) -> Result<StoredHeads> {
    let (title, places): (_, Vec<PathBuf>) = match TasksRecord::is_in(directory) {
        true => {
            let record = TasksRecord::read(directory)?;
            let places = record.tasks.iter().map(|task| record.place(directory, task, AS_IT_IS));
            (Some(record.title.clone()), places.filter(|place| place.join(RUN_JSON).exists()).collect())
        }
        false => (None, vec![directory.to_path_buf()]),
    };
    let mut stored = StoredHeads {
        title: title.unwrap_or_default(),
        trials: HeadTrials::default(),
        unknown: 0,
        warnings: Vec::new(),
    };
    for place in places {
        add(&place, &mut stored)?;
    }
    if stored.trials.trials.is_empty() {
        let problem =
            "no trial with what heads copy: run it with --retrieval, or measure a checkpoint with niah heads";
        return Err(Error::file(directory, problem));
    }
    Ok(stored)
}

/// Adds the trials of a run.
fn add(directory: &Path, stored: &mut StoredHeads) -> Result<()> {
    let StoredRun { record, outcomes, warnings } = StoredRun::read(directory)?;
    stored.warnings.extend(warnings);
    if stored.title.is_empty() {
        stored.title = record.title();
    }
    let ran: Vec<&Outcome> = latest(&outcomes).into_iter().filter(|row| row.status == Status::Ok).collect();
    let path = directory.join(RETRIEVAL_CSV);
    if !path.exists() {
        stored.unknown += ran.len();
        return Ok(());
    }
    let numbers: HashMap<&str, usize> =
        ran.iter().enumerate().map(|(number, row)| (row.row_id.as_str(), number)).collect();
    let mut scores: Vec<BTreeMap<Place, Scores>> = vec![BTreeMap::new(); ran.len()];
    let mut held = 0;
    for row in csv::rows::<RetrievalRow>(&path)? {
        let row = row?;
        let Some(&number) = numbers.get(row.row_id.as_str()) else { continue };
        held += 4;
        if held > MOST_NUMBERS {
            return Err(Error::file(&path, format!("more than {MOST_NUMBERS} numbers; divide the run")));
        }
        let of_needle = |count: usize| count as f64 / row.needle_tokens as f64;
        let question = row.question_score.unwrap_or(f64::NAN);
        let own = [of_needle(row.copied_steps), of_needle(row.copied_tokens), question, f64::NAN];
        scores[number].insert((row.layer, row.head), own);
    }
    for row in csv::rows::<AttentionRow>(directory.join(ATTENTION_CSV))? {
        let row = row?;
        let own = numbers.get(row.row_id.as_str()).and_then(|&n| scores[n].get_mut(&(row.layer, row.head)));
        if let Some(own) = own {
            own[3] = row.needle_mass;
        }
    }
    let trials = &mut stored.trials;
    trials.tasks.push(record.settings.task_name().to_string());
    let task = trials.tasks.len() - 1;
    for (outcome, scores) in ran.into_iter().zip(scores) {
        if scores.is_empty() {
            stored.unknown += 1;
            continue;
        }
        let heads: Vec<Place> = scores.keys().copied().collect();
        if trials.heads.is_empty() {
            trials.heads = heads;
        } else if trials.heads != heads {
            let problem =
                format!("trial {} has other heads than those before it; remove its rows", outcome.row_id);
            return Err(Error::file(&path, problem));
        }
        let correct = outcome.correct == Some(true);
        trials.trials.push(TrialHeads {
            task,
            trial: outcome.trial,
            correct,
            scores: scores.into_values().collect(),
        });
    }
    Ok(())
}

/// The heads of a directory by the mean of a score over the trials with a right answer, or of a file as other
/// tools have them (`{"layer-head": [scores]}`) by the mean of what it holds; the largest first.
///
/// # Errors
/// As [`read`], and [`Error::File`] for a file that is no such object or names no head.
pub fn ranking(place: &Path, score: HeadScore) -> Result<Vec<ScoredHead>> {
    let ranked = match place.is_dir() {
        true => read(place)?.trials.counted(false).ranked(score),
        false => retrieval::ranked(&read_scores(place)?),
    };
    match ranked.is_empty() {
        true => Err(Error::file(place, "no head has a score; measure more trials, or rank by another score")),
        false => Ok(ranked),
    }
}

/// The scores in a file as other tools have them: `{"layer-head": [scores of trials]}`.
///
/// # Errors
/// [`Error::File`] when it cannot be read or is no such object.
pub fn read_scores(path: &Path) -> Result<BTreeMap<Place, Vec<f64>>> {
    let text =
        files::read_text(path, MOST_BYTES).map_err(|error| Error::file(path, files::problem(&error)))?;
    read_json(&text).map_err(|error| Error::file(path, error))
}
