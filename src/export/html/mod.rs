//! A document as one HTML file that needs nothing else: no network, and no script for what it says.
//!
//! All that comes from a model, a corpus or a file is escaped, and a content security policy allows the
//! page's own style sheet and script by their hashes, and nothing else. So no element has a style of its own:
//! what depends on data is a class or an attribute of SVG.

mod heads;
mod policy;
mod prompt;
mod table;
mod trials;

use std::fmt::Write as _;

use self::trials::Places;
use super::palette::Palette;
use super::style::Style;
use super::svg::{self, escaped};
use crate::error::Result;
use crate::report::Report;
use crate::report::document::{Block, Document, Figure, Panel};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

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
    let style = format!("{STYLE}{}{}", prompt::kind_colors(), prompt::shades());
    let places = Places::of(&document.blocks);
    // What a script does is to select cells and to bring the focus back: only a run has them.
    let script = if places.is_empty() { "" } else { SCRIPT };
    let policy = policy::content_security(&style, script);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    let context = Context { palette, places };
    document.blocks.iter().for_each(|block| context.block(&mut page, block));
    page.push_str("</main>\n");
    if !script.is_empty() {
        let _ = writeln!(page, "<script>{script}</script>");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// What every block is drawn with.
struct Context {
    palette: Palette,
    places: Places,
}

impl Context {
    fn block(&self, page: &mut String, block: &Block) {
        let _ = match block {
            Block::Heading(words) => writeln!(page, "<h2>{}</h2>", escaped(words)),
            Block::Paragraph(words) => writeln!(page, "<p>{}</p>", escaped(words)),
            Block::Lines(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
                writeln!(page, "<p>{}</p>", lines.join("<br>\n"))
            }
            Block::Facts(facts) => writeln!(page, "{}", table::facts(facts)),
            Block::Code(lines) => writeln!(page, "<pre>{}</pre>", escaped(lines)),
            Block::Table(table) | Block::Wide(table) => writeln!(page, "{}", table::draw(table, &[])),
            Block::Bars(table, shares) => writeln!(page, "{}", table::draw(table, shares)),
            Block::Figure(figure) => {
                self.figure(page, figure);
                Ok(())
            }
            Block::Prompt(tokens) => writeln!(page, "{}", prompt::draw(tokens)),
            Block::Together(blocks) => {
                page.push_str("<div class=\"together\">\n");
                blocks.iter().for_each(|block| self.block(page, block));
                writeln!(page, "</div>")
            }
            Block::HeadSums(sums) => writeln!(page, "{}", heads::picker(sums, self.palette)),
            Block::Trials(trials) => writeln!(page, "{}", trials::sections(trials)),
        };
    }

    /// The panels beside each other as far as there is room, above the caption.
    fn figure(&self, page: &mut String, figure: &Figure) {
        let name = escaped(&figure.name);
        let _ = writeln!(page, "<figure id=\"figure-{name}\">\n<div class=\"panels\">");
        for panel in &figure.panels {
            let one =
                Figure { panels: vec![panel.clone()], caption: String::new(), name: figure.name.clone() };
            match panel {
                Panel::Heatmap(map) if self.places.has_links(&figure.name) => {
                    let links = |row, column| self.places.link(map, row, column);
                    svg::draw_into(page, &one, self.palette, Some(&links));
                }
                _ => svg::draw_into(page, &one, self.palette, None),
            }
        }
        page.push_str("</div>\n");
        match escaped(&figure.caption) {
            caption if caption.is_empty() => {}
            caption => page.push_str(&format!("<figcaption>{caption}</figcaption>\n")),
        }
        page.push_str("</figure>\n");
    }
}

#[cfg(test)]
mod tests;
