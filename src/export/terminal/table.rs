//! Tables of text.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, TableStyle};

use crate::export::style::{Charset, Style};
use crate::report::document::Table;

/// Rows of a table that are drawn, at most: more are for a program to read.
const MOST_ROWS: usize = 1000;

/// A header, a line, and rows of numbers, right-aligned; without a line end behind the last one.
pub(super) fn draw(header: &[String], rows: &[Vec<String>], style: &Style) -> String {
    let line = style.pick('─', '-');
    let clean = |cells: &[String]| -> Vec<String> { cells.iter().map(|cell| style.clean(cell)).collect() };
    let mut table = comfy_table::Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill(line).junction(line)))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns()).unwrap_or(u16::MAX))
        .set_header(clean(header))
        .add_rows(rows.iter().take(MOST_ROWS).map(|cells| clean(cells)));
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    match rows.len().saturating_sub(MOST_ROWS) {
        0 => table.trim_fmt(),
        left_out => format!("{}\n{left_out} more rows are left out", table.trim_fmt()),
    }
}

/// A table whose columns stand in parts that fit the width, under each other; the first column stands in all
/// of them.
pub(super) fn draw_parts(table: &Table, style: &Style) -> String {
    const COLUMN: usize = 11;
    let columns = table.header.len().saturating_sub(1);
    let fitting = (style.columns() / COLUMN).saturating_sub(1).max(1);
    let part = |first: usize| {
        let some = |cells: &Vec<String>| -> Vec<String> {
            let shown = cells.iter().skip(1 + first).take(fitting);
            cells.iter().take(1).chain(shown).cloned().collect()
        };
        draw(&some(&table.header), &table.rows.iter().map(some).collect::<Vec<_>>(), style)
    };
    (0..columns).step_by(fitting).map(part).collect::<Vec<_>>().join("\n\n")
}

/// A table with a bar behind every row; one cell alone stands without.
pub(super) fn draw_bars(table: &Table, shares: &[f64], style: &Style) -> String {
    let header = [&table.header[..], &[String::new()]].concat();
    let row = |(cells, &share): (&Vec<String>, &f64)| match cells.len() {
        1 => cells.clone(),
        _ => [&cells[..], &[bar(share, style)]].concat(),
    };
    draw(&header, &table.rows.iter().zip(shares).map(row).collect::<Vec<_>>(), style)
}

/// A bar for a share of the whole, in eighths of a character where there are any.
fn bar(share: f64, style: &Style) -> String {
    const WIDTH: f64 = 24.0;
    let eighths = (share.clamp(0.0, 1.0) * WIDTH * 8.0).round() as usize;
    let (whole, rest) = (eighths / 8, eighths % 8);
    let bar = match style.charset {
        Charset::Unicode => "█".repeat(whole) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest],
        Charset::Ascii => "#".repeat(whole + usize::from(rest >= 4)),
    };
    format!("{bar:<24}")
}
