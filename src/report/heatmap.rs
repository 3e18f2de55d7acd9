//! A heatmap laid out once, for every format to draw: what stands where, not how it looks.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Comparison, ComparisonRow};
use super::{CellSummary, HeadSummary};
use crate::grid::{Cell, ContextLength, Depth};
use crate::trial::{Finding, Outcome, Status};

/// How values are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `87%`, or `87` where there is little room.
    Percent,
    /// `0.87`, or `0.9` where there is little room.
    Fraction,
    /// A difference of shares in points of a hundred, with its sign: `+12`.
    Points,
    /// A difference of fractions, with its sign: `+0.12`, or `+0.1` where there is little room.
    Difference,
}

impl Unit {
    /// The value as text; `short` drops what can be spared. Per cent round to 0 and 100 only when they are
    /// exactly that: one miss in a thousand is not 100%. So do points to 0 and 100.
    #[must_use]
    pub fn text(self, value: f64, short: bool) -> String {
        match self {
            Self::Percent => format!("{}{}", percent(value), if short { "" } else { "%" }),
            Self::Fraction => format!("{value:.*}", if short { 1 } else { 2 }),
            Self::Points => format!("{}{}", sign(value), percent(value.abs())),
            Self::Difference => format!("{}{:.*}", sign(value), if short { 1 } else { 2 }, value.abs()),
        }
    }
}

/// Whole per cent of a share.
fn percent(share: f64) -> f64 {
    let percent = (100.0 * share).round();
    let inside = share > 0.0 && share < 1.0;
    if inside { percent.clamp(1.0, 99.0) } else { percent }
}

fn sign(value: f64) -> &'static str {
    match value {
        _ if value > 0.0 => "+",
        _ if value < 0.0 => "-",
        _ => "",
    }
}

/// What the colours of a heatmap say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From little to much.
    Sequential,
    /// From one side to the other, with nothing in the middle of the range.
    Diverging,
}

/// The note that rows do not sum to 1, where they do not: then a mass says little without the total that it
/// is part of.
fn absolute_note(heads: &[HeadSummary]) -> Option<String> {
    let totals = || heads.iter().filter_map(|head| head.total_mass);
    let (least, most) = totals().fold((f64::INFINITY, 0f64), |(low, high), x| (low.min(x), high.max(x)));
    (least < 0.99 || most > 1.01).then(|| {
        format!(
            "masses are absolute: rows sum to {least:.3} to {most:.3} by head, not to 1; total_mass stands \
             beside needle_mass with --output-format csv"
        )
    })
}

/// Heads that are marked, at most.
const MARKED_HEADS: usize = 5;

/// The heads with the largest masses, the largest first; none without a mass.
fn top_heads(heads: &[HeadSummary]) -> Vec<&HeadSummary> {
    let mass = |head: &HeadSummary| head.needle_mass.filter(|mass| mass.is_finite() && *mass > 0.0);
    let mut top: Vec<&HeadSummary> = heads.iter().filter(|head| mass(head).is_some()).collect();
    top.sort_by(|a, b| mass(b).unwrap_or(0.0).total_cmp(&mass(a).unwrap_or(0.0)));
    top.truncate(MARKED_HEADS);
    top
}

/// Which heads are marked, and where the colours end.
fn top_note(top: &[&HeadSummary]) -> Option<String> {
    let named = |head: &&HeadSummary| {
        Some(format!("{}.{} {}", head.layer, head.head, Unit::Fraction.text(head.needle_mass?, false)))
    };
    let names: Vec<String> = top.iter().filter_map(named).collect();
    (!names.is_empty()).then(|| {
        format!(
            "* the largest (layer.head): {}; colours reach from 0 to the largest of them",
            names.join(", ")
        )
    })
}

/// One value of a heatmap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatCell {
    /// What is drawn.
    pub value: f64,
    /// Trials behind it; 0 for what comes from none.
    pub n: usize,
}

/// A line between two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The line stands before this column; after the last one when it equals the number of columns.
    pub before_column: usize,
    /// What it means.
    pub label: String,
}

