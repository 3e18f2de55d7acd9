//! Answers that a server has given to prompts of a file, as an ordinary run without attention.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::directory::{RunDirectory, RunRecord};
use super::rescored::Rescoring;
use crate::clock;
use crate::error::{Error, Result};
use crate::grid::{Cell, Depth, Grid};
use crate::plan::{Identity, ModelChoice, Settings, UNSEEN, own_scorers};
use crate::runner::{TrialRecord, TrialSink};
use crate::score::{self, Scorer, expected};
use crate::task::{Answers, CONTROLS, GivenAnswer, GivenPrompt, Prompts};
use crate::tokenizer::apart_from_thought;
use crate::trial::{Outcome, Status, Trial};

/// A run made of answers.
pub struct Answered {
    /// What ran.
    pub record: RunRecord,
    /// A row to each prompt.
    pub outcomes: Vec<Outcome>,
}

/// Puts each answer to its prompt and scores it: by the scorer that `rescoring` names, or else by that of the
/// prompt.
///
/// # Errors
/// [`Error::File`] when ids do not match or a prompt says no length, [`Error::InvalidValue`] when nobody says
/// which model it was, and when a scorer is unknown.
pub fn answered(
    prompts_path: &Path,
    prompts: &Prompts,
    answers: &Answers,
    model: Option<&str>,
    rescoring: &Rescoring,
) -> Result<Answered> {
    let given: Vec<&GivenPrompt> = prompts.rows().map(|(given, _)| given).collect();
    let ids: Vec<&str> = given.iter().map(|given| given.id.as_str()).collect();
    let said = answers.to(&ids, prompts_path)?;
    let Some(model) = model.or(answers.model.as_deref()).filter(|model| !model.trim().is_empty()) else {
        let expected = "the name of the model that answered, here or as model in the answers";
        return Err(Error::invalid("model", "nothing", expected));
    };
    let (settings, trials) = planned(prompts_path, &given, model, rescoring)?;
    settings.check()?;
    let task = settings.task_name().to_string();
    let own: BTreeSet<&str> = given.iter().filter_map(|given| given.scorer.as_deref()).collect();
    let own: Vec<&str> = own.into_iter().filter(|_| rescoring.scorer.is_none()).collect();
    let identity = Identity::of_answers(&settings, prompts.hash(), &answers.hash, &own).scored_by(&settings);
    let config_hash = identity.hash();
    let run_id = config_hash[..8].to_string();
    let blank = Outcome {
        run_id: run_id.clone(),
        config_hash: config_hash.clone(),
        model: model.to_string(),
        variant: UNSEEN.to_string(),
        task,
        timestamp_utc: clock::now_utc(),
        ..Outcome::default()
    };
    let scorer = score::scoring(&settings.scorer, settings.normalise, settings.correct_from)?;
    let own_scorers = match rescoring.scorer {
        Some(_) => BTreeMap::new(),
        None => own_scorers(given.iter().copied(), &settings)?,
    };
    let scorer_of = |given: &GivenPrompt| {
        let own = given.scorer.as_ref().and_then(|name| own_scorers.get(name));
        own.unwrap_or(&scorer).as_ref()
    };
    let rows = trials.iter().zip(&given).zip(&said);
    let outcomes =
        rows.map(|((trial, given), said)| outcome(&blank, trial, given, said, scorer_of(given))).collect();
    let control = CONTROLS.iter().find(|entry| settings.control.as_deref() == Some(entry.name));
    let meaning =
        control.and_then(|entry| Some(format!("control {}: {}", entry.name, entry.value.meaning()?)));
    let record = RunRecord {
        niah: env!("CARGO_PKG_VERSION").to_string(),
        run_id,
        config_hash,
        command: std::env::args().collect(),
        started_utc: clock::now_utc(),
        settings,
        variant: UNSEEN.to_string(),
        variant_description: "its answers were given, and no attention was measured".to_string(),
        training_length: None,
        model: json!({}),
        tokens: Value::Null,
        warnings: meaning.into_iter().collect(),
        machine: Value::Null,
        identity,
        answers_of: None,
        shard: None,
        merged: Vec::new(),
        imported: None,
    };
    Ok(Answered { record, outcomes })
}

/// Writes such a run into a directory of its own, or goes on where one of it was left.
///
/// # Errors
/// [`Error::PlanChanged`] when the directory holds another run, and [`Error::File`] when it cannot be
/// written.
pub fn write(run: &Answered, directory: &Path) -> Result<RunDirectory> {
    let mut store = RunDirectory::open(directory, &run.record, false)?;
    let done: BTreeSet<String> = store.outcomes().iter().map(|row| row.row_id.clone()).collect();
    for outcome in run.outcomes.iter().filter(|row| !done.contains(&row.row_id)) {
        store.record(TrialRecord { outcome: outcome.clone(), ..TrialRecord::default() })?;
    }
    Ok(store)
}

