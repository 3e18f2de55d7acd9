//! A run in its directory as a page: `attention.csv` and `tokens.csv` beside its rows, as far as a page has
//! room for them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use super::directory::{ATTENTION_CSV, RunRecord, SPANS_CSV, TOKENS_CSV};
use super::{csv, margins};
use crate::error::{Error, Result};
use crate::grid::Cell;
use crate::printable;
use crate::report::document::PromptToken;
use crate::report::heads::{HeadSums, HeadTally, MOST_APART};
use crate::report::margins::SHOWN;
use crate::report::page::RunPage;
use crate::report::parts::Parts;
use crate::report::run::RunReport;
use crate::report::{Report, latest};
use crate::trial::{AttentionRow, Outcome, SpanRow, Status, TokenRow};

/// Tokens of prompts on a page, at most: some 20 bytes each.
const MOST_TOKENS: usize = 200_000;

/// The page of a run, made of its report and of what its directory holds besides.
///
/// # Errors
/// When a table cannot be read.
pub fn page(directory: &Path, record: &RunRecord, outcomes: &[Outcome], report: RunReport) -> Result<Report> {
    let outcomes = latest(outcomes);
    let mut left_out = Vec::new();
    let tally = HeadTally::apart(MOST_APART);
    let heads = heads(&directory.join(ATTENTION_CSV), &outcomes, tally, &mut left_out)?;
    let top = heads.as_ref().map(HeadSums::ranked_of_all).unwrap_or_default();
    let top: Vec<_> = top.iter().take(SHOWN).map(|head| (head.layer, head.head)).collect();
    let margins = margins::read(&directory.join(ATTENTION_CSV), &top, &outcomes)?;
    let kinds = kinds(&directory.join(SPANS_CSV), &outcomes, &mut left_out)?;
    let prompts = prompts(directory, &outcomes, &mut left_out)?;
    let model = printable::shortened(&record.settings.model.name).into_owned();
    let title = format!("{model}, {}, task {}", record.variant, record.settings.task_name());
    let facts = facts(record, &report);
    Ok(Report::from(RunPage { report, title, facts, outcomes, heads, margins, kinds, prompts, left_out }))
}

/// What ran, for a reader who has to say so.
fn facts(record: &RunRecord, report: &RunReport) -> Vec<(String, String)> {
    let RunRecord { settings, model, machine, .. } = record;
    let known = |value: &Value, key: &str| value[key].as_str().map(str::to_string);
    let identity = serde_json::to_value(&record.identity).unwrap_or_default();
    let parameters = model["parameters"].as_f64().map(|n| format!("{:.1} M parameters", n / 1e6));
    let about: Vec<String> = [known(model, "family"), parameters].into_iter().flatten().collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let haystack = known(&identity, "haystack").map_or(String::new(), |name| format!(", haystack {name}"));
    let tally = &report.summary.overall;
    let planned = settings.planned();
    let to_a_cell = match settings.prompts {
        Some(_) => String::new(),
        None => format!(", {} to a cell", settings.trials),
    };
    let cpu = [known(machine, "cpu"), known(machine, "os"), known(machine, "arch")];
    let mut cpu: Vec<String> = cpu.into_iter().flatten().collect();
    cpu.extend(machine["threads"].as_u64().map(|threads| format!("{threads} threads")));
    cpu.extend(known(machine, "device").map(|device| format!("device {device}")));
    let weights = [known(model, "dtype"), known(model, "kv_dtype").map(|dtype| format!("cache in {dtype}"))];
    let (changed, scorer) = (settings.variations(), settings.scoring().ok());
    let facts = [
        ("model", Some(format!("{}{about}", settings.model.name))),
        ("weights", Some(weights.into_iter().flatten().collect::<Vec<_>>().join(", "))),
        ("SHA-256", known(&identity, "model_sha256")),
        ("variant", Some(format!("{} ({})", record.variant, record.variant_description))),
        ("task", Some(format!("{}{changed}{haystack}, seed {}", settings.task_name(), settings.seed))),
        ("scorer", scorer.map(|scorer| format!("{} (correct: {})", scorer.name(), scorer.threshold()))),
        ("trials", Some(format!("{} of {planned} ran{to_a_cell}", tally.n))),
        ("training length", record.training_length.map(|length| format!("{length} tokens"))),
        ("started", Some(record.started_utc.clone())),
        ("machine", Some(cpu.join(", "))),
        ("niah", Some(format!("{}, run {}", record.niah, record.run_id))),
        ("command", Some(command_line(&record.command))),
    ];
    let said = facts.into_iter().filter_map(|(name, text)| Some((name.to_string(), text?)));
    said.filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name, printable::shortened(&text).into_owned()))
        .collect()
}