/// A grid of values with its axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// What is shown.
    pub title: String,
    /// What the values are, for the scale of colours: [`Heatmap::unit`] has their unit.
    pub quantity: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Name of the vertical axis.
    pub y_label: String,
    /// A label for each column, from left to right.
    pub columns: Vec<String>,
    /// A label for each row, from the top.
    pub rows: Vec<String>,
    /// Values by row and column; `None` is missing and must not look like any value.
    pub cells: Vec<Vec<Option<HeatCell>>>,
    /// Values at the two ends of the colours; values outside take the colour of the nearer end.
    pub range: (f64, f64),
    /// What the colours say.
    pub scale: Scale,
    /// How values are printed.
    pub unit: Unit,
    /// Where the training length lies.
    pub mark: Option<Mark>,
    /// Cells, by row and column, that stand out; a note says why.
    pub marked: Vec<(usize, usize)>,
    /// Lines to print below.
    pub notes: Vec<String>,
}

/// Cells of a heatmap, at most: more are not seen in any picture.
const MOST_CELLS: usize = 50_000;

/// In the place of a heatmap of this many rows and columns, when it has too many cells.
fn too_large(rows: usize, columns: usize) -> Option<String> {
    let too_many = rows.saturating_mul(columns) > MOST_CELLS;
    too_many.then(|| {
        format!("{rows} x {columns} cells are too many to draw; --output-format csv lists those with results")
    })
}

impl Heatmap {
    /// Accuracy by length (x) and depth (y, 0 on top), colours fixed to 0-1. `training_length` is marked on
    /// the x axis.
    #[must_use]
    pub fn accuracy(cells: &[CellSummary], training_length: Option<usize>) -> Self {
        let map = of_run(cells, training_length, |cell| cell.means.accuracy);
        Self {
            title: "Accuracy by context length and depth".into(),
            quantity: "accuracy".into(),
            unit: Unit::Percent,
            ..map
        }
    }

    /// Needle mass by length (x) and depth (y, 0 on top), colours fixed to 0-1: the mean over a cell's trials
    /// of [`crate::trial::Outcome::needle_mass_top`]. Under screening, where masses are absolute and may
    /// exceed 1, its share of the row's total mass.
    #[must_use]
    pub fn needle_mass(cells: &[CellSummary], training_length: Option<usize>) -> Self {
        let screening = cells.iter().any(|cell| cell.means.total_mass_mean.is_some());
        let (what, head, value): (&str, _, fn(&CellSummary) -> Option<f64>) = match screening {
            true => ("Needle share of the total mass", "head with the largest mass", |cell| {
                cell.means.needle_share_mean
            }),
            false => ("Needle mass", "largest of all heads", |cell| cell.means.needle_mass_top_mean),
        };
        let title = format!("{what} by context length and depth ({head}, mean over trials)");
        let quantity = what.to_lowercase();
        Self { title, quantity, ..of_run(cells, training_length, value) }
    }

