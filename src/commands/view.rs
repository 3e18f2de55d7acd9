//! `niah view`: stored results, drawn again without a model.

use super::run::{FIGURES, OF_PAGE};
use super::shown::{Shown, check};
use crate::cli::{By, ViewArgs};
use crate::error::{Error, Result};
use crate::evaluate::{judged_report, ran};
use crate::export::style::Style;
use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::printable::listed;
use crate::report::data::Data;
use crate::report::document::Document;
use crate::report::run::{self, Totals};
use crate::report::verdict::Verdict;
use crate::report::{self, Report, Summary};
use crate::stats::LengthRule;
use crate::store::csv;
use crate::store::directory::{ATTENTION_CSV, RunRecord, TOKENS_CSV};
use crate::store::page;
use crate::store::stored::StoredRun;
use crate::trial::{AttentionRow, TokenRow};

/// Runs the command.
///
/// # Errors
/// When the directory holds no run, or not the cell that was asked for.
pub fn run(args: &ViewArgs, style: &Style) -> Result<()> {
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
    let figures = match args.by {
        By::Cell => FIGURES,
        By::Layer => &["heads"],
        By::Trial | By::Token => &[],
    };
    check(&args.form, figures)?;
    match args.by {
        By::Cell => {
            let length = args.context_length.map(|length| ("context length", length.to_string()));
            if let Some((flag, found)) = length.or(args.depth.map(|depth| ("depth", depth.to_string()))) {
                return Err(Error::invalid(flag, found, "--by layer beside it, which shows one cell"));
            }
            let StoredRun { record, outcomes, warnings } = StoredRun::read(&args.directory)?;
            let report = || judged_report(&outcomes, &record, rule);
            let page = || page::page(&args.directory, &record, &outcomes, report());
            let page = args.form.wants(OF_PAGE).then(page).transpose()?;
            Ok(Shown::of(&args.form, &Report::from(report()), page.as_ref(), style)?.warning(warnings))
        }
        By::Layer => {
            let record = RunRecord::read(&args.directory)?;
            let cell = find_cell(&record.settings.grid, args.context_length, args.depth)?;
            let path = args.directory.join(ATTENTION_CSV);
            let belongs = |row: &AttentionRow| row.row_id.starts_with(&report::row_prefix(cell));
            let attention = csv::selected(path, MOST_HEADS, belongs)?;
            let heads = report::heads(cell, &attention);
            if heads.is_empty() {
                return Err(Error::file(
                    &args.directory,
                    format!("no trial of length {} and depth {} has run", cell.context_length, cell.depth),
                ));
            }
            Shown::of(&args.form, &run::cell(ran(&record), cell, heads), None, style)
        }
        By::Trial => {
            check_rows(args)?;
            let StoredRun { record, outcomes, warnings } = StoredRun::read(&args.directory)?;
            let totals = Totals::of(&Summary::of(&outcomes), Verdict::of(&outcomes, rule));
            let data = Data::rows("trials", outcomes).of(ran(&record)).with_totals(totals);
            Ok(written(args, data, style)?.warning(warnings))
        }
        By::Token => {
            check_rows(args)?;
            let record = RunRecord::read(&args.directory)?;
            let tokens: Vec<TokenRow> = csv::read(args.directory.join(TOKENS_CSV))?;
            let data = Data::rows("tokens", tokens).of(ran(&record));
            written(args, data, style)
        }
    }
}

/// Rows of `attention.csv` that one cell has, at most: a thousand trials of a thousand heads.
const MOST_HEADS: usize = 1_000_000;

/// Refuses forms for readers of rows that are for programs.
fn check_rows(args: &ViewArgs) -> Result<()> {
    match args.form.forms().find(|form| !form.rows) {
        None => Ok(()),
        Some(form) => Err(Error::invalid(
            "--output-format",
            form.name,
            "csv or json, for the rows of --by trial and --by token",
        )),
    }
}

/// Rows without pages.
fn written(args: &ViewArgs, data: Data, style: &Style) -> Result<Shown> {
    Shown::of(&args.form, &Report { document: Document::default(), data }, None, style)
}

/// The cell of the grid at this length and depth; without them the longest length and the middle depth.
///
/// # Errors
/// [`Error::InvalidValue`] naming the lengths or depths of the grid.
pub(super) fn find_cell(grid: &Grid, length: Option<ContextLength>, depth: Option<Depth>) -> Result<Cell> {
    let (lengths, depths) = (grid.context_lengths(), grid.depths());
    let length = length.unwrap_or(lengths[lengths.len() - 1]);
    let depth = depth.unwrap_or(depths[depths.len() / 2]);
    if !lengths.contains(&length) {
        return Err(Error::invalid(
            "context length",
            length,
            format!("a length of the run: {}", listed(lengths)),
        ));
    }
    if !depths.contains(&depth) {
        return Err(Error::invalid("depth", depth, format!("a depth of the run: {}", listed(depths))));
    }
    Ok(Cell { context_length: length, depth })
}
