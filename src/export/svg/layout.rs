//! Sizes of pictures: on a page, in pixels, and in a paper, in points.

use super::{PANELS_A_ROW, chart};
use crate::report::document::{Figure, Panel};
use crate::report::heatmap::Heatmap;

/// Width of a letter by the size of its font: fonts differ, and few are wider.
pub(super) const LETTER: f64 = 0.567;

/// Sizes of a picture, in the units of its view box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Width and height of a panel.
    pub(super) panel: (f64, f64),
    /// Room inside a panel, left, top, right and bottom of what is drawn.
    pub(super) margins: [f64; 4],
    /// Room for the scale of colours right of a heatmap, in place of the right margin.
    pub(super) bar: f64,
    /// Font size of names.
    pub(super) font: f64,
    /// Font size of numbers.
    pub(super) small: f64,
    /// Height of a line of text.
    pub(super) line: f64,
    /// Width of a curve.
    pub(super) stroke: f64,
    /// Half the width of a marker.
    pub(super) marker: f64,
    /// Whether panels have titles and a legend that says what could stand in a caption.
    titles: bool,
    /// Whether the scale of colours says what it is of, and not its unit alone.
    pub(super) names_scale: bool,
}

/// On a page.
pub(super) const PAGE: Layout = Layout {
    panel: (460.0, 320.0),
    margins: [58.0, 30.0, 14.0, 44.0],
    bar: 86.0,
    font: 13.0,
    small: 13.0,
    line: 18.0,
    stroke: 1.8,
    marker: 3.2,
    titles: true,
    names_scale: true,
};

/// In a column of a paper: 241 points are 85 mm.
const PAPER: Layout = Layout {
    panel: (241.0, 160.0),
    margins: [36.0, 7.0, 7.0, 30.0],
    bar: 53.0,
    font: 8.0,
    small: 7.0,
    line: 11.0,
    stroke: 1.1,
    marker: 1.9,
    titles: false,
    names_scale: true,
};

/// What a figure takes, and how its legend is laid out.
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) rows: usize,
    pub(super) legend_rows: usize,
    pub(super) legend_columns: usize,
}

impl Layout {
    /// For a page. Heatmaps of many rows are higher.
    pub(super) fn of_page(figure: &Figure) -> Self {
        let needed = 15.0 * most_rows(figure) as f64 + PAGE.margins[1] + PAGE.margins[3];
        Self { panel: (PAGE.panel.0, needed.clamp(PAGE.panel.1, 3.0 * PAGE.panel.1)), ..PAGE }
    }

    /// For a paper. Heatmaps are as high as their rows need.
    pub(super) fn of_paper(figure: &Figure) -> Self {
        const ROW: f64 = 15.0;
        let top = if figure.panels.len() > 1 { 17.0 } else { PAPER.margins[1] };
        let margins = [PAPER.margins[0], top, PAPER.margins[2], PAPER.margins[3]];
        let height = match most_rows(figure) {
            0 => PAPER.panel.1 - PAPER.margins[1] - PAPER.margins[3],
            rows => (ROW * rows as f64).clamp(5.0 * ROW, 13.0 * ROW),
        };
        // What the letter of a panel stands before need not be said again, where its neighbour begins.
        let names_scale = figure.panels.len() < 2 || is_named(figure);
        Self { panel: (PAPER.panel.0, height + top + margins[3]), margins, names_scale, ..PAPER }
    }

    /// The title of a panel. In a paper the caption has it, and what tells panels apart is left.
    pub(super) fn title(&self, figure: &Figure, index: usize) -> String {
        let full = |panel: &Panel| match panel {
            Panel::Chart(chart) => chart.title.clone(),
            Panel::Heatmap(map) => map.title.clone(),
        };
        let Some(panel) = figure.panels.get(index) else { return String::new() };
        if self.titles {
            return full(panel);
        }
        if figure.panels.len() < 2 {
            return String::new();
        }
        let letter = char::from(b'a' + (index % 26) as u8);
        let own = match (full(panel).split_once(": "), panel) {
            (Some((own, _)), _) if is_named(figure) => own.to_string(),
            (_, Panel::Heatmap(map)) => map.quantity.clone(),
            (_, Panel::Chart(chart)) => chart.title.clone(),
        };
        format!("({letter}) {own}")
    }

    pub(super) fn size(&self, figure: &Figure) -> Size {
        let entries = chart::legend(&figure.panels);
        let columns = figure.panels.len().clamp(1, PANELS_A_ROW);
        let rows = figure.panels.len().div_ceil(PANELS_A_ROW);
        let width = self.panel.0 * columns as f64;
        let longest = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
        let entry = 3.4 * self.font + LETTER * self.font * longest as f64;
        let legend_columns = (((width - self.margins[0]) / entry) as usize).clamp(1, 2 * columns);
        // One series needs no legend in a paper: it is what the axis says.
        let entries = if self.titles || entries.len() > 1 { entries.len() } else { 0 };
        let legend_rows = entries.div_ceil(legend_columns);
        let below = if self.titles { 8.0 } else { 2.0 };
        let height = self.panel.1 * rows as f64 + self.line * legend_rows as f64 + below;
        Size { width, height, rows, legend_rows, legend_columns }
    }

    /// Every how many names of an axis stand beside it where each has so much room and takes so much.
    pub(super) fn every(room: f64, taken: f64) -> usize {
        (taken / room).ceil().max(1.0) as usize
    }

    /// The width of a text in small letters.
    pub(super) fn width(&self, words: &str) -> f64 {
        LETTER * self.small * words.chars().count() as f64
    }
}

/// Rows of the highest heatmap.
fn most_rows(figure: &Figure) -> usize {
    let rows = figure.panels.iter().map(|panel| match panel {
        Panel::Heatmap(map) => map.rows.len(),
        Panel::Chart(_) => 0,
    });
    rows.max().unwrap_or(0)
}

/// Whether the titles of all panels are names in front of the same words, as of runs beside each other.
fn is_named(figure: &Figure) -> bool {
    let title = |panel: &Panel| match panel {
        Panel::Heatmap(Heatmap { title, .. }) => title.split_once(": ").map(|(_, what)| what.to_string()),
        Panel::Chart(chart) => chart.title.split_once(": ").map(|(_, what)| what.to_string()),
    };
    let first = figure.panels.first().and_then(title);
    first.is_some() && figure.panels.iter().all(|panel| title(panel) == first)
}