    /// The share of trials with this outcome by length (x) and depth (y, 0 on top), of those that ran;
    /// colours fixed to 0-1. `cells` are those that were planned.
    #[must_use]
    pub fn outcome(
        outcomes: &[&Outcome],
        cells: &[CellSummary],
        finding: Finding,
        training_length: Option<usize>,
    ) -> Self {
        let mut counts: BTreeMap<(usize, Depth), (usize, usize)> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.status == Status::Ok) {
            let cell = counts.entry((outcome.context_length, outcome.depth_percent)).or_default();
            *cell = (cell.0 + usize::from(outcome.outcome == Some(finding)), cell.1 + 1);
        }
        let value = |cell: &CellSummary| {
            let (of, all) = counts.get(&(cell.context_length, cell.depth_percent))?;
            Some(*of as f64 / *all as f64)
        };
        let (title, quantity) = match finding {
            Finding::Found => ("Right answers", "found"),
            Finding::Looked => ("Wrong answers though a head looked at the needle", "looked"),
            Finding::Missed => ("Wrong answers with no head on the needle", "missed"),
            Finding::Wrong => ("Wrong answers of which that cannot be told", "wrong"),
        };
        let map = of_run(cells, training_length, value);
        Self {
            title: title.into(),
            quantity: quantity.into(),
            unit: Unit::Percent,
            notes: Vec::new(),
            mark: None,
            ..map
        }
    }

    /// The attention on the spans of a kind by length (x) and depth (y, 0 on top): `masses` are the means
    /// over the trials of a cell of the largest mass that a head has on one of them.
    #[must_use]
    pub fn kind(
        kind: &str,
        masses: &BTreeMap<Cell, f64>,
        cells: &[CellSummary],
        training_length: Option<usize>,
    ) -> Self {
        let value = |cell: &CellSummary| {
            let context_length = ContextLength(cell.context_length);
            masses.get(&Cell { context_length, depth: cell.depth_percent }).copied()
        };
        let map = of_run(cells, training_length, value);
        let title = format!("Mass on a span of kind {kind} (largest of all heads, mean over trials)");
        Self { title, quantity: format!("mass on {kind}"), notes: Vec::new(), ..map }
    }

    /// Accuracy of B minus that of A by length and depth, in points, colours fixed to -100 to 100.
    #[must_use]
    pub fn accuracy_difference(comparison: &Comparison) -> Self {
        let map = of_comparison(comparison, |row| (row.accuracy_difference, row.n));
        Self {
            title: "Accuracy by context length and depth: B - A in points".into(),
            quantity: "accuracy, B - A".into(),
            unit: Unit::Points,
            ..map
        }
    }

    /// Needle mass of B minus that of A by length and depth, colours fixed to -1 to 1.
    #[must_use]
    pub fn needle_mass_difference(comparison: &Comparison) -> Self {
        let map = of_comparison(comparison, |row| (row.needle_mass_difference, row.n_mass));
        Self {
            title: "Needle mass by context length and depth: B - A".into(),
            quantity: "needle mass, B - A".into(),
            unit: Unit::Difference,
            ..map
        }
    }

    /// Needle mass by layer (y, 0 on top) and query head (x), mean over trials. Colours reach from 0 to the
    /// largest, and the heads with the largest masses are marked.
    #[must_use]
    pub fn by_layer(title: String, heads: &[HeadSummary]) -> Self {
        let by_head: BTreeMap<_, _> = heads.iter().map(|head| ((head.layer, head.head), head)).collect();
        let mut layers: BTreeSet<usize> = heads.iter().map(|head| head.layer).collect();
        let mut columns: BTreeSet<usize> = heads.iter().map(|head| head.head).collect();
        let too_large = too_large(layers.len(), columns.len());
        if too_large.is_some() {
            (layers, columns) = Default::default();
        }
        let value = |layer, head| {
            let summary = by_head.get(&(layer, head))?;
            let value = summary.needle_mass.filter(|mass| mass.is_finite())?;
            Some(HeatCell { value, n: summary.n })
        };
        let top = top_heads(heads);
        let place = |head: &&HeadSummary| {
            let row = layers.iter().position(|layer| *layer == head.layer)?;
            Some((row, columns.iter().position(|column| *column == head.head)?))
        };
        let largest = top.first().and_then(|head| head.needle_mass);
        Self {
            title,
            quantity: "needle mass".into(),
            x_label: "head".into(),
            y_label: "layer".into(),
            columns: columns.iter().map(usize::to_string).collect(),
            rows: layers.iter().map(usize::to_string).collect(),
            cells: layers.iter().map(|&l| columns.iter().map(|&h| value(l, h)).collect()).collect(),
            range: (0.0, largest.unwrap_or(1.0)),
            scale: Scale::Sequential,
            unit: Unit::Fraction,
            mark: None,
            marked: top.iter().filter_map(place).collect(),
            notes: too_large.into_iter().chain(top_note(&top)).chain(absolute_note(heads)).collect(),
        }
    }

    /// A number of every layer (y, 0 on top) and query head (x), `[layers][heads]`; a layer without numbers
    /// stays empty. The colours reach from the smallest to the largest.
    #[must_use]
    pub fn of_heads(title: &str, numbers: &[Vec<f32>]) -> Self {
        let all = || numbers.iter().flatten().map(|&x| f64::from(x));
        let heads = numbers.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |&x: &f32| Some(HeatCell { value: f64::from(x), n: 0 });
        Self {
            title: format!("{title} by layer and head"),
            quantity: title.to_lowercase(),
            x_label: "head".into(),
            y_label: "layer".into(),
            columns: (0..heads).map(|head| head.to_string()).collect(),
            rows: (0..numbers.len()).map(|layer| layer.to_string()).collect(),
            cells: numbers.iter().map(|row| (0..heads).map(|head| cell(row.get(head)?)).collect()).collect(),
            range: (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)),
            scale: Scale::Sequential,
            unit: Unit::Fraction,
            mark: None,
            marked: vec![],
            notes: vec![],
        }
    }

    /// What stands in a cell: its value, behind a star where it is marked.
    #[must_use]
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        let cell = (*self.cells.get(row)?.get(column)?)?;
        let star = if self.marked.contains(&(row, column)) { "*" } else { "" };
        Some(format!("{star}{}", self.unit.text(cell.value, false)))
    }

    /// The trials behind a cell when they are the same in every cell that has any.
    #[must_use]
    pub fn uniform_n(&self) -> Option<usize> {
        let mut counts = self.cells.iter().flatten().flatten().map(|cell| cell.n);
        let first = counts.next()?;
        counts.all(|n| n == first).then_some(first)
    }

    /// Where `value` lies in the range, 0 to 1; in the middle of a range without width.
    #[must_use]
    pub fn position(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        if low == high {
            return 0.5;
        }
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

fn of_run(
    cells: &[CellSummary],
    training_length: Option<usize>,
    value: impl Fn(&CellSummary) -> Option<f64>,
) -> Heatmap {
    let left_out = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what} trial is left out")),
        _ => Some(format!("{count} {what} trials are left out")),
    };
    let failed = left_out(cells.iter().map(|cell| cell.means.n_error).sum(), "failed");
    let skipped = left_out(cells.iter().map(|cell| cell.means.n_skipped).sum(), "skipped");
    let values =
        cells.iter().map(|cell| (cell.context_length, cell.depth_percent, value(cell), cell.means.n));
    let map = by_cell(values, training_length);
    let notes = map.notes.iter().cloned().chain(failed).chain(skipped).collect();
    Heatmap { notes, ..map }
}

