//! Results of a neighbouring tool as a run: rows, and a record that says whose scores they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::reading::{MOST_ROWS, document, first_line};
use super::{Ours, Scale, gkamradt, inspect, lm_eval, ruler};
use crate::clock;
use crate::error::{Error, Result};
use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::hash::sha256_hex;
use crate::plan::{Identity, ModelChoice, Settings};
use crate::printable::listed;
use crate::score;
use crate::store::csv::Appender;
use crate::store::directory::{ATTENTION_CSV, RESULTS_CSV, RUN_JSON, RunRecord, SPANS_CSV};
use crate::store::rescored::make_empty;
use crate::trial::{AttentionRow, Outcome, SpanRow, Status, Trial};

/// What stands for the attention of a model that nobody has seen.
const VARIANT: &str = "unseen";

/// A row as a neighbour has it.
#[derive(Debug, Default)]
pub(super) struct TheirRow {
    /// Where it stands in its file.
    pub(super) place: String,
    pub(super) model: Option<String>,
    pub(super) task: Option<String>,
    pub(super) context_length: Option<usize>,
    pub(super) depth_percent: Option<f64>,
    pub(super) needle: Option<String>,
    pub(super) question: Option<String>,
    pub(super) expected: Vec<String>,
    pub(super) response: Option<String>,
    /// On the neighbour's scale.
    pub(super) score: Option<f64>,
    /// Why it has no answer.
    pub(super) failed: Option<String>,
    pub(super) prompt_tokens: Option<usize>,
    pub(super) duration_seconds: Option<f64>,
    pub(super) timestamp_utc: Option<String>,
    pub(super) seed: Option<u64>,
    /// Whether it is the mean of several, of which none can be called correct.
    pub(super) is_mean: bool,
    /// What a row that was ours says beside.
    pub(super) ours: Ours,
}

/// What a file holds.
pub(super) struct Found {
    /// The tool.
    pub(super) from: &'static str,
    /// The scale of its scores, where it is known.
    pub(super) scale: Option<Scale>,
    /// What gave them.
    pub(super) scorer: String,
    pub(super) rows: Vec<TheirRow>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// What the user says of results that the files do not.
#[derive(Debug, Clone, Default)]
pub struct Importing {
    /// Name of the model; of several in the files, the one that is wanted.
    pub model: Option<String>,
    /// Of several tasks in the files, the one that is wanted.
    pub task: Option<String>,
    /// The scale of the scores.
    pub scale: Option<Scale>,
    /// The least score, of 0 to 1, that counts as correct; 1 when absent.
    pub correct_from: Option<f64>,
}

/// Whose results a run is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The tool.
    pub from: String,
    /// Its files.
    pub files: Vec<String>,
    /// The scale that its scores were on.
    pub scale: Scale,
    /// What gave them.
    pub scorer: String,
}

impl Imported {
    /// In a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { from, files, scale, scorer } = self;
        let files = if files.len() == 1 { files[0].clone() } else { format!("{} files", files.len()) };
        let scale = match scale {
            Scale::One => String::new(),
            other => format!(", put from {} on 0-1", other.name()),
        };
        format!(
            "imported from {from} ({files}): the scores are those of {scorer}{scale}, and no attention was measured"
        )
    }
}

/// A run made of a neighbour's results.
pub struct Import {
    /// What ran.
    pub record: RunRecord,
    /// Its rows.
    pub outcomes: Vec<Outcome>,
}

/// Reads files of a neighbouring tool, or directories of them: results of one tool, model and task.
///
/// # Errors
/// [`Error::File`] for what is no results of a known form, has wrong values or none, and for files of several
/// tools; [`Error::InvalidValue`] when nobody says which model, task or scale it is.
pub fn import(paths: &[PathBuf], importing: &Importing) -> Result<Import> {
    let files = expanded(paths)?;
    let mut all: Option<Found> = None;
    let (mut rows, mut read, mut hashes) = (Vec::new(), Vec::new(), String::new());
    for (file, is_named) in &files {
        let Some(found) = read_file(file, *is_named)? else { continue };
        for (path, found) in found {
            hashes += &hash_of(&path)?;
            let Found { from, scale, scorer, rows: new, notes } = found;
            let all =
                all.get_or_insert_with(|| Found { from, scale, scorer, rows: Vec::new(), notes: Vec::new() });
            if all.from != from {
                let problem = format!("of {from}, and others are of {}; import each by itself", all.from);
                return Err(Error::file(path, problem));
            }
            all.scale = all.scale.or(scale);
            all.notes.extend(notes.into_iter().filter(|note| !all.notes.contains(note)).collect::<Vec<_>>());
            rows.extend(new.into_iter().map(|row| (read.len(), row)));
            if rows.len() > MOST_ROWS {
                return Err(Error::file(
                    path,
                    format!("more than {MOST_ROWS} rows; import a part of the files"),
                ));
            }
            read.push(path);
        }
    }
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let none = || {
        let known = "results of lm-eval, inspect, RULER or needlehaystack";
        Error::file(first, format!("holds no {known}; name the file that the tool wrote"))
    };
    let found = all.ok_or_else(none)?;
    if rows.is_empty() {
        let notes = found.notes.join("; ");
        return Err(Error::file(first, format!("holds no row with a length ({notes}); name another file")));
    }
    made(Rows { files: read, hash: sha256_hex(hashes), rows }, found, importing)
}

