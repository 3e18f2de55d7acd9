//! The directory of a run: `run.json` says what ran, `results.csv` is the record, and `attention.csv`,
//! `spans.csv`, `kinds.csv`, `retrieval.csv` and `tokens.csv` go with it.
//!
//! A trial's rows of the long tables reach the disk before its row of `results.csv`, which makes it count.
//! Rows of a trial that a crash left without one are removed when the run goes on.
//!
//! A run grows: a plan with more lengths, depths or trials than the directory's, and the same else, goes on
//! in it, as a trial depends on the seed, its cell and its number alone. The run keeps its name and its hash.
//! Once all trials are done the rows stand in the order of the plan ([`RunDirectory::settle`]), so that the
//! tables say nothing of the order in which a run has grown.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::csv::{self, Appender, Row};
use super::exchange::Imported;
use super::holding::check_single;
use super::machines;
use super::merged::MergedRun;
use super::order;
use super::record_file;
use super::rescored::AnswersOf;
use crate::error::{self, Error, Result};
use crate::files;
use crate::plan::{Identity, Settings, Shard};
use crate::printable;
use crate::report;
use crate::report::tasks::AS_IT_IS;
use crate::runner::{TrialRecord, TrialSink};
use crate::score::expected;
use crate::trial::{
    AttentionRow, KindRow, Outcome, RetrievalRow, ServedRow, SpanRow, Status, TokenRow, Trial,
};

/// Name of the file that says what ran.
pub const RUN_JSON: &str = "run.json";
/// Name of the table with one row a trial.
pub const RESULTS_CSV: &str = "results.csv";
/// Name of the table with one row a trial, layer and head.
pub const ATTENTION_CSV: &str = "attention.csv";
/// Name of the table with one row a trial and prompt token.
pub const TOKENS_CSV: &str = "tokens.csv";

/// Name of the table with one row a trial and span.
pub const SPANS_CSV: &str = "spans.csv";
/// Name of the table with one row a trial, layer, head and kind of span; of tasks with several kinds alone.
pub const KINDS_CSV: &str = "kinds.csv";
/// Name of the table with one row a trial, layer and head: what heads copy; of runs that were told to keep
/// it.
pub const RETRIEVAL_CSV: &str = "retrieval.csv";

/// Name of the table with one row a trial that a server has answered.
pub const SERVED_CSV: &str = "served.csv";

/// `run.json`: everything about a run that its rows do not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of niah.
    pub niah: String,
    /// Short hash that names the run.
    pub run_id: String,
    /// Hash of the plan.
    pub config_hash: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// When it was first started, RFC 3339 in UTC.
    pub started_utc: String,
    /// What was asked for.
    pub settings: Settings,
    /// Name of the attention variant that runs.
    pub variant: String,
    /// Which scales it uses, and where they come from.
    pub variant_description: String,
    /// Length the checkpoint was trained on, when its configuration says so.
    pub training_length: Option<usize>,
    /// Family, sizes and form of the model, for readers.
    pub model: Value,
    /// Tokens of all prompts, and how many of them are computed when prompts share what they begin with.
    pub tokens: Value,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// The machine, for readers.
    pub machine: Value,
    /// What the results depend on.
    pub identity: Identity,
    /// The run whose answers these are, where they were scored again since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers_of: Option<AnswersOf>,
    /// The part of the plan that the directory is for, where that is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The tool whose results these are, where they were imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// The runs whose rows were joined here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<MergedRun>,
}

impl RunRecord {
    /// The largest size of its scores before any multiplier, where that is bounded.
    #[must_use]
    pub fn largest_score(&self) -> Option<f64> {
        self.model["largest_score"].as_f64()
    }

