//! Tables. One that is too wide for a phone, or for paper, is stacked there: a row becomes lines of a name
//! and a value.

use std::fmt::Write as _;

use crate::export::svg::escaped;
use crate::report::document::Table;

/// Characters of a row that a phone, or a page of paper, has room for.
const PHONE: usize = 36;
const PAPER: usize = 96;
/// Characters that the room around a cell takes.
const AROUND: usize = 2;

/// Names, and what there is to say of each.
pub(super) fn facts(facts: &[(String, String)]) -> String {
    let row = |(name, text): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name), escaped(text))
    };
    format!("<table class=\"facts\">\n{}</table>", facts.iter().map(row).collect::<String>())
}

/// A table, with a bar behind every row that has a share.
pub(super) fn draw(table: &Table, shares: &[f64]) -> String {
    let width = width(table);
    let mut class = String::new();
    for (name, room) in [("stacked-on-phone", PHONE), ("stacked-on-paper", PAPER)] {
        if width > room {
            let _ = write!(class, " {name}");
        }
    }
    let stacked = !class.is_empty();
    let row = |(index, cells): (usize, &Vec<String>)| {
        // A line across has one cell.
        let span = match cells.len() {
            1 if table.header.len() > 1 => format!(" colspan=\"{}\"", table.header.len()),
            _ => String::new(),
        };
        let cell = |(column, cell): (usize, &String)| {
            let words = if table.has_words(column) { " class=\"words\"" } else { "" };
            // No number is broken behind a comma, so that an interval, which may stand on a line of its own,
            // stays in one piece.
            let text = match words.is_empty() {
                true => escaped(cell).replace(", ", ",&nbsp;"),
                false => escaped(cell),
            };
            if column == 0 {
                return format!("<th scope=\"row\"{words}{span}>{text}</th>");
            }
            let label = table.header.get(column).filter(|_| stacked);
            let label = label.map_or(String::new(), |name| format!(" data-label=\"{}\"", escaped(name)));
            format!("<td{words}{label}>{text}</td>")
        };
        let cells: String = cells.iter().enumerate().map(cell).collect();
        format!("<tr>{cells}{}</tr>\n", shares.get(index).map_or(String::new(), |share| bar(*share)))
    };
    let rows: String = table.rows.iter().enumerate().map(row).collect();
    let name = |name: &String| format!("<th scope=\"col\">{}</th>", escaped(name));
    let header: String = table.header.iter().map(name).collect();
    let header = header + if shares.is_empty() { "" } else { "<td></td>" };
    let caption = match escaped(&table.caption) {
        caption if caption.is_empty() => String::new(),
        caption => format!("<caption>{caption}</caption>\n"),
    };
    format!(
        "<div class=\"wide\"><table class=\"numbers{class}\">\n{caption}<thead><tr>{header}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>"
    )
}

/// A bar of this share of its room.
fn bar(share: f64) -> String {
    let width = 180.0 * share.clamp(0.0, 1.0);
    format!(
        "<td class=\"bar\"><svg width=\"180\" height=\"12\" aria-hidden=\"true\"><rect width=\"{width:.1}\" \
         height=\"12\" fill=\"#0072b2\"/></svg></td>"
    )
}

/// Characters of a row whose cells are not broken; of words, some.
fn width(table: &Table) -> usize {
    const WORDS: usize = 30;
    let of_column = |(column, name): (usize, &String)| {
        let cells = table.rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        // Names of columns are broken at spaces.
        let name = name.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        cells.min(WORDS).max(name) + AROUND
    };
    table.header.iter().enumerate().map(of_column).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_stacked_where_it_is_too_wide_and_says_what_each_number_is() {
        let table = |columns: usize| {
            let header = (0..columns).map(|n| format!("number {n}")).collect();
            Table { caption: String::new(), header, rows: vec![vec!["1".to_string(); columns]] }
        };
        let narrow = draw(&table(3), &[]);
        assert!(!narrow.contains("stacked") && !narrow.contains("data-label"), "{narrow}");
        let middle = draw(&table(8), &[]);
        assert!(middle.contains("numbers stacked-on-phone\"") && middle.contains("data-label=\"number 7\""));
        assert!(draw(&table(20), &[]).contains("stacked-on-phone stacked-on-paper"));
    }
}
