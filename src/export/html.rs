//! A document as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::palette::{Palette, VIRIDIS};
use super::style::Style;
use super::svg::{draw, escaped};
use super::terminal::shaded::DECADES;
use crate::error::Result;
use crate::report::Report;
use crate::report::document::{Block, Document, ShadedToken, Table};

const STYLE: &str = "\
body { font-family: sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5; \
color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem }
caption { text-align: left; color: #444; padding-bottom: 0.4rem }
th, td { padding: 0.2rem 0.55rem; border-bottom: 1px solid #ddd; text-align: right; \
font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
figure { margin: 1.5rem 0 }
figcaption { color: #444 }
svg { max-width: 100%; height: auto }
pre { background: #f4f4f4; padding: 0.7rem; overflow-x: auto }
.wide { overflow-x: auto }
";

/// The report as HTML.
///
/// # Errors
/// None.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    Ok(page(&report.document, style.palette).into_bytes())
}

/// The document as HTML, its heatmaps in these colours.
#[must_use]
pub fn page(document: &Document, palette: Palette) -> String {
    let title = escaped(&document.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, \
         initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n"
    );
    for block in &document.blocks {
        of_block(&mut page, block, palette);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn of_block(page: &mut String, block: &Block, palette: Palette) {
    let _ = match block {
        Block::Heading(words) => writeln!(page, "<h2>{}</h2>", escaped(words)),
        Block::Paragraph(words) => writeln!(page, "<p>{}</p>", escaped(words)),
        Block::Lines(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
            writeln!(page, "<p>{}</p>", lines.join("<br>\n"))
        }
        Block::Facts(facts) => writeln!(page, "{}", of_facts(facts)),
        Block::Code(lines) => writeln!(page, "<pre>{}</pre>", escaped(lines)),
        Block::Table(table) | Block::Wide(table) => writeln!(page, "{}", of_table(table, &[])),
        Block::Bars(table, shares) => writeln!(page, "{}", of_table(table, shares)),
        Block::Figure(figure) => writeln!(
            page,
            "<figure>\n{}<figcaption>{}</figcaption>\n</figure>",
            draw(figure, palette),
            escaped(&figure.caption)
        ),
        Block::Prompt(tokens) => writeln!(page, "{}", of_prompt(tokens)),
        Block::Together(blocks) => {
            blocks.iter().for_each(|block| of_block(page, block, palette));
            Ok(())
        }
    };
}

fn of_facts(facts: &[(String, String)]) -> String {
    let row = |(name, text): &(String, String)| {
        let cell = "style=\"text-align: left\"";
        format!("<tr><th {cell}>{}</th><td {cell}>{}</td></tr>\n", escaped(name), escaped(text))
    };
    format!("<table>\n{}</table>", facts.iter().map(row).collect::<String>())
}

/// Tokens on a background that shows their mass, on the scale of the terminal: the needle underlined, its
/// value bold.
fn of_prompt(tokens: &[ShadedToken]) -> String {
    let largest = tokens.iter().map(|token| token.mass).fold(0.0, f64::max);
    let span = |token: &ShadedToken| {
        let shade = 1.0 + (token.mass / largest).log10() / DECADES;
        let mut style = String::new();
        if shade > 0.0 {
            let color = VIRIDIS.color(shade);
            let _ = write!(style, "background: {}; color: {};", color.hex(), color.text_color().hex());
        }
        style.push_str(if token.in_needle { "text-decoration: underline;" } else { "" });
        style.push_str(if token.in_value { "font-weight: bold;" } else { "" });
        let text = escaped(&token.text);
        format!("<span title=\"{:.2e}\" style=\"{style}\">{text}</span>", token.mass)
    };
    let spans: String = tokens.iter().map(span).collect();
    format!("<pre style=\"white-space: pre-wrap; overflow-wrap: anywhere\">{spans}</pre>")
}

fn of_table(table: &Table, shares: &[f64]) -> String {
    let row = |tag: &str, cells: &[String], bar: &str| {
        // No number is broken behind a comma, so that an interval, which may stand on a line of its own,
        // stays in one piece.
        let cell = |(column, cell): (usize, &String)| match table.has_words(column) {
            true => format!("<{tag} style=\"text-align: left\">{}</{tag}>", escaped(cell)),
            false => format!("<{tag}>{}</{tag}>", escaped(cell).replace(", ", ",&nbsp;")),
        };
        let cells: String = cells.iter().enumerate().map(cell).collect();
        format!("<tr>{cells}{bar}</tr>\n")
    };
    let bar = |share: Option<&f64>| {
        share.map_or(String::new(), |share| {
            let width = 12.0 * share.clamp(0.0, 1.0);
            format!(
                "<td style=\"text-align: left\"><div style=\"width: {width:.2}rem; height: 0.8rem; \
                     background: #0072b2\"></div></td>"
            )
        })
    };
    let rows = table.rows.iter().enumerate();
    let rows: String = rows.map(|(index, cells)| row("td", cells, &bar(shares.get(index)))).collect();
    let caption = match escaped(&table.caption) {
        caption if caption.is_empty() => String::new(),
        caption => format!("<caption>{caption}</caption>\n"),
    };
    let header = row("th", &table.header, if shares.is_empty() { "" } else { "<th></th>" });
    format!("<div class=\"wide\"><table>\n{caption}{header}{rows}</table></div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_or_turns_the_direction_can_be_read() {
        let blocks = vec![Block::Code("a\nb\x1b[2J".to_string()), Block::Paragraph("\u{202e}x'".to_string())];
        let html = page(&Document { title: "t\0\u{200b}".to_string(), blocks }, VIRIDIS);
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
        let html = page(&Document { title: "t".to_string(), blocks }, VIRIDIS);
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("<td>&lt;script&gt;</td><td>1 [0,&nbsp;2]</td>"), "{html}");
        for piece in ["<h1>t</h1>", "<h2>h &amp; h</h2>", "<p>p</p>", "<pre>$ niah &gt; x</pre>", "</html>"] {
            assert!(html.contains(piece), "{piece} in {html}");
        }
    }
}