    /// Reads `run.json` of a run's directory.
    ///
    /// # Errors
    /// [`Error::File`] when the directory holds no run, or one that this version cannot read.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(RUN_JSON);
        let text = files::read(&path, MOST_OF_RECORD).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::file(directory, no_run(directory)),
            _ => record_file::unreadable(&path, &error),
        })?;
        let record: Self = record_file::parsed(&path, &text)?;
        record.settings.check().map_err(|error| record_file::damaged(&path, &error.to_string()))?;
        Ok(record)
    }

    /// The expected answers of a row of this run.
    pub(super) fn expected(&self, row: &Outcome) -> Vec<String> {
        expected::parted_of(&row.expected_answer, self.settings.answer.as_deref())
    }

    /// What ran, in one line; exact weights, and a cache that follows them, are not mentioned.
    #[must_use]
    pub fn title(&self) -> String {
        let settings = &self.settings;
        let title = format!(
            "{}, {} ({}), task {}{}{}",
            settings.model.name,
            self.variant,
            self.variant_description,
            settings.task_name(),
            settings.variations(),
            settings.model.rounding()
        );
        printable::shortened(&title).into_owned()
    }

    /// The same, once it stands in the directory.
    fn written(self, directory: &Path) -> Result<Self> {
        self.write(directory)?;
        Ok(self)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        record_file::write(&directory.join(RUN_JSON), self, MOST_OF_RECORD)
    }
}

/// What to do where a directory holds no run of its own: several may lie below it.
fn no_run(directory: &Path) -> String {
    let below = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| entry.ok());
    let is_one = |place: &Path| [RUN_JSON, AS_IT_IS].iter().any(|name| place.join(name).exists());
    let runs = below.filter(|entry| is_one(&entry.path())).map(|entry| entry.file_name());
    let mut runs: Vec<String> = runs.map(|name| name.to_string_lossy().into_owned()).collect();
    runs.sort();
    match runs.first() {
        None => "no run here: run.json is missing; name the directory that niah run -o wrote".to_string(),
        Some(first) => format!(
            "holds several runs and is none itself: name one of them, such as {} (there are {})",
            directory.join(first).display(),
            printable::listed(&runs)
        ),
    }
}

/// Bytes of `run.json`, at most.
const MOST_OF_RECORD: u64 = 4 << 20;

/// Makes a directory of results, where there is none.
///
/// # Errors
/// [`Error::File`] when it cannot be made.
pub fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| {
        Error::file(directory, format!("cannot make this directory: {error}; choose another with -o"))
    })
}

/// A run's directory, open for writing.
pub struct RunDirectory {
    /// Its place, also when the working directory is another one later.
    path: PathBuf,
    /// As it stands in the directory.
    record: RunRecord,
    results: Appender<Outcome>,
    attention: Appender<AttentionRow>,
    tokens: Option<Appender<TokenRow>>,
    spans: Appender<SpanRow>,
    /// Opened with the first row.
    kinds: Option<Appender<KindRow>>,
    /// As well.
    served: Option<Appender<ServedRow>>,
    /// Opened with the first row.
    retrieval: Option<Appender<RetrievalRow>>,
    outcomes: Vec<Outcome>,
}

