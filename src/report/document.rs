//! A report as a document: headings, text, tables and figures, for every format to write. What a format
//! cannot show it leaves out.

use super::heads::HeadSums;
use super::heatmap::Heatmap;
use crate::grid::Cell;
use crate::span::SpanKind;
use crate::trial::Outcome;

/// A document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// What stands in it, from top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// The heading of a section.
    Heading(String),
    /// A paragraph.
    Paragraph(String),
    /// Sentences that begin a line each.
    Lines(Vec<String>),
    /// Names, and what is to be said of each; a name that stands again right away is not repeated.
    Facts(Vec<(String, String)>),
    /// Lines of a terminal or a file, as they are.
    Code(String),
    /// A table.
    Table(Table),
    /// A table that may be shown in parts, some columns at a time, where there is little room.
    Wide(Table),
    /// A table with a bar behind every row, for a share of the whole.
    Bars(Table, Vec<f64>),
    /// A figure.
    Figure(Figure),
    /// A prompt, shaded by the attention that its tokens received.
    Prompt(Vec<ShadedToken>),
    /// What the heads did in every cell, to sum up any selection of cells from.
    HeadSums(HeadSums<Cell>),
    /// The trials behind the cells of the heatmaps before it.
    Trials(Trials),
    /// What belongs together, as a table and its notes do.
    Together(Vec<Block>),
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns. The first holds names, the others numbers.
    pub header: Vec<String>,
    /// As many cells a row as there are columns, or one alone for a line across.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Characters that a number with its interval has, at most.
    pub const LONGEST_NUMBER: usize = 40;

    /// A table that needs no caption.
    #[must_use]
    pub fn new(header: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { caption: String::new(), header: header.iter().map(ToString::to_string).collect(), rows }
    }

    /// Whether a column holds sentences and not numbers: one of its cells is longer than any number with its
    /// interval.
    #[must_use]
    pub fn has_words(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.into_iter().any(|cell| cell.chars().count() > Self::LONGEST_NUMBER)
    }

    /// The same with a caption.
    #[must_use]
    pub fn captioned(self, caption: &str) -> Self {
        Self { caption: caption.to_string(), ..self }
    }
}

/// A token of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadedToken {
    /// Its text.
    pub text: String,
    /// The attention it received.
    pub mass: f64,
    /// The part of the prompt that it belongs to, where that matters.
    pub part: Option<Part>,
    /// Whether it belongs to the value of that part.
    pub in_value: bool,
}

/// A part of a prompt that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is to the question.
    pub kind: SpanKind,
    /// Its number in the prompt, which tells it from its neighbours.
    pub span: usize,
}

/// Trials by cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Trials {
    /// Cells in their order, each with its trials.
    pub cells: Vec<(Cell, Vec<TrialShown>)>,
}

/// A trial, to be shown with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialShown {
    /// Its row.
    pub outcome: Outcome,
    /// Its prompt, where the attention of each token was kept.
    pub prompt: Option<Vec<PromptToken>>,
}

/// A token of a prompt with the attention that it received.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptToken {
    /// Its text.
    pub text: String,
    /// Its mass, mean over all layers and heads.
    pub mean: f64,
    /// Its mass under the head with the largest needle mass.
    pub top: f64,
    /// As in [`ShadedToken::part`].
    pub part: Option<Part>,
    /// As in [`ShadedToken::in_value`].
    pub in_value: bool,
}

/// Pictures side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// A word for files and references.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// The pictures.
    pub panels: Vec<Panel>,
}

/// A picture of a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Panel {
    /// Curves or dots.
    Chart(Chart),
    /// A grid.
    Heatmap(Heatmap),
}

impl Figure {
    /// One heatmap; what it means beyond its axes is the caption.
    #[must_use]
    pub fn heatmap(name: &str, map: Heatmap) -> Self {
        Self::heatmaps(name, vec![map])
    }

    /// Heatmaps side by side.
    #[must_use]
    pub fn heatmaps(name: &str, maps: Vec<Heatmap>) -> Self {
        let mut notes: Vec<String> = Vec::new();
        let marks = maps.iter().filter_map(|map| map.mark.as_ref().map(|mark| &mark.label));
        for note in marks.chain(maps.iter().flat_map(|map| &map.notes)) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        let panels = maps.into_iter().map(Panel::Heatmap).collect();
        Self { name: name.to_string(), caption: notes.join("; "), panels }
    }

    /// One chart.
    #[must_use]
    pub fn chart(name: &str, caption: &str, chart: Chart) -> Self {
        Self { name: name.to_string(), caption: caption.to_string(), panels: vec![Panel::Chart(chart)] }
    }
}

/// Curves or dots over an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, later ones above.
    pub series: Vec<Series>,
    /// Upright lines, with what they mean.
    pub marks: Vec<(f64, String)>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name, with the unit.
    pub label: String,
    /// Whether equal distances are equal factors.
    pub logarithmic: bool,
    /// Its ends; `None` for those of the points.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    #[must_use]
    pub fn linear(label: &str, range: Option<(f64, f64)>) -> Self {
        Self { label: label.to_string(), logarithmic: false, range }
    }

    /// An axis on which equal distances are equal factors.
    #[must_use]
    pub fn logarithmic(label: &str) -> Self {
        Self { label: label.to_string(), logarithmic: true, range: None }
    }
}

/// Points of one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Which of the chart's colours it has. Series of one configuration share theirs.
    pub color: usize,
    /// How its points are drawn.
    pub shape: Shape,
    /// The points.
    pub points: Vec<Point>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Joined by a line.
    Line,
    /// Joined by a broken line.
    Dashes,
    /// Each a filled circle.
    Dots,
    /// Each a cross.
    Crosses,
}

/// A point with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// Ends of its interval on the vertical axis.
    pub interval: Option<(f64, f64)>,
}

impl Point {
    /// A point without an interval.
    #[must_use]
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None }
    }
}