fn outcome(
    blank: &Outcome,
    trial: &Trial,
    given: &GivenPrompt,
    answer: &GivenAnswer,
    scorer: &dyn Scorer,
) -> Outcome {
    let made = &given.made;
    let row = Outcome {
        prompt_tokens: made.prompt_tokens,
        actual_depth_percent: made.actual_depth_percent,
        prompt_hash: made.prompt_hash.clone(),
        needle_start: made.needle_span.map(|(start, _)| start),
        needle_end: made.needle_span.map(|(_, end)| end),
        value_start: made.value_span.map(|(start, _)| start),
        value_end: made.value_span.map(|(_, end)| end),
        needle: made.needle.clone(),
        question: given.question.clone(),
        expected_answer: expected::joined(&given.expected),
        ..blank.clone().of(trial)
    };
    match &answer.said {
        Err(problem) => Outcome { status: Status::Error, error: Some(problem.clone()), ..row },
        Ok(response) => {
            let (response, thinking_cut) = apart_from_thought(response);
            let score = scorer.score(&response, &given.expected);
            let correct = scorer.is_correct(score);
            Outcome {
                model_response: Some(response),
                score: Some(score),
                correct: Some(correct),
                outcome: Some(score::classify(correct, None, None)),
                thinking_cut,
                ..row
            }
        }
    }
}

/// The settings of the run, and the trial of each prompt: those of the plan that the prompts were written of,
/// where all of it is there, or else each prompt by its number.
fn planned(
    path: &Path,
    given: &[&GivenPrompt],
    model: &str,
    rescoring: &Rescoring,
) -> Result<(Settings, Vec<Trial>)> {
    let unknown = |given: &&&GivenPrompt| given.context_length.is_none();
    if let Some(without) = given.iter().find(unknown) {
        let problem = format!(
            "line {}, context_length: found nothing, expected the length of the prompt in tokens, which nothing \
             counts without a model",
            without.line
        );
        return Err(Error::file(path, problem));
    }
    let own: BTreeSet<&str> = given.iter().filter_map(|given| given.scorer.as_deref()).collect();
    let one = own.first().filter(|_| own.len() == 1 && given.iter().all(|given| given.scorer.is_some()));
    let scorer = rescoring.scorer.clone().or(one.map(|name| (*name).to_string()));
    let base = Settings {
        model: ModelChoice { name: model.to_string(), ..ModelChoice::default() },
        scorer: scorer.unwrap_or(Settings::default().scorer),
        normalise: rescoring.normalise.unwrap_or_default(),
        correct_from: rescoring.correct_from,
        ..Settings::default()
    };
    if let Some(planned) = of_one_plan(given, &base)? {
        return Ok(planned);
    }
    let cell = |given: &GivenPrompt| {
        let context_length = given.context_length?;
        Some(Cell { context_length, depth: Depth::default() })
    };
    let cells: Vec<Cell> = given.iter().filter_map(|given| cell(given)).collect();
    let grid = Grid::new(cells.iter().map(|cell| cell.context_length).collect(), vec![Depth::default()])?;
    let seed = base.seed;
    let trials = cells.into_iter().enumerate().map(|(index, cell)| Trial { cell, index, seed });
    let prompts = Some(path.display().to_string());
    Ok((Settings { grid, trials: given.len(), prompts, ..base }, trials.collect()))
}

/// Settings and trials where the prompts are all those of one plan of a task.
fn of_one_plan(given: &[&GivenPrompt], base: &Settings) -> Result<Option<(Settings, Vec<Trial>)>> {
    let trial = |given: &&GivenPrompt| {
        let made = &given.made;
        let cell = Cell { context_length: given.context_length?, depth: made.depth? };
        Some(Trial { cell, index: made.trial?, seed: made.seed? })
    };
    let Some(trials) = given.iter().map(trial).collect::<Option<Vec<Trial>>>() else { return Ok(None) };
    let Some(first) = given.first().map(|given| &given.made) else { return Ok(None) };
    let Some(task) = first.task.clone().filter(|task| task != "prompts") else { return Ok(None) };
    let same = given.iter().all(|given| {
        let made = &given.made;
        (&made.task, &made.control, made.distractors, made.seed)
            == (&first.task, &first.control, first.distractors, first.seed)
    });
    let grid = Grid::new(
        trials.iter().map(|trial| trial.cell.context_length).collect(),
        trials.iter().map(|trial| trial.cell.depth).collect(),
    )?;
    let each = trials.iter().map(|trial| trial.index).max().map_or(0, |index| index + 1);
    let distinct: BTreeSet<String> = trials.iter().map(Trial::row_id).collect();
    let whole = distinct.len() == trials.len() && grid.count().checked_mul(each) == Some(trials.len());
    if !same || !whole {
        return Ok(None);
    }
    let settings = Settings {
        grid,
        trials: each,
        seed: first.seed.unwrap_or(base.seed),
        task,
        control: first.control.clone(),
        distractors: first.distractors,
        ..base.clone()
    };
    Ok(Some((settings, trials)))
}