fn of_comparison(comparison: &Comparison, value: impl Fn(&ComparisonRow) -> (Option<f64>, usize)) -> Heatmap {
    let values = comparison.cells.iter().filter_map(|row| {
        let (value, n) = value(row);
        Some((row.context_length?, row.depth_percent?, value, n))
    });
    let map = by_cell(values, comparison.training_length);
    Heatmap { range: (-1.0, 1.0), scale: Scale::Diverging, ..map }
}

/// A heatmap of (length, depth in per cent, value, trials), without title.
fn by_cell(
    values: impl Iterator<Item = (usize, Depth, Option<f64>, usize)>,
    training_length: Option<usize>,
) -> Heatmap {
    let by_key: BTreeMap<_, _> =
        values.map(|(length, depth, value, n)| ((length, depth), (value, n))).collect();
    let mut lengths: Vec<usize> =
        by_key.keys().map(|&(length, _)| length).collect::<BTreeSet<_>>().into_iter().collect();
    let mut depths: BTreeSet<Depth> = by_key.keys().map(|&(_, depth)| depth).collect();
    let too_large = too_large(depths.len(), lengths.len());
    if too_large.is_some() {
        (lengths, depths) = Default::default();
    }
    let heat = |length, depth| {
        let &(value, n) = by_key.get(&(length, depth))?;
        // A value that is not finite has no place on the colour scale.
        Some(HeatCell { value: value.filter(|value| value.is_finite())?, n })
    };
    Heatmap {
        title: String::new(),
        quantity: String::new(),
        x_label: "context length (tokens)".into(),
        y_label: "depth %".into(),
        columns: lengths.iter().map(|&length| ContextLength(length).to_string()).collect(),
        rows: depths.iter().map(Depth::to_string).collect(),
        cells: depths.iter().map(|&d| lengths.iter().map(|&l| heat(l, d)).collect()).collect(),
        range: (0.0, 1.0),
        scale: Scale::Sequential,
        unit: Unit::Fraction,
        mark: training_length.map(|trained| Mark {
            before_column: lengths.iter().filter(|&&length| length <= trained).count(),
            label: format!(
                "training length, {} tokens: longer contexts stand to its right",
                ContextLength(trained)
            ),
        }),
        marked: vec![],
        notes: too_large.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, outcome};
    use super::super::{cells, heads};
    use super::*;
    use crate::trial::AttentionRow;

    #[test]
    fn depth_zero_is_on_top_lengths_go_right_and_missing_stays_missing() {
        let outcomes = [
            outcome(8192, 0.0, 0, false, Some(0.25)),
            outcome(1024, 100.0, 0, true, None),
            failed(1024, 0.0, 0),
            outcome(8192, 12.5, 0, true, Some(0.75)),
        ];
        let map = Heatmap::accuracy(&cells(&outcomes, &[]), Some(4096));
        assert_eq!(map.columns, ["1k", "8k"]);
        assert_eq!(map.rows, ["0", "12.5", "100"]);
        let values: Vec<Vec<_>> =
            map.cells.iter().map(|row| row.iter().map(|cell| cell.map(|c| c.value)).collect()).collect();
        assert_eq!(values, [[None, Some(0.0)], [None, Some(1.0)], [Some(1.0), None]]);
        assert_eq!(map.mark.unwrap().before_column, 1);
        assert_eq!(map.notes, ["1 failed trial is left out"]);
        let map = Heatmap::needle_mass(&cells(&outcomes, &[]), None);
        assert_eq!(map.cells[0][1], Some(HeatCell { value: 0.25, n: 1 }));
        assert_eq!(map.cells[2][0], None, "no attention was measured there");
    }

    #[test]
    fn under_screening_the_share_is_drawn_and_a_row_without_mass_has_none() {
        let total = |total, length| Outcome {
            total_mass_top: Some(total),
            ..outcome(length, 0.0, 0, true, Some(total / 4.0))
        };
        let map = Heatmap::needle_mass(&cells(&[total(8.0, 1024), total(0.0, 2048)], &[]), None);
        assert_eq!(map.cells, [[Some(HeatCell { value: 0.25, n: 1 }), None]]);
        assert!(map.title.starts_with("Needle share of the total mass"));
    }

    #[test]
    fn the_training_length_itself_counts_as_trained() {
        let outcomes: Vec<_> = [1024, 4096, 8192].map(|length| outcome(length, 0.0, 0, true, None)).into();
        let before =
            |trained| Heatmap::accuracy(&cells(&outcomes, &[]), Some(trained)).mark.unwrap().before_column;
        assert_eq!([before(512), before(4096), before(8192)], [0, 2, 3]);
    }

    #[test]
    fn layers_go_down_heads_go_right_and_trials_are_averaged() {
        let row = |row_id: &str, layer, head, needle_mass| AttentionRow {
            run_id: "run".into(),
            row_id: row_id.into(),
            layer,
            head,
            needle_mass,
            value_mass: 0.0,
            total_mass: 1.0,
            sink_mass: 0.0,
            lift: None,
            entropy: None,
            argmax_position: 0,
            answer_needle_mass: 0.0,
            answer_value_mass: 0.0,
            answer_total_mass: 1.0,
            answer_sink_mass: 0.0,
            ..AttentionRow::default()
        };
        let cell = Cell { context_length: ContextLength(1024), depth: Depth::from_percent(50.0).unwrap() };
        let rows = [
            row("1024:50:0", 0, 1, 0.9),
            row("1024:50:0", 0, 1, 0.25),
            row("1024:50:1", 0, 1, 0.75),
            row("1024:50:0", 1, 0, 0.125),
            row("1024:5:0", 0, 0, 1.0),
        ];
        let map = Heatmap::by_layer("heads".to_string(), &heads(cell, &rows));
        assert_eq!((map.range, map.marked.as_slice()), ((0.0, 0.5), &[(0, 1), (1, 0)][..]));
        assert_eq!(map.text(0, 1).as_deref(), Some("*0.50"));
        assert_eq!(
            map.notes,
            ["* the largest (layer.head): 0.1 0.50, 1.0 0.12; colours reach from 0 to the largest of them"]
        );
        assert_eq!((map.rows.len(), map.columns.len()), (2, 2));
        assert_eq!(map.cells[0], [None, Some(HeatCell { value: 0.5, n: 2 })]);
        assert_eq!(map.cells[1], [Some(HeatCell { value: 0.125, n: 1 }), None]);
    }

    #[test]
    fn per_cent_are_whole_only_when_exact() {
        assert_eq!(Unit::Percent.text(1.0, false), "100%");
        assert_eq!(Unit::Percent.text(0.999, false), "99%");
        assert_eq!(Unit::Percent.text(0.001, true), "1");
        assert_eq!(Unit::Percent.text(0.0, true), "0");
        assert_eq!(Unit::Fraction.text(0.875, true), "0.9");
    }

    #[test]
    fn differences_have_a_sign_and_are_zero_only_when_exact() {
        let points = |value| Unit::Points.text(value, false);
        assert_eq!(
            [0.125, -1.0, 0.001, -0.999, 0.0, -0.0].map(points),
            ["+13", "-100", "+1", "-99", "0", "0"]
        );
        assert_eq!(Unit::Difference.text(-0.125, false), "-0.12");
        assert_eq!(Unit::Difference.text(0.5, true), "+0.5");
    }
}
