//! Results of a neighbouring tool as a run: rows, and a record that says whose scores they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scale;
use super::chosen::{Chosen, RowOf, Source, chosen};
use super::judged::{Judging, trials};
use super::kinds::sources;
use super::listing::{listed, whole};
use super::reading::MOST_ROWS;
use super::theirs::{Found, Notes};
use crate::clock;
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::plan::{Identity, ModelChoice, Settings};
use crate::store::csv::Appender;
use crate::store::directory::{ATTENTION_CSV, RESULTS_CSV, RUN_JSON, RunRecord, SPANS_CSV};
use crate::store::rescored::make_empty;
use crate::trial::{AttentionRow, Outcome, SpanRow};

/// What stands for the attention of a model that nobody has seen.
const VARIANT: &str = "unseen";

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

/// Reads files of a neighbouring tool, or directories of them: results of one tool, model and task. Every
/// file is read once, and every answer counts once.
///
/// # Errors
/// [`Error::File`] for what is no results of a known form, is damaged, has wrong values or none, and for
/// files of several tools; [`Error::InvalidValue`] when nobody says which model, task or scale it is.
pub fn import(paths: &[PathBuf], importing: &Importing) -> Result<Import> {
    let mut notes = Notes::default();
    let All { from, sources, rows } = read(paths, &mut notes)?;
    let paths: Vec<PathBuf> = sources.iter().map(|source| source.path.clone()).collect();
    let chosen = chosen(sources, rows, importing, &mut notes)?;
    made(from, &paths, chosen, importing.correct_from, notes)
}

/// All that the files hold.
struct All {
    from: &'static str,
    sources: Vec<Source>,
    rows: Vec<RowOf>,
}

fn read(paths: &[PathBuf], notes: &mut Notes) -> Result<All> {
    let (mut tool, mut sources_read, mut rows) = (None, Vec::new(), Vec::new());
    let (mut seen, mut unknown) = (BTreeSet::new(), 0);
    for file in listed(paths, notes)? {
        let Some((paths, read)) = sources(&file)? else {
            unknown += 1;
            continue;
        };
        for path in paths.into_iter().filter(|path| seen.insert(whole(path))).collect::<Vec<_>>() {
            let Found { from, scorer, rows: new, notes } = read(&path)?;
            let first = *tool.get_or_insert(from);
            if first != from {
                let problem = format!("of {from}, and others are of {first}; import each by itself");
                return Err(Error::file(path, problem));
            }
            rows.extend(new.into_iter().map(|row| (sources_read.len(), row)));
            if rows.len() > MOST_ROWS {
                let problem = format!("more than {MOST_ROWS} rows; import a part of the files");
                return Err(Error::file(path, problem));
            }
            sources_read.push(Source { path, scorer, notes });
        }
    }
    notes.count(unknown, "files of JSON in the folders are of no known form and are passed over");
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let said = |notes: Notes| match notes.lines().join("; ") {
        none if none.is_empty() => none,
        said => format!(" ({said})"),
    };
    let Some(from) = tool else {
        let known = "results of lm-eval, inspect, RULER or needlehaystack";
        let said = said(std::mem::take(notes));
        return Err(Error::file(first, format!("holds no {known}{said}; name the file that the tool wrote")));
    };
    if rows.is_empty() {
        sources_read.into_iter().for_each(|source| notes.extend(source.notes));
        let said = said(std::mem::take(notes));
        return Err(Error::file(first, format!("holds no row with a length{said}; name another file")));
    }
    Ok(All { from, sources: sources_read, rows })
}

/// The run of these rows. `paths` are those of all files that were read.
fn made(
    from: &str,
    paths: &[PathBuf],
    chosen: Chosen,
    correct_from: Option<f64>,
    mut notes: Notes,
) -> Result<Import> {
    let Chosen { model, task, rows, files, hash, scorer, scale } = chosen;
    let path = |file: usize| paths[file].as_path();
    let trials = trials(path, &rows, &mut notes)?;
    let was_ours = rows.iter().all(|(_, row)| row.ours.scorer.is_some());
    let scorers: BTreeSet<&String> = rows.iter().filter_map(|(_, row)| row.ours.scorer.as_ref()).collect();
    let own = scorers.first().filter(|_| was_ours && scorers.len() == 1).map(|name| (*name).clone());
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
        scorer: own.clone().unwrap_or_else(|| format!("{scorer} of {from}")),
        correct_from,
        ..Settings::default()
    };
    settings.check()?;
    let identity = Identity::of_import(&settings, from, &hash).scored_by(&settings);
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
    let judging = Judging { scale, correct_from };
    let outcome = |(trial, (file, row)): (_, RowOf)| judging.outcome(&blank, trial, path(file), row);
    let outcomes: Vec<Outcome> = trials.iter().zip(rows).map(outcome).collect::<Result<_>>()?;
    let scorer = own.unwrap_or(scorer);
    let imported = Imported { from: from.to_string(), files, scale, scorer };
    let started = outcomes.iter().map(|row| &row.timestamp_utc).filter(|time| !time.is_empty()).min();
    let record = RunRecord {
        niah: env!("CARGO_PKG_VERSION").to_string(),
        run_id,
        config_hash,
        command: std::env::args().collect(),
        started_utc: started.cloned().unwrap_or_else(clock::now_utc),
        settings,
        variant: VARIANT.to_string(),
        variant_description: format!("its results are those of {from}"),
        training_length: None,
        model: json!({}),
        tokens: Value::Null,
        warnings: notes.lines(),
        machine: Value::Null,
        identity,
        answers_of: None,
        shard: None,
        merged: Vec::new(),
        imported: Some(imported),
    };
    Ok(Import { record, outcomes })
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