/// A command line as a shell takes it, by the name of the program alone.
fn command_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    let quoted = |word: &str| match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    let program =
        words.first().and_then(|word| Path::new(word).file_name()).map(|name| name.to_string_lossy());
    let rest = words.iter().skip(1).map(|word| quoted(word));
    program.map(|name| quoted(&name)).into_iter().chain(rest).collect::<Vec<_>>().join(" ")
}

/// Kinds of spans that are drawn, at most.
const MOST_KINDS: usize = 16;

/// By kind and cell, the mean over trials of the largest mass that a head has on a span of the kind.
fn kinds(
    path: &Path,
    outcomes: &[impl Borrow<Outcome>],
    left_out: &mut Vec<String>,
) -> Result<BTreeMap<String, BTreeMap<Cell, f64>>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let cells = cells_that_ran(outcomes);
    let mut largest: BTreeMap<(String, String), f64> = BTreeMap::new();
    for row in csv::rows::<SpanRow>(path)? {
        let row = row?;
        let mass = row.mass_top.filter(|mass| mass.is_finite() && cells.contains_key(row.row_id.as_str()));
        if let Some(mass) = mass {
            let kind = printable::shortened(&row.kind).into_owned();
            let held = largest.entry((kind, row.row_id)).or_insert(mass);
            *held = held.max(mass);
        }
    }
    let mut sums: BTreeMap<String, BTreeMap<Cell, (f64, usize)>> = BTreeMap::new();
    for ((kind, row_id), mass) in largest {
        if let Some(cell) = cells.get(row_id.as_str()) {
            let (sum, n) = sums.entry(kind).or_default().entry(*cell).or_default();
            (*sum, *n) = (*sum + mass, *n + 1);
        }
    }
    let mean = |of: BTreeMap<Cell, (f64, usize)>| -> BTreeMap<Cell, f64> {
        of.into_iter().map(|(cell, (sum, n))| (cell, sum / n as f64)).collect()
    };
    if sums.len() > MOST_KINDS {
        left_out.push(format!(
            "{} of {} kinds of span; {SPANS_CSV} has them all",
            sums.len() - MOST_KINDS,
            sums.len()
        ));
    }
    Ok(sums.into_iter().take(MOST_KINDS).map(|(kind, of)| (kind, mean(of))).collect())
}

/// The cells of the trials that ran, by `row_id`.
fn cells_that_ran(outcomes: &[impl Borrow<Outcome>]) -> HashMap<&str, Cell> {
    let ran = outcomes.iter().map(Borrow::borrow).filter(|outcome: &&Outcome| outcome.status == Status::Ok);
    ran.map(|outcome| (outcome.row_id.as_str(), outcome.cell())).collect()
}

/// Heads times cells that are summed up, at most: a quarter of a gigabyte.
const MOST_SUMS: usize = 1 << 21;
/// Layers, and heads of one, at most: what no model has is no head.
const MOST_OF_EITHER: usize = 4096;

