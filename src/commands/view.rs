//! `niah view`: stored results, drawn again without a model.

use super::{Shown, results, show};
use crate::cli::{By, ViewArgs};
use crate::error::{Error, Result};
use crate::export::style::Style;
use crate::export::{CellReport, RowExporter};
use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::printable::listed;
use crate::report;
use crate::store::csv;
use crate::store::directory::{ATTENTION_CSV, RunRecord, TOKENS_CSV};
use crate::store::stored::StoredRun;
use crate::trial::{AttentionRow, TokenRow};

/// Runs the command.
///
/// # Errors
/// When the directory holds no run, or not the cell that was asked for.
pub fn run(args: &ViewArgs, style: &Style) -> Result<()> {
    show(&page(args, style)?)
}

/// What the command shows.
///
/// # Errors
/// As [`run`].
pub fn page(args: &ViewArgs, style: &Style) -> Result<Shown> {
    match args.by {
        By::Cell => {
            let length = args.length.map(|length| ("--length", length.to_string()));
            if let Some((flag, found)) = length.or(args.depth.map(|depth| ("--depth", depth.to_string()))) {
                return Err(Error::invalid(flag, found, "--by layer beside it, which shows one cell"));
            }
            let StoredRun { record, outcomes, warnings } = StoredRun::read(&args.directory)?;
            Ok(Shown { text: results(&outcomes, &record, args.output_format, style)?, warnings })
        }
        By::Layer => {
            let record = RunRecord::read(&args.directory)?;
            let cell = find_cell(&record.settings.grid, args.length, args.depth)?;
            let path = args.directory.join(ATTENTION_CSV);
            let belongs = |row: &AttentionRow| row.row_id.starts_with(&report::row_prefix(cell));
            let attention = csv::selected(path, MOST_HEADS, belongs)?;
            let report = CellReport { cell, heads: report::heads(cell, &attention) };
            if report.heads.is_empty() {
                return Err(Error::file(
                    &args.directory,
                    format!("no trial of length {} and depth {} has run", cell.context_length, cell.depth),
                ));
            }
            Ok(Shown { text: (args.output_format.cell)(&report, style)?, warnings: Vec::new() })
        }
        By::Trial => {
            let write = rows(args)?.trials;
            let StoredRun { outcomes, warnings, .. } = StoredRun::read(&args.directory)?;
            Ok(Shown { text: write(&outcomes, style)?, warnings })
        }
        By::Token => {
            let write = rows(args)?.tokens;
            let tokens: Vec<TokenRow> = csv::read(args.directory.join(TOKENS_CSV))?;
            Ok(Shown { text: write(&tokens, style)?, warnings: Vec::new() })
        }
    }
}

/// Rows of `attention.csv` that one cell has, at most: a thousand trials of a thousand heads.
const MOST_HEADS: usize = 1_000_000;

/// What writes rows.
fn rows(args: &ViewArgs) -> Result<RowExporter> {
    args.output_format.rows.ok_or_else(|| {
        Error::invalid("--output-format", "table", "csv or json, for the rows of --by trial and --by token")
    })
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
        return Err(Error::invalid("--length", length, format!("a length of the run: {}", listed(lengths))));
    }
    if !depths.contains(&depth) {
        return Err(Error::invalid("--depth", depth, format!("a depth of the run: {}", listed(depths))));
    }
    Ok(Cell { context_length: length, depth })
}
