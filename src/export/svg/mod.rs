//! Figures as SVG: everything inside one element, no fonts, scripts or files from elsewhere.
//!
//! A page shows them with titles, at the size of a screen. A paper takes one alone ([`alone`]), at the width
//! of its column and without a title, which is the caption's to give. What tells series or cells apart does
//! so without colours as well: dashes, markers, numbers, brightness.

mod chart;
mod heatmap;
mod layout;
mod scale;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use self::layout::{LETTER, Layout, PAGE};
use super::figures;
use super::palette::Palette;
use super::style::Style;
use crate::error::{Error, Result};
use crate::printable;
use crate::report::Report;
use crate::report::document::{Block, Figure, Panel};

/// Panels beside each other.
const PANELS_A_ROW: usize = 2;

/// Where a cell of a heatmap leads.
pub struct Link {
    /// The address.
    pub href: String,
    /// What stands behind it, in words.
    pub title: String,
}

/// The links of cells by row and column.
pub type Links<'a> = &'a dyn Fn(usize, usize) -> Option<Link>;

/// All figures of the report under each other, each above its caption, below the title and what is said
/// before the first of them.
///
/// # Errors
/// When the report has no figure.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    let document = &report.document;
    let figures = figures::of(document);
    if figures.is_empty() {
        return Err(Error::Message(
            "this report has no picture to draw; take another form of output, such as html".to_string(),
        ));
    }
    let size = |figure: &Figure| Layout::of_page(figure).size(figure);
    let width = figures.iter().map(|figure| size(figure).width).fold(0.0, f64::max);
    let narrow = Style { width: (width / (LETTER * PAGE.font)) as usize, ..Style::unicode() };
    let mut drawn = String::new();
    let mut y = 0.0;
    let head = std::iter::once(document.title.as_str()).chain(match document.blocks.first() {
        Some(Block::Paragraph(words)) => std::slice::from_ref(words).iter().map(String::as_str),
        Some(Block::Lines(words)) => words.iter().map(String::as_str),
        _ => [].iter().map(String::as_str),
    });
    let words = |drawn: &mut String, y: &mut f64, words: &str| {
        for line in narrow.wrap(words).iter().filter(|line| !line.is_empty()) {
            *y += PAGE.line;
            text(drawn, PAGE.font, [8.0, *y], "start", line);
        }
    };
    head.for_each(|line| words(&mut drawn, &mut y, line));
    for figure in figures {
        y += PAGE.line;
        let _ = writeln!(drawn, "<g transform=\"translate(0 {y})\">");
        draw_panels(&mut drawn, figure, &Layout::of_page(figure), style.palette, None);
        drawn.push_str("</g>\n");
        y += size(figure).height;
        words(&mut drawn, &mut y, &figure.caption);
        words(&mut drawn, &mut y, if has_missing(figure) { "grey with a stroke: missing" } else { "" });
    }
    let mut svg = open([width, y + PAGE.line], "", &document.title, "img");
    svg.push_str(&drawn);
    svg.push_str("</svg>\n");
    Ok(svg.into_bytes())
}

/// Whether a heatmap of the figure has a cell without a value.
fn has_missing(figure: &Figure) -> bool {
    figure.panels.iter().any(|panel| match panel {
        Panel::Heatmap(map) => map.cells.iter().flatten().any(Option::is_none),
        Panel::Chart(_) => false,
    })
}

/// The figure as a paper takes it: 85 mm wide, or 170 mm with two panels beside each other, letters of 7 and
/// 8 points, without title and caption.
///
/// # Errors
/// None.
pub fn alone(figure: &Figure, style: &Style) -> Result<Vec<u8>> {
    let paper = Layout::of_paper(figure);
    let size = paper.size(figure);
    let mut svg = open([size.width, size.height], "pt", &name(figure), "img");
    draw_panels(&mut svg, figure, &paper, style.palette, None);
    svg.push_str("</svg>\n");
    Ok(svg.into_bytes())
}

/// The figure, without its caption.
#[must_use]
pub fn draw(figure: &Figure, palette: Palette) -> String {
    let mut svg = String::new();
    draw_into(&mut svg, figure, palette, None);
    svg
}

