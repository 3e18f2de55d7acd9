//! A document as Markdown, its figures as files beside it.

use std::fmt::Write as _;

use crate::printable;
use crate::report::document::{Block, Document, Table};

/// The document as Markdown; figures are `figures/NAME.svg`.
#[must_use]
pub fn text(document: &Document) -> String {
    let mut text = format!("# {}\n", escaped(&document.title));
    for block in &document.blocks {
        let _ = match block {
            Block::Heading(words) => writeln!(text, "\n## {}", escaped(words)),
            Block::Paragraph(words) => writeln!(text, "\n{}", escaped(words)),
            Block::Code(lines) => writeln!(text, "\n{}", of_code(lines)),
            Block::Table(table) => {
                writeln!(text, "\n{}\n\n{}", escaped(&table.caption), of_table(table).trim_end())
            }
            Block::Figure(figure) => {
                let file = format!("figures/{}.svg", figure.name);
                writeln!(text, "\n![{}]({file})\n\n{}", figure.name, escaped(&figure.caption))
            }
        };
    }
    text
}

/// Text that means itself in Markdown, on one line: no code, emphasis, link or HTML begins in it, and hidden characters can be read.
fn escaped(text: &str) -> String {
    let text = printable::line(text);
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let begins = match c {
            // A hidden character is an escape by now, whose backslash stands before a letter and means itself.
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

fn of_table(table: &Table) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| escaped(cell).replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let aligned: String = (0..table.header.len()).map(|i| if i == 0 { "---|" } else { "---:|" }).collect();
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