/// Rows with the number of the file of each.
struct Rows {
    files: Vec<PathBuf>,
    hash: String,
    rows: Vec<(usize, TheirRow)>,
}

/// The run of these rows.
fn made(Rows { files, hash, mut rows }: Rows, mut found: Found, importing: &Importing) -> Result<Import> {
    let named =
        |of: &BTreeSet<String>, wanted: Option<&String>| wanted.filter(|name| of.contains(*name)).cloned();
    let tasks: BTreeSet<String> = rows.iter().filter_map(|(_, row)| task_of(row)).collect();
    let task = match (named(&tasks, importing.task.as_ref()), tasks.len()) {
        (Some(task), _) => {
            rows.retain(|(_, row)| task_of(row).as_ref() == Some(&task));
            task
        }
        (None, 0 | 1) => {
            let only = tasks.first().cloned();
            importing.task.clone().or(only).unwrap_or_else(|| "imported".to_string())
        }
        (None, _) => {
            let expected = format!("one of {}", listed(&tasks));
            return Err(Error::invalid("task", importing.task.as_deref().unwrap_or("nothing"), expected));
        }
    };
    let models: BTreeSet<String> = rows.iter().filter_map(|(_, row)| row.model.clone()).collect();
    let model = match (named(&models, importing.model.as_ref()), models.len()) {
        (Some(model), _) => {
            rows.retain(|(_, row)| row.model.as_ref().is_none_or(|of| *of == model));
            model
        }
        (None, 0 | 1) => match importing.model.clone().or(models.first().cloned()) {
            Some(model) => model,
            None => return Err(Error::invalid("model", "nothing", "a name for it: the files say none")),
        },
        (None, _) => {
            let expected = format!("one of {}", listed(&models));
            return Err(Error::invalid("model", importing.model.as_deref().unwrap_or("nothing"), expected));
        }
    };
    let (trials, without) = trials(&files, &rows)?;
    if without > 0 {
        found.notes.push(format!("{without} rows say no depth and stand at depth 0"));
    }
    let was_ours = rows.iter().all(|(_, row)| row.ours.scorer.is_some());
    let scorers: BTreeSet<&String> = rows.iter().filter_map(|(_, row)| row.ours.scorer.as_ref()).collect();
    let own = scorers.first().filter(|_| was_ours && scorers.len() == 1).map(|name| (*name).clone());
    let scored = rows.iter().any(|(_, row)| row.score.is_some() && row.ours.score.is_none());
    let scale = match importing.scale.or(found.scale) {
        Some(scale) => scale,
        None if !scored => Scale::One,
        None => {
            let expected = "0-1, 1-10 or 0-100: the files do not say on which scale their scores are";
            return Err(Error::invalid("scale", "nothing", expected));
        }
    };
    let grid = Grid::new(
        trials.iter().map(|trial| trial.cell.context_length).collect(),
        trials.iter().map(|trial| trial.cell.depth).collect(),
    )?;
    let settings = Settings {
        model: ModelChoice::of(model.clone()),
        grid,
        trials: trials.iter().map(|trial| trial.index).max().map_or(1, |last| last + 1),
        seed: trials.first().map_or(0, |trial| trial.seed),
        task,
        scorer: own.clone().unwrap_or_else(|| format!("{} of {}", found.scorer, found.from)),
        correct_from: importing.correct_from,
        ..Settings::default()
    };
    settings.check()?;
    let identity = Identity::of_import(&settings, found.from, &hash).scored_by(&settings);
    let config_hash = identity.hash();
    let run_id = config_hash[..8].to_string();
    let blank = Outcome {
        run_id: run_id.clone(),
        config_hash: config_hash.clone(),
        model,
        variant: VARIANT.to_string(),
        task: settings.task.clone(),
        ..Outcome::default()
    };
    let judging = Judging { scale, correct_from: importing.correct_from, files: &files };
    let made = trials.iter().zip(rows).map(|(trial, (file, row))| judging.outcome(&blank, trial, file, row));
    let outcomes: Vec<Outcome> = made.collect::<Result<_>>()?;
    let imported = Imported {
        from: found.from.to_string(),
        files: files.iter().map(|file| file.display().to_string()).collect(),
        scale,
        scorer: own.unwrap_or(found.scorer),
    };
    let started = outcomes.iter().map(|row| &row.timestamp_utc).filter(|time| !time.is_empty()).min();
    let record = RunRecord {
        niah: env!("CARGO_PKG_VERSION").to_string(),
        run_id,
        config_hash,
        command: std::env::args().collect(),
        started_utc: started.cloned().unwrap_or_else(clock::now_utc),
        settings,
        variant: VARIANT.to_string(),
        variant_description: format!("its results are those of {}", found.from),
        training_length: None,
        model: json!({}),
        tokens: Value::Null,
        warnings: found.notes,
        machine: Value::Null,
        identity,
        answers_of: None,
        shard: None,
        merged: Vec::new(),
        imported: Some(imported),
    };
    Ok(Import { record, outcomes })
}