impl RunDirectory {
    /// Opens the directory to begin a run, to continue it or to add to it.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] when it holds results that are not of this plan; [`Error::File`] when it holds
    /// runs of several models or tasks, or cannot be written.
    pub fn open(directory: &Path, record: &RunRecord, keep_tokens: bool) -> Result<Self> {
        check_single(directory, &record.settings)?;
        make(directory)?;
        Kept::of(directory, record)?;
        let results = directory.join(RESULTS_CSV);
        if results.exists() && csv::is_changed::<Outcome>(&results)? {
            rewrite::<Outcome>(&results, Some)?;
        }
        let results = Appender::open(results)?;
        let outcomes: Vec<Outcome> = csv::read(directory.join(RESULTS_CSV))?;
        // Only now is the directory locked: another plan may have begun in it since the first look.
        let record = match Kept::of(directory, record)? {
            Kept::Whole(old) => {
                let is_done = done(&outcomes).len() >= old.settings.planned();
                let machine = machines::after(&old, record);
                let has_moved = !is_done && machines::has_moved(&old.machine, &machine);
                match has_moved || old.shard != record.shard {
                    false => *old,
                    // Another part of the plan, or what is left of all of it, may go on in it.
                    true => {
                        let machine = if has_moved { machine } else { old.machine.clone() };
                        RunRecord { shard: record.shard, machine, ..*old }.written(directory)?
                    }
                }
            }
            Kept::Grown(old) => {
                let machine = machines::after(&old, record);
                let RunRecord { run_id, config_hash, started_utc, merged, .. } = *old;
                RunRecord { run_id, config_hash, started_utc, merged, machine, ..record.clone() }
                    .written(directory)?
            }
            Kept::Nothing => record.clone().written(directory)?,
        };
        check_own(directory, &outcomes, &record)?;
        let kept = done(&outcomes);
        prune::<AttentionRow>(&directory.join(ATTENTION_CSV), &kept)?;
        prune::<TokenRow>(&directory.join(TOKENS_CSV), &kept)?;
        prune::<SpanRow>(&directory.join(SPANS_CSV), &kept)?;
        prune::<KindRow>(&directory.join(KINDS_CSV), &kept)?;
        prune::<ServedRow>(&directory.join(SERVED_CSV), &kept)?;
        prune::<RetrievalRow>(&directory.join(RETRIEVAL_CSV), &kept)?;
        let tokens = directory.join(TOKENS_CSV);
        Ok(Self {
            path: directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf()),
            record,
            results,
            attention: Appender::open(directory.join(ATTENTION_CSV))?,
            tokens: keep_tokens.then(|| Appender::open(tokens)).transpose()?,
            spans: Appender::open(directory.join(SPANS_CSV))?,
            kinds: None,
            served: None,
            retrieval: None,
            outcomes,
        })
    }

    /// Keys of the trials that need not run again. Failed ones are not among them.
    #[must_use]
    pub fn done(&self) -> HashSet<String> {
        done(&self.outcomes)
    }

    /// Every row so far.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// What ran, as it stands in the directory: a run that goes on keeps its name, its hash, and when it was
    /// first started.
    #[must_use]
    pub fn run_record(&self) -> &RunRecord {
        &self.record
    }

    /// Rows of what a server said of its answers; none where none did.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn served(&self) -> Result<Vec<ServedRow>> {
        let path = self.path.join(SERVED_CSV);
        if path.exists() { csv::read(path) } else { Ok(Vec::new()) }
    }

    /// Changes what stands in `run.json` for readers; what rows depend on must stay.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tell(&mut self, change: impl FnOnce(&mut RunRecord)) -> Result<()> {
        change(&mut self.record);
        self.record.write(&self.path)
    }

    /// Puts all rows into the order of the plan when every trial of it is done; rows of one trial stay in the
    /// order that they have.
    ///
    /// # Errors
    /// When a table cannot be read or written; each is then as it was or in order.
    pub fn settle(&mut self, plan: &[Trial]) -> Result<()> {
        let places: HashMap<String, usize> =
            plan.iter().enumerate().map(|(place, trial)| (trial.row_id(), place)).collect();
        let place = |row_id: &str| places.get(row_id).copied().unwrap_or(usize::MAX);
        let done = self.done();
        let in_order = self.outcomes.iter().map(|row| place(&row.row_id)).is_sorted();
        if in_order || !places.keys().all(|row_id| done.contains(row_id)) {
            return Ok(());
        }
        // The record comes last: while it is out of order, this is done again.
        let [attention, tokens, results] =
            [ATTENTION_CSV, TOKENS_CSV, RESULTS_CSV].map(|name| self.path.join(name));
        order::sort::<AttentionRow>(&attention, place)?;
        self.attention = Appender::open(attention)?;
        if tokens.exists() {
            order::sort::<TokenRow>(&tokens, place)?;
        }
        if let Some(open) = &mut self.tokens {
            *open = Appender::open(tokens)?;
        }
        let [spans, kinds, retrieval] =
            [SPANS_CSV, KINDS_CSV, RETRIEVAL_CSV].map(|name| self.path.join(name));
        order::sort::<SpanRow>(&spans, place)?;
        self.spans = Appender::open(spans)?;
        if kinds.exists() {
            order::sort::<KindRow>(&kinds, place)?;
            self.kinds = None;
        }
        let served = self.path.join(SERVED_CSV);
        if served.exists() {
            order::sort::<ServedRow>(&served, place)?;
            self.served = None;
        }
        if retrieval.exists() {
            order::sort::<RetrievalRow>(&retrieval, place)?;
            self.retrieval = None;
        }
        order::sort::<Outcome>(&results, place)?;
        self.results = Appender::open(results)?;
        self.outcomes.sort_by_key(|row| place(&row.row_id));
        Ok(())
    }
}

