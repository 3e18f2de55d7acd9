//! Runs of parts of one plan, joined into the directory of one run.
//!
//! Of every trial the row that ran is kept, and before it the rows of attempts that failed, by their times; a
//! trial that ran twice is kept once where both rows say the same but for their times, and refused where they
//! do not. Trials stand in the order of the plan, whatever was joined first. Rows are copied as they are: in
//! memory is a key, a hash and a place of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::mem;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::csv::{self, Appender};
use super::directory::{
    ATTENTION_CSV, KINDS_CSV, RESULTS_CSV, RETRIEVAL_CSV, RUN_JSON, RunRecord, SERVED_CSV, SPANS_CSV,
    TOKENS_CSV, TrialRow, check_named, make,
};
use super::holding::check_single;
use super::{order, served};
use crate::error::{Error, Result, RowsDiffer};
use crate::hash::sha256;
use crate::plan::Shard;
use crate::prefix;
use crate::trial::{
    AttentionRow, KindRow, Outcome, RetrievalRow, ServedRow, SpanRow, Status, TokenRow, Trial,
};

/// A run whose rows stand in the directory of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedRun {
    /// Where it was.
    pub directory: String,
    /// The part of the plan that it was for; all of it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// When it was first started.
    pub started_utc: String,
    /// The machine.
    pub machine: Value,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Trials that ran.
    pub ran: usize,
    /// Trials that were tried and did not run.
    pub failed: usize,
    /// Trials of the plan.
    pub planned: usize,
    /// Trials that ran more than once, with the same result.
    pub twice: usize,
    /// Parts of the plan that were in none of the directories.
    pub missing: Vec<Shard>,
}

/// Joins runs of one plan into the directory `out`. Where runs of it lie there already, they stay.
///
/// # Errors
/// [`Error::PlansDiffer`] for runs of several plans, [`Error::RowsDiffer`] for a trial with two results,
/// [`Error::Output`] for more rows than are read again, and [`Error::File`] when a directory holds no run,
/// `out` holds several models or tasks, or a table cannot be read; then `out` is as it was. [`Error::File`]
/// when a table cannot be written: the same command then goes on, as after a kill.
pub fn merge(directories: &[PathBuf], out: &Path) -> Result<Merged> {
    check_named(out)?;
    let sources = sources(directories, out)?;
    let mut record = of_all(&sources)?;
    check_single(out, &record.settings)?;
    // Nobody else writes to it meanwhile.
    let held = out.join(RESULTS_CSV);
    let _held = held.exists().then(|| Appender::<Outcome>::open(&held)).transpose()?;
    let mut rows = Rows::default();
    for (number, (directory, source)) in sources.iter().enumerate() {
        rows.read(number, &directory.join(RESULTS_CSV), source, &record)?;
    }
    rows.put_in_order(&record);
    let bytes = rows.kept().map(|row| row.bytes.end - row.bytes.start);
    csv::check_growth::<Outcome>(&out.join(RESULTS_CSV), bytes.sum())?;
    for (directory, _) in &sources {
        check::<AttentionRow>(&directory.join(ATTENTION_CSV))?;
        check::<TokenRow>(&directory.join(TOKENS_CSV))?;
        check::<SpanRow>(&directory.join(SPANS_CSV))?;
        check::<KindRow>(&directory.join(KINDS_CSV))?;
        check::<RetrievalRow>(&directory.join(RETRIEVAL_CSV))?;
        check::<ServedRow>(&directory.join(SERVED_CSV))?;
    }
    let places: Vec<&PathBuf> = sources.iter().map(|(directory, _)| directory).collect();
    if record.settings.served.is_some() {
        served::unite(&mut record, sources.iter().map(|(_, source)| source));
        served::sum_up(&mut record, &rows.of_trials(&places, SERVED_CSV)?);
    }
    make(out)?;
    rows.copy_of_trials::<AttentionRow>(&places, out, ATTENTION_CSV)?;
    rows.copy_of_trials::<TokenRow>(&places, out, TOKENS_CSV)?;
    rows.copy_of_trials::<SpanRow>(&places, out, SPANS_CSV)?;
    rows.copy_of_trials::<KindRow>(&places, out, KINDS_CSV)?;
    rows.copy_of_trials::<RetrievalRow>(&places, out, RETRIEVAL_CSV)?;
    rows.copy_of_trials::<ServedRow>(&places, out, SERVED_CSV)?;
    // Rows without the record would be of no run, and a record whose rows are missing gets them by the same
    // command: what makes a trial count comes behind all else.
    record.write(out)?;
    let tables: Vec<PathBuf> = places.iter().map(|place| place.join(RESULTS_CSV)).collect();
    let pieces = rows.kept().map(|row| (row.source, row.bytes.clone()));
    csv::joined::<Outcome>(&out.join(RESULTS_CSV), &tables, pieces)?;
    let (ran, failed) = rows.counts();
    let planned = record.settings.planned();
    Ok(Merged { ran, failed, planned, twice: rows.twice, missing: missing(&record) })
}