fn task_of(row: &TheirRow) -> Option<String> {
    row.ours.task.clone().or_else(|| row.task.clone())
}

/// The trial of each row, and how many say no depth. Rows that were ours keep their numbers; others of one
/// cell are numbered as they come.
fn trials(files: &[PathBuf], rows: &[(usize, TheirRow)]) -> Result<(Vec<Trial>, usize)> {
    let (mut cells, mut without) = (Vec::with_capacity(rows.len()), 0);
    for (file, row) in rows {
        let percent = row.ours.depth_percent.or(row.depth_percent);
        without += usize::from(percent.is_none());
        let place = |key: &str, found: &dyn std::fmt::Display, error: &Error| {
            Error::file(&files[*file], format!("{}: {key}: found {found}: {error}", row.place))
        };
        let depth = percent.unwrap_or(0.0);
        let depth = Depth::from_percent(depth).map_err(|error| place("depth", &depth, &error))?;
        let length = row.context_length.unwrap_or(0);
        let context_length =
            ContextLength::try_from(length).map_err(|error| place("context_length", &length, &error))?;
        cells.push(Cell { context_length, depth });
    }
    let numbers: Option<Vec<usize>> =
        rows.iter().map(|(_, row)| row.ours.trial.filter(|n| *n < MOST_ROWS)).collect();
    let distinct =
        |numbers: &Vec<usize>| cells.iter().zip(numbers).collect::<BTreeSet<_>>().len() == cells.len();
    let numbers = numbers.filter(distinct).unwrap_or_else(|| {
        let mut next: BTreeMap<Cell, usize> = BTreeMap::new();
        let number = |cell: &Cell| {
            let next = next.entry(*cell).or_default();
            *next += 1;
            *next - 1
        };
        cells.iter().map(number).collect()
    });
    let seed = |row: &TheirRow| row.ours.seed.or(row.seed).unwrap_or_default();
    let trial = |((cell, index), (_, row)): ((Cell, usize), &(usize, TheirRow))| Trial {
        cell,
        index,
        seed: seed(row),
    };
    Ok((cells.into_iter().zip(numbers).zip(rows).map(trial).collect(), without))
}

/// How rows are judged.
struct Judging<'a> {
    scale: Scale,
    correct_from: Option<f64>,
    files: &'a [PathBuf],
}

impl Judging<'_> {
    fn outcome(&self, blank: &Outcome, trial: &Trial, file: usize, row: TheirRow) -> Result<Outcome> {
        let ours = row.ours;
        let base = Outcome {
            context_length: trial.cell.context_length.0,
            depth_percent: trial.cell.depth,
            trial: trial.index,
            seed: trial.seed,
            row_id: trial.row_id(),
            prompt_tokens: ours.prompt_tokens.or(row.prompt_tokens),
            needle: ours.needle.or(row.needle).unwrap_or_default(),
            question: ours.question.or(row.question).unwrap_or_default(),
            expected_answer: ours.expected.unwrap_or(row.expected).join("|"),
            duration_seconds: ours.duration_seconds.or(row.duration_seconds),
            timestamp_utc: ours.timestamp_utc.or(row.timestamp_utc).unwrap_or_default(),
            ..blank.clone()
        };
        if let Some(problem) = ours.error.or(row.failed) {
            return Ok(Outcome { status: Status::Error, error: Some(problem), ..base });
        }
        let theirs = |found: f64| {
            let expected = format!("a score of {}, or another scale", self.scale.name());
            let one = self.scale.to_one(found);
            one.ok_or_else(|| wrong(&self.files[file], &row.place, "score", &json!(found), &expected))
        };
        let score = match ours.score {
            Some(score) if (0.0..=1.0).contains(&score) => Some(score),
            _ => row.score.map(theirs).transpose()?,
        };
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

/// Levels of directories that are looked through, at most: RULER has four.
const LEVELS: usize = 5;

/// Files that are looked at, at most.
const MOST_FILES: usize = 100_000;

/// The files that are named, and those of JSON in the directories that are; whether each was named itself.
fn expanded(paths: &[PathBuf]) -> Result<Vec<(PathBuf, bool)>> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => below(path, LEVELS, &mut files)?,
            false => files.push((path.clone(), true)),
        }
    }
    Ok(files)
}

