//! A report for the terminal: what fits the width, in the colours and characters that there are.
//!
//! The title of a document is left out, as it says what the command line right above it says.

pub mod heatmap;
pub mod shaded;
mod table;

use super::style::Style;
use crate::error::Result;
use crate::report::Report;
use crate::report::document::{Block, Document, Figure, Panel, Table};
use crate::report::heatmap::Heatmap;

/// The report as bytes.
///
/// # Errors
/// None.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    Ok(page(&report.document, style).into_bytes())
}

/// The document as text.
#[must_use]
pub fn page(document: &Document, style: &Style) -> String {
    style.page(&blocks(&document.blocks, style))
}

/// Blocks with an empty line between them. Each ends with a line end.
#[must_use]
pub fn blocks(blocks: &[Block], style: &Style) -> String {
    let mut drawn = Vec::new();
    let mut rest = blocks;
    while let [first, behind @ ..] = rest {
        let pictures = of_one_legend(rest);
        rest = if pictures.len() > 1 { &rest[pictures.len()..] } else { behind };
        drawn.push(match pictures.len() {
            0 | 1 => block(first, style),
            _ => heatmap::draw_rows(&pictures.iter().map(Vec::as_slice).collect::<Vec<_>>(), style),
        });
    }
    drawn.retain(|drawn| !drawn.is_empty());
    drawn.join("\n")
}

/// The heatmaps of the figures at the beginning that one legend is enough for.
fn of_one_legend(blocks: &[Block]) -> Vec<Vec<Heatmap>> {
    let mut figures: Vec<Vec<Heatmap>> = Vec::new();
    for block in blocks {
        let Block::Figure(figure) = block else { break };
        figures.push(heatmaps(figure));
        if figures.iter().any(Vec::is_empty) || !heatmap::have_one_legend(&figures.concat()) {
            figures.pop();
            break;
        }
    }
    figures
}

fn block(block: &Block, style: &Style) -> String {
    match block {
        Block::Heading(words) => ended(style.wrap(&words.to_uppercase())),
        Block::Paragraph(words) => ended(style.wrap(words)),
        Block::Lines(lines) => ended(lines.iter().flat_map(|line| style.wrap(line)).collect()),
        Block::Code(lines) => ended(lines.trim_end().lines().map(|line| style.clean(line)).collect()),
        Block::Facts(facts) => ended(self::facts(facts, style)),
        Block::Table(table) => captioned(table, table::draw(&table.header, &table.rows, style), style),
        Block::Wide(table) => captioned(table, table::draw_parts(table, style), style),
        Block::Bars(table, shares) => captioned(table, table::draw_bars(table, shares, style), style),
        Block::Figure(figure) => self::figure(figure, style),
        Block::Prompt(tokens) => shaded::draw(tokens, style),
        // What is looked up in a page is looked up with other commands here.
        Block::HeadSums(_) | Block::Trials(_) => String::new(),
        Block::Together(blocks) => blocks.iter().map(|block| self::block(block, style)).collect(),
    }
}

fn ended(lines: Vec<String>) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn captioned(table: &Table, drawn: String, style: &Style) -> String {
    let caption = if table.caption.is_empty() { String::new() } else { ended(style.wrap(&table.caption)) };
    format!("{caption}{drawn}\n")
}

/// Heatmaps beside each other; curves need finer dots than characters, and are left out.
fn figure(figure: &Figure, style: &Style) -> String {
    let maps = heatmaps(figure);
    if maps.is_empty() { String::new() } else { heatmap::draw_beside(&maps, style) }
}

fn heatmaps(figure: &Figure) -> Vec<Heatmap> {
    let map = |panel: &Panel| match panel {
        Panel::Heatmap(map) => Some(map.clone()),
        Panel::Chart(_) => None,
    };
    figure.panels.iter().filter_map(map).collect()
}

/// Lines of a name and a text beside it, several where the text is long.
fn facts(facts: &[(String, String)], style: &Style) -> Vec<String> {
    const NAMES: usize = 12;
    let narrow = Style { width: style.columns().saturating_sub(NAMES), ..*style };
    let mut lines = Vec::new();
    for (index, (name, text)) in facts.iter().enumerate() {
        let repeated = index > 0 && facts[index - 1].0 == *name;
        for (part, text) in narrow.wrap(text).into_iter().enumerate() {
            let name = if part == 0 && !repeated { name } else { "" };
            lines.push(format!("{name:<NAMES$}{text}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod width_tests;
