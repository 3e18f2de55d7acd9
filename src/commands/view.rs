//! `niah view`: stored results, drawn again without a model.

use std::collections::HashSet;

use super::picking::{Wanted, pick};
use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check, check_ours};
use crate::cli::{By, ViewArgs};
use crate::error::{Error, Result};
use crate::evaluate::{judged_report, ran};
use crate::export::style::Style;
use crate::grid::{ContextLength, Depth, Grid};
use crate::printable::listed;
use crate::report::data::Data;
use crate::report::document::Document;
use crate::report::heads::{HeadTally, RankedHead};
use crate::report::run::{self, Totals};
use crate::report::verdict::Verdict;
use crate::report::{self, Report, Summary};
use crate::stats::LengthRule;
use crate::store::csv;
use crate::store::directory::{ATTENTION_CSV, RunRecord, TOKENS_CSV};
use crate::store::models::ModelsRecord;
use crate::store::page;
use crate::store::stored::StoredRun;
use crate::store::tasks::TasksRecord;
use crate::trial::{AttentionRow, Outcome, Status, TokenRow};

/// Runs the command.
///
/// # Errors
/// When the directory holds no run, or not the cell that was asked for.
pub fn run(args: &ViewArgs, style: &Style) -> Result<()> {
    if args.interactive {
        return super::watching::view(args, style);
    }
    page(args, style)?.out()
}

/// What the command shows.
///
/// # Errors
/// As [`run()`].
pub fn page(args: &ViewArgs, style: &Style) -> Result<Shown> {
    let rule = args.rule.length_rule();
    if rule != LengthRule::default() && !matches!(args.by, By::Cell | By::Trial) {
        return Err(Error::invalid("rule", rule.rule.name(), "--by cell beside it, which judges the run"));
    }
    check_flags(args)?;
    match args.by {
        By::Cell if ModelsRecord::is_in(&args.directory) => {
            super::models::page(&args.directory, rule, &args.form, style)
        }
        By::Cell if TasksRecord::is_in(&args.directory) => {
            check(&args.form, &[])?;
            super::tasks::page(&args.directory, rule, &args.form, style)
        }
        By::Cell => {
            let StoredRun { record, outcomes, warnings } = StoredRun::read(&args.directory)?;
            let report = judged_report(&outcomes, &record, rule);
            let page = || page::page(&args.directory, &record, &outcomes, report.clone());
            let page = args.form.wants(OF_PAGE).then(page).transpose()?;
            let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?.warning(warnings);
            shown.with_theirs(&args.form, &record, &outcomes)
        }
        By::Layer => {
            let (report, warnings) = layers(args)?;
            Ok(Shown::of(&args.form, &report, None, style)?.warning(warnings))
        }
        By::Head => {
            let StoredRun { record, outcomes, warnings } = read(args)?;
            let heads = ranked(args, &outcomes)?;
            let report = run::ranking(ran(&record), &named_cells(args), heads);
            Ok(Shown::of(&args.form, &report, None, style)?.warning(warnings))
        }
        By::Trial => {
            let StoredRun { record, mut outcomes, warnings } = read(args)?;
            let totals = Totals::of(&Summary::of(&outcomes), Verdict::of(&outcomes, rule));
            outcomes.retain(|row| wanted(args).includes(row));
            if let Some(finding) = args.outcome {
                let latest = report::latest(&outcomes).into_iter();
                let latest = latest.filter(|row| row.outcome == Some(finding.into())).cloned().collect();
                outcomes = latest;
            }
            let report = run::trials(ran(&record), outcomes, totals);
            Ok(Shown::of(&args.form, &report, None, style)?.warning(warnings))
        }
        By::Token => {
            let record = RunRecord::read(&args.directory)?;
            let tokens: Vec<TokenRow> = csv::read(args.directory.join(TOKENS_CSV))?;
            let data = Data::rows("tokens", tokens).of(ran(&record));
            Shown::of(&args.form, &Report { document: Document::default(), data }, None, style)
        }
    }
}

