//! Stored answers scored again, without the model that gave them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::csv::{self, Appender};
use super::directory::{
    self, ATTENTION_CSV, KINDS_CSV, RESULTS_CSV, RETRIEVAL_CSV, RUN_JSON, RunRecord, SERVED_CSV, SPANS_CSV,
    TOKENS_CSV,
};
use super::stored::StoredRun;
use crate::error::{Error, Result};
use crate::plan::Settings;
use crate::report;
use crate::score;
use crate::trial::{Outcome, Status};

/// The run whose answers were scored again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswersOf {
    /// Short hash that names it.
    pub run_id: String,
    /// The scorer when it ran.
    pub scorer: String,
}

/// How answers are to be scored again.
#[derive(Debug, Clone, Default)]
pub struct Rescoring {
    /// The scorer; that of the run when absent.
    pub scorer: Option<String>,
    /// What else is the same to it; as in the run when absent.
    pub normalise: Option<score::Normalise>,
    /// The least score that counts as correct; as in the run when absent and the scorer is the run's.
    pub correct_from: Option<f64>,
}

impl Rescoring {
    /// In words, for runs that may each have a scorer of its own.
    #[must_use]
    pub fn words(&self) -> String {
        let scorer = self.scorer.as_deref().unwrap_or("the scorer of each task");
        let from = self.correct_from.map(|from| format!(", correct from {from} on"));
        let numbers = self.normalise.filter(|normalise| !normalise.is_nothing());
        let numbers = numbers.map(|_| ", numbers normalised".to_string());
        format!("scored again by {scorer}{}", [numbers, from].into_iter().flatten().collect::<String>())
    }

    /// The settings of a run with this in their place.
    fn of(&self, settings: &Settings) -> Settings {
        let own = self.scorer.as_ref().is_none_or(|scorer| *scorer == settings.scorer);
        Settings {
            scorer: self.scorer.clone().unwrap_or_else(|| settings.scorer.clone()),
            normalise: self.normalise.unwrap_or(settings.normalise),
            correct_from: self.correct_from.or(settings.correct_from.filter(|_| own)),
            ..settings.clone()
        }
    }
}

/// A run whose answers were scored again.
pub struct Rescored {
    /// The run, with the scores, under a name of its own.
    pub run: StoredRun,
    /// How many answers were judged.
    pub judged: Judged,
}

/// How many answers were judged, and how many of them otherwise than before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Answers that were scored.
    pub answers: usize,
    /// Those of them that were right before and are not any more, or the other way round.
    pub otherwise: usize,
}

impl Judged {
    /// In a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self.answers {
            0 => "no answer is stored, so none was scored".to_string(),
            answers => format!("{} of {answers} answers are judged otherwise than before", self.otherwise),
        }
    }
}

impl std::ops::AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.otherwise += other.otherwise;
    }
}

/// Scores the answers of a run again. What a trial read, said and attended to stays; its score, whether that
/// is correct and what became of the needle are new.
///
/// # Errors
/// When the scorer is unknown or the threshold none, and when none is named for prompts that have several.
pub fn score_again(run: StoredRun, rescoring: &Rescoring) -> Result<Rescored> {
    let StoredRun { record, mut outcomes, warnings } = run;
    if let Some(own) = record.identity.own_scorers().filter(|_| rescoring.scorer.is_none()) {
        let expected =
            format!("one for all answers: the prompts of this run have scorers of their own ({own})");
        return Err(Error::invalid("scorer", "nothing", expected));
    }
    let settings = rescoring.of(&record.settings);
    settings.check()?;
    let scorer = settings.scoring()?;
    let identity = record.identity.clone().scored_by(&settings);
    let config_hash = identity.hash();
    let run_id = config_hash[..8].to_string();
    let before: Vec<Option<bool>> = report::latest(&outcomes).iter().map(|row| row.correct).collect();
    for row in &mut outcomes {
        row.run_id.clone_from(&run_id);
        row.config_hash.clone_from(&config_hash);
        if row.status == Status::Ok {
            let expected = record.expected(row);
            let score = scorer.score(row.model_response.get_or_insert_default(), &expected);
            row.score = Some(score);
            row.correct = Some(scorer.is_correct(score));
            row.outcome = score::finding(row);
        }
    }
    let latest = report::latest(&outcomes);
    let scored = || latest.iter().zip(&before).filter(|(row, _)| row.correct.is_some());
    let otherwise = scored().filter(|(row, before)| row.correct != **before).count();
    let judged = Judged { answers: scored().count(), otherwise };
    let own = AnswersOf { run_id: record.run_id.clone(), scorer: record.settings.scorer.clone() };
    let answers_of = record.answers_of.clone().unwrap_or(own);
    let record = RunRecord {
        run_id,
        config_hash,
        command: std::env::args().collect(),
        settings,
        identity,
        answers_of: Some(answers_of),
        ..record
    };
    Ok(Rescored { run: StoredRun { record, outcomes, warnings }, judged })
}

/// Tables of a run that scores do not enter.
const KEPT: &[&str] = &[ATTENTION_CSV, SPANS_CSV, KINDS_CSV, RETRIEVAL_CSV, TOKENS_CSV, SERVED_CSV];

/// Writes a run whose answers were scored again into a directory of its own, with the other tables of the run
/// in `from`.
///
/// # Errors
/// [`Error::File`] when the directory holds something already, and when it cannot be written; then nothing is
/// left of what was.
pub fn write(run: &StoredRun, from: &Path, to: &Path) -> Result<()> {
    make_empty(to)?;
    let written = write_new(run, from, to);
    if written.is_err() {
        for name in KEPT.iter().chain(&[RESULTS_CSV, RUN_JSON]) {
            // What is not there need not go.
            let _ = fs::remove_file(to.join(name));
        }
    }
    written
}

/// Makes a directory, or takes one that is empty.
///
/// # Errors
/// [`Error::File`] when it holds something, and when it cannot be made or read.
pub fn make_empty(directory: &Path) -> Result<()> {
    directory::make(directory)?;
    let cannot_read = |error| Error::file(directory, format!("cannot read: {error}"));
    if fs::read_dir(directory).map_err(cannot_read)?.next().is_some() {
        let problem = "holds files already, and nothing is overwritten; choose another directory with -o";
        return Err(Error::file(directory, problem));
    }
    Ok(())
}

/// The record comes last: what has none is no run.
fn write_new(run: &StoredRun, from: &Path, to: &Path) -> Result<()> {
    for name in KEPT.iter().filter(|name| from.join(name).exists()) {
        csv::relabelled(&from.join(name), &to.join(name), &run.record.run_id)?;
    }
    Appender::<Outcome>::open(to.join(RESULTS_CSV))?.append(&run.outcomes)?;
    run.record.write(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_of_the_run_goes_with_its_scorer_alone() {
        let run = Settings { scorer: "edit".to_string(), correct_from: Some(0.8), ..Settings::default() };
        let of = |rescoring: Rescoring| {
            let settings = rescoring.of(&run);
            (settings.scorer, settings.correct_from)
        };
        let by = |scorer: &str| Rescoring { scorer: Some(scorer.to_string()), ..Rescoring::default() };
        assert_eq!(of(Rescoring::default()), ("edit".to_string(), Some(0.8)));
        assert_eq!(of(by("edit")), ("edit".to_string(), Some(0.8)));
        assert_eq!(of(by("rouge1")), ("rouge1".to_string(), None));
        assert_eq!(
            of(Rescoring { correct_from: Some(0.5), ..by("rouge1") }),
            ("rouge1".to_string(), Some(0.5))
        );
    }
}
