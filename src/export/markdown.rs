//! A document as Markdown, its figures as files beside it.

use std::fmt::Write as _;

use crate::report::document::{Block, Document, Table};

/// The document as Markdown; figures are `figures/NAME.svg`.
#[must_use]
pub fn text(document: &Document) -> String {
    let mut text = format!("# {}\n", document.title);
    for block in &document.blocks {
        let _ = match block {
            Block::Heading(words) => writeln!(text, "\n## {words}"),
            Block::Paragraph(words) => writeln!(text, "\n{words}"),
            Block::Code(lines) => writeln!(text, "\n```\n{}\n```", lines.trim_end()),
            Block::Table(table) => writeln!(text, "\n{}\n\n{}", table.caption, of_table(table).trim_end()),
            Block::Figure(figure) => {
                let file = format!("figures/{}.svg", figure.name);
                writeln!(text, "\n![{}]({file})\n\n{}", figure.name, figure.caption)
            }
        };
    }
    text
}

fn of_table(table: &Table) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
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
}