/// Refuses flags that what is drawn has no use for.
fn check_flags(args: &ViewArgs) -> Result<()> {
    let figures = match args.by {
        By::Cell if ModelsRecord::is_in(&args.directory) => super::models::FIGURES,
        By::Cell => FIGURES,
        By::Layer | By::Head => &["heads"],
        By::Trial | By::Token => &[],
    };
    match args.by {
        By::Cell if !TasksRecord::is_in(&args.directory) && !ModelsRecord::is_in(&args.directory) => {
            check_ours(&args.form, figures)?
        }
        _ => check(&args.form, figures)?,
    }
    let length = args.context_length.map(|length| ("context length", length.to_string()));
    let cell = length.or(args.depth.map(|depth| ("depth", depth.to_string())));
    if let Some((flag, found)) = cell.filter(|_| matches!(args.by, By::Cell | By::Token)) {
        let expected = "--by layer, head or trial beside it, which can show some cells";
        return Err(Error::invalid(flag, found, expected));
    }
    if args.outcome.is_some() && args.by != By::Trial {
        return Err(Error::invalid("--outcome", "it alone", "--by trial beside it, which lists answers"));
    }
    match args.form.forms().find(|form| !form.rows) {
        Some(form) if args.by == By::Token => {
            let expected = "csv or json, for the rows of --by token";
            Err(Error::invalid("--output-format", form.name, expected))
        }
        _ => Ok(()),
    }
}

fn wanted(args: &ViewArgs) -> Wanted {
    Wanted { length: args.context_length, depth: args.depth, trial: None }
}

/// The run, with a length and a depth that are of it.
fn read(args: &ViewArgs) -> Result<StoredRun> {
    let run = StoredRun::read(&args.directory)?;
    check_cell(&run.record.settings.grid, args.context_length, args.depth)?;
    Ok(run)
}

/// Rows of `attention.csv` that one cell has, at most: a thousand trials of a thousand heads.
const MOST_HEADS: usize = 1_000_000;

/// Why there are no heads to show.
fn nothing_of(args: &ViewArgs, outcomes: &[Outcome]) -> Error {
    let mut trials = report::latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let problem = match trials.any(|row| wanted(args).includes(row)) {
        true => {
            "its trials have run without attention, which neither a server nor another tool shows; choose \
                 --by cell or trial, or run the checkpoint itself (niah run -m)"
                .to_string()
        }
        false => format!("no {} has run", wanted(args).words()),
    };
    Error::file(&args.directory, problem)
}

/// The heads of one cell, and what to warn of.
fn layers(args: &ViewArgs) -> Result<(Report, Vec<String>)> {
    let StoredRun { record, outcomes, warnings } = read(args)?;
    let none = || nothing_of(args, &outcomes);
    let cell = pick(&record.settings.grid, wanted(args), &outcomes)?.ok_or_else(none)?.cell();
    let path = args.directory.join(ATTENTION_CSV);
    let belongs = |row: &AttentionRow| row.row_id.starts_with(&report::row_prefix(cell));
    let attention = csv::selected(path, MOST_HEADS, belongs)?;
    let heads = report::heads(cell, &attention);
    if heads.is_empty() {
        return Err(none());
    }
    Ok((run::cell(ran(&record), cell, heads), warnings))
}

/// The heads of the trials that ran in the cells that were named, ranked.
fn ranked(args: &ViewArgs, outcomes: &[Outcome]) -> Result<Vec<RankedHead>> {
    let trials = report::latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let trials: HashSet<&str> =
        trials.filter(|row| wanted(args).includes(row)).map(|row| row.row_id.as_str()).collect();
    let path = args.directory.join(ATTENTION_CSV);
    let mut tally = HeadTally::default();
    for row in csv::rows::<AttentionRow>(&path)? {
        let row = row?;
        if trials.contains(row.row_id.as_str()) {
            tally.add((), &row);
        }
        if tally.held() > MOST_HEADS {
            return Err(Error::file(&path, format!("more than {MOST_HEADS} heads, which no model has")));
        }
    }
    match tally.held() {
        0 => Err(nothing_of(args, outcomes)),
        _ => Ok(tally.sums().ranked(|()| true)),
    }
}

/// The cells that were named, in words.
fn named_cells(args: &ViewArgs) -> String {
    match (args.context_length, args.depth) {
        (None, None) => "the whole grid".to_string(),
        (Some(length), None) => format!("all depths of length {length}"),
        (None, Some(depth)) => format!("all lengths at depth {depth}%"),
        (Some(length), Some(depth)) => format!("length {length} at depth {depth}%"),
    }
}

/// Refuses a length or depth that is not one of the grid.
///
/// # Errors
/// [`Error::InvalidValue`] naming the lengths or depths of the grid.
pub(super) fn check_cell(grid: &Grid, length: Option<ContextLength>, depth: Option<Depth>) -> Result<()> {
    let (lengths, depths) = (grid.context_lengths(), grid.depths());
    if let Some(length) = length.filter(|length| !lengths.contains(length)) {
        return Err(Error::invalid(
            "context length",
            length,
            format!("a length of the run: {}", listed(lengths)),
        ));
    }
    if let Some(depth) = depth.filter(|depth| !depths.contains(depth)) {
        return Err(Error::invalid("depth", depth, format!("a depth of the run: {}", listed(depths))));
    }
    Ok(())
}