impl TrialSink for RunDirectory {
    fn record(&mut self, record: TrialRecord) -> Result<()> {
        self.attention.append(&record.attention)?;
        if let Some(tokens) = &mut self.tokens {
            tokens.append(&record.tokens)?;
        }
        self.spans.append(&record.spans)?;
        append_to(&mut self.kinds, &self.path.join(KINDS_CSV), &record.kinds)?;
        append_to(&mut self.retrieval, &self.path.join(RETRIEVAL_CSV), &record.retrieval)?;
        append_to(&mut self.served, &self.path.join(SERVED_CSV), record.served.as_slice())?;
        self.results.append(std::slice::from_ref(&record.outcome))?;
        self.outcomes.push(record.outcome);
        self.check_in_place()
    }
}

/// Appends rows to a table that is opened with the first of them.
fn append_to<R: Row>(table: &mut Option<Appender<R>>, path: &Path, rows: &[R]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    if table.is_none() {
        *table = Some(Appender::open(path)?);
    }
    table.as_mut().map_or(Ok(()), |table| table.append(rows))
}

impl RunDirectory {
    /// Refuses to go on where what is written to no longer stands under its name, and saves the rows of the
    /// open files.
    fn check_in_place(&self) -> Result<()> {
        let tokens = self.tokens.as_ref().is_none_or(Appender::is_in_place);
        let kinds = self.kinds.as_ref().is_none_or(Appender::is_in_place);
        let served = self.served.as_ref().is_none_or(Appender::is_in_place);
        let retrieval = self.retrieval.as_ref().is_none_or(Appender::is_in_place);
        let tokens = tokens && kinds && served && retrieval && self.spans.is_in_place();
        if self.results.is_in_place() && self.attention.is_in_place() && tokens {
            return match self.path.join(RUN_JSON).exists() {
                true => Ok(()),
                false => self.record.write(&self.path),
            };
        }
        let rows = self.outcomes.len();
        let kept = match self.rescue() {
            Ok(place) => {
                format!("its {rows} rows are in {} now, where -o goes on with them", place.display())
            }
            Err(error) => format!("its {rows} rows are lost, as they cannot be written elsewhere ({error})"),
        };
        let problem =
            "the directory, or a table in it, was removed, renamed or replaced while the run went on";
        Err(Error::output(&self.path, format!("{problem}; {kept}")))
    }

    /// Copies everything to a new directory ([`rescue_place`]).
    fn rescue(&self) -> io::Result<PathBuf> {
        let place = rescue_place(&self.path)?;
        self.record.write(&place).map_err(io::Error::other)?;
        self.attention.copy_to(&place.join(ATTENTION_CSV))?;
        if let Some(tokens) = &self.tokens {
            tokens.copy_to(&place.join(TOKENS_CSV))?;
        }
        self.spans.copy_to(&place.join(SPANS_CSV))?;
        if let Some(kinds) = &self.kinds {
            kinds.copy_to(&place.join(KINDS_CSV))?;
        }
        if let Some(served) = &self.served {
            served.copy_to(&place.join(SERVED_CSV))?;
        }
        if let Some(retrieval) = &self.retrieval {
            retrieval.copy_to(&place.join(RETRIEVAL_CSV))?;
        }
        self.results.copy_to(&place.join(RESULTS_CSV))?;
        Ok(place)
    }
}

/// A new directory for what cannot stay in `directory`: beside it, or where that cannot be made among
/// temporary files.
pub(crate) fn rescue_place(directory: &Path) -> io::Result<PathBuf> {
    let name = directory.file_name().map_or("results".into(), |name| name.to_string_lossy());
    let beside = directory.parent().map(Path::to_path_buf);
    let mut places = beside.into_iter().chain([std::env::temp_dir()]);
    places
        .find_map(|parent| new_directory(&parent, &name).ok())
        .ok_or_else(|| io::Error::other("no directory can be made beside it"))
}

