//! A document as Markdown: with its figures as files beside it, or alone, where heatmaps are tables.

use std::fmt::Write as _;

use super::style::Style;
use super::terminal::shaded;
use crate::error::Result;
use crate::printable;
use crate::report::Report;
use crate::report::document::{Block, Document, Figure, Panel, Table};
use crate::report::heatmap::Heatmap;

/// The report as Markdown that needs no other file. Curves, which no text can show, are named.
///
/// # Errors
/// None.
pub fn write(report: &Report, _: &Style) -> Result<Vec<u8>> {
    Ok(document(&report.document, in_words).into_bytes())
}

/// The document as Markdown; figures are `figures/NAME.svg`.
#[must_use]
pub fn text(document: &Document) -> String {
    self::document(document, |text, figure| {
        let file = format!("figures/{}.svg", figure.name);
        let _ = writeln!(text, "\n![{}]({file})\n\n{}", figure.name, escaped(&figure.caption));
    })
}

fn document(document: &Document, figure: fn(&mut String, &Figure)) -> String {
    let mut text = format!("# {}\n", escaped(&document.title));
    document.blocks.iter().for_each(|block| of_block(&mut text, block, figure));
    text
}

fn of_block(text: &mut String, block: &Block, figure: fn(&mut String, &Figure)) {
    let _ = match block {
        Block::Heading(words) => writeln!(text, "\n## {}", escaped(words)),
        Block::Paragraph(words) => writeln!(text, "\n{}", escaped(words)),
        Block::Lines(lines) => lines.iter().try_for_each(|line| writeln!(text, "\n{}", escaped(line))),
        Block::Facts(facts) => {
            let rows = facts.iter().map(|(name, text)| vec![name.clone(), text.clone()]).collect();
            let table = Table::new(&["", ""], rows);
            writeln!(text, "\n{}", of_table(&table, "---|").trim_end())
        }
        Block::Code(lines) => writeln!(text, "\n{}", of_code(lines)),
        Block::Table(table) | Block::Wide(table) | Block::Bars(table, _) => {
            let caption =
                if table.caption.is_empty() { String::new() } else { escaped(&table.caption) + "\n\n" };
            writeln!(text, "\n{caption}{}", of_table(table, "---:|").trim_end())
        }
        Block::Figure(drawn) => {
            figure(text, drawn);
            Ok(())
        }
        Block::Prompt(tokens) => writeln!(text, "\n{}", of_code(&shaded::draw(tokens, &Style::plain(100)))),
        Block::HeadSums(_) | Block::Trials(_) => Ok(()),
        Block::Together(blocks) => {
            blocks.iter().for_each(|block| of_block(text, block, figure));
            Ok(())
        }
    };
}

/// A figure without a picture.
fn in_words(text: &mut String, figure: &Figure) {
    for panel in &figure.panels {
        let _ = match panel {
            Panel::Heatmap(map) => {
                writeln!(
                    text,
                    "\n{}\n\n{}",
                    escaped(&map.title),
                    of_table(&of_heatmap(map), "---:|").trim_end()
                )
            }
            Panel::Chart(chart) => {
                writeln!(text, "\n(figure: {}, in --output-format svg and html)", escaped(&chart.title))
            }
        };
    }
    if !figure.caption.is_empty() {
        let _ = writeln!(text, "\n{}", escaped(&figure.caption));
    }
}

/// The values of a heatmap; a missing one is empty, and a bar stands where the training length ends.
fn of_heatmap(map: &Heatmap) -> Table {
    let mark = map.mark.as_ref().map(|mark| mark.before_column);
    let marked = |mut cells: Vec<String>, words: &str| {
        if let Some(column) = mark {
            cells.insert(column.min(cells.len()), words.to_string());
        }
        cells
    };
    let row = |(row, name): (usize, &String)| {
        let text = |column| map.text(row, column).unwrap_or_default();
        [vec![name.clone()], marked((0..map.columns.len()).map(text).collect(), "|")].concat()
    };
    let rows = map.rows.iter().enumerate().map(row).collect();
    let header =
        [vec![format!("{} / {}", map.y_label, map.x_label)], marked(map.columns.clone(), "|")].concat();
    Table { caption: String::new(), header, rows }
}

/// Text that means itself in Markdown, on one line: no code, emphasis, link or HTML begins in it, and hidden
/// characters can be read.
fn escaped(text: &str) -> String {
    let text = printable::line(text);
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let begins = match c {
            // A hidden character is an escape by now, whose backslash stands before a letter and means
            // itself.
            '\\' => characters.peek().is_some_and(char::is_ascii_punctuation),
            ']' => characters.peek().is_some_and(|next| "([:".contains(*next)),
            _ => "`*<".contains(c),
        };
        if begins {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Lines between fences that are longer than any in them.
fn of_code(lines: &str) -> String {
    let longest = lines.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", printable::lines(lines.trim_end()))
}

/// The table, its first column to the left and the others as `aligned` says.
fn of_table(table: &Table, aligned: &str) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| escaped(cell).replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let of_column = |column| if column == 0 || table.has_words(column) { "---|" } else { aligned };
    let aligned: String = (0..table.header.len()).map(of_column).collect();
    let rows: String = table.rows.iter().map(|cells| row(cells)).collect();
    format!("{}|{aligned}\n{rows}", row(&table.header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_columns_and_bars_stay_in_their_cell() {
        let table = Table {
            caption: "what".to_string(),
            header: vec!["name".to_string(), "n".to_string()],
            rows: vec![vec!["a|b".to_string(), "1".to_string()]],
        };
        let sentence = "more than any number with its interval takes";
        let words = Table { rows: vec![vec!["a".to_string(), sentence.to_string()]], ..table.clone() };
        let document = Document { title: "t".to_string(), blocks: vec![Block::Table(words)] };
        assert!(text(&document).contains("|---|---|\n"), "a column of sentences is no column of numbers");
        let document = Document { title: "t".to_string(), blocks: vec![Block::Table(table)] };
        assert_eq!(text(&document), "# t\n\nwhat\n\n| name | n |\n|---|---:|\n| a\\|b | 1 |\n");
    }

    #[test]
    fn words_from_outside_mean_themselves() {
        assert_eq!(
            escaped("<b>*x* `y` [z](u) [0.5, 1] c:\\d"),
            "\\<b>\\*x\\* \\`y\\` [z\\](u) [0.5, 1] c:\\d"
        );
        assert_eq!(escaped("a\n# b\u{202e}"), "a\\n# b\\u{202e}");
        assert_eq!(of_code("$ niah\n```\nx\x1b"), "````\n$ niah\n```\nx\\u{1b}\n````");
    }
}