/// Refuses a table whose rows cannot be copied as they are, before anything is written.
fn check<R: TrialRow>(path: &Path) -> Result<()> {
    if path.exists() { csv::check_bytes::<R>(path) } else { Ok(()) }
}

/// The runs, those of the first parts of a plan first, and the one that lies where they are joined at the
/// end.
fn sources(directories: &[PathBuf], out: &Path) -> Result<Vec<(PathBuf, RunRecord)>> {
    let (mut seen, mut sources) = (BTreeSet::new(), Vec::new());
    let own = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let is_out = own(out);
    for directory in directories {
        let place = own(directory);
        if place != is_out && seen.insert(place) {
            sources.push((directory.clone(), RunRecord::read(directory)?));
        }
    }
    sources.sort_by_key(|(_, record)| (record.shard.is_none(), record.shard));
    if out.join(RUN_JSON).exists() {
        sources.push((out.to_path_buf(), RunRecord::read(out)?));
    }
    Ok(sources)
}

/// The record of all of them: of the largest plan, into which the others grow.
fn of_all(sources: &[(PathBuf, RunRecord)]) -> Result<RunRecord> {
    let Some(((first, record), others)) = sources.split_first() else {
        return Err(Error::invalid("niah merge", "nothing", "directories of runs to join"));
    };
    let (mut first, mut record) = (first, record);
    for (path, other) in others {
        let same = record.identity.difference(&other.identity).is_none();
        match (same || other.identity.grows_to(&record.identity), record.identity.grows_to(&other.identity)) {
            (true, _) => {}
            (false, true) => (first, record) = (path, other),
            (false, false) => {
                let difference = record.identity.difference(&other.identity).unwrap_or_default();
                return Err(Error::PlansDiffer { path: path.clone(), first: first.clone(), difference });
            }
        }
        if other.config_hash != record.config_hash {
            let difference = format!("config_hash: {} -> {}", record.config_hash, other.config_hash);
            return Err(Error::PlansDiffer { path: path.clone(), first: first.clone(), difference });
        }
    }
    let mut warnings: Vec<String> = Vec::new();
    let mut merged: Vec<MergedRun> = Vec::new();
    for (directory, source) in sources {
        let new = source.warnings.iter().filter(|line| !warnings.contains(line)).cloned().collect::<Vec<_>>();
        warnings.extend(new);
        let own = MergedRun {
            directory: directory.display().to_string(),
            shard: source.shard,
            command: source.command.clone(),
            started_utc: source.started_utc.clone(),
            machine: source.machine.clone(),
        };
        // Runs that were joined before are named by what they were, and the joined one is none of its own.
        let of_source = if source.merged.is_empty() { vec![own] } else { source.merged.clone() };
        for run in of_source {
            if !merged.contains(&run) {
                merged.push(run);
            }
        }
    }
    merged.sort_by_key(|run| (run.shard.is_none(), run.shard));
    let started = sources.iter().map(|(_, source)| &source.started_utc).min();
    Ok(RunRecord {
        command: std::env::args().collect(),
        started_utc: started.unwrap_or(&record.started_utc).clone(),
        warnings,
        shard: None,
        merged,
        ..record.clone()
    })
}

