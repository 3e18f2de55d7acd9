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
    let drawn = blocks.iter().map(|block| self::block(block, style)).filter(|drawn| !drawn.is_empty());
    drawn.collect::<Vec<_>>().join("\n")
}

fn block(block: &Block, style: &Style) -> String {
    match block {
        Block::Heading(words) => ended(style.wrap(&words.to_uppercase())),
        Block::Paragraph(words) => ended(style.wrap(words)),
        Block::Lines(lines) => ended(lines.iter().flat_map(|line| style.wrap(line)).collect()),
        Block::Code(lines) => ended(lines.trim_end().lines().map(|line| style.clean(line)).collect()),
        Block::Facts(facts) => ended(self::facts(facts, style)),
        Block::Table(table) => captioned(table, table::draw(&table.header, &table.rows, style), style),
        // Its caption is a heading of all parts, and stays in one line.
        Block::Wide(table) => {
            format!("{}\n{}\n", style.clean(&table.caption), table::draw_parts(table, style))
        }
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
    let map = |panel: &Panel| match panel {
        Panel::Heatmap(map) => Some(map.clone()),
        Panel::Chart(_) => None,
    };
    let maps: Vec<_> = figure.panels.iter().filter_map(map).collect();
    if maps.is_empty() { String::new() } else { heatmap::draw_beside(&maps, style) }
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