/// A directory `NAME.rescued` that was not there, with a number behind it where it was.
fn new_directory(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let names = (1..100).map(|number| match number {
        1 => format!("{name}.rescued"),
        _ => format!("{name}.rescued-{number}"),
    });
    let mut last = io::Error::other("too many of them");
    for place in names.map(|name| parent.join(name)) {
        match fs::create_dir(&place) {
            Ok(()) => return Ok(place),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Refuses a table that holds rows of another run: they would count as done.
fn check_own(directory: &Path, outcomes: &[Outcome], record: &RunRecord) -> Result<()> {
    let own = &record.config_hash;
    let foreign: Vec<_> = outcomes.iter().filter(|row| row.config_hash != *own).collect();
    match foreign.first() {
        None => Ok(()),
        Some(row) => Err(Error::file(
            directory.join(RESULTS_CSV),
            format!(
                "{} of {} rows are of another run, the first of them {} (config_hash {}, this run has \
                 {own}); remove them, or use another directory with -o",
                foreign.len(),
                outcomes.len(),
                row.row_id,
                row.config_hash
            ),
        )),
    }
}

/// What a directory holds of a plan.
enum Kept {
    /// Nothing: it is new, or that of a plan without results, as when the weights turned out to be damaged.
    Nothing,
    /// A run of this plan.
    Whole(Box<RunRecord>),
    /// A run of a part of this plan.
    Grown(Box<RunRecord>),
}

impl Kept {
    /// # Errors
    /// When it holds results that are not of this plan, or of one that cannot be known.
    fn of(directory: &Path, record: &RunRecord) -> Result<Self> {
        check_named(directory)?;
        if !directory.join(RUN_JSON).exists() {
            return Ok(Self::Nothing);
        }
        let old = Box::new(RunRecord::read(directory)?);
        match old.identity.difference(&record.identity) {
            None => Ok(Self::Whole(old)),
            Some(_) if has_no_rows(directory) => Ok(Self::Nothing),
            Some(_) if old.identity.grows_to(&record.identity) => Ok(Self::Grown(old)),
            Some(difference) => Err(Error::PlanChanged { path: directory.to_path_buf(), difference }),
        }
    }
}

/// Refuses a directory whose rows are of a run that nothing names.
///
/// # Errors
/// [`Error::File`] for such a directory.
pub(super) fn check_named(directory: &Path) -> Result<()> {
    match directory.join(RUN_JSON).exists() || has_no_rows(directory) {
        true => Ok(()),
        false => {
            let problem = "holds results.csv without run.json; choose another directory with -o";
            Err(Error::file(directory, problem))
        }
    }
}

fn has_no_rows(directory: &Path) -> bool {
    let results = directory.join(RESULTS_CSV);
    !results.exists() || csv::read::<Outcome>(&results).is_ok_and(|rows| rows.is_empty())
}

fn done(outcomes: &[Outcome]) -> HashSet<String> {
    let ran = report::latest(outcomes).into_iter().filter(|outcome| outcome.status == Status::Ok);
    ran.map(|outcome| outcome.row_id.clone()).collect()
}

/// A row of a long table, which belongs to a trial.
pub(super) trait TrialRow: Row {
    fn row_id(&self) -> &str;
}

impl TrialRow for AttentionRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

impl TrialRow for TokenRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

impl TrialRow for SpanRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

impl TrialRow for ServedRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

impl TrialRow for RetrievalRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

impl TrialRow for KindRow {
    fn row_id(&self) -> &str {
        &self.row_id
    }
}

/// Rows that are copied with one write.
const PRUNE_BATCH: usize = 4096;

/// Removes the rows of trials that are not in `kept`, if there are any, and writes a table that another
/// program has saved as it should be.
fn prune<R: TrialRow>(path: &Path, kept: &HashSet<String>) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut changes = csv::is_changed::<R>(path)?;
    for row in csv::rows::<R>(path)? {
        changes |= !kept.contains(row?.row_id());
    }
    if !changes {
        return Ok(());
    }
    rewrite::<R>(path, |row| kept.contains(row.row_id()).then_some(row))
}

/// Writes a table anew with what `keep` makes of its rows.
fn rewrite<R: Row>(path: &Path, keep: impl Fn(R) -> Option<R>) -> Result<()> {
    replace(path, |new| {
        let mut table = Appender::<R>::open(new)?;
        let mut rows = csv::rows::<R>(path)?.filter_map(|row| row.map(&keep).transpose());
        loop {
            let batch = rows.by_ref().take(PRUNE_BATCH).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            table.append(&batch)?;
        }
    })
}

/// Writes a file beside `path` and puts it in its place, so that no reader sees half of it.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    // What cannot be removed cannot be written either, and that error says more.
    let _ = fs::remove_file(&new);
    write(&new).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })?;
    // Synced first, lest a crash leave an empty file under the name.
    let put =
        || fs::File::options().append(true).open(&new)?.sync_all().and_then(|()| fs::rename(&new, path));
    put().map_err(|error| {
        Error::file(path, format!("cannot write: {}; choose another place with -o", error::reason(&error)))
    })
}