/// Parts of the plan that no joined run was for, where it was cut into parts of one number and nothing of it
/// ran whole.
fn missing(record: &RunRecord) -> Vec<Shard> {
    let shards: Option<BTreeSet<Shard>> = record.merged.iter().map(|run| run.shard).collect();
    let Some(shards) = shards.filter(|shards| !shards.is_empty()) else { return Vec::new() };
    let counts: BTreeSet<usize> = shards.iter().map(|shard| shard.count()).collect();
    match (counts.len(), shards.first()) {
        (1, Some(first)) => first.all().filter(|shard| !shards.contains(shard)).collect(),
        _ => Vec::new(),
    }
}

/// A row of one of the tables.
struct Place {
    source: usize,
    bytes: Range<u64>,
    /// Of what it says; for a trial that ran, without its times.
    hash: [u8; 32],
}

/// The rows of a trial that are kept.
struct TrialRows {
    trial: Trial,
    ran: Option<Place>,
    /// Those of attempts that failed, by when they ended and what they say.
    failed: BTreeMap<(String, [u8; 32]), Place>,
}

/// The rows of every trial, in the order in which trials first appear until they are put into that of the
/// plan.
#[derive(Default)]
struct Rows {
    trials: Vec<TrialRows>,
    numbers: HashMap<String, usize>,
    tables: Vec<PathBuf>,
    twice: usize,
}

impl Rows {
    /// All that are kept, those of a trial that failed before the one that ran.
    fn kept(&self) -> impl Iterator<Item = &Place> {
        self.trials.iter().flat_map(|trial| trial.failed.values().chain(&trial.ran))
    }

    fn counts(&self) -> (usize, usize) {
        let ran = self.trials.iter().filter(|trial| trial.ran.is_some()).count();
        (ran, self.trials.len() - ran)
    }

    /// Adds the rows of a table.
    fn read(&mut self, source: usize, path: &Path, own: &RunRecord, record: &RunRecord) -> Result<()> {
        self.tables.push(path.to_path_buf());
        if !path.exists() {
            return Ok(());
        }
        for row in csv::spanned::<Outcome>(path)? {
            let (row, bytes) = row?;
            if row.config_hash != record.config_hash {
                let (found, is) = (&row.config_hash, &own.config_hash);
                let problem =
                    format!("row {} is of another run (config_hash {found}, this run has {is})", row.row_id);
                return Err(Error::file(path, problem + "; remove it, and join the runs again"));
            }
            let number = match self.numbers.get(&row.row_id) {
                Some(number) => *number,
                None => {
                    self.numbers.insert(row.row_id.clone(), self.trials.len());
                    let trial = Trial { cell: row.cell(), index: row.trial, seed: row.seed };
                    self.trials.push(TrialRows { trial, ran: None, failed: BTreeMap::new() });
                    self.trials.len() - 1
                }
            };
            self.add(number, &row, Place { source, bytes, hash: hash(&row)? })?;
        }
        Ok(())
    }

    fn add(&mut self, number: usize, row: &Outcome, place: Place) -> Result<()> {
        let trial = &mut self.trials[number];
        match (row.status == Status::Ok, &trial.ran) {
            (true, None) => trial.ran = Some(place),
            (true, Some(before)) if before.hash == place.hash => self.twice += 1,
            (true, Some(before)) => {
                let [first, second] = [before, &place].map(|place| {
                    let path = &self.tables[place.source];
                    Ok::<_, Error>((path.clone(), parsed(path, &place.bytes)?))
                });
                return Err(differing(&row.row_id, first?, second?));
            }
            (false, _) => {
                trial.failed.entry((row.timestamp_utc.clone(), place.hash)).or_insert(place);
            }
        }
        Ok(())
    }

    /// Puts the trials into the order of the plan.
    fn put_in_order(&mut self, record: &RunRecord) {
        let kind = order::kinds(record);
        let mut trials: Vec<(usize, TrialRows)> =
            mem::take(&mut self.trials).into_iter().enumerate().collect();
        trials.sort_by(|(_, a), (_, b)| prefix::behind(&a.trial, &b.trial, &kind));
        let mut numbers = vec![0; trials.len()];
        for (number, (before, rows)) in trials.into_iter().enumerate() {
            numbers[before] = number;
            self.trials.push(rows);
        }
        self.numbers.values_mut().for_each(|number| *number = numbers[*number]);
    }

