//! `niah view`: stored results, drawn again without a model.

use super::{print, results};
use crate::cli::{By, ViewArgs};
use crate::error::{Error, Result};
use crate::export::directory::{ATTENTION_CSV, RESULTS_CSV, RunRecord};
use crate::export::style::Style;
use crate::export::{CellReport, csv};
use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::report;
use crate::trial::{AttentionRow, Outcome};

/// Runs the command.
///
/// # Errors
/// When the directory holds no run, or not the cell that was asked for.
pub fn run(args: &ViewArgs, style: &Style) -> Result<()> {
    let record = RunRecord::read(&args.directory)?;
    let grid = &record.settings.grid;
    match args.by {
        By::Cell => {
            let outcomes: Vec<Outcome> = csv::read(args.directory.join(RESULTS_CSV))?;
            print(&results(&outcomes, &record, args.output_format, style)?)
        }
        By::Layer => {
            let cell = find_cell(grid, args.length, args.depth)?;
            let attention: Vec<AttentionRow> = csv::read(args.directory.join(ATTENTION_CSV))?;
            let report = CellReport { cell, heads: report::heads(cell, &attention) };
            if report.heads.is_empty() {
                return Err(Error::file(
                    &args.directory,
                    format!("no trial of length {} and depth {} has run", cell.context_length, cell.depth),
                ));
            }
            print(&(args.output_format.cell)(&report, style)?)
        }
    }
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
        return Err(Error::invalid("--length", length, format!("a length of the run: {}", join(lengths))));
    }
    if !depths.contains(&depth) {
        return Err(Error::invalid("--depth", depth, format!("a depth of the run: {}", join(depths))));
    }
    Ok(Cell { context_length: length, depth })
}

fn join(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
