//! A document as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::svg::{draw, escaped};
use crate::report::document::{Block, Document, Table};

const STYLE: &str = "\
body { font-family: sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5; color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem }
caption { text-align: left; color: #444; padding-bottom: 0.4rem }
th, td { padding: 0.2rem 0.55rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
figure { margin: 1.5rem 0 }
figcaption { color: #444 }
svg { max-width: 100%; height: auto }
pre { background: #f4f4f4; padding: 0.7rem; overflow-x: auto }
.wide { overflow-x: auto }
";

/// The document as HTML.
#[must_use]
pub fn page(document: &Document) -> String {
    let title = escaped(&document.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n"
    );
    for block in &document.blocks {
        let _ = match block {
            Block::Heading(words) => writeln!(page, "<h2>{}</h2>", escaped(words)),
            Block::Paragraph(words) => writeln!(page, "<p>{}</p>", escaped(words)),
            Block::Code(lines) => writeln!(page, "<pre>{}</pre>", escaped(lines)),
            Block::Table(table) => writeln!(page, "{}", of_table(table)),
            Block::Figure(figure) => writeln!(
                page,
                "<figure>\n{}<figcaption>{}</figcaption>\n</figure>",
                draw(figure),
                escaped(&figure.caption)
            ),
        };
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn of_table(table: &Table) -> String {
    let row = |tag: &str, cells: &[String]| {
        // No cell is broken behind a comma, so that an interval, which may stand on a line of its own, stays in one piece.
        let cell = |cell: &String| format!("<{tag}>{}</{tag}>", escaped(cell).replace(", ", ",&nbsp;"));
        let cells: String = cells.iter().map(cell).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = table.rows.iter().map(|cells| row("td", cells)).collect();
    let (caption, header) = (escaped(&table.caption), row("th", &table.header));
    format!("<div class=\"wide\"><table>\n<caption>{caption}</caption>\n{header}{rows}</table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_or_turns_the_direction_can_be_read() {
        let blocks = vec![Block::Code("a\nb\x1b[2J".to_string()), Block::Paragraph("\u{202e}x'".to_string())];
        let html = page(&Document { title: "t\0\u{200b}".to_string(), blocks });
        assert!(
            html.contains("<pre>a\nb\\u{1b}[2J</pre>") && html.contains("<p>\\u{202e}x&#39;</p>"),
            "{html}"
        );
        assert!(html.contains("<title>t\\u{0}\\u{200b}</title>"), "{html}");
        assert!(!html.contains(|c| c != '\n' && crate::printable::is_hidden(c)), "{html}");
    }

    #[test]
    fn words_mean_themselves_and_every_block_is_there() {
        let table = Table {
            caption: "c".to_string(),
            header: vec!["name".to_string(), "n".to_string()],
            rows: vec![vec!["<script>".to_string(), "1 [0, 2]".to_string()]],
        };
        let blocks = vec![
            Block::Heading("h & h".to_string()),
            Block::Paragraph("p".to_string()),
            Block::Code("$ niah > x".to_string()),
            Block::Table(table),
        ];
        let html = page(&Document { title: "t".to_string(), blocks });
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("<td>&lt;script&gt;</td><td>1 [0,&nbsp;2]</td>"), "{html}");
        for piece in ["<h1>t</h1>", "<h2>h &amp; h</h2>", "<p>p</p>", "<pre>$ niah &gt; x</pre>", "</html>"] {
            assert!(html.contains(piece), "{piece} in {html}");
        }
    }
}