fn below(directory: &Path, levels: usize, files: &mut Vec<(PathBuf, bool)>) -> Result<()> {
    let cannot_read = |error| Error::file(directory, format!("cannot read: {error}; name a file in it"));
    let mut entries =
        fs::read_dir(directory).map_err(cannot_read)?.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot_read)?);
        let is_json = path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
        if kind.is_dir() && levels > 0 {
            below(&path, levels - 1, files)?;
        } else if kind.is_file() && is_json {
            files.push((path, false));
        }
        if files.len() > MOST_FILES {
            return Err(Error::file(
                directory,
                format!("more than {MOST_FILES} files; name those to import"),
            ));
        }
    }
    Ok(())
}

/// What a file holds, and the files that were read for it; `None` for what is of no known form and was not
/// named itself.
fn read_file(path: &Path, is_named: bool) -> Result<Option<Vec<(PathBuf, Found)>>> {
    let one = |found: Found| Ok(Some(vec![(path.to_path_buf(), found)]));
    let unknown = || {
        let known = "lm-eval, inspect, RULER or needlehaystack";
        Error::file(path, format!("is of none of {known}; name the file that the tool wrote"))
    };
    if let Some(Value::Object(line)) = first_line(path)? {
        let value = Value::Object(line);
        let fields = Fields::of(path, "line 1", &value)?;
        if lm_eval::is_sample(&fields) {
            return one(lm_eval::samples(path)?);
        }
        if ruler::is_prediction(&fields) {
            return one(ruler::predictions(path)?);
        }
        if gkamradt::is_second(&fields) {
            return one(gkamradt::second(path)?);
        }
    }
    /// The keys of a document; its values take no memory.
    type Keys = BTreeMap<String, serde::de::IgnoredAny>;
    let keys = match document::<Keys>(path) {
        Ok(keys) => keys,
        Err(error) if is_named => return Err(error),
        Err(_) => return Ok(None),
    };
    let outline: Value =
        keys.into_keys().map(|key| (key, json!(true))).collect::<serde_json::Map<_, _>>().into();
    let outline = Fields::of(path, "it", &outline)?;
    if inspect::is_log(&outline) {
        return one(inspect::log(path)?);
    }
    let is_results = lm_eval::is_results(&outline);
    if !is_results && !gkamradt::is_first(&outline) {
        return if is_named { Err(unknown()) } else { Ok(None) };
    }
    let beside = if is_results { lm_eval::samples_beside(path) } else { Vec::new() };
    match (beside.is_empty(), is_named) {
        // In a directory they are read by themselves.
        (false, false) => return Ok(None),
        (false, true) => {
            let read = |path: PathBuf| lm_eval::samples(&path).map(|found| (path.clone(), found));
            return beside.into_iter().map(read).collect::<Result<_>>().map(Some);
        }
        (true, _) => {}
    }
    let value: Value = document(path)?;
    let fields = Fields::of(path, "it", &value)?;
    if is_results { one(lm_eval::means(path, &fields)?) } else { one(gkamradt::first(path, &fields)?) }
}

/// SHA-256 of a file.
fn hash_of(path: &Path) -> Result<String> {
    crate::hash::sha256_of_file(path).map_err(|error| Error::file(path, crate::files::problem(&error)))
}

/// Writes such a run into a directory of its own, or an empty one.
///
/// # Errors
/// [`Error::Output`] when a row is too long to be read again, and [`Error::File`] when the directory holds
/// something, or cannot be written; then nothing is left of what was.
pub fn write(run: &Import, directory: &Path) -> Result<()> {
    make_empty(directory)?;
    write_new(run, directory).inspect_err(|_| {
        for name in [ATTENTION_CSV, SPANS_CSV, RESULTS_CSV, RUN_JSON] {
            // What is not there need not go.
            let _ = fs::remove_file(directory.join(name));
        }
    })
}

fn write_new(run: &Import, directory: &Path) -> Result<()> {
    Appender::<AttentionRow>::open(directory.join(ATTENTION_CSV))?;
    Appender::<SpanRow>::open(directory.join(SPANS_CSV))?;
    Appender::<Outcome>::open(directory.join(RESULTS_CSV))?.append(&run.outcomes)?;
    // The record comes last: what has none is no run.
    run.record.write(directory)
}