    /// The number of the trial of a row of a long table, where the row belongs to one that is kept.
    fn trial_of(&self, source: usize, row_id: &str) -> Option<usize> {
        let number = *self.numbers.get(row_id)?;
        self.trials[number].ran.as_ref().is_some_and(|place| place.source == source).then_some(number)
    }

    /// The rows of a long table that belong to the rows of trials that are kept.
    fn of_trials<R: TrialRow>(&self, sources: &[&PathBuf], name: &str) -> Result<Vec<R>> {
        let mut all = Vec::new();
        for (source, table) in sources.iter().map(|source| source.join(name)).enumerate() {
            if table.exists() {
                let kept = |row: &R| self.trial_of(source, row.row_id()).is_some();
                all.extend(csv::selected(table, usize::MAX, kept)?);
            }
        }
        Ok(all)
    }

    /// Copies the rows of a long table that belong to the rows of trials that are kept.
    fn copy_of_trials<R: TrialRow>(&self, sources: &[&PathBuf], out: &Path, name: &str) -> Result<()> {
        let tables: Vec<PathBuf> = sources.iter().map(|source| source.join(name)).collect();
        if !tables.iter().any(|table| table.exists()) {
            return Ok(());
        }
        let mut pieces: Vec<(usize, usize, Range<u64>)> = Vec::new();
        for (source, table) in tables.iter().enumerate().filter(|(_, table)| table.exists()) {
            for (row_id, bytes) in csv::spans::<R>(table)? {
                if let Some(number) = self.trial_of(source, &row_id) {
                    pieces.push((number, source, bytes));
                }
            }
        }
        pieces.sort_by_key(|(number, ..)| *number);
        let pieces = pieces.into_iter().map(|(_, source, bytes)| (source, bytes));
        csv::joined::<R>(&out.join(name), &tables, pieces)
    }
}

/// SHA-256 of a row; of a trial that ran, without how long it took and when it ended.
fn hash(row: &Outcome) -> Result<[u8; 32]> {
    let text = match row.status {
        Status::Ok => serde_json::to_vec(&without_times(row)),
        Status::Error | Status::Skipped => serde_json::to_vec(row),
    };
    Ok(sha256(text.map_err(|error| Error::Message(format!("a row cannot be read: {error}")))?))
}

fn without_times(row: &Outcome) -> Outcome {
    Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row.clone() }
}

/// The values of a row by column.
fn parsed(path: &Path, bytes: &Range<u64>) -> Result<Value> {
    let row = csv::row_of_text::<Outcome>(path, &csv::text_of(path, bytes)?)?;
    serde_json::to_value(without_times(&row)).map_err(|error| Error::file(path, error))
}

/// The first column in which two rows of a trial differ.
fn differing(row_id: &str, (path, a): (PathBuf, Value), (other, b): (PathBuf, Value)) -> Error {
    let columns = a.as_object().into_iter().flat_map(|columns| columns.keys());
    let column = { columns }.find(|column| a[*column] != b[*column]).cloned().unwrap_or_default();
    let short = |value: &Value| crate::printable::shortened(&value.to_string()).into_owned();
    let (found, other_found) = (short(&a[&column]), short(&b[&column]));
    let row_id = row_id.to_string();
    Error::RowsDiffer(Box::new(RowsDiffer { row_id, path, other, column, found, other_found }))
}

/// The places of runs in a directory, relative to it: itself, or those below it, as of several tasks.
///
/// # Errors
/// [`Error::File`] when it cannot be read, or holds no run.
pub fn places(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    below(directory, Path::new(""), LEVELS, &mut found)?;
    match found.is_empty() {
        // Its message says what is missing.
        true => RunRecord::read(directory).map(|_| vec![PathBuf::new()]),
        false => Ok(found),
    }
}

/// Directories within one another, at most: a model, a task and a control.
const LEVELS: usize = 3;

fn below(root: &Path, place: &Path, levels: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let here = root.join(place);
    if here.join(RUN_JSON).exists() {
        found.push(place.to_path_buf());
        return Ok(());
    }
    if levels == 0 {
        return Ok(());
    }
    let cannot_read = |error| Error::file(&here, format!("cannot read: {error}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(&here).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        // Links lead elsewhere.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    names.into_iter().try_for_each(|name| below(root, &place.join(name), levels - 1, found))
}