/// The same behind what stands in `svg`, with cells of its heatmaps that lead somewhere where there are
/// `links`.
pub fn draw_into(svg: &mut String, figure: &Figure, palette: Palette, links: Option<Links<'_>>) {
    let layout = Layout::of_page(figure);
    let size = layout.size(figure);
    // What has links is no single image to a reader of screens.
    let role = if links.is_some() { "group" } else { "img" };
    svg.push_str(&open([size.width, size.height], "", &name(figure), role));
    draw_panels(svg, figure, &layout, palette, links);
    svg.push_str("</svg>\n");
}

/// What the figure is, for those who do not see it.
fn name(figure: &Figure) -> String {
    let titles = figure.panels.iter().map(|panel| match panel {
        Panel::Chart(chart) => chart.title.as_str(),
        Panel::Heatmap(map) => map.title.as_str(),
    });
    let parts = titles.chain([figure.caption.as_str()]).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(". ")
}

/// The beginning of a picture of this size in `unit`.
fn open([width, height]: [f64; 2], unit: &str, label: &str, role: &str) -> String {
    let label = escaped(label);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}{unit}\" \
         height=\"{height}{unit}\" font-family=\"sans-serif\" role=\"{role}\" aria-label=\"{label}\">\n\
         <title>{label}</title>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\" \
         fill=\"#ffffff\"/>\n"
    )
}

fn draw_panels(
    svg: &mut String,
    figure: &Figure,
    layout: &Layout,
    palette: Palette,
    links: Option<Links<'_>>,
) {
    let size = layout.size(figure);
    let entries = chart::legend(&figure.panels);
    for (index, panel) in figure.panels.iter().enumerate() {
        let (column, row) = (index % PANELS_A_ROW, index / PANELS_A_ROW);
        let place = [layout.panel.0 * column as f64, layout.panel.1 * row as f64];
        let _ = writeln!(svg, "<g transform=\"translate({} {})\">", place[0], place[1]);
        title(svg, &layout.title(figure, index), layout);
        match panel {
            Panel::Chart(chart) => chart::draw(svg, chart, &entries, layout),
            Panel::Heatmap(map) => heatmap::draw(svg, map, layout, palette, links),
        }
        svg.push_str("</g>\n");
    }
    if size.legend_rows > 0 {
        chart::draw_legend(svg, &entries, layout, &size);
    }
}

/// Text that means itself in HTML and SVG, hidden characters as escapes that can be read: some of them may
/// stand in no XML.
#[must_use]
pub fn escaped(text: &str) -> String {
    let text = printable::lines(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// The title of a panel, smaller where it is long.
fn title(svg: &mut String, words: &str, layout: &Layout) {
    if words.is_empty() {
        return;
    }
    let room = layout.panel.0 - 8.0;
    let size = room / (LETTER * words.chars().count().max(1) as f64);
    let size = size.min(layout.font);
    text(svg, size, [layout.panel.0 / 2.0, 0.6 * layout.margins[1]], "middle", words);
}

fn text(svg: &mut String, size: f64, [x, y]: [f64; 2], anchor: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text class=\"ink\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size:.1}\" \
         fill=\"#222222\">{words}</text>"
    );
}

/// The name of an upright axis, around `x` and `y`; smaller where the panel is less high than it is long.
fn axis_label(svg: &mut String, layout: &Layout, [x, y]: [f64; 2], words: &str) {
    let room = 2.0 * y.min(layout.panel.1 - y);
    let size = layout.font.min(room / (LETTER * words.chars().count().max(1) as f64));
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text class=\"ink\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" \
         font-size=\"{size:.1}\" fill=\"#222222\">{words}</text>"
    );
}

/// The name of an axis with its unit in brackets.
fn with_unit(label: &str) -> String {
    match label.strip_suffix(" %") {
        Some(name) => format!("{name} (%)"),
        None => label.to_string(),
    }
}

fn line(svg: &mut String, from: [f64; 2], to: [f64; 2], style: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {style}/>",
        from[0], from[1], to[0], to[1]
    );
}