fn heads(
    path: &Path,
    outcomes: &[impl Borrow<Outcome>],
    mut tally: HeadTally<Cell>,
    left_out: &mut Vec<String>,
) -> Result<Option<HeadSums<Cell>>> {
    if !path.exists() {
        return Ok(None);
    }
    let cells = cells_that_ran(outcomes);
    for row in csv::rows::<AttentionRow>(path)? {
        let row = row?;
        let is_head = row.layer < MOST_OF_EITHER && row.head < MOST_OF_EITHER;
        if let Some(cell) = cells.get(row.row_id.as_str()).filter(|_| is_head) {
            tally.add(*cell, &row);
        }
        if tally.held() > MOST_SUMS {
            left_out.push(format!("heads: {ATTENTION_CSV} has more of them than a page is made of"));
            return Ok(None);
        }
    }
    let sums = tally.sums();
    Ok((!sums.keys().is_empty()).then_some(sums))
}

/// The prompts of the first trials of every cell that there is room for.
fn prompts(
    directory: &Path,
    outcomes: &[&Outcome],
    left_out: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<PromptToken>>> {
    let mut prompts = BTreeMap::new();
    let path = directory.join(TOKENS_CSV);
    if !path.exists() {
        return Ok(prompts);
    }
    let mut ran: Vec<&Outcome> =
        outcomes.iter().copied().filter(|outcome| outcome.status == Status::Ok).collect();
    ran.sort_by_key(|outcome| (outcome.trial, outcome.cell()));
    let mut room = MOST_TOKENS;
    let mut wanted: HashMap<&str, &Outcome> = HashMap::new();
    for outcome in &ran {
        let tokens = outcome.prompt_tokens.unwrap_or(MOST_TOKENS);
        if tokens <= room {
            room -= tokens;
            wanted.insert(&outcome.row_id, outcome);
        }
    }
    let mut read: HashMap<String, Vec<TokenRow>> = HashMap::new();
    for row in csv::rows::<TokenRow>(path)? {
        let row = row?;
        let Some(outcome) = wanted.get(row.row_id.as_str()) else { continue };
        let rows = read.entry(row.row_id.clone()).or_default();
        if rows.len() < outcome.prompt_tokens.unwrap_or(MOST_TOKENS) {
            rows.push(row);
        }
    }
    let spans = directory.join(SPANS_CSV);
    let is_wanted = |row: &SpanRow| wanted.contains_key(row.row_id.as_str());
    let spans = if spans.exists() { csv::selected(spans, MOST_TOKENS, is_wanted)? } else { Vec::new() };
    let mut of_trials: HashMap<String, Vec<SpanRow>> = HashMap::new();
    spans.into_iter().for_each(|row| of_trials.entry(row.row_id.clone()).or_default().push(row));
    for (row_id, rows) in read {
        let Some(outcome) = wanted.get(row_id.as_str()) else { continue };
        let parts = Parts::of(outcome, of_trials.get(&row_id).map_or(&[], Vec::as_slice));
        if is_prompt(&rows, outcome) {
            prompts.insert(row_id, rows.into_iter().map(|row| token(row, &parts)).collect());
        }
    }
    if wanted.len() < ran.len() {
        left_out.push(format!(
            "prompts of {} of {} trials, as all of them would be too much for a page; niah attend shows each",
            ran.len() - wanted.len(),
            ran.len()
        ));
    }
    Ok(prompts)
}

/// The shaded prompt of one trial; `None` where its tokens were not kept.
///
/// # Errors
/// When the table cannot be read, or holds other rows of the trial than the tokens of its prompt.
pub fn prompt(directory: &Path, outcome: &Outcome) -> Result<Option<Vec<PromptToken>>> {
    let path = directory.join(TOKENS_CSV);
    if !path.exists() {
        return Ok(None);
    }
    // The rows of a trial stand together; those behind them need not be read.
    let mut rows: Vec<TokenRow> = Vec::new();
    for row in csv::rows::<TokenRow>(&path)? {
        let row = row?;
        match row.row_id == outcome.row_id && rows.len() <= outcome.prompt_tokens.unwrap_or(MOST_TOKENS) {
            true => rows.push(row),
            false if rows.is_empty() => {}
            false => break,
        }
    }
    if !rows.is_empty() && !is_prompt(&rows, outcome) {
        let found = rows.len();
        let problem =
            format!("its {found} rows of trial {} are not the tokens of its prompt", outcome.row_id);
        return Err(Error::file(path, problem));
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let spans = directory.join(SPANS_CSV);
    let is_own = |row: &SpanRow| row.row_id == outcome.row_id;
    let spans = if spans.exists() { csv::selected(spans, MOST_TOKENS, is_own)? } else { Vec::new() };
    let parts = Parts::of(outcome, &spans);
    Ok(Some(rows.into_iter().map(|row| token(row, &parts)).collect()))
}

/// Whether these are the tokens of a prompt, in their order, and not rows that somebody has put together.
fn is_prompt(rows: &[TokenRow], outcome: &Outcome) -> bool {
    rows.iter().map(|row| row.position).eq(0..outcome.prompt_tokens.unwrap_or(rows.len()))
}

/// What the heads did in every cell of the trials that ran; `None` where that was not kept, or is too much.
///
/// # Errors
/// When the table cannot be read.
pub fn head_sums(directory: &Path, outcomes: &[Outcome]) -> Result<Option<HeadSums<Cell>>> {
    heads(&directory.join(ATTENTION_CSV), outcomes, HeadTally::default(), &mut Vec::new())
}

fn token(row: TokenRow, parts: &Parts) -> PromptToken {
    let (part, in_value) = parts.at(row.position);
    let finite = |mass: f64| if mass.is_finite() { mass } else { 0.0 };
    PromptToken {
        part,
        in_value,
        mean: finite(row.mass_mean),
        top: finite(row.mass_top_head),
        text: printable::shortened(&row.token).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_largest_mass_of_a_trial_and_the_mean_of_trials() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SPANS_CSV);
        let span = |trial: usize, kind: &str, mass| SpanRow {
            row_id: format!("1024:0:{trial}"),
            kind: kind.into(),
            mass_top: mass,
            ..SpanRow::default()
        };
        let rows = [
            span(0, "target", Some(0.5)),
            span(0, "other", Some(0.125)),
            span(0, "other", Some(0.25)),
            span(1, "other", Some(0.75)),
            span(1, "target", None),
            span(2, "target", Some(1.0)),
        ];
        csv::Appender::open(&path).unwrap().append(&rows).unwrap();
        let outcomes = [0, 1].map(|trial| crate::report::tests::outcome(1024, 0.0, trial, true, None));
        let found = kinds(&path, &outcomes, &mut Vec::new()).unwrap();
        let only = |kind: &str| found[kind].values().copied().collect::<Vec<_>>();
        assert_eq!((found.len(), only("target"), only("other")), (2, vec![0.5], vec![0.5]));
    }

    #[test]
    fn of_more_kinds_than_are_drawn_the_page_says_how_many_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SPANS_CSV);
        let hop = |hop: usize| SpanRow {
            row_id: "1024:0:0".into(),
            kind: format!("hop-{hop}"),
            mass_top: Some(0.5),
            ..SpanRow::default()
        };
        let rows: Vec<SpanRow> = (0..MOST_KINDS + 3).map(hop).collect();
        let outcomes = [crate::report::tests::outcome(1024, 0.0, 0, true, None)];
        let of = |rows: &[SpanRow]| {
            let _ = std::fs::remove_file(&path);
            csv::Appender::open(&path).unwrap().append(rows).unwrap();
            let mut left_out = Vec::new();
            (kinds(&path, &outcomes, &mut left_out).unwrap().len(), left_out)
        };
        assert_eq!(
            of(&rows),
            (MOST_KINDS, vec!["3 of 19 kinds of span; spans.csv has them all".to_string()])
        );
        assert_eq!(of(&rows[..MOST_KINDS]), (MOST_KINDS, vec![]));
    }

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let words = ["/a b/niah", "run", "--needle", "it's here", "-o", "out/x"].map(str::to_string);
        assert_eq!(command_line(&words), r"niah run --needle 'it'\''s here' -o out/x");
        assert_eq!(command_line(&[]), "");
    }
}
