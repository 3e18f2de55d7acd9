//! Tables of text. Numbers are never broken: where there is too little room, sentences are wrapped, then
//! columns stand in parts under each other.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, TableStyle, Width};
use unicode_width::UnicodeWidthStr;

use crate::export::style::{Charset, Style};
use crate::report::document::Table;

/// Rows of a table that are drawn, at most: more are for a program to read.
const MOST_ROWS: usize = 1000;

/// A header, a line, and rows of numbers, right-aligned; without a line end behind the last one.
pub(super) fn draw(header: &[String], rows: &[Vec<String>], style: &Style) -> String {
    let clean = |cells: &[String]| -> Vec<String> { cells.iter().map(|cell| style.clean(cell)).collect() };
    let header = clean(header);
    let shown: Vec<Vec<String>> = rows.iter().take(MOST_ROWS).map(|cells| clean(cells)).collect();
    let columns: Vec<Column> =
        (0..header.len()).map(|index| Column::of(&header[index], &shown, index)).collect();
    let parts = parts(&columns, style.columns());
    let part = |part: &Vec<usize>| {
        let some = |cells: &Vec<String>| -> Vec<String> {
            // A line across stands in the first column alone.
            part.iter().filter_map(|&index| cells.get(index).cloned()).collect()
        };
        let widths = widths(&part.iter().map(|&index| &columns[index]).collect::<Vec<_>>(), style.columns());
        draw_part(&some(&header), &shown.iter().map(some).collect::<Vec<_>>(), widths.as_deref(), style)
    };
    let mut drawn = parts.iter().map(part).collect::<Vec<_>>().join("\n\n");
    if parts.len() > 1 {
        let words =
            format!("(in {} parts: the table is wider than {} columns)", parts.len(), style.columns());
        drawn = format!("{drawn}\n{}", style.wrap(&words).join("\n"));
    }
    match rows.len().saturating_sub(MOST_ROWS) {
        0 => drawn,
        left_out => format!("{drawn}\n{left_out} more rows are left out"),
    }
}

/// How wide a column is, and how narrow it may be.
struct Column {
    /// Width in which nothing is wrapped.
    whole: usize,
    /// Width in which no number and no word is broken: cells of numbers stay whole.
    least: usize,
}

/// A sentence is not wrapped into lines that are narrower, where its words are shorter.
const NARROWEST_SENTENCE: usize = 20;

impl Column {
    fn of(header: &str, rows: &[Vec<String>], index: usize) -> Self {
        let cells: Vec<&str> = rows.iter().filter_map(|row| row.get(index)).map(String::as_str).collect();
        let widest = |texts: &[&str]| texts.iter().map(|text| text.width()).max().unwrap_or(0);
        let longest_word = |text: &str| widest(&text.split(' ').collect::<Vec<_>>());
        let is_sentence = cells.iter().any(|cell| cell.chars().count() > Table::LONGEST_NUMBER);
        let of_cells = match is_sentence {
            true => {
                let words = cells.iter().map(|cell| longest_word(cell)).max().unwrap_or(0);
                words.clamp(NARROWEST_SENTENCE, Table::LONGEST_NUMBER)
            }
            false => widest(&cells),
        };
        let whole = widest(&cells).max(header.width());
        Self { whole, least: of_cells.max(longest_word(header)).min(whole) }
    }
}

/// Columns of the terminal that these widths take, with a space on both sides of each and one between.
fn taken(widths: impl ExactSizeIterator<Item = usize>) -> usize {
    let between = widths.len().saturating_sub(1);
    widths.map(|width| width + 2).sum::<usize>() + between
}

/// Which columns stand beside each other: all of them where they fit, else as many as do; the first column
/// stands in every part.
fn parts(columns: &[Column], room: usize) -> Vec<Vec<usize>> {
    let fits = |part: &[usize]| taken(part.iter().map(|&index| columns[index].least)) <= room;
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for index in 1..columns.len() {
        match parts.last_mut() {
            Some(part) if fits(&[&part[..], &[index]].concat()) => part.push(index),
            _ => parts.push(vec![0, index]),
        }
    }
    if parts.is_empty() { vec![(0..columns.len()).collect()] } else { parts }
}

/// The widths of columns that do not fit as they are: what room there is goes to those that want more, from
/// the left. `None` where they fit.
fn widths(columns: &[&Column], room: usize) -> Option<Vec<usize>> {
    if taken(columns.iter().map(|column| column.whole)) <= room {
        return None;
    }
    let mut widths: Vec<usize> = columns.iter().map(|column| column.least).collect();
    let mut left = room.saturating_sub(taken(widths.iter().copied()));
    for (width, column) in widths.iter_mut().zip(columns) {
        let more = left.min(column.whole - *width);
        *width += more;
        left -= more;
    }
    Some(widths)
}

fn draw_part(header: &[String], rows: &[Vec<String>], widths: Option<&[usize]>, style: &Style) -> String {
    let line = style.pick('─', '-');
    let mut table = comfy_table::Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill(line).junction(line)))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns()).unwrap_or(u16::MAX))
        .set_header(header)
        .add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(CellAlignment::Right);
        if let Some(width) = widths.and_then(|widths| widths.get(index)) {
            let width = u16::try_from(width + 2).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
    }
    table.trim_fmt()
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

/// A table with a bar behind every row, where there is room for it; one cell alone stands without.
pub(super) fn draw_bars(table: &Table, shares: &[f64], style: &Style) -> String {
    let bare = draw(&table.header, &table.rows, style);
    let widest = bare.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
    if widest + 3 + BAR > style.columns() {
        return format!("{bare}\n(no bars: they take {} columns more)", 3 + BAR);
    }
    let header = [&table.header[..], &[String::new()]].concat();
    let row = |(cells, &share): (&Vec<String>, &f64)| match cells.len() {
        1 => cells.clone(),
        _ => [&cells[..], &[bar(share, style)]].concat(),
    };
    draw(&header, &table.rows.iter().zip(shares).map(row).collect::<Vec<_>>(), style)
}

/// Columns of a bar.
const BAR: usize = 24;

/// A bar for a share of the whole, in eighths of a character where there are any.
fn bar(share: f64, style: &Style) -> String {
    let eighths = (share.clamp(0.0, 1.0) * BAR as f64 * 8.0).round() as usize;
    let (whole, rest) = (eighths / 8, eighths % 8);
    let bar = match style.charset {
        Charset::Unicode => "█".repeat(whole) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest],
        Charset::Ascii => "#".repeat(whole + usize::from(rest >= 4)),
    };
    format!("{bar:<BAR$}")
}
